"""`fit_law`: from a table to a fitted law with intervals, status and warnings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.fitting.dependence import dependence_sentence, grouped_sentence, run_column
from scaling.fitting.losses import default_delta, get_loss
from scaling.fitting.newton import Minimum
from scaling.fitting.problem import Problem
from scaling.fitting.table import Table, read_table
from scaling.laws.laws import Law
from scaling.laws.registry import get_law
from scaling.results.fitted import Fitted
from scaling.results.result import FitResult
from scaling.uncertainty.bootstrap import RESAMPLES, Draws, bootstrap
from scaling.uncertainty.covariance import standard_errors
from scaling.uncertainty.diagnostics import check_design, diagnose
from scaling.uncertainty.family import has_family
from scaling.uncertainty.rejection import lack_of_fit, shared_inflation

Array = NDArray[np.float64]

FEW_ROWS = 50
"""Below this many rows, and without groups, intervals come from profile likelihood."""
MANY_ROWS = 2000
"""From this many rows on, intervals come from the sandwich unless draws are asked for."""
DEFAULT_DRAWS = 1000
COSTLY_DRAWS = 200
"""Draws where a law has many nonlinear parameters and each draw costs several times more."""
DRAWN_ROWS = 200_000
"""Rows times draws above which fewer draws are made, but not fewer than `COSTLY_DRAWS`."""


@np.errstate(all="ignore")  # extreme tables overflow inside; the status reports the outcome
def fit_law(
    data: Any = None,
    law: str | Law = "power",
    *,
    x: Any = None,
    y: Any = "loss",
    loss: str = "huber_log",
    delta: float | None = None,
    n_boot: int | None = None,
    resample: str | None = None,
    groups: Any = None,
    fixed: Mapping[str, float | None] | None = None,
    weights: Any = None,
    size_error: float = 0.0,
    seed: int = 0,
) -> FitResult:
    """Scaling law fitted at its global optimum, with intervals, status and warnings.

    Args:
        data: DataFrame, mapping of columns, or None if `x` and `y` are arrays. Rows without a loss
            (diverged runs) are excluded, with a warning; `FitResult.excluded` counts them.
        law: a name in `LAWS`, or a `Law`.
        x: columns of the law in its order: names, or arrays of shape (n_rows,). By default the
            law's own column names.
        y: loss column, name or array (n_rows,).
        loss: row loss: "huber_log" (robust, the default), "squared_log", "squared", or
            "asymmetric" for the lower envelope of badly tuned runs.
        delta: transition of the Huber losses, in residual units. By default 1.345 robust standard
            deviations (from the MAD of a least-squares fit); Hoffmann et al. use 1e-3.
        n_boot: number of bootstrap draws; 0 for none. By default none below 50 rows without groups
            (profile likelihood) and from 2,000 rows (sandwich covariance), else 1,000, falling to
            200 from 200 to 1,000 rows and for laws with many nonlinear parameters.
        resample: kind of bootstrap draw: "rows", "clusters", "wild" or "bayesian". By default
            clusters if there are groups, else rows.
        groups: cluster labels, name or array (n_rows,): rows that share a run, a member or a seed.
            By default a column run, run_id or run_name, if several rows have the same run; False
            takes all rows for independent.
        fixed: parameter -> value at which it is held, or -> None to free a parameter that the law
            holds by default.
        weights: row weights, name or array (n_rows,), inverse to the variance, as in `curve_fit`:
            a row of weight 2 is as good as the mean of two rows, but is not a second row, and a
            factor on all weights changes no interval.
        size_error: standard error, in units of the loss, of an error that all rows of a scale
            share, such as what a search of hyperparameters leaves open; it widens both intervals.
        seed: random seed of the draws.

    Returns:
        The fit. Problems that do not prevent it are in its `status`, `message` and `warnings`.

    Raises:
        ValueError: an argument has a bad value, or the table cannot be fitted; the message names
            the argument, or the column and row.

    Source:
        Objective of Hoffmann et al. 2022, arXiv 2203.15556, eq. 3.
    """
    begun = time.perf_counter()
    chosen, row_loss = get_law(law), get_loss(loss)
    _check_numbers(delta, n_boot, resample, seed)
    if not (np.isfinite(size_error) and size_error >= 0):
        raise ValueError(f"`size_error` must be a finite number, at least 0; not {size_error!r}")
    stated = groups is not None
    found = None if stated else run_column(data, chosen, x=x, y=y)
    groups = None if groups is False else found if groups is None else groups
    table = read_table(
        data,
        chosen,
        x=x,
        y=y,
        weights=weights,
        groups=groups,
        log=row_loss.log,
        leave_out=True,
    )
    if found is not None and table.groups is not None:
        sentence = grouped_sentence(found, int(table.groups.max()) + 1, table.n_rows)
        table = replace(table, warnings=(*table.warnings, sentence))
    if table.groups is not None and table.groups.max() == 0:
        raise ValueError("`groups` has one cluster only; intervals need at least two")
    if resample == "clusters" and table.groups is None:
        raise ValueError("`resample='clusters'` needs `groups`, the column of cluster labels")
    pinned = pinned_parameters(chosen, table, fixed)
    n_free = len(chosen.parameters) - len(pinned)
    n_free = n_free if chosen.n_effective is None else min(n_free, chosen.n_effective)
    check_design(chosen, table, n_free, set(pinned))
    problem = Problem(
        law=chosen,
        table=table,
        loss=row_loss,
        delta=delta if delta else 1.0,
        pinned=pinned,
        size_error=float(size_error),
    )
    problem, best = _optimum(problem, delta)
    if not stated:
        residuals = problem.objective().residuals(best.coordinates[:, 0])
        if sentence := dependence_sentence(data, table, chosen, residuals):
            table = replace(table, warnings=(*table.warnings, sentence))
            problem = replace(problem, table=table)
    usual = COSTLY_DRAWS if problem.model.costly_curvature else DEFAULT_DRAWS
    profiles = problem.model.many_linear and table.groups is None
    method, count, resample = _plan(table, n_boot, resample, usual, profiles)
    draws = None
    if count:
        rng = np.random.default_rng(seed)
        draws = bootstrap(problem, best.coordinates[:, 0], resample=resample, n_boot=count, rng=rng)
    return assemble(problem, best, draws, method, seed, begun)


def best_parameters(
    data: Any, law: str | Law, *, x: Any, y: Any, weights: Any = None, loss: str = "squared_log"
) -> dict[str, float]:
    """Printed parameters at the optimum of a law, without intervals or status.

    Args:
        data: DataFrame, mapping of columns, or None if `x` and `y` are arrays.
        law: a name in `LAWS`, or a `Law`.
        x: columns of the law in its order, names or arrays (n_rows,).
        y: loss column, name or array (n_rows,).
        weights: row weights, name or array (n_rows,).
        loss: a row loss without delta: "squared_log" or "squared".

    Returns:
        Parameter name -> value.

    Raises:
        ValueError: as for `fit_law`.
    """
    problem = _plain_problem(data, law, x=x, y=y, weights=weights, loss=loss)
    return _printed(problem, problem.solve())[0]


def best_parameters_of_each(
    data: Any,
    law: str | Law,
    *,
    x: Any,
    losses: Sequence[ArrayLike],
    loss: str = "squared_log",
) -> list[dict[str, float]]:
    """Printed parameters at the optima of a law for several columns of losses on the same rows.

    They are those of `best_parameters` for each, found several times faster.

    Args:
        data: as for `best_parameters`.
        law: as for `best_parameters`.
        x: as for `best_parameters`.
        losses: losses of each fit, n_fits of shape (n_rows,).
        loss: as for `best_parameters`.

    Returns:
        Parameter name -> value, for each fit.

    Raises:
        ValueError: as for `fit_law`.
    """
    problems = [_plain_problem(data, law, x=x, y=np.asarray(y, float), loss=loss) for y in losses]
    if not problems:
        return []
    targets = np.array([problem.table.y for problem in problems])
    return _printed(problems[0], problems[0].solve_targets(targets))


def _plain_problem(
    data: Any, law: str | Law, *, x: Any, y: Any, weights: Any = None, loss: str
) -> Problem:
    """Problem of a law with its own pinned parameters, under a row loss without delta."""
    chosen, row_loss = get_law(law), get_loss(loss)
    table = read_table(data, chosen, x=x, y=y, weights=weights, log=row_loss.log)
    return Problem(law=chosen, table=table, loss=row_loss, delta=1.0, pinned=dict(chosen.fixed))


def _printed(problem: Problem, found: Minimum) -> list[dict[str, float]]:
    """Printed parameters by name of each fit."""
    each = problem.model.printed(found.coordinates).T
    return [dict(zip(problem.law.parameters, map(float, one), strict=True)) for one in each]


def _optimum(problem: Problem, delta: float | None) -> tuple[Problem, Minimum]:
    """Global optimum, and the problem with its delta, by default from a least-squares fit."""
    if delta is None and problem.loss.uses_delta:
        rough = Problem(
            law=problem.law,
            table=problem.table,
            loss=get_loss("squared_log"),
            delta=1.0,
            pinned=problem.pinned,
        )
        place = rough.solve()
        residual = rough.objective().residuals(place.coordinates[:, 0])
        problem = problem.with_delta(default_delta(residual, problem.table.weights, problem.n_free))
        return problem, problem.solve(extra=place.coordinates)
    return problem, problem.solve()


def assemble(
    problem: Problem,
    best: Minimum,
    draws: Draws | None,
    method: str,
    seed: int,
    begun: float,
) -> FitResult:
    """Result of an optimum, with standard errors, status and warnings.

    Args:
        problem: law, table and loss.
        best: the global optimum, a `Minimum` of one fit.
        draws: bootstrap draws, if the intervals come from them.
        method: default interval method: "bootstrap", "profile" or "sandwich".
        seed: random seed of the draws.
        begun: `time.perf_counter()` at the start of the fit.
    """
    place = best.coordinates[:, 0]
    rejected = lack_of_fit(problem, place)
    factor = max(shared_inflation(problem, place), rejected.inflation if rejected else 1.0)
    if rejected is not None or factor > 1.0:
        problem = problem.with_inflation(factor, scales_are_units=rejected is not None)
    printed = problem.model.printed(best.coordinates)[:, 0]
    names = problem.law.parameters
    if draws is not None and problem.degrees > 0:
        errors = draws.parameters.std(axis=1) * np.sqrt(problem.inflation)
    else:
        errors = standard_errors(problem, place, robust=method != "profile")
    fitted = Fitted(
        params={name: float(value) for name, value in zip(names, printed, strict=True)},
        stderr={name: float(value) for name, value in zip(names, errors, strict=True)},
        objective=float(best.value[0]),
        method=method,
        draws=draws,
        problem=problem,
        coordinates=place,
        seed=seed,
    )
    law, asymptote = problem.law, problem.law.asymptote
    interval = None if asymptote is None else fitted.interval(asymptote)
    wider = fitted.interval(asymptote, method="model") if asymptote and has_family(law) else None
    found = diagnose(
        problem,
        place,
        converged=bool(best.converged[0]),
        draws=draws,
        asymptote=wider or interval,
        rejected=rejected,
    )
    return FitResult(
        **{part.name: getattr(fitted, part.name) for part in fields(fitted)},
        status=found.status,
        message=found.message,
        warnings=found.warnings,
        asymptote_interval=interval,
        model_interval=wider,
        seconds=time.perf_counter() - begun,
    )


def _plan(
    table: Table, n_boot: int | None, resample: str | None, usual: int, profiles: bool
) -> tuple[str, int, str]:
    """Interval method, number of draws and kind of draw, with defaults that suit the table.

    Args:
        table: the rows.
        n_boot: number of draws, if the caller chose it.
        resample: kind of draw, if the caller chose it.
        usual: number of draws of the law.
        profiles: whether to prefer profiles: most coefficients of a mixture are at their bounds,
            where draws are not distributed as the estimate is.
    """
    kind = resample or ("clusters" if table.groups is not None else "rows")
    if n_boot is not None and n_boot > 0:
        return "bootstrap", n_boot, kind
    if n_boot is None:
        count = max(min(usual, DRAWN_ROWS // table.n_rows), COSTLY_DRAWS)
        enough = (table.n_rows >= FEW_ROWS and not profiles) or table.groups is not None
        if resample is not None or (enough and table.n_rows < MANY_ROWS):
            return "bootstrap", count, kind
    few = (table.n_rows < FEW_ROWS and table.groups is None) or profiles
    return ("profile" if few else "sandwich"), 0, kind


def pinned_parameters(
    law: Law, table: Table, fixed: Mapping[str, float | None] | None = None
) -> dict[str, float]:
    """Parameters that are not fitted, with their values.

    Args:
        law: the law, which holds some parameters itself or computes them from the columns.
        table: the rows.
        fixed: as in `fit_law`.

    Raises:
        ValueError: a parameter is unknown, or its value is outside its bounds.
    """
    pinned: dict[str, float] = dict(law.fixed)
    limits = {part.name: part for part in law.limits}
    for name, value in (fixed or {}).items():
        if name not in limits:
            allowed = ", ".join(repr(known) for known in limits)
            raise ValueError(f"`fixed`: law {law.name!r} has parameters {allowed}; not {name!r}")
        if value is None:
            pinned.pop(name, None)
            continue
        low, high = limits[name].low, limits[name].high
        if not low <= value <= high:
            raise ValueError(f"`fixed`: {name} must lie in [{low:g}, {high:g}]; not {value!r}")
        pinned[name] = float(value)
    return pinned if law.from_columns is None else law.from_columns(table.columns) | pinned


def _check_numbers(
    delta: float | None, n_boot: int | None, resample: str | None, seed: int
) -> None:
    if delta is not None and not (np.isfinite(delta) and delta > 0):
        raise ValueError(f"`delta` must be a finite number above 0; not {delta!r}")
    if n_boot is not None and (int(n_boot) != n_boot or n_boot < 0 or n_boot == 1):
        raise ValueError(f"`n_boot` must be 0 or a whole number above 1; not {n_boot!r}")
    if resample is not None and resample not in RESAMPLES:
        allowed = ", ".join(repr(known) for known in RESAMPLES)
        raise ValueError(f"`resample` must be one of {allowed}; not {resample!r}")
    if int(seed) != seed or seed < 0:
        raise ValueError(f"`seed` must be a whole number, at least 0; not {seed!r}")
