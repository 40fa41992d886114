"""Profile likelihood intervals of predictions; see `scaling.uncertainty.profiles` for the level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.objective import Objective
from scaling.fitting.problem import Problem
from scaling.fitting.search import polish
from scaling.uncertainty.covariance import known_covariance, noise_scale
from scaling.uncertainty.profiles import rise

Array = NDArray[np.float64]

HELD_WEIGHT = 1e3
FARTHEST = 50.0
"""Largest change of a prediction, in ln(loss)."""
PREDICTION_STRIDES = np.array([0.5, 1.1, 1.8, 2.5, 3.5, 5.0, 8.0, 14.0, 25.0, 50.0, 110.0, 300.0])
"""First points of the profile of a prediction, in linearised standard errors; far from the data,
one such error can be a small part of the interval."""
ROWS_AT_ONCE = 25
CLOSER = np.array([-0.08, 0.0, 0.08])
"""Points added around a crossing, in shares of the step that contains it."""
CROSSING_REFINEMENTS = 2


def prediction_intervals(
    problem: Problem, best: Array, new: dict[str, Array], level: float, valley: Array
) -> tuple[Array, Array]:
    """Profile likelihood intervals of the law at new rows.

    Each new row is added to the table as a heavy observation whose target is moved. A minimum of
    the objective plus any penalty on the prediction is exactly a point of the profile, at the value
    that the prediction then has. Each minimum is searched from the optimum and from the nearest
    point of `valley`. Points are then added where the profile crosses the level, so that the ends
    vary smoothly from row to row.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        new: column of the law -> values at the new rows, (n_new,).
        level: confidence level.
        valley: printed parameters (n_parameters, n_points) of the optimum and along the profiles of
            the asymptote and the exponents, which follow the valley of the objective.

    Returns:
        Lower and upper ends, each of shape (n_new,); unbounded without degrees of freedom.
    """
    count = len(next(iter(new.values())))
    if problem.degrees <= 0:
        return np.full(count, 0.0 if problem.loss.log else -np.inf), np.full(count, np.inf)
    low, high = np.empty(count), np.empty(count)
    for first in range(0, count, ROWS_AT_ONCE):
        rows = slice(first, min(first + ROWS_AT_ONCE, count))
        part = {name: values[rows] for name, values in new.items()}
        low[rows], high[rows] = _PredictionProfiles(problem, best, part).ends(level, valley)
    return low, high


class _PredictionProfiles:
    """Profiles of the predictions at some new rows: values, objectives and coordinates."""

    def __init__(self, problem: Problem, best: Array, new: dict[str, Array]) -> None:
        table = problem.table
        self.problem, self.best, self.on_data = problem, best, problem.objective()
        self.count, self.n_rows = len(next(iter(new.values()))), table.n_rows
        # Centring on the new rows would change the coordinates with each set of rows, and condition
        # them badly for rows far from the table.
        self.model = problem.model.at(
            {name: np.concatenate([values, new[name]]) for name, values in table.columns.items()}
        )
        predicted, first, _ = self.model.derivatives(best[:, None], slice(self.n_rows, None))
        self.centre = predicted[0]
        scale = self.centre if problem.loss.log else np.ones(self.count)
        gradient = np.stack([np.broadcast_to(part, (1, self.count))[0] for part in first]) / scale
        spread = known_covariance(problem, best, robust=False)
        variance = np.einsum("kc,kl,lc->c", gradient, spread, gradient)
        self.unit = np.sqrt(np.maximum(variance, 1e-18))
        self.row, self.goal, self.value = np.arange(self.count), self.centre, self.centre
        self.cost = np.full(self.count, float(self.on_data.value(best[:, None])[0]))
        self.place = np.repeat(best[:, None], self.count, axis=1)

    def ends(self, level: float, valley: Array) -> tuple[Array, Array]:
        """Lower and upper end of each interval, both (count,)."""
        minimum, problem = float(self.cost[0]), self.problem
        allowed = rise(noise_scale(problem, self.best), level, problem.degrees)
        offsets = np.concatenate([-PREDICTION_STRIDES[::-1], PREDICTION_STRIDES])
        row = np.repeat(np.arange(self.count), len(offsets))
        aim = np.outer(self.unit, offsets).ravel()
        if problem.loss.log:
            goal = self.centre[row] * np.exp(np.clip(aim, -FARTHEST, FARTHEST))
        else:
            goal = self.centre[row] + aim
        valley = np.clip(
            problem.model.internal(valley), problem.low[:, None], problem.high[:, None]
        )
        along = self._nearest(row, goal, valley)
        self._add(row, goal, [np.repeat(self.best[:, None], len(row), axis=1), along])
        self._add_farthest(valley, minimum + allowed)
        for _ in range(CROSSING_REFINEMENTS):
            self._refine(minimum, allowed)
        sides = [
            [self._crossing(r, side, minimum, allowed) for side in (-1, 1)]
            for r in range(self.count)
        ]
        low, high = np.array([[side.end for side in both] for both in sides]).T
        return low, high

    def _refine(self, minimum: float, allowed: float) -> None:
        """Add points of the profiles around the places at which they cross the level."""
        found = [
            self._crossing(row, side, minimum, allowed)
            for row in range(self.count)
            for side in (-1, 1)
        ]
        inner, outer, share = (
            np.array(
                [(each.inner, each.outer, each.share) for each in found if each.outer is not None]
            )
            .reshape(-1, 3)
            .T
        )
        inner, outer = inner.astype(np.int64), outer.astype(np.int64)
        # The outer point may have missed its minimum, which a start from the inner one may find.
        better = self._solve(self.row[outer], self.goal[outer], [self.place[:, inner]])
        self._replace(outer, *better)
        share = np.clip(share[:, None] + CLOSER, 0.02, 0.98).ravel()
        inner, outer = np.repeat(inner, len(CLOSER)), np.repeat(outer, len(CLOSER))
        near, far = self.place[:, inner], self.place[:, outer]
        goal = self.value[inner] + share * (self.value[outer] - self.value[inner])
        self._add(self.row[outer], goal, [near, far, near + share * (far - near)])

    def _nearest(self, row: NDArray[np.int64], goal: Array, along: Array) -> Array:
        """Points of the valley (p, k) with the lowest objective near each goal, (p, n_fits)."""
        near = self.model.value(along, slice(self.n_rows, None))[:, row]
        whole = self.on_data.value(along)[:, None] + self._held(near, goal)
        return along[:, np.where(np.isfinite(whole), whole, np.inf).argmin(axis=0)]

    def _add_farthest(self, along: Array, allowed: float) -> None:
        """Add the points of the valley (p, k) inside the level whose predictions differ most."""
        cost = self.on_data.value(along)
        inside = np.flatnonzero(cost <= allowed)
        if inside.size == 0:
            return
        predicted = self.model.value(along[:, inside], slice(self.n_rows, None))
        for chosen in (inside[predicted.argmin(axis=0)], inside[predicted.argmax(axis=0)]):
            place = along[:, chosen]
            value = self.model.value(place, slice(self.n_rows, None)).diagonal()
            self._append(np.arange(self.count), value, value, cost[chosen], place)

    def _add(self, row: NDArray[np.int64], goal: Array, starts: list[Array]) -> None:
        """Add the best points with the prediction at `row` near `goal`, both (n_fits,)."""
        value, cost, place = self._solve(row, goal, starts)
        self._append(row, goal, value, cost, place)

    def _append(
        self, row: NDArray[np.int64], goal: Array, value: Array, cost: Array, place: Array
    ) -> None:
        self.row, self.goal = np.append(self.row, row), np.append(self.goal, goal)
        self.value, self.cost = np.append(self.value, value), np.append(self.cost, cost)
        self.place = np.concatenate([self.place, place], axis=1)

    def _replace(self, point: NDArray[np.int64], value: Array, cost: Array, place: Array) -> None:
        """Put points in place of those with the same goals whose objective is higher."""
        held, old = (
            self._held(value, self.goal[point]),
            self._held(self.value[point], self.goal[point]),
        )
        better = cost + held < self.cost[point] + old
        chosen = point[better]
        self.value[chosen], self.cost[chosen] = value[better], cost[better]
        self.place[:, chosen] = place[:, better]

    def _solve(
        self, row: NDArray[np.int64], goal: Array, starts: list[Array]
    ) -> tuple[Array, Array, Array]:
        """Predictions (n_fits,), objectives on the data (n_fits,) and coordinates (p, n_fits).

        Of the minima from each of `starts` and of the starts themselves, the lowest is taken.
        """
        objective, number = self._holding(row, goal), np.arange(len(row))
        low, high = self.problem.box(len(row))
        starts = [np.clip(start, low, high) for start in starts]
        found = [polish(objective, start, low, high, sharpening=SHARPER) for start in starts]
        places = np.stack([*(each.coordinates for each in found), *starts])
        values = np.stack(
            [self.model.value(place, slice(self.n_rows, None))[number, row] for place in places]
        )
        costs = np.stack([self.on_data.value(place) for place in places])
        whole = costs + self._held(values, goal)
        best = np.where(np.isfinite(whole), whole, np.inf).argmin(axis=0)
        return values[best, number], costs[best, number], places[best, :, number].T

    def _held(self, value: Array, goal: Array) -> Array:
        """Penalty on predictions away from their goal, (..., n_fits)."""
        with np.errstate(all="ignore"):
            gap = np.log(value / goal) if self.problem.loss.log else value - goal
            weight = HELD_WEIGHT * self.problem.table.weights.sum()
            return weight * self.problem.loss.rows(gap, np.inf)[0]

    def _holding(self, row: NDArray[np.int64], goal: Array) -> Objective:
        """The objective with a heavy observation `goal` at each of the new rows `row`."""
        problem, number = self.problem, np.arange(len(row))
        table = problem.table
        weights = np.zeros((len(row), self.n_rows + self.count))
        weights[:, : self.n_rows] = table.weights
        weights[number, self.n_rows + row] = HELD_WEIGHT * table.weights.sum()
        target = np.ones((len(row), self.n_rows + self.count))
        target[:, : self.n_rows] = table.y
        target[number, self.n_rows + row] = goal
        delta = np.concatenate([np.full(self.n_rows, problem.delta), np.full(self.count, np.inf)])
        return Objective(
            model=self.model, loss=problem.loss, delta=delta, target=target, weights=weights
        )

    def _crossing(self, row: int, side: int, minimum: float, allowed: float) -> _Crossing:
        """Where the profile of a row crosses the level, above (1) or below (-1) the optimum."""
        here = np.flatnonzero((self.row == row) & ((self.value - self.centre[row]) * side > 0))
        outwards = here[np.argsort(self.value[here] * side, kind="stable")]
        at = np.append(row, outwards)  # the first `count` points are the optimum at each row
        root = np.sqrt(np.maximum(self.cost[at] - minimum, 0.0))
        # The profile rises outwards, so a point costs at most what any point beyond it costs.
        far = np.minimum.accumulate(root[::-1])[::-1]
        beyond = np.flatnonzero(far > np.sqrt(allowed))
        if beyond.size == 0:
            return _Crossing(end=float(self.value[at[-1]]), inner=int(at[-1]))
        k = max(int(beyond[0]), 1)
        share = (
            float((np.sqrt(allowed) - far[k - 1]) / (far[k] - far[k - 1]))
            if far[k] > far[k - 1]
            else 0.0
        )
        inner, outer = int(at[k - 1]), int(at[k])
        end = self.value[inner] + share * (self.value[outer] - self.value[inner])
        return _Crossing(end=float(end), inner=inner, outer=outer, share=share)


SHARPER = (8.0, 2.5, 1.0)
"""Factors on delta in the search of a point of a profile, as in `Problem.refine`."""


@dataclass(frozen=True, kw_only=True)
class _Crossing:
    """End of an interval, the points on its two sides, and its place in the step between them."""

    end: float
    inner: int
    outer: int | None = None
    share: float = 0.0
