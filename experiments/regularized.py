"""The regularised recipe: weight decay and epochs tuned at every size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from experiments.lab import Lab
from experiments.tune import Grid, Point, Tuned, descend

CONTENDER_MARGIN = 0.05
"""Cells whose first seed is within this many nats of the best are tried with every seed.

A little over twice the standard deviation between seeds at the smallest sizes (0.02).
"""


@dataclass(frozen=True, kw_only=True)
class Regularized:
    """What tuning found.

    Attributes:
        tuned: the optimum of each width, selected on validation.
        runs: every run of the search, a row each.
        best: the runs at the optima, all seeds, a row each.
    """

    tuned: Mapping[int, Tuned]
    runs: pd.DataFrame
    best: pd.DataFrame


def grid_of(lab: Lab) -> Grid:
    """Return the axes of both tuned recipes: weight decay and epochs."""
    return Grid(axes={"weight_decay": lab.world.weight_decays, "n_epochs": lab.world.epochs})


def seed_means(
    runs: pd.DataFrame, column: str = "validation_loss"
) -> dict[int, dict[Point, float]]:
    """Average the runs of each cell over seeds: width -> (weight decay, epochs) -> loss.

    A diverged run counts as infinitely bad, it is not left out.
    """
    losses = (
        runs[column]
        .fillna(float("inf"))
        .groupby([runs["width"], runs["weight_decay"], runs["n_epochs"]])
    )
    means: dict[int, dict[Point, float]] = {}
    for cell, loss in losses.mean().to_dict().items():
        width, *point = cell
        means.setdefault(width, {})[tuple(point)] = loss
    return means


def run(lab: Lab) -> Regularized:
    """Tune every size by coordinate descent on the validation loss of single models.

    A first descent looks with one seed. A second one starts where it ended and compares means over
    all seeds, except for cells that one seed showed to be far off.
    """
    world, grid = lab.world, grid_of(lab)
    runs: list[pd.DataFrame] = []

    def train(cells: Mapping[int, list[Point]], seeds: range) -> None:
        specs = [
            lab.spec(width=width, weight_decay=point[0], n_epochs=int(point[1]), seed=seed)
            for width, points in cells.items()
            for point in points
            for seed in seeds
        ]
        runs.append(lab.train(specs, title="tuning single models"))

    def all_means() -> dict[int, dict[Point, float]]:
        return seed_means(pd.concat(runs).drop_duplicates("run_id"))

    def first_look(
        cells: Mapping[int, list[Point]],
    ) -> Mapping[int, Mapping[Point, float]]:
        train(cells, range(1))
        return all_means()

    def all_seeds(
        cells: Mapping[int, list[Point]],
    ) -> Mapping[int, Mapping[Point, float]]:
        train(cells, range(1))
        means = all_means()
        contenders = {
            width: [
                p for p in points if means[width][p] < min(means[width].values()) + CONTENDER_MARGIN
            ]
            for width, points in cells.items()
        }
        train(contenders, range(world.n_seeds))
        means = all_means()
        # Only what was asked for: other cells have been seen with one seed and stay open.
        return {width: {p: means[width][p] for p in points} for width, points in cells.items()}

    looked = descend(dict.fromkeys(world.widths, world.start), grid, first_look)
    tuned = descend({width: found.point for width, found in looked.items()}, grid, all_seeds)
    train({width: [found.point] for width, found in tuned.items()}, range(world.n_members))
    every = pd.concat(runs).drop_duplicates("run_id")
    at_optimum = [
        (row.weight_decay, row.n_epochs) == tuned[row.width].point for row in every.itertuples()
    ]
    return Regularized(
        tuned=tuned,
        runs=every,
        best=every[at_optimum],
    )
