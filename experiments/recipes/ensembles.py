"""The ensemble recipe: members that differ in their seed, tuned for the ensemble's loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from experiments.analysis.members import limit_by_member
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.lab.searches import tune_sizes
from experiments.recipes.regularized import Regularized, regularized
from experiments.tuning.certificates import AXIS_LABELS, Certificate
from experiments.tuning.grid import Grid, Point
from experiments.tuning.search import Tuned

N_LOOK = 2
"""The fewest members from which the limit of many can be estimated."""


@dataclass(frozen=True, kw_only=True)
class Ensembles:
    """What tuning members found.

    Attributes:
        heuristic: the members' cell by the heuristic, by width; empty where the world carries its
            tuned settings and trains no others.
        certificates: the members' cell by tuning, by width.
        curves: a row for each width, cell, subset of members and average; columns `width`,
            `n_params_non_embedding`, `learning_rate`, `weight_decay`, `n_epochs`, `chosen_for`
            ("ensemble", "single" or "heuristic"; the first that applies), `members`, `n_members`,
            `average`, `validation_loss`, `test_loss`.
    """

    heuristic: Mapping[int, Point]
    certificates: Mapping[int, Certificate]
    curves: pd.DataFrame

    @property
    def tuned(self) -> dict[int, Tuned]:
        """The members' cell of each width."""
        return {width: found.tuned for width, found in self.certificates.items()}

    def at(self, width: int, point: Point) -> pd.DataFrame:
        """Return the rows of `curves` of one cell; the same columns."""
        settings = pd.Series(point, index=list(AXIS_LABELS))
        cell = self.curves[settings.index].eq(settings).all(axis=1)
        return self.curves[cell & (self.curves["width"] == width)]


def heuristic_point(single: Point, grid: Grid) -> Point:
    """Return a guess of the best members: twice the epochs and half the decay of the single model.

    Kim et al. 2025 (arXiv 2509.14786), section on ensembles; moved to the nearest cell of the grid.
    """
    learning_rate, weight_decay, n_epochs = single
    return grid.nearest((learning_rate, weight_decay / 2, n_epochs * 2))


@recipe(regularized)
def ensembles(lab: Lab, regularized: Regularized) -> Ensembles:
    """Tune the members at every size for the limit of many, then train the rest.

    Beside the tuned cells, those of the single models and, where the world searches, of the
    heuristic are trained to `n_members` as well, for comparison.
    """
    world, grid = lab.world, lab.world.tuned_grid()
    certificates = tune_members(lab, heuristic_starts(lab, regularized.certificates))
    singles = {width: found.point for width, found in regularized.tuned.items()}
    compared = {} if world.carries_settings else singles
    heuristic = {width: heuristic_point(point, grid) for width, point in compared.items()}
    cells = {
        (width, point): [
            lab.spec(width=width, seed=seed, **grid.named(point)) for seed in range(world.n_members)
        ]
        for width, found in certificates.items()
        for point in (found.tuned.point, singles[width], heuristic.get(width))
        if point
    }
    lab.trained([spec for specs in cells.values() for spec in specs], title="training members")

    def purpose(width: int, point: Point) -> str:
        if point == certificates[width].tuned.point:
            return "ensemble"
        return "single" if point == singles[width] else "heuristic"

    curves = [
        table.assign(
            width=width,
            n_params_non_embedding=world.model(width).n_params_non_embedding,
            **grid.named(point),
            chosen_for=purpose(width, point),
        )
        for (width, point), table in zip(cells, lab.ensembles(list(cells.values())), strict=True)
    ]
    return Ensembles(
        heuristic=heuristic, certificates=certificates, curves=pd.concat(curves, ignore_index=True)
    )


def heuristic_starts(lab: Lab, single: Mapping[int, Certificate]) -> dict[int, Point]:
    """Return where the search for members begins at each width: at the heuristic."""
    grid = lab.world.tuned_grid()
    return {width: heuristic_point(found.tuned.point, grid) for width, found in single.items()}


def tune_members(lab: Lab, starts: Mapping[int, Point]) -> dict[int, Certificate]:
    """Return the tuned members of every size, all tuned in step.

    Compares `limit_estimate` on validation, from two members at first and from the world's
    `n_tuning_members` near the optimum.
    """
    return tune_sizes(
        lab,
        "ensemble",
        starts,
        grid=lab.world.tuned_grid(),
        effort=lab.world.effort(n_look=N_LOOK, n_seeds=lab.world.n_tuning_members),
        score=lambda groups: [limit_by_member(scores) for scores in lab.ensembles(groups)],
    )
