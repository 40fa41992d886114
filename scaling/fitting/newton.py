"""Damped Newton's method with the exact Hessian inside a box, for many small fits at once.

The last axis of all arrays is that of the fits, so that one numpy call handles every fit. A
coordinate whose two bounds coincide is held there; this is how profiles and pinned parameters work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.objective import Objective

Array = NDArray[np.float64]

SMALLEST_PIVOT = 1e-10
LARGEST_DAMPING = 1e10
ACCEPT = 1e-4
HOPE = 30.0
NEGLIGIBLE = 1e-26
"""Objective per unit of weight below which a table counts as fitted exactly."""

Improve = Callable[[Objective, Array], Array]


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """Minimum of each fit.

    Attributes:
        coordinates: internal coordinates, shape (n_parameters, n_fits).
        value: objective, shape (n_fits,).
        converged: whether the fit reached a minimum, shape (n_fits,).
    """

    coordinates: Array
    value: Array
    converged: NDArray[np.bool_]


@dataclass
class _State:
    """The fits that have not stopped; the last axis of every array is theirs."""

    index: NDArray[np.int64]
    place: Array
    value: Array
    gradient: Array
    hessian: Array
    damping: Array

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        for name in ("index", "place", "value", "gradient", "hessian", "damping"):
            setattr(self, name, getattr(self, name)[..., chosen])


@np.errstate(all="ignore")  # a step that overflows has an infinite objective and is rejected
def minimise(
    objective: Objective,
    start: Array,
    low: Array,
    high: Array,
    *,
    tolerance: float = 1e-12,
    max_steps: int = 80,
    rival: Callable[[Array], Array] | None = None,
    free_steps: int = 5,
    improve: Improve | None = None,
) -> Minimum:
    """Local minimum of each fit, starting at `start`.

    A fit stops when one more Newton step would lower the objective by less than `tolerance` times
    the objective. Stopping at a small last change would end long before the optimum here.

    Args:
        objective: the function to minimise.
        start: internal coordinates, shape (n_parameters, n_fits).
        low: lower bounds, shape (n_parameters, n_fits).
        high: upper bounds, shape (n_parameters, n_fits).
        tolerance: relative gain below which a fit has converged.
        max_steps: largest number of steps.
        rival: maps the objectives so far (n_fits,) to values to beat (n_fits,). A fit stops if it
            would not get below its value even by thirty times the predicted gain of its next step.
        free_steps: number of steps before a fit may be given up.
        improve: maps the objective and the end of a step (n_parameters, n_fits) to a better place,
            in which the step ends instead.
    """
    place = np.clip(start, low, high)
    value, gradient, hessian = objective.derivatives(place)
    n_fits = place.shape[1]
    best, best_value = place.copy(), value.copy()
    converged = np.zeros(n_fits, dtype=bool)
    state = _State(
        np.arange(n_fits), place, value, gradient, hessian, np.full(n_fits, 1e-3, dtype=float)
    )
    state.keep(np.isfinite(value))
    scale = NEGLIGIBLE * _total_weight(objective, n_fits)
    for taken in range(max_steps):
        if state.index.size == 0:
            break
        lower, upper = low[:, state.index], high[:, state.index]
        step, possible = _proposal(state, lower, upper)
        finished = possible <= tolerance * state.value + scale[state.index]
        done = finished & (state.damping <= 1e-2)
        stuck = state.damping > LARGEST_DAMPING
        converged[state.index[done]] = True
        converged[state.index[stuck & ~done]] = possible[stuck & ~done] <= 1e-7 * (
            state.value[stuck & ~done] + scale[state.index[stuck & ~done]]
        )
        state.damping = np.where(finished, state.damping * 0.01, state.damping)
        moving = ~done & ~stuck
        if rival is not None and taken >= free_steps:
            reachable = state.value - HOPE * possible
            moving &= reachable < rival(best_value)[state.index]
        if not moving.all():
            state.keep(moving)
            step, lower, upper = step[:, moving], lower[:, moving], upper[:, moving]
            if state.index.size == 0:
                break
        accepted = _advance(objective.take(state.index), state, step, lower, upper, improve)
        best[:, state.index[accepted]] = state.place[:, accepted]
        best_value[state.index[accepted]] = state.value[accepted]
    return Minimum(coordinates=best, value=best_value, converged=converged)


def _total_weight(objective: Objective, n_fits: int) -> Array:
    target = np.ones(1) if objective.loss.log else objective.target**2
    return np.broadcast_to((objective.weights * target).sum(axis=-1), (n_fits,))


def _proposal(state: _State, low: Array, high: Array) -> tuple[Array, Array]:
    """Damped Newton step of the free coordinates, and the decrease that the model predicts."""
    outward = ((state.place <= low) & (state.gradient > 0)) | (
        (state.place >= high) & (state.gradient < 0)
    )
    held = outward | (low >= high)
    slope = np.where(held, 0.0, state.gradient)
    step = -solve_modified(state.hessian, slope, held, state.damping)
    possible = -0.5 * (slope * step).sum(axis=0)
    # a coordinate that would leave the box is set to its bound; the others are solved again
    trial = state.place + step
    leaving = ((trial < low) | (trial > high)) & ~held
    if leaving.any():
        moved = np.where(leaving, np.clip(trial, low, high) - state.place, 0.0)
        slope = slope + np.einsum("klf,lf->kf", state.hessian, moved)
        held = held | leaving
        slope = np.where(held, 0.0, slope)
        step = moved - solve_modified(state.hessian, slope, held, state.damping)
    return step, possible


def _advance(
    objective: Objective,
    state: _State,
    step: Array,
    low: Array,
    high: Array,
    improve: Improve | None,
) -> NDArray[np.bool_]:
    """Take the step in place where it lowers the objective; return which fits took it (n_fits,).

    The damping is adapted to the ratio of the actual to the predicted decrease.
    """
    trial = np.clip(state.place + step, low, high)
    moved = trial - state.place
    if improve is not None:
        trial = improve(objective, trial)
    value, gradient, hessian = objective.derivatives(trial)
    bent = np.einsum("klf,lf->kf", state.hessian, moved)
    predicted = -(state.gradient * moved).sum(axis=0) - 0.5 * (moved * bent).sum(axis=0)
    with np.errstate(all="ignore"):
        gain = (state.value - value) / np.maximum(np.abs(predicted), 1e-300)
    accepted = (value < state.value) & (gain > ACCEPT)
    state.damping = _damping(state.damping, accepted, gain)
    state.place[:, accepted] = trial[:, accepted]
    state.value[accepted] = value[accepted]
    state.gradient[:, accepted] = gradient[:, accepted]
    state.hessian[:, :, accepted] = hessian[:, :, accepted]
    return accepted


def _damping(damping: Array, accepted: NDArray[np.bool_], gain: Array) -> Array:
    kept = np.where(gain > 0.7, 0.1 * damping, np.where(gain < 0.2, 3.0 * damping, damping))
    return np.where(accepted, np.maximum(kept, 1e-12), np.maximum(8.0 * damping, 1e-4))


def solve_modified(
    hessian: Array, gradient: Array, held: NDArray[np.bool_], damping: Array | float
) -> Array:
    """Solution x of (H + damping * scale) x = g by LDL' with pivots made positive.

    The matrix is first scaled to a unit diagonal, so the damping has no units.

    Args:
        hessian: H, shape (n_parameters, n_parameters, n_fits).
        gradient: g, shape (n_parameters, n_fits).
        held: coordinates that do not move, shape (n_parameters, n_fits).
        damping: one number, or one per fit, shape (n_fits,).

    Returns:
        x, shape (n_parameters, n_fits); 0 for held coordinates.
    """
    p = hessian.shape[0]
    diagonal = np.abs(np.einsum("kkf->kf", hessian))
    largest = diagonal.max(axis=0)
    root = np.sqrt(np.maximum(diagonal, 1e-14 * largest + 1e-290))
    free = ~held / root
    matrix = hessian * free[:, None] * free[None, :]
    pivots = np.empty_like(gradient)
    lower = np.zeros_like(matrix)
    for j in range(p):
        column = matrix[j:, j].copy()
        column[0] += damping + held[j]
        for k in range(j):
            column -= lower[j:, k] * (lower[j, k] * pivots[k])
        pivots[j] = np.maximum(np.abs(column[0]), SMALLEST_PIVOT)
        lower[j + 1 :, j] = column[1:] / pivots[j]
    solution = gradient * free
    for j in range(p):
        for k in range(j):
            solution[j] -= lower[j, k] * solution[k]
    solution /= pivots
    for j in reversed(range(p)):
        for k in range(j + 1, p):
            solution[j] -= lower[k, j] * solution[k]
    return solution * free
