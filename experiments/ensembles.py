"""The ensemble recipe: members that differ in their seed, tuned for the ensemble's loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from experiments.lab import Lab
from experiments.regularized import Regularized, grid_of
from experiments.spec import RunSpec
from experiments.tune import Grid, Point, Tuned, descend


@dataclass(frozen=True, kw_only=True)
class Ensembles:
    """What tuning members found.

    Attributes:
        heuristic: the members' cell by the heuristic, by width.
        tuned: the members' cell by tuning, by width.
        curves: a row for each width, cell, subset of members and average; columns `width`,
            `n_params_non_embedding`, `weight_decay`, `n_epochs`, `chosen_for` ("single",
            "heuristic", "ensemble" or "search"), `members`, `n_members`, `average`,
            `validation_loss`, `test_loss`.
    """

    heuristic: Mapping[int, Point]
    tuned: Mapping[int, Tuned]
    curves: pd.DataFrame


def heuristic_point(single: Point, grid: Grid) -> Point:
    """Guess the best members from the best single model: twice the epochs, half the decay.

    Kim et al. 2025 (arXiv 2509.14786), section on ensembles; moved to the nearest cell of the grid.
    """
    weight_decay, n_epochs = single
    return grid.nearest((weight_decay / 2, n_epochs * 2))


def run(lab: Lab, single: Regularized) -> Ensembles:
    """Tune the members at every size for the limit of many, then train the rest.

    The descent starts at the heuristic and compares `limit_estimate` on validation, from the
    world's `n_tuning_members`; the winners are trained to `n_members`.
    """
    world, grid = lab.world, grid_of(lab)
    scored: dict[tuple[int, Point], pd.DataFrame] = {}

    def score(cells: Mapping[int, list[Point]], n_members: int, title: str) -> None:
        members: dict[tuple[int, Point], list[RunSpec]] = {
            (width, point): [
                lab.spec(width=width, weight_decay=point[0], n_epochs=int(point[1]), seed=seed)
                for seed in range(n_members)
            ]
            for width, points in cells.items()
            for point in points
        }
        lab.train([spec for specs in members.values() for spec in specs], title=title)
        scored.update(zip(members, lab.ensembles(list(members.values())), strict=True))

    def evaluate(
        cells: Mapping[int, list[Point]],
    ) -> Mapping[int, Mapping[Point, float]]:
        score(cells, world.n_tuning_members, "tuning members")
        return {
            width: {point: limit_estimate(scored[width, point]) for point in points}
            for width, points in cells.items()
        }

    singles = {width: found.point for width, found in single.tuned.items()}
    heuristic = {width: heuristic_point(point, grid) for width, point in singles.items()}
    tuned = descend(heuristic, grid, evaluate)
    final = {
        width: list(dict.fromkeys([singles[width], heuristic[width], tuned[width].point]))
        for width in singles
    }
    score(final, world.n_members, "training members")

    def purpose(width: int, point: Point) -> str:
        chosen = {"ensemble": tuned[width].point, "single": singles[width]}
        chosen["heuristic"] = heuristic[width]
        return next((name for name, cell in chosen.items() if cell == point), "search")

    curves = [
        table.assign(
            width=width,
            n_params_non_embedding=world.model(width).n_params_non_embedding,
            weight_decay=point[0],
            n_epochs=point[1],
            chosen_for=purpose(width, point),
        )
        for (width, point), table in scored.items()
    ]
    return Ensembles(heuristic=heuristic, tuned=tuned, curves=pd.concat(curves, ignore_index=True))


def limit_estimate(scores: pd.DataFrame, column: str = "validation_loss") -> float:
    """Estimate the loss of infinitely many members from a few, logits averaged.

    Where L(K) = E + B / K, E = (K L(K) - L(1)) / (K - 1). Only tuning uses this: limits
    that are reported are fitted with a free exponent.
    """
    logit = scores[scores["average"] == "logit"].groupby("n_members")[column].mean()
    most = int(logit.index.max())
    return float((most * logit[most] - logit[1]) / (most - 1))
