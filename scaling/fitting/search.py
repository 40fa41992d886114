"""Global optimum: a grid over the nonlinear parameters with the linear ones projected out.

In each grid cell the linear coefficients, within the bounds of the law, are solved exactly by
weighted least squares over all sets of active bounds, reweighted a few times for the robust loss.
Every minimum of the grid is then refined by Newton's method, while delta shrinks to its value.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.linear import MOST_SUBSETS, REWEIGHTINGS, reweighted_least_squares
from scaling.fitting.newton import Improve, Minimum, minimise
from scaling.fitting.objective import Objective

Array = NDArray[np.float64]

SHARPENING = (30.0, 8.0, 2.5, 1.0)
"""Factors on delta, from a nearly quadratic loss to the loss itself."""
GRID_SIZES = {1: 64, 2: 20, 3: 12}
SCATTERED = 3000
"""Points of the low-discrepancy search beyond three nonlinear parameters."""
MOST_STARTS = 48
FURTHER_STARTS = 12
"""Best cells from which a search starts that begins at the optimum of another loss too."""
BEST_CELLS = 8
"""Best cells from which each of several problems starts, beside varied ones."""
SEARCH_ROWS = 4000
"""Largest number of rows in the grid search (a random sample); the refinement uses all rows."""
MET = 1e-7
"""Two starts have met if their objectives agree to this share."""
CELLS_AT_ONCE = 32_000
"""Rows times cells that are projected at once: fits into the second-level cache."""
EXPLORED_ROWS = 64
"""Rows on which many starts of a curved law take their first steps, where there are twice as many:
an evaluation costs in proportion to starts times rows."""
EXPLORING_STARTS = 6
"""Fewest starts for which that pays."""
QUICK_STEPS = 10
"""Largest number of Gauss-Newton steps before those of Newton."""
MOST_STEPS = 1000
"""Largest number of steps of a best fit that 100 steps have not brought to its minimum."""
PLAIN_STEPS = 25
"""Steps of a best fit before each also solves the linear coefficients, where that costs more."""
MOST_REWEIGHTINGS = 60


def polish(
    objective: Objective,
    start: Array,
    low: Array,
    high: Array,
    *,
    sharpening: tuple[float, ...] = SHARPENING,
    tolerance: float = 1e-12,
    max_steps: int = 100,
    beat: Array | None = None,
) -> Minimum:
    """Local minimum of each fit by Newton's method, while delta shrinks to its value.

    Args:
        objective: the function to minimise.
        start: internal coordinates (n_parameters, n_fits).
        low: lower bounds (n_parameters, n_fits).
        high: upper bounds (n_parameters, n_fits).
        sharpening: factors on delta, one minimisation each; ignored by losses without delta.
        tolerance: relative gain below which the last minimisation has converged.
        max_steps: largest number of steps of the last minimisation.
        beat: objectives (n_fits,); a fit that will not get below its value is given up.
    """
    if objective.model.many_linear:
        return _linear_minimum(objective, start, low, high)
    place, improve = start, _projection(objective, low, high)
    for softer, rough, steps in _softer(objective, sharpening):
        place = minimise(
            softer, place, low, high, tolerance=rough, max_steps=steps, improve=improve
        ).coordinates
    rival = None if beat is None else lambda _: beat
    return minimise(
        objective,
        place,
        low,
        high,
        tolerance=tolerance,
        max_steps=max_steps,
        rival=rival,
        improve=improve,
    )


def _linear_minimum(objective: Objective, start: Array, low: Array, high: Array) -> Minimum:
    """Minimum of each fit of a law that is linear in many bounded coefficients.

    Iteratively reweighted bounded least squares, which is exact for quadratic losses. Newton's
    method stalls where most coefficients are at their bounds and the others nearly collinear.
    """
    m, place = objective.model.n_linear, np.clip(start, low, high)
    value, converged = objective.value(place), np.zeros(start.shape[1], dtype=bool)
    active = np.arange(start.shape[1])
    for _ in range(MOST_REWEIGHTINGS):
        part = objective.take(active)
        basis = np.stack(part.model.basis(place[m:, active], slice(None)))
        moved = place[:, active].copy()
        moved[:m] = reweighted_least_squares(
            part, basis, low[:m, active], high[:m, active], start=moved[:m], passes=1
        )
        found = part.value(moved)
        gain = value[active] - found
        better = gain > 0
        place[:, active[better]], value[active[better]] = moved[:, better], found[better]
        done = ~(gain > 1e-10 * value[active])
        converged[active[done]] = True
        active = active[~done]
        if active.size == 0:
            break
    return Minimum(coordinates=place, value=value, converged=converged)


def _softer(
    objective: Objective, sharpening: tuple[float, ...], rough_steps: int = QUICK_STEPS
) -> list[tuple[Objective, float, int]]:
    """Minimisations before the last one: objective, tolerance and largest number of steps."""
    stages = []
    if objective.model.costly_curvature:
        stages.append((objective.gauss_newton(), 1e-9, rough_steps))
    if objective.loss.uses_delta:
        for factor in sharpening:
            if factor != 1.0:
                stages.append((objective.with_delta(objective.delta * factor), 1e-3, 8))
    return stages


def best_of_each(
    objective: Objective,
    start: Array,
    owner: NDArray[np.int64],
    low: Array,
    high: Array,
    *,
    quick: bool = False,
) -> Minimum:
    """Best minimum of each of several problems, found from the starts of each.

    As `polish`, but starts of a problem that have met are merged, and those that cannot catch up
    with its best one are given up.

    Args:
        objective: the function to minimise, with weights (n_rows,) or (n_starts, n_rows).
        start: internal coordinates (n_parameters, n_starts).
        owner: number of the problem of each start, (n_starts,), from 0 without gaps.
        low: lower bounds (n_parameters,).
        high: upper bounds (n_parameters,).
        quick: whether to give starts up early, which loses the optimum of a few problems in 100.

    Returns:
        A `Minimum` with one fit per problem.
    """
    kept = _distinct(objective.value(start), owner)
    place, owner, objective = start[:, kept], owner[kept], objective.take(kept)
    if objective.model.many_linear:
        found = _linear_minimum(objective, place, _wide(low, len(owner)), _wide(high, len(owner)))
        return _first_of_each(found, owner)
    improve = _projection(objective, _wide(low, 1), _wide(high, 1))
    if not quick and objective.model.curved and len(owner) >= EXPLORING_STARTS:
        place = _explored(objective, place, low, high)
        kept = _distinct(objective.value(place), owner)
        place, owner, objective = place[:, kept], owner[kept], objective.take(kept)
    rough_steps, free_steps = (QUICK_STEPS, 5) if quick else (40, 25)
    for stage in range(len(_softer(objective, SHARPENING))):
        softer, rough, steps = _softer(objective, SHARPENING, rough_steps)[stage]
        lower, upper = _wide(low, len(owner)), _wide(high, len(owner))
        found = minimise(
            softer, place, lower, upper, tolerance=rough, max_steps=steps, improve=improve
        )
        kept = _distinct(found.value, owner)
        place, owner, objective = found.coordinates[:, kept], owner[kept], objective.take(kept)
    found = minimise(
        objective,
        place,
        _wide(low, len(owner)),
        _wide(high, len(owner)),
        max_steps=100 if objective.model.curved or quick else PLAIN_STEPS,
        rival=_leaders(owner),
        free_steps=free_steps,
        improve=improve,
    )
    best = _first_of_each(found, owner)
    if quick or best.converged.all():
        return best
    # The valley is flat or curved there, as where columns move together: without the coefficients
    # in the steps, Newton's method follows it.
    last = objective.take(_first(found, owner))
    low, high = _wide(low, len(best.value)), _wide(high, len(best.value))
    improve = _projection(objective, low[:, :1], high[:, :1], wanted=True)
    return minimise(last, best.coordinates, low, high, max_steps=MOST_STEPS, improve=improve)


def _explored(objective: Objective, place: Array, low: Array, high: Array) -> Array:
    """Starts (n_parameters, n_starts) after steps on some of the rows, where there are many."""
    n_rows = objective.model.n_rows
    if n_rows < 2 * EXPLORED_ROWS or objective.weights.ndim > 1 or objective.target.ndim > 1:
        return place
    rows = np.sort(np.random.default_rng(0).choice(n_rows, EXPLORED_ROWS, replace=False))
    small = objective.subset(rows).gauss_newton()
    lower, upper = _wide(low, place.shape[1]), _wide(high, place.shape[1])
    improve = _projection(small, lower, upper)
    found = minimise(small, place, lower, upper, tolerance=1e-9, max_steps=40, improve=improve)
    return found.coordinates


def _first(found: Minimum, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the best start of each problem."""
    order = np.lexsort((np.nan_to_num(found.value, nan=np.inf), owner))
    return order[np.unique(owner[order], return_index=True)[1]]


def _first_of_each(found: Minimum, owner: NDArray[np.int64]) -> Minimum:
    """The best fit of each problem."""
    first = _first(found, owner)
    return Minimum(
        coordinates=found.coordinates[:, first],
        value=found.value[first],
        converged=found.converged[first],
    )


def _projection(
    objective: Objective, low: Array, high: Array, *, wanted: bool = False
) -> Improve | None:
    """A map to the best linear coefficients, or None where it is impossible or not `wanted`.

    It pays from the start only for models that say that they are curved.

    A Newton step in all coordinates creeps along the curved valleys of these laws, in which the
    coefficients follow the nonlinear parameters; with the coefficients solved after each step, it
    is a step of variable projection (Golub and Pereyra 1973, SIAM Journal on Numerical Analysis
    10).
    """
    m = objective.model.n_linear
    same = (low == low[:, :1]).all() and (high == high[:, :1]).all()
    if not (objective.model.curved or wanted) or m > MOST_SUBSETS or not same:
        return None
    floor, ceiling = low[:m, 0], high[:m, 0]

    def improve(part: Objective, place: Array) -> Array:
        basis = np.stack(part.model.basis(place[m:], slice(None)))
        linear = reweighted_least_squares(part, basis, floor, ceiling, start=place[:m], passes=1)
        offset = basis[m] if len(basis) > m else 0.0
        before, after = (
            part.value_at(np.einsum("mc,mcn->cn", coefficients, basis[:m]) + offset)
            for coefficients in (place[:m], linear)
        )
        return np.concatenate([np.where(after < before, linear, place[:m]), place[m:]])

    return improve


def _distinct(value: Array, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the starts that have not met another one of their problem, sorted by problem.

    Coordinates are not compared: along a flat direction, starts that give one curve differ in them.
    """
    order = np.lexsort((value, owner))
    value, owner = value[order], owner[order]
    met = (owner[1:] == owner[:-1]) & (value[1:] <= value[:-1] * (1.0 + MET))
    return order[np.concatenate([[True], ~met])]


def _leaders(owner: NDArray[np.int64]) -> Callable[[Array], Array]:
    """Map from objectives to the best one of each fit's problem, with what rounding adds to it."""

    def rival(values: Array) -> Array:
        best = np.full(owner.max() + 1, np.inf)
        np.minimum.at(best, owner, values)
        return best[owner] * (1.0 + 1e-9)

    return rival


def grid(low: Array, high: Array) -> Array:
    """Points over the box of the nonlinear coordinates, shape (n_nonlinear, n_cells).

    Coordinates whose bounds `low` and `high` (n_nonlinear,) coincide keep that value.
    """
    free = np.flatnonzero(high > low)
    if free.size == 0:
        return low[:, None].copy()
    if len(free) in GRID_SIZES:
        sides = [np.linspace(0.0, 1.0, GRID_SIZES[len(free)]) for _ in free]
        unit = np.array(list(itertools.product(*sides))).T.reshape(len(free), -1)
    else:
        unit = _scattered(len(free), SCATTERED)
    points = np.repeat(low[:, None], unit.shape[1], axis=1)
    points[free] = low[free, None] + unit * (high - low)[free, None]
    return points


def _scattered(dimension: int, count: int) -> Array:
    """Low-discrepancy points in the unit cube, (dimension, count): Roberts 2018, R sequence."""
    root = 2.0
    for _ in range(40):
        root = (1.0 + root) ** (1.0 / (dimension + 1))
    steps = root ** -np.arange(1.0, dimension + 1)
    return (0.5 + np.outer(steps, np.arange(1, count + 1))) % 1.0


def global_minimum(
    objective: Objective, cells: Array, low: Array, high: Array, extra: Array | None = None
) -> Minimum:
    """Best minimum over the box, as a `Minimum` of one fit.

    Args:
        objective: the function to minimise, with weights and target of shape (n_rows,).
        cells: starts of the search, nonlinear coordinates (n_nonlinear, n_cells).
        low: lower bounds of all coordinates (n_parameters,).
        high: upper bounds (n_parameters,).
        extra: further complete starts (n_parameters, n_starts), such as a neighbouring solution.
    """
    rows = _search_rows(objective)
    _, values = _project(objective, cells, low, high, rows, passes=1)
    n_starts = MOST_STARTS if extra is None else FURTHER_STARTS
    picked = cells[:, _promising(cells, values)[:n_starts]]
    chosen, _ = _project(objective, picked, low, high, rows)
    if extra is not None:
        chosen = np.concatenate([chosen, extra], axis=1)
    n_starts = chosen.shape[1]
    if rows is not None:
        chosen = _shortlist(objective, chosen, low, high, rows)
        n_starts = chosen.shape[1]
    return best_of_each(objective, chosen, np.zeros(n_starts, dtype=np.int64), low, high)


def global_minimum_of_each(
    objective: Objective, cells: Sequence[Array], low: Array, high: Array
) -> Minimum:
    """Best minimum over the box for each of several observations of the same rows.

    As `global_minimum` finds each, but all are refined at once, which saves most of the time where
    rows are few.

    Args:
        objective: the function to minimise, with a target of shape (n_fits, n_rows).
        cells: starts of the search of each fit, nonlinear coordinates (n_nonlinear, n_cells).
        low: lower bounds of all coordinates (n_parameters,).
        high: upper bounds (n_parameters,).
    """
    counts = [own.shape[1] for own in cells]
    _, values = _project_each(objective, cells, low, high, passes=1)
    each = np.split(values, np.cumsum(counts)[:-1])
    picked = [
        own[:, _promising(own, of)[:MOST_STARTS]] for own, of in zip(cells, each, strict=True)
    ]
    starts, _ = _project_each(objective, picked, low, high)
    owner = np.repeat(np.arange(len(picked)), [own.shape[1] for own in picked])
    return best_of_each(objective.take(owner), starts, owner, low, high)


def _project_each(
    objective: Objective,
    cells: Sequence[Array],
    low: Array,
    high: Array,
    passes: int = REWEIGHTINGS,
) -> tuple[Array, Array]:
    """As `_project` for the cells of each of several observations, all at once."""
    owner = np.repeat(np.arange(len(cells)), [own.shape[1] for own in cells])
    every = np.concatenate(cells, axis=1)
    with np.errstate(all="ignore"):
        basis = np.stack(objective.model.basis(every, slice(None)))
    return _fitted_cells(objective.take(owner), basis, every, low, high, passes)


def global_minima(objective: Objective, cells: Sequence[Array], low: Array, high: Array) -> Minimum:
    """Best minimum over the box for each of several weightings of the same rows.

    All are searched at once. Each then starts again from the optima of the others: subsets of one
    table have similar optima, and one that a search misses another one finds.

    Args:
        objective: the function to minimise, with weights of shape (n_fits, n_rows).
        cells: starts of the search of each fit, nonlinear coordinates (n_nonlinear, n_cells).
        low: lower bounds of all coordinates (n_parameters,).
        high: upper bounds (n_parameters,).
    """
    n_fits = len(objective.weights)
    chosen, owners = [], []
    for fit, (weights, own) in enumerate(zip(objective.weights, cells, strict=True)):
        starts, values = _project(replace(objective, weights=weights), own, low, high, None)
        picked = _varied(own, values)
        chosen.append(starts[:, picked])
        owners.append(np.full(len(picked), fit))
    owner = np.concatenate(owners)
    starts = np.concatenate(chosen, axis=1)
    found = best_of_each(objective.take(owner), starts, owner, low, high, quick=True)
    owner = np.repeat(np.arange(n_fits), n_fits)
    starts = np.tile(found.coordinates, n_fits)
    return best_of_each(objective.take(owner), starts, owner, low, high, quick=True)


def _varied(cells: Array, values: Array) -> NDArray[np.int64]:
    """Indices of the best cells, and of the best one for each value of each coordinate."""
    values = np.where(np.isfinite(values), values, np.inf)
    order = np.argsort(values)
    if len(cells) == 1:
        return _promising(cells, values)
    firsts = [order[np.unique(row[order], return_index=True)[1]] for row in cells]
    return np.unique(np.concatenate([order[:BEST_CELLS], *firsts]))


def _wide(bound: Array, n_fits: int) -> Array:
    return np.repeat(bound[:, None], n_fits, axis=1)


def _search_rows(objective: Objective) -> NDArray[np.int64] | None:
    n_rows = objective.model.n_rows
    if n_rows <= SEARCH_ROWS:
        return None
    return np.random.default_rng(0).choice(n_rows, SEARCH_ROWS, replace=False)


def _shortlist(
    objective: Objective, starts: Array, low: Array, high: Array, rows: NDArray[np.int64]
) -> Array:
    small = objective.subset(rows)
    n_starts = starts.shape[1]
    found = polish(small, starts, _wide(low, n_starts), _wide(high, n_starts))
    order = np.argsort(found.value)[:8]
    keep = [order[0]]
    for fit in order[1:]:
        if found.value[fit] > found.value[keep[-1]] * (1 + 1e-6):
            keep.append(fit)
    return found.coordinates[:, keep[:3]]


def _promising(cells: Array, values: Array) -> NDArray[np.int64]:
    """Indices of the best cells, best first: of one- or two-dimensional grids, their minima."""
    best = np.argsort(values)
    n_free = int((np.ptp(cells, axis=1) > 0).sum()) if cells.size else 0
    if n_free in (1, 2) and values.size == GRID_SIZES[n_free] ** n_free:
        table = values.reshape((GRID_SIZES[n_free],) * n_free)
        padded = np.pad(table, 1, constant_values=np.inf)
        lowest = np.ones_like(table, dtype=bool)
        for shift in itertools.product((0, 1, 2), repeat=n_free):
            window = tuple(slice(s, s + table.shape[0]) for s in shift)
            lowest &= table <= padded[window]
        minima = np.flatnonzero(lowest.ravel() & np.isfinite(values))
        minima = minima[np.argsort(values[minima])][:12]
        return best[np.isin(best, [*minima, *best[:3]])]
    return best[:MOST_STARTS]


def _project(
    objective: Objective,
    cells: Array,
    low: Array,
    high: Array,
    rows: NDArray[np.int64] | None,
    passes: int = REWEIGHTINGS,
) -> tuple[Array, Array]:
    """Best linear coefficients in each cell: full coordinates (p, cells) and objective (cells,).

    One reweighting in `passes` is enough to rank cells.
    """
    small = objective if rows is None else objective.subset(rows)
    step = max(1, CELLS_AT_ONCE // small.model.n_rows)
    parts = []
    for first in range(0, cells.shape[1], step):
        part = cells[:, first : first + step]
        with np.errstate(all="ignore"):
            basis = np.stack(small.model.basis(part, slice(None)))
        parts.append(_fitted_cells(small, basis, part, low, high, passes))
    starts, values = zip(*parts, strict=True)
    return np.concatenate(starts, axis=1), np.concatenate(values)


def _fitted_cells(
    objective: Objective, basis: Array, cells: Array, low: Array, high: Array, passes: int
) -> tuple[Array, Array]:
    """As `_project`, from the basis functions (m or m + 1, cells, rows)."""
    m = len(low) - len(cells)
    with np.errstate(all="ignore"):
        linear = reweighted_least_squares(objective, basis, low[:m], high[:m], passes=passes)
        predicted = np.einsum("mc,mcn->cn", linear, basis[:m])
        predicted = predicted + basis[m] if len(basis) > m else predicted
        target, log = objective.target, objective.loss.log
        residual = np.log(predicted / target) if log else predicted - target
        value = (objective.loss.rows(residual, objective.delta)[0] * objective.weights).sum(axis=1)
    return np.concatenate([linear, cells]), np.where(np.isfinite(value), value, np.inf)
