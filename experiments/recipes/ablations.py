"""Shuffle once, or every epoch; cut windows at new places every epoch, or always the same.

Kim et al. 2025 (arXiv 2509.14786) shuffle once and repeat that order; the runs here reshuffle every
epoch and cut the text into windows at a new phase each time. Hyperparameters were tuned for the
latter and are the same on all sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.regularized import Regularized, regularized
from experiments.recipes.standard import Standard, best_epochs, most_epochs, standard
from experiments.runs.spec import RunSpec
from models.config import DataOrder

READINGS: Mapping[str, tuple[DataOrder, bool]] = {
    "as here": ("reshuffled", True),
    "no window jitter": ("reshuffled", False),
    "shuffled once": ("fixed", False),
}
"""Data order and window jitter of each way to read the text again."""


@dataclass(frozen=True, kw_only=True)
class Ablations:
    """Runs of one size, read in three ways.

    Attributes:
        width: the second smallest size.
        few_epochs: what validation selects of the standard recipe, read as here.
        most_epochs: the most that it tries at this size.
        runs: a row a run, with `reading` (a key of `READINGS`) and `setting` ("standard, few
            epochs", "standard, most epochs" or "tuned").
    """

    width: int
    few_epochs: int
    most_epochs: int
    runs: pd.DataFrame


SETTINGS = ("standard, few epochs", "standard, most epochs", "tuned")


@recipe(standard, regularized)
def ablations(lab: Lab, standard: Standard, regularized: Regularized) -> Ablations:
    """Train one size with the standard recipe and at its tuned point, read in three ways."""
    world = lab.world
    width = sorted(world.widths)[min(1, len(world.widths) - 1)]
    few, most = (epochs(standard.sweep)[width] for epochs in (best_epochs, most_epochs))
    usual = {"width": width, "weight_decay": world.standard_decay}
    cells = dict(
        zip(
            SETTINGS,
            (
                {**usual, "n_epochs": few},
                {**usual, "n_epochs": most},
                {"width": width, **regularized.tuned[width].best},
            ),
            strict=True,
        )
    )
    planned = [
        (reading, setting, _read(lab.spec(seed=seed, **cell), *how))
        for reading, how in READINGS.items()
        for setting, cell in cells.items()
        for seed in range(world.n_seeds)
    ]
    runs = lab.train([spec for _, _, spec in planned], title="order and windows of the data")
    by_id = runs.set_index("run_id")
    table = pd.DataFrame(
        [
            {
                "reading": reading,
                "setting": setting,
                "n_epochs": spec.train.n_epochs,
                "seed": spec.seed,
                **by_id.loc[spec.run_id, ["train_loss", "validation_loss", "test_loss"]],
            }
            for reading, setting, spec in planned
        ]
    )
    return Ablations(width=width, few_epochs=few, most_epochs=most, runs=table)


def _read(spec: RunSpec, data_order: DataOrder, window_jitter: bool) -> RunSpec:
    train = replace(spec.train, data_order=data_order, window_jitter=window_jitter)
    return replace(spec, train=train)
