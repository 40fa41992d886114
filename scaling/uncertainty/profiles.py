"""Profile likelihood intervals of parameters.

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

from scaling.fitting.problem import Problem
from scaling.laws.laws import Law
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


def check_level(level: float) -> None:
    """Raise a ValueError if a confidence level is not between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"`level` must lie between 0 and 1; not {level!r}")


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
    printed = np.exp if _logged(problem.law, index) else np.asarray
    return Profile(
        name=name,
        values=printed(values),
        objective=objective,
        parameters=held.model.printed(found),
        minimum=float(objective.min()),
        noise=noise_scale(problem, best),
        degrees=problem.degrees,
        bounds=bounds_of(problem.law, index),
    )


def _logged(law: Law, index: int) -> bool:
    """Whether the internal coordinate of a parameter is its logarithm."""
    return index >= len(law.linear) and law.nonlinear[index - len(law.linear)].log


def bounds_of(law: Law, index: int) -> tuple[float, float]:
    """Ends of an interval of a parameter that the data do not bound."""
    end = law.limits[index]
    return (0.0, np.inf) if _logged(law, index) else (end.low, end.high)


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
    if not problem.model.many_linear:  # there, each start finds the one minimum
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
