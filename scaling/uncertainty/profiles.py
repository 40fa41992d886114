"""Profile likelihood intervals of parameters and predictions.

The interval at a level contains the values at which the best objective is at most
``objective + tau t^2 / 2``, with t the Student quantile for the residual degrees of freedom and tau
the noise scale of the fit. For least squares this is the F-test interval. It needs no symmetry,
follows the curvature of the law, and is infinite where the data do not bound the value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from scaling.fitting.objective import Objective
from scaling.fitting.problem import Problem
from scaling.fitting.search import polish
from scaling.uncertainty.covariance import known_covariance, noise_scale

Array = NDArray[np.float64]

STRIDES = np.array(
    [0.1, 0.3, 0.6, 1.0, 1.4, 1.8, 2.2, 2.7, 3.3, 4.0, 5.0, 7.0, 10.0, 16.0, 30.0, 1e2, 1e3, 1e5]
)
"""First points of a profile, in standard errors from the optimum."""
REFINEMENTS = 3
INSIDE = np.array([0.15, 0.35, 0.5, 0.65, 0.85])


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Best objective with one parameter held at each of several values.

    Attributes:
        name: the parameter.
        values: values at which it was held, (n_points,), ascending, with the optimum among them.
        objective: best objective at each value, (n_points,).
        parameters: printed parameters of the law at each value, (n_parameters, n_points).
        minimum: objective of the fit.
        noise: noise scale tau, the unit of the rise.
        degrees: rows less fitted parameters.
        bounds: smallest and largest value allowed.
    """

    name: str
    values: Array
    objective: Array
    parameters: Array
    minimum: float
    noise: float
    degrees: int
    bounds: tuple[float, float]

    def rise(self, level: float) -> float:
        """Rise of the objective at the ends of the interval at a confidence level."""
        return rise(self.noise, level, self.degrees)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval (low, high); an end that the profile never reaches is the bound."""
        threshold = self.minimum + self.rise(level)
        centre = int(np.argmin(self.objective))
        ends = []
        for side in (-1, 1):
            path = np.arange(centre, -1, -1) if side < 0 else np.arange(centre, len(self.values))
            ends.append(self._crossing(path, threshold, side))
        return ends[0], ends[1]

    def _crossing(self, path: NDArray[np.int64], threshold: float, side: int) -> float:
        above = np.flatnonzero(self.objective[path] > threshold)
        if above.size == 0:
            return self.bounds[0] if side < 0 else self.bounds[1]
        outer, inner = path[above[0]], path[above[0] - 1]
        # the square root of the rise is nearly linear in the value
        far, near = (np.sqrt(max(self.objective[i] - self.minimum, 0.0)) for i in (outer, inner))
        share = (np.sqrt(threshold - self.minimum) - near) / max(far - near, 1e-300)
        return float(self.values[inner] + share * (self.values[outer] - self.values[inner]))


def student(level: float, degrees: float) -> float:
    """Two-sided Student quantile at `level`, between 0 and 1; infinite without degrees."""
    return float(stdtrit(degrees, 0.5 + 0.5 * level)) if degrees > 0 else float("inf")


def rise(noise: float, level: float, degrees: float) -> float:
    """Rise of the objective at the ends of an interval; infinite without degrees of freedom.

    Args:
        noise: noise scale tau of the fit.
        level: confidence level.
        degrees: degrees of freedom of the noise scale.
    """
    return 0.5 * noise * student(level, degrees) ** 2 if degrees > 0 else float("inf")


def profile_parameter(problem: Problem, best: Array, name: str, level: float = 0.95) -> Profile:
    """Profile likelihood of a printed parameter.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        name: the parameter.
        level: confidence level around whose interval ends the profile is dense.
    """
    index = problem.law.parameters.index(name)
    held = problem.holding(name)
    place = held.model.internal(problem.model.printed(best[:, None]))[:, 0]
    spread = known_covariance(held, place, robust=False)
    low, high = float(held.low[index]), float(held.high[index])
    unit = float(np.sqrt(max(spread[index, index], 0.0)))
    # At a bound the quadratic approximation is of no use in the other direction.
    if not np.isfinite(unit) or unit < 1e-9 * max(abs(place[index]), 1e-9):
        unit = max(0.01 * abs(place[index]), 1e-4 * _typical(held, index))
    slope = spread[:, index] / spread[index, index] if spread[index, index] > 0 else None

    def solve(values: Array, starts: Array | None) -> tuple[Array, Array]:
        lower, upper = held.box(len(values))
        lower[index] = upper[index] = values
        # starts that solve a neighbouring point need no detour over softer losses
        sharpening = (8.0, 2.5, 1.0) if starts is None else (1.0,)
        if starts is None:
            starts = np.repeat(place[:, None], len(values), axis=1)
            if slope is not None:
                starts = starts + np.outer(slope, values - place[index])
        starts = np.clip(starts, held.low[:, None], held.high[:, None])
        starts[index] = values
        found = held.refine(starts, bounds=(lower, upper), sharpening=sharpening)
        return found.value, found.coordinates

    values, objective, found = _trace(solve, place, index, unit, (low, high), problem, best, level)
    logged = (
        index >= len(problem.law.linear)
        and problem.law.nonlinear[index - len(problem.law.linear)].log
    )
    printed = np.exp if logged else np.asarray
    end = problem.law.limits[index]
    upper_end = np.inf if index >= len(problem.law.linear) and logged else end.high
    return Profile(
        name=name,
        values=printed(values),
        objective=objective,
        parameters=held.model.printed(found),
        minimum=float(objective.min()),
        noise=noise_scale(problem, best),
        degrees=problem.degrees,
        bounds=(0.0 if logged else end.low, upper_end),
    )


def _typical(problem: Problem, index: int) -> float:
    """Value of a linear coefficient if its term alone were the loss."""
    if index >= len(problem.law.linear):
        return 1.0
    theta = problem.model.internal(np.ones((len(problem.low), 1)))[len(problem.law.linear) :]
    basis = problem.model.basis(np.clip(theta, -1e3, 1e3), slice(None))[index]
    return float(np.median(np.abs(problem.table.y)) / max(float(np.abs(basis).mean()), 1e-300))


Solver = Callable[[Array, "Array | None"], tuple[Array, Array]]


def _trace(
    solve: Solver,
    place: Array,
    index: int,
    unit: float,
    bounds: tuple[float, float],
    problem: Problem,
    best: Array,
    level: float,
) -> tuple[Array, Array, Array]:
    """Values (k,), best objectives (k,) and coordinates (p, k), dense at the interval's ends."""
    centre = place[index]
    offsets = np.concatenate([-STRIDES[::-1], [0.0], STRIDES]) * unit
    values = np.unique(np.clip(centre + offsets, *bounds))
    values = values[np.isfinite(values)]
    objective, found = solve(values, None)
    objective, found = _sweep(solve, values, objective, found)
    highest = rise(noise_scale(problem, best), level, problem.degrees)
    for _ in range(REFINEMENTS):
        inner = _brackets(values, objective, objective.min() + highest)
        if inner.size == 0:
            break
        right = np.searchsorted(values, inner)
        share = (inner - values[right - 1]) / (values[right] - values[right - 1])
        starts = found[:, right - 1] * (1 - share) + found[:, right] * share
        extra, coordinates = solve(inner, starts)
        order = np.argsort(np.concatenate([values, inner]))
        values = np.concatenate([values, inner])[order]
        objective = np.concatenate([objective, extra])[order]
        found = np.concatenate([found, coordinates], axis=1)[:, order]
    return values, objective, found


def _sweep(solve: Solver, values: Array, objective: Array, found: Array) -> tuple[Array, Array]:
    """Restart every point from its neighbours' solutions and keep the better result."""
    for shift in (1, -1):
        other, coordinates = solve(values, np.roll(found, shift, axis=1))
        better = other < objective
        objective = np.where(better, other, objective)
        found = np.where(better, coordinates, found)
    return objective, found


def _brackets(values: Array, objective: Array, threshold: float) -> Array:
    """Points inside the two intervals in which the profile crosses the threshold."""
    inside = np.flatnonzero(objective <= threshold)
    if inside.size == 0:
        return np.empty(0)
    points = []
    for edge, outer in ((inside[0], inside[0] - 1), (inside[-1], inside[-1] + 1)):
        if 0 <= outer < len(values):
            points.append(values[edge] + INSIDE * (values[outer] - values[edge]))
    return np.unique(np.concatenate(points)) if points else np.empty(0)


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
