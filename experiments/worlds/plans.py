"""How a world runs the recipes that have settings of their own."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.worlds.calibration_plan import CalibrationPlan


@dataclass(frozen=True, kw_only=True)
class DataScalingPlan:
    """How the recipes are repeated on stocks of text of several sizes.

    Attributes:
        sizes: D of each stock, ascending; four or more for a data law that can be checked.
        widths: model sizes; three or more for a joint limit.
        n_draws: corpora drawn of each size; the first tunes, all are reported.
        learning_rates: as in `World`, like the following.
        standard_epochs: epochs tried by the standard recipe.
        n_seeds: seeds of each cell.
        n_members: members of an ensemble.
    """

    sizes: tuple[int, ...]
    widths: tuple[int, ...]
    n_draws: int
    learning_rates: tuple[float, ...]
    standard_epochs: tuple[int, ...]
    n_seeds: int
    n_members: int


@dataclass(frozen=True, kw_only=True)
class DistillationPlan:
    """How an ensemble and single models teach students.

    Attributes:
        width: size of teacher members and students.
        n_epochs: steps of every student, in passes over the real text.
        share: synthetic part of every batch; n_epochs * (1 - share) must be a whole number.
        tokens_ratio: sampled tokens for each unique one.
        weight_decays: candidates of every arm, ascending.
        n_generations: generations of self-training.
        n_seeds: students of each arm, at most the world's members.
    """

    width: int
    n_epochs: int
    share: float
    tokens_ratio: int
    weight_decays: tuple[float, ...]
    n_generations: int
    n_seeds: int


CALIBRATION_PLANS = {
    "tiny": CalibrationPlan(
        n_layers=1,
        n_eval_windows=256,
        n_sources=2,
        weight_decays=(0.4, 3.2),
        reads=(32_768,),
        n_seeds=2,
        n_unique_tokens=512,
        widths=(8, 12, 16),
        brute_width=24,
        brute_members=8,
        data_width=16,
        sizes=(256, 512, 1_024, 2_048),
        brute_size=8_192,
    ),
    "quick": CalibrationPlan(
        n_sources=3,
        weight_decays=(0.05, 0.4, 3.2, 25.6),
        reads=(65_536,),
        n_seeds=2,
        n_unique_tokens=1_024,
        widths=(8, 12, 16),
        brute_width=32,
        brute_members=12,
        data_width=32,
        sizes=(1_024, 2_048, 4_096, 8_192),
        brute_size=32_768,
    ),
    "small": CalibrationPlan(
        n_sources=6,
        weight_decays=(0.1, 0.4, 1.6, 6.4, 25.6),
        reads=(65_536, 262_144),
        n_unique_tokens=1_024,
        widths=(8, 12, 16, 24, 32),
        brute_width=64,
        brute_members=16,
        data_width=32,
        sizes=(1_024, 2_048, 4_096, 8_192, 16_384),
        brute_size=131_072,
    ),
}
"""By the name of the world."""


def calibration_plan(world: str) -> CalibrationPlan:
    """Return the sizes of the recipe `calibration` in a world.

    Raises:
        ValueError: the world does not run it.
    """
    if world not in CALIBRATION_PLANS:
        raise ValueError(
            f"calibration runs in the worlds {', '.join(CALIBRATION_PLANS)}; not in {world!r}"
        )
    return CALIBRATION_PLANS[world]
