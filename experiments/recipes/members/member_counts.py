"""The best hyperparameters for every number of members.

The searches for one model and for the limit of many members leave trained members at every point
that came near either optimum. An ensemble of any number between is scored at all of these points,
so that the best of them for K members is read off without a search of its own; the certificate of
such a point says which of its neighbours no search has run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from experiments.analysis.members import limit_by_member, loss_by_member
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.ensembles import Ensembles, ensembles
from experiments.recipes.regularized import Regularized, regularized
from experiments.tuning.grid import Point
from experiments.tuning.search import Tuned


@dataclass(frozen=True, kw_only=True)
class MemberCounts:
    """The best point for each number of members, selected on validation.

    Attributes:
        tuned: by width, then by number of members from 1 up, `math.inf` for the limit of many.
        table: a row for each width and number of members: `width`, `n_params_non_embedding`,
            `n_members`, the point, `certified`, `validation_loss` and `test_loss` there.
    """

    tuned: Mapping[int, Mapping[float, Tuned]]
    table: pd.DataFrame


@recipe(regularized, ensembles)
def member_counts(lab: Lab, regularized: Regularized, ensembles: Ensembles) -> MemberCounts:
    """Score every point that either search gave all its seeds, for every number of members.

    Points that have fewer seeds than the world has tuning members get the rest.
    """
    world, grid = lab.world, lab.world.tuned_grid()
    n_members = world.n_tuning_members
    cells = {
        (width, point): [
            lab.spec(width=width, seed=seed, **grid.named(point)) for seed in range(n_members)
        ]
        for width in sorted(ensembles.tuned)
        for point in {**regularized.tuned[width].values, **ensembles.tuned[width].values}
    }
    lab.trained(
        [spec for specs in cells.values() for spec in specs], title="members at every point"
    )
    scores = dict(zip(cells, lab.ensembles(list(cells.values())), strict=True))
    counts = [*range(1, n_members + 1), math.inf]
    tuned: dict[int, dict[float, Tuned]] = {}
    rows = []
    for width in sorted(ensembles.tuned):
        of_width = {point: table for (at, point), table in scores.items() if at == width}
        tuned[width] = {}
        for count in counts:
            values = {point: _values(table, count) for point, table in of_width.items()}
            means = {point: math.fsum(v) / len(v) for point, v in values.items()}
            best = min(means, key=means.__getitem__)
            found = Tuned(grid=grid, n_look=n_members, path=(best,), looks=means, values=values)
            tuned[width][count] = found
            at_best = _values(of_width[best], count, "test_loss")
            rows.append(
                {
                    "width": width,
                    "n_params_non_embedding": world.model(width).n_params_non_embedding,
                    "n_members": count,
                    **grid.named(best),
                    "certified": found.certified,
                    "validation_loss": found.loss,
                    "test_loss": math.fsum(at_best) / len(at_best),
                }
            )
    return MemberCounts(tuned=tuned, table=pd.DataFrame(rows))


def _values(
    scores: pd.DataFrame, n_members: float, column: str = "validation_loss"
) -> tuple[float, ...]:
    if math.isinf(n_members):
        return tuple(limit_by_member(scores, column))
    return tuple(loss_by_member(scores, int(n_members), column))


def epochs_for_decay(point: Point) -> float:
    """Return epochs over weight decay, infinite without decay: how loosely a point regularizes."""
    _, decay, n_epochs = point
    return n_epochs / decay if decay else math.inf
