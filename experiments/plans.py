"""How a world runs the recipes that have settings of their own."""

from __future__ import annotations

from dataclasses import dataclass


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
