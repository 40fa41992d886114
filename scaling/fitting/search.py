"""Global optimum: a grid over the nonlinear parameters with the linear ones projected out.

In each grid cell the linear coefficients, within the bounds of the law, are solved exactly by
weighted least squares over all sets of active bounds, reweighted a few times for the robust loss.
Every minimum of the grid is then refined by Newton's method, while delta shrinks to its value.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.newton import Improve, Minimum, minimise
from scaling.fitting.objective import Objective

Array = NDArray[np.float64]

REWEIGHTINGS = 5
SHARPENING = (30.0, 8.0, 2.5, 1.0)
"""Factors on delta, from a nearly quadratic loss to the loss itself."""
GRID_SIZES = {1: 64, 2: 20, 3: 12}
SCATTERED = 3000
"""Points of the low-discrepancy search beyond three nonlinear parameters."""
MOST_STARTS = 48
SEARCH_ROWS = 4000
"""Largest number of rows in the grid search (a random sample); the refinement uses all rows."""
MET = 1e-7
"""Two starts have met if their objectives agree to this share."""
CELLS_AT_ONCE = 400_000
MOST_SUBSETS = 4


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
    one_problem: bool = False,
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
        beat: values (n_fits,); a fit that will not get below its value is given up.
        one_problem: whether the fits are starts of one problem, of which only the best is wanted:
            starts that have met are merged, and those that cannot catch up are given up.
    """
    place, improve = start, _projection(objective, low, high)
    stages = []
    if objective.model.costly_curvature:
        stages.append((objective.gauss_newton(), 1e-9, 10))
    if objective.loss.uses_delta:
        softer = [objective.with_delta(objective.delta * f) for f in sharpening if f != 1.0]
        stages += [(part, 1e-3, 8) for part in softer]
    for part, rough, steps in stages:
        found = minimise(part, place, low, high, tolerance=rough, max_steps=steps, improve=improve)
        place = found.coordinates
        if one_problem:
            kept = _distinct(found)
            place, low, high = place[:, kept], low[:, kept], high[:, kept]
    return minimise(
        objective,
        place,
        low,
        high,
        tolerance=tolerance,
        max_steps=max_steps,
        rival=_best_of_all if one_problem else None if beat is None else lambda _: beat,
        improve=improve,
    )


def _projection(objective: Objective, low: Array, high: Array) -> Improve | None:
    """A map to the best linear coefficients, or None where it does not pay.

    A Newton step in all coordinates creeps along the curved valleys of these laws, in which the
    coefficients follow the nonlinear parameters; with the coefficients solved after each step, it
    is a step of variable projection (Golub and Pereyra 1973, SIAM Journal on Numerical Analysis
    10).
    """
    m = objective.model.n_linear
    same = (low == low[:, :1]).all() and (high == high[:, :1]).all()
    if not objective.model.curved or m > MOST_SUBSETS or not same:
        return None
    floor, ceiling = low[:m, 0], high[:m, 0]

    def improve(part: Objective, place: Array) -> Array:
        basis = np.stack(part.model.basis(place[m:], slice(None)))
        linear = _reweighted(part, basis, floor, ceiling, start=place[:m], passes=1)
        moved = np.concatenate([linear, place[m:]])
        better = part.value(moved) < part.value(place)
        return np.where(better, moved, place)

    return improve


def _distinct(found: Minimum) -> NDArray[np.int64]:
    """Indices of the starts of one problem that have not met, by ascending objective.

    Coordinates are not compared: along a flat direction, starts that give one curve differ in them.
    """
    order = np.argsort(found.value)
    value = found.value[order]
    kept = [0]
    for i in range(1, len(order)):
        if not value[i] <= value[kept[-1]] * (1.0 + MET):
            kept.append(i)
    return order[kept]


def _best_of_all(values: Array) -> Array:
    """The best value, with what rounding adds to it, for each of the starts of one problem."""
    return np.full_like(values, values.min() * (1.0 + 1e-9))


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
    starts, values = _project(objective, cells, low, high, rows)
    chosen = starts[:, _promising(cells, values)]
    if extra is not None:
        chosen = np.concatenate([chosen, extra], axis=1)
    n_starts = chosen.shape[1]
    if rows is not None:
        chosen = _shortlist(objective, chosen, low, high, rows)
        n_starts = chosen.shape[1]
    wide_low, wide_high = _wide(low, n_starts), _wide(high, n_starts)
    found = polish(objective, chosen, wide_low, wide_high, one_problem=True)
    best = int(np.argmin(np.where(np.isfinite(found.value), found.value, np.inf)))
    return Minimum(
        coordinates=found.coordinates[:, best : best + 1],
        value=found.value[best : best + 1],
        converged=found.converged[best : best + 1],
    )


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
    """Indices of the minima of a one- or two-dimensional grid, and of the best cells."""
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
        return np.unique(np.concatenate([minima, best[:3]]))
    return best[:MOST_STARTS]


def _project(
    objective: Objective, cells: Array, low: Array, high: Array, rows: NDArray[np.int64] | None
) -> tuple[Array, Array]:
    """Best linear coefficients in each cell: full coordinates (p, cells) and objective (cells,)."""
    small = objective if rows is None else objective.subset(rows)
    n_linear = len(low) - cells.shape[0]
    step = max(1, CELLS_AT_ONCE // small.model.n_rows)
    coordinates, values = [], []
    for first in range(0, cells.shape[1], step):
        part = cells[:, first : first + step]
        with np.errstate(all="ignore"):
            basis = np.stack(small.model.basis(part, slice(None)))
            linear = _reweighted(small, basis, low[:n_linear], high[:n_linear])
        full = np.concatenate([linear, part])
        coordinates.append(full)
        values.append(small.value(full))
    return np.concatenate(coordinates, axis=1), np.concatenate(values)


def _reweighted(
    objective: Objective,
    basis: Array,
    low: Array,
    high: Array,
    start: Array | None = None,
    passes: int = REWEIGHTINGS,
) -> Array:
    """Linear coefficients by iteratively reweighted bounded least squares, shape (m, n_cells).

    Args:
        objective: the function to minimise.
        basis: basis functions, and the offset if there is one, (m or m + 1, n_cells, n_rows).
        low: lower bounds (m,).
        high: upper bounds (m,).
        start: coefficients (m, n_cells) from which the first weights are computed, instead of those
            of unweighted least squares.
        passes: number of reweightings.
    """
    target, weights = objective.target, objective.weights
    base = weights / target**2 if objective.loss.log else weights
    offset = basis[len(low)] if len(basis) > len(low) else np.zeros(basis.shape[1:])
    basis, wanted = basis[: len(low)], target - offset
    quadratic = not objective.loss.log and not objective.loss.uses_delta
    linear = start
    if linear is None or quadratic:
        working = np.broadcast_to(base, basis.shape[1:])
        linear = bounded_least_squares(basis, wanted, working, low, high)
    if quadratic:
        return linear
    for _ in range(passes):
        predicted = np.einsum("mc,mcn->cn", linear, basis) + offset
        predicted = np.maximum(predicted, 1e-3 * np.abs(target))
        residual = np.log(predicted / target) if objective.loss.log else predicted - target
        score = objective.loss.rows(residual, objective.delta)[1]
        gap = predicted - target
        scale = predicted if objective.loss.log else 1.0
        safe = np.where(np.abs(gap) > 1e-12 * np.abs(target), gap, 1.0)
        ratio = np.where(safe == 1.0, 1.0 / np.square(scale), score / (scale * safe))
        working = weights * np.maximum(ratio, 0.0)
        linear = bounded_least_squares(basis, wanted, working, low, high)
    return linear


def bounded_least_squares(
    basis: Array, target: Array, weights: Array, low: Array, high: Array
) -> Array:
    """Coefficients of bounded weighted least squares, shape (n_coefficients, n_cells).

    The solution is exact: every set of coefficients at their bounds is solved and the best feasible
    one kept. For more than four coefficients the active-set method of Lawson and Hanson is used.

    Args:
        basis: basis functions, shape (n_coefficients, n_cells, n_rows).
        target: observations, shape (n_cells, n_rows).
        weights: row weights, shape (n_cells, n_rows).
        low: lower bounds, shape (n_coefficients,).
        high: upper bounds; a coefficient whose bounds coincide is held there.

    Source:
        Lawson and Hanson 1974, Solving Least Squares Problems, chapter 23.
    """
    m, n_cells, _ = basis.shape
    if m > MOST_SUBSETS:
        return _many_bounded(basis, target, weights, low, high)
    weighted = basis * weights
    normal = np.einsum("kcn,lcn->ckl", weighted, basis)
    right = np.einsum("kcn,cn->ck", weighted, target)
    scale = 1.0 / np.sqrt(np.maximum(np.einsum("ckk->ck", normal), 1e-290))
    normal = normal * scale[:, :, None] * scale[:, None, :] + 1e-13 * np.eye(m)
    right = right * scale
    floor = np.where(np.isfinite(low), low, 0.0) / scale
    pinned = low >= high
    bounded = np.isfinite(low) & ~pinned
    best = np.repeat(np.where(np.isfinite(low), low, 0.0)[:, None], n_cells, axis=1)
    best_cost = np.full(n_cells, np.inf)
    for pattern in itertools.product((False, True), repeat=int(bounded.sum())):
        held = pinned.copy()
        held[bounded] = pattern
        solution = _solve_held(normal, right, floor, held)
        natural = solution * scale
        feasible = (natural >= low - 1e-12 * np.abs(low)).all(axis=1) | held.all()
        cost = np.einsum("ck,ckl,cl->c", solution, normal, solution) - 2 * np.einsum(
            "ck,ck->c", solution, right
        )
        better = feasible & (cost < best_cost)
        best[:, better] = natural[better].T
        best_cost[better] = cost[better]
    return np.clip(best, low[:, None], high[:, None])


def _many_bounded(basis: Array, target: Array, weights: Array, low: Array, high: Array) -> Array:
    from scipy.optimize import nnls

    floor = np.where(np.isfinite(low), low, 0.0)
    free = np.flatnonzero(low < high)
    out = np.repeat(floor[:, None], basis.shape[1], axis=1)
    for cell in range(basis.shape[1]):
        root = np.sqrt(weights[cell])
        rest = target[cell] - floor @ basis[:, cell]
        out[free, cell] += nnls((basis[free, cell] * root).T, rest * root)[0]
    return np.clip(out, low[:, None], high[:, None])


def _solve_held(normal: Array, right: Array, floor: Array, held: NDArray[np.bool_]) -> Array:
    solution = np.where(held, floor, 0.0)
    free = np.flatnonzero(~held)
    if free.size:
        rest = right - np.einsum("ckl,cl->ck", normal, solution)
        matrix = normal[:, free[:, None], free[None, :]]
        solution[:, free] = np.linalg.solve(matrix, rest[:, free, None])[..., 0]
    return solution
