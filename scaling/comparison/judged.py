"""A law fitted to all rows of a table, and to the rows inside each hold-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.comparison.directions import Direction
from scaling.fit import pinned_parameters
from scaling.fitting.losses import default_delta, get_loss
from scaling.fitting.problem import Problem
from scaling.fitting.table import read_table
from scaling.laws.laws import Law
from scaling.results.fitted import Fitted
from scaling.uncertainty.covariance import standard_errors
from scaling.uncertainty.diagnostics import check_design

Array = NDArray[np.float64]


def judge(
    frame: pd.DataFrame,
    law: Law,
    x: list[str],
    y: str,
    directions: Sequence[Direction],
    *,
    loss: str,
    delta: float | None,
    groups: str | None,
) -> tuple[Fitted, dict[str, Array]]:
    """Fit of a law to all rows, and its errors on the rows outside each direction.

    Args:
        frame: the table; every row has a loss.
        law: the law.
        x: columns of the law in its order.
        y: loss column.
        directions: the hold-outs.
        loss: row loss, as in `fit_law`.
        delta: transition of the Huber losses, as in `fit_law`.
        groups: column of clusters, or None.

    Returns:
        The fit, with sandwich intervals, and direction -> ln(prediction / loss) on the rows outside
        (n_outside,); directions whose inner rows cannot identify the law are left out.

    Raises:
        ValueError: the law cannot be fitted to the table.
    """
    row_loss = get_loss(loss)
    table = read_table(frame, law, x=x, y=y, groups=groups, log=True)
    pinned = pinned_parameters(law, table)
    n_free = len(law.parameters) - len(pinned)
    n_free = n_free if law.n_effective is None else min(n_free, law.n_effective)
    check_design(law, table, n_free, set(pinned))
    problem = Problem(
        law=law, table=table, loss=row_loss, delta=delta if delta else 1.0, pinned=pinned
    )
    usable = []
    for direction in directions:
        try:
            check_design(law, table.rows(~direction.outside), n_free, set(pinned))
        except ValueError:
            continue
        usable.append(direction)
    weights = np.array([table.weights, *(~one.outside for one in usable)], dtype=float)
    problem, places, value = _optima(problem, weights, delta)
    place = places[:, 0]
    errors = {
        one.name: _errors(problem, places[:, k], one.outside) for k, one in enumerate(usable, 1)
    }
    names = law.parameters
    printed = problem.model.printed(places)[:, 0]
    stderr = standard_errors(problem, place, robust=True)
    fitted = Fitted(
        params=dict(zip(names, map(float, printed), strict=True)),
        stderr=dict(zip(names, map(float, stderr), strict=True)),
        objective=value,
        method="sandwich",
        draws=None,
        problem=problem,
        coordinates=place,
        seed=0,
    )
    return fitted, errors


def _optima(problem: Problem, weights: Array, delta: float | None) -> tuple[Problem, Array, float]:
    """Optima under several row weights (n_fits, n_rows), the first of which are those of the table.

    All are searched at once by least squares; each is then refined under the loss, from there and
    from the optimum of all rows.

    Returns:
        The problem with its delta, coordinates (n_parameters, n_fits) and the first objective.
    """
    rough = replace(problem, loss=get_loss("squared_log"), delta=1.0)
    starts = rough.solve_each(weights).coordinates
    if not problem.loss.uses_delta and problem.loss.log:
        return rough, starts, float(rough.objective().value(starts[:, :1])[0])
    residuals, first, value = rough.objective().residuals, problem, np.nan
    found: list[Array] = []
    for k, own in enumerate(weights):
        one = problem
        if problem.loss.uses_delta and delta is None:
            inside = residuals(starts[:, k])
            one = problem.with_delta(default_delta(inside, own, problem.n_free))
        tried = starts[:, [k]] if k == 0 else np.stack([starts[:, k], found[0]], axis=1)
        minimum = one.refine(tried, own)
        best = int(np.nanargmin(minimum.value))
        if k == 0:
            first, value = one, float(minimum.value[best])
        found.append(minimum.coordinates[:, best])
    return first, np.stack(found, axis=1), value


def _errors(problem: Problem, place: Array, outside: NDArray[np.bool_]) -> Array:
    """Errors ln(prediction / y) of a fit on the rows outside, (n_outside,)."""
    predicted = problem.model.value(place[:, None], slice(None))[0][outside]
    # a law that is negative or overflows out there is as wrong as this
    log = np.log(np.clip(np.nan_to_num(predicted, nan=1e-300), 1e-300, 1e300))
    return log - np.log(problem.table.y[outside])
