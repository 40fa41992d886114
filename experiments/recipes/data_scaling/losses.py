"""What tuned recipes reach on several draws of one stock of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.analysis.laws import LOSS, K, N, parameters_of_each
from experiments.lab.lab import Lab
from experiments.tuning.grid import Point

D = "n_unique_tokens"
LOSSES = ["validation_loss", LOSS]

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
    means = {key: _member_means(table) for key, table in curves.items()}
    limits = dict(zip(means, _limits([*means.values()], "power", [K]), strict=True))
    rows: list[dict[str, float | str]] = []
    for (at, name, width), specs in cells.items():
        place = {
            D: world.n_unique_tokens, "draw_seed": labs[at].world.draw_seed, "width": width,
            N: world.model(width).n_params_non_embedding,
        }  # fmt: skip
        if name != "ensemble":
            recipe = {"standard": "standard", "single": "regularized"}[name]
            losses = runs.loc[[s.run_id for s in specs], LOSSES].mean()
            rows.append({"recipe": recipe, **place, **losses})
        else:
            everyone = means[at, name, width].iloc[-1][LOSSES]
            rows.append({"recipe": "ensemble", **place, **everyone})
            rows.append({"recipe": "ensemble limit", **place, **limits[at, name, width]})
    tables = [
        pd.concat(
            [
                table.assign(**{N: world.model(width).n_params_non_embedding})
                for (of, _, width), table in means.items()
                if of == at
            ],
            ignore_index=True,
        )
        for at in range(len(labs))
        if len(optima.get("ensemble", ())) >= 3
    ]
    for lab, limit in zip(labs, _limits(tables, "ensemble", [N, K]), strict=False):
        if min(limit.values()) > 0:  # zero: no asymptote
            place = {D: world.n_unique_tokens, "draw_seed": lab.world.draw_seed, "width": 0}
            rows.append({"recipe": "joint limit", **place, N: np.inf, **limit})
    return pd.DataFrame(rows)


def _named(lab: Lab, name: str, point: Point) -> dict[str, Any]:
    grid = lab.world.standard_grid() if name == "standard" else lab.world.tuned_grid()
    return grid.named(point)


def _member_means(table: pd.DataFrame) -> pd.DataFrame:
    """Average the logit ensembles of each number of members over subsets."""
    logit = table[table["average"] == "logit"]
    return logit.groupby(K)[LOSSES].mean().reset_index()


def _limits(tables: Sequence[pd.DataFrame], law: str, x: Sequence[str]) -> list[dict[str, float]]:
    """Return the limit of each loss by a law, for each table."""
    found = [parameters_of_each(tables, law, x, column) for column in LOSSES]
    return [
        {column: fit["E"] for column, fit in zip(LOSSES, fits, strict=True)}
        for fits in zip(*found, strict=True)
    ]
