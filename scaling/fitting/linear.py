"""Linear coefficients within bounds, by exact or iteratively reweighted least squares."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.objective import Objective

Array = NDArray[np.float64]

REWEIGHTINGS = 5
MOST_SUBSETS = 4
"""Number of coefficients beyond which bounded least squares does not try all sets of bounds."""
NNLS_STEPS = 1000


def reweighted_least_squares(
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
    normal, right = np.empty((n_cells, m, m)), np.empty((n_cells, m))
    target = np.broadcast_to(target, basis.shape[1:])
    for k in range(m):
        weighted = basis[k] * weights
        right[:, k] = np.einsum("cn,cn->c", weighted, target)
        for other in range(k + 1):
            entry = np.einsum("cn,cn->c", weighted, basis[other])
            normal[:, k, other] = normal[:, other, k] = entry
    scale = 1.0 / np.sqrt(np.maximum(np.einsum("ckk->ck", normal), 1e-290))
    normal = normal * scale[:, :, None] * scale[:, None, :] + 1e-13 * np.eye(m)
    right = right * scale
    floor = np.where(np.isfinite(low), low, 0.0) / scale
    pinned = low >= high
    bounded = np.isfinite(low) & ~pinned
    best = (_solve_held(normal, right, floor, pinned) * scale).T
    # Only where the solution without the bounds violates one are the sets of bounds tried.
    wrong = np.flatnonzero(~(best >= low[:, None]).all(axis=0))
    if wrong.size == 0:
        return np.minimum(best, high[:, None])
    normal, right, floor, scale = normal[wrong], right[wrong], floor[wrong], scale[wrong]
    best[:, wrong] = np.where(np.isfinite(low), low, 0.0)[:, None]
    best_cost = np.full(len(wrong), np.inf)
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
        best[:, wrong[better]] = natural[better].T
        best_cost[better] = cost[better]
    return np.clip(best, low[:, None], high[:, None])


def _many_bounded(basis: Array, target: Array, weights: Array, low: Array, high: Array) -> Array:
    """As `bounded_least_squares`; the bounds may also differ by cell, (n_coefficients, n_cells)."""
    from scipy.optimize import nnls

    n_cells = basis.shape[1]
    low = np.broadcast_to(low.reshape(len(low), -1), (len(low), n_cells))
    high = np.broadcast_to(high.reshape(len(high), -1), (len(high), n_cells))
    target, weights = (np.broadcast_to(part, basis.shape[1:]) for part in (target, weights))
    out = np.where(np.isfinite(low), low, 0.0)
    for cell in range(n_cells):
        free = low[:, cell] < high[:, cell]
        root = np.sqrt(weights[cell])
        rest = target[cell] - out[:, cell] @ basis[:, cell]
        matrix = (basis[free, cell] * root).T
        out[free, cell] += nnls(matrix, rest * root, maxiter=NNLS_STEPS)[0]
    return np.clip(out, low, high)


def _solve_held(normal: Array, right: Array, floor: Array, held: NDArray[np.bool_]) -> Array:
    solution = np.where(held, floor, 0.0)
    free = np.flatnonzero(~held)
    if free.size:
        rest = right - np.einsum("ckl,cl->ck", normal, solution)
        matrix = normal[:, free[:, None], free[None, :]]
        solution[:, free] = np.linalg.solve(matrix, rest[:, free, None])[..., 0]
    return solution
