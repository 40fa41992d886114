"""Bootstrap draws: each is a refit with resampled row weights, or resampled targets (wild)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.problem import Problem
from scaling.fitting.table import Table

Array = NDArray[np.float64]

RESAMPLES = ("rows", "clusters", "wild", "bayesian")
AUDITED = 0.02
"""Share of the draws that the global search also refits."""
AUDIT_GAIN = 1e-6
"""Relative gain of the global refit above which an audited draw counts as missed."""
AUDIT_ALARM = 0.05
"""Share of missed draws above which every draw is also refitted from the audited optima."""
MOST_RETRIES = 8
ELEMENTS_AT_ONCE = 8_000_000


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Parameters of the bootstrap refits.

    Attributes:
        parameters: printed parameters, shape (n_parameters, n_draws).
        converged: whether each refit reached an optimum, shape (n_draws,).
        resample: kind of draw: "rows", "clusters", "wild" or "bayesian".
        audited: number of draws that the global search refitted as well.
        missed: number of audited draws for which the global search found a better optimum.
    """

    parameters: Array
    converged: NDArray[np.bool_]
    resample: str
    audited: int
    missed: int


def bootstrap(
    problem: Problem, best: Array, *, resample: str, n_boot: int, rng: np.random.Generator
) -> Draws:
    """Bootstrap draws of the parameters; 2 % of them are checked by the global search.

    "rows" and "clusters" draw with replacement. "bayesian" draws exponential weights (Rubin 1981),
    so that no design degenerates. "wild" keeps the design and changes the signs and sizes of the
    residuals (Wu 1986). The last two draw by cluster if the table has groups.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,), from which each refit starts.
        resample: kind of draw.
        n_boot: number of draws.
        rng: generator of the draws.

    Source:
        Efron 1979, Annals of Statistics 7; Rubin 1981, Annals of Statistics 9; Wu 1986, Annals of
        Statistics 14.
    """
    table = problem.table
    step = max(1, ELEMENTS_AT_ONCE // table.n_rows)
    fitted = problem.model.value(best[:, None], slice(None))[0] if resample == "wild" else None
    found, converged = [], []
    audited = missed = 0
    for first in range(0, n_boot, step):
        count = min(step, n_boot - first)
        weights, target = _resampled(problem, best, fitted, resample, count, rng)
        part = problem.refine(np.repeat(best[:, None], count, axis=1), weights, target)
        chosen = rng.choice(count, max(1, round(AUDITED * count)), replace=False)
        place, value, ok = part.coordinates.copy(), part.value.copy(), part.converged.copy()
        worse = _refit(problem, chosen, weights, target, place, value, ok)
        audited, missed = audited + len(chosen), missed + worse
        if worse > AUDIT_ALARM * len(chosen):
            starts = _distinct(place[:, chosen])
            _retry(problem, starts, weights, target, place, value, ok)
        found.append(problem.model.printed(place))
        converged.append(ok)
    return Draws(
        parameters=np.concatenate(found, axis=1),
        converged=np.concatenate(converged),
        resample=resample,
        audited=audited,
        missed=missed,
    )


def _refit(
    problem: Problem,
    chosen: NDArray[np.int64],
    weights: Array | None,
    target: Array | None,
    place: Array,
    value: Array,
    converged: NDArray[np.bool_],
) -> int:
    """Refit the chosen draws globally, in place; return how many found a better optimum."""
    better = 0
    for draw in chosen:
        found = problem.solve(
            None if weights is None else weights[draw],
            None if target is None else target[draw],
        )
        if found.value[0] < value[draw] * (1.0 - AUDIT_GAIN) - 1e-28:
            better += 1
            place[:, draw], value[draw] = found.coordinates[:, 0], found.value[0]
            converged[draw] = found.converged[0]
    return better


def _distinct(places: Array) -> Array:
    """Up to `MOST_RETRIES` of the audited optima (p, k), far from one another."""
    spread = np.maximum(places.std(axis=1, keepdims=True), 1e-12)
    kept = [0]
    gap = np.full(places.shape[1], np.inf)
    while len(kept) < min(MOST_RETRIES, places.shape[1]):
        distance = ((places - places[:, kept[-1:]]) / spread) ** 2
        gap = np.minimum(gap, distance.sum(axis=0))
        kept.append(int(np.argmax(gap)))
    return places[:, kept]


def _retry(
    problem: Problem,
    starts: Array,
    weights: Array | None,
    target: Array | None,
    place: Array,
    value: Array,
    converged: NDArray[np.bool_],
) -> None:
    """Refit every draw from each of `starts` (p, k) as well; keep the best, in place."""
    for start in starts.T:
        starts_here = np.repeat(start[:, None], len(value), axis=1)
        again = problem.refine(starts_here, weights, target, beat=value * (1.0 - AUDIT_GAIN))
        better = again.value < value * (1.0 - AUDIT_GAIN)
        place[:, better] = again.coordinates[:, better]
        value[better], converged[better] = again.value[better], again.converged[better]


def _resampled(
    problem: Problem,
    best: Array,
    fitted: Array | None,
    resample: str,
    count: int,
    rng: np.random.Generator,
) -> tuple[Array | None, Array | None]:
    if resample == "wild":
        assert fitted is not None
        return None, wild_targets(problem, best, fitted, count, rng)
    return draw_weights(problem.table, resample, count, rng), None


def draw_weights(table: Table, resample: str, count: int, rng: np.random.Generator) -> Array:
    """Row weights of bootstrap draws, shape (count, n_rows).

    Args:
        table: the rows.
        resample: "rows", "clusters" or "bayesian".
        count: number of draws.
        rng: generator of the draws.
    """
    groups = None if resample == "rows" else table.groups
    n_units = table.n_rows if groups is None else int(groups.max()) + 1
    if resample == "bayesian":
        unit = rng.standard_exponential((count, n_units))
        unit *= n_units / unit.sum(axis=1, keepdims=True)
    else:
        unit = rng.multinomial(n_units, np.full(n_units, 1.0 / n_units), size=count).astype(float)
    return (unit if groups is None else unit[:, groups]) * table.weights


WEBB = np.sqrt([0.5, 1.0, 1.5])


def wild_targets(
    problem: Problem, best: Array, fitted: Array, count: int, rng: np.random.Generator
) -> Array:
    """Targets of wild bootstrap draws, shape (count, n_rows).

    They are the fitted values plus the residuals times random factors (the six points of Webb).
    The residuals are enlarged by sqrt(n / (n - p)) for the fitted parameters.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        fitted: the law at the optimum, shape (n_rows,).
        count: number of draws.
        rng: generator of the draws.

    Source:
        Wu 1986, Annals of Statistics 14; Webb 2014, Queen's Economics Department 1315.
    """
    table = problem.table
    n_units = table.n_rows if table.groups is None else int(table.groups.max()) + 1
    sign = rng.choice(np.concatenate([-WEBB, WEBB]), size=(count, n_units))
    if table.groups is not None:
        sign = sign[:, table.groups]
    enlarged = np.sqrt(table.n_rows / max(table.n_rows - problem.n_free, 1))
    residual = enlarged * problem.objective().residuals(best)
    if problem.loss.log:
        return fitted * np.exp(-residual * sign)
    return fitted - residual * sign
