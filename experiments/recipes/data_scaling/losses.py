"""What tuned recipes reach on several draws of one stock of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.analysis.laws import LOSS, ROW_LOSS, K, N
from experiments.lab.lab import Lab
from experiments.tuning.grid import Point
from scaling.fit import best_parameters

D = "n_unique_tokens"

Optima = dict[str, dict[int, Point]]
"""Points by objective ("standard", "single", "ensemble") and width."""


def losses_of_draws(labs: Sequence[Lab], optima: Optima) -> pd.DataFrame:
    """Train tuned points on every draw of a stock and return what each recipe reaches.

    Args:
        labs: one for each draw, alike but for the draw seeds of their worlds.
        optima: points to train.

    Returns:
        The columns of `DataScaling.losses`.
    """
    world = labs[0].world
    n_seeds = {"standard": world.n_seeds, "single": world.n_seeds, "ensemble": world.n_members}
    cells = {
        (at, name, width): [
            lab.spec(width=width, seed=seed, **_named(lab, name, point))
            for seed in range(n_seeds[name])
        ]
        for at, lab in enumerate(labs)
        for name, points in optima.items()
        for width, point in points.items()
    }
    runs = (
        labs[0]
        .train(
            [spec for specs in cells.values() for spec in specs],
            title=f"{world.n_unique_tokens:,} unique tokens, {len(labs)} draws",
        )
        .set_index("run_id")
    )
    members = {key: specs for key, specs in cells.items() if key[1] == "ensemble"}
    curves = dict(zip(members, labs[0].ensembles(list(members.values())), strict=True))
    rows: list[dict[str, float | str]] = []
    for (at, name, width), specs in cells.items():
        place = {
            D: world.n_unique_tokens, "draw_seed": labs[at].world.draw_seed, "width": width,
            N: world.model(width).n_params_non_embedding,
        }  # fmt: skip
        if name != "ensemble":
            recipe = {"standard": "standard", "single": "regularized"}[name]
            means = runs.loc[[s.run_id for s in specs], ["validation_loss", LOSS]].mean()
            rows.append({"recipe": recipe, **place, **means})
        else:
            rows += [{**row, **place} for row in _ensemble_rows(curves[at, name, width])]
    for at, lab in enumerate(labs):
        tables = {
            width: _member_means(table).assign(**{N: world.model(width).n_params_non_embedding})
            for (of, _, width), table in curves.items()
            if of == at
        }
        rows += _joint_rows(
            tables, place={D: world.n_unique_tokens, "draw_seed": lab.world.draw_seed}
        )
    return pd.DataFrame(rows)


def _named(lab: Lab, name: str, point: Point) -> dict[str, Any]:
    grid = lab.world.standard_grid() if name == "standard" else lab.world.tuned_grid()
    return grid.named(point)


def _member_means(table: pd.DataFrame) -> pd.DataFrame:
    """Average the logit ensembles of each number of members over subsets."""
    logit = table[table["average"] == "logit"]
    return logit.groupby(K)[["validation_loss", LOSS]].mean().reset_index()


def _ensemble_rows(table: pd.DataFrame) -> Iterator[dict[str, float | str]]:
    """Give the loss of all members, and the limit of infinitely many by the law of K."""
    means = _member_means(table)
    yield {"recipe": "ensemble", **means.iloc[-1][["validation_loss", LOSS]]}
    limits = {
        column: best_parameters(means, "power", x=K, y=column, loss=ROW_LOSS)["E"]
        for column in ("validation_loss", LOSS)
    }
    yield {"recipe": "ensemble limit", **limits}


def _joint_rows(
    tables: Mapping[int, pd.DataFrame], *, place: Mapping[str, float]
) -> Iterator[dict[str, float | str]]:
    """Give the joint limit of a draw, where sizes and members determine one."""
    if len(tables) < 3:
        return
    rows = pd.concat(tables.values(), ignore_index=True)
    limits = {
        column: best_parameters(rows, "ensemble", x=[N, K], y=column, loss=ROW_LOSS)["E"]
        for column in ("validation_loss", LOSS)
    }
    if min(limits.values()) > 0:  # zero: no asymptote
        yield {"recipe": "joint limit", **place, "width": 0, N: np.inf, **limits}
