"""Confidence intervals from bootstrap draws and from a covariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.problem import Problem
from scaling.laws.laws import Linear, Nonlinear
from scaling.uncertainty.bootstrap import Draws
from scaling.uncertainty.profiles import student

Array = NDArray[np.float64]

METHODS = ("bootstrap", "profile", "sandwich", "model")
FEW = 30
"""Degrees of freedom below which bootstrap quantiles are widened to Student quantiles."""


def effective_degrees(problem: Problem) -> int:
    """Degrees of freedom of a variance: clusters less one, or those of the rows if not positive."""
    degrees = problem.degrees
    if problem.table.groups is not None and degrees > 0:
        return max(int(problem.table.groups.max()), 1)
    return degrees


def from_draws(
    problem: Problem,
    draws: Draws,
    values: Array,
    estimate: float,
    level: float,
    limits: Linear | Nonlinear | None,
) -> tuple[float, float]:
    """Percentile interval (low, high), widened if few degrees of freedom are left.

    Resampling n rows gives a spread too small by sqrt(n / (n - p)), and normal quantiles are
    narrower than Student quantiles; wild draws have already been enlarged for the former.

    Args:
        problem: the fitted problem.
        draws: its bootstrap draws.
        values: the quantity in each draw, shape (n_draws,).
        estimate: the quantity at the optimum.
        level: confidence level.
        limits: the parameter, whose bounds end the interval; None for a prediction.
    """
    degrees = effective_degrees(problem)
    if degrees <= 0:
        return _widest(limits)
    low, high = np.quantile(values, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    if degrees < FEW or problem.inflation > 1.0:
        widen = np.sqrt(problem.inflation) * student(level, degrees) / student(level, 10**9)
        if draws.resample != "wild":
            widen *= np.sqrt((degrees + problem.n_free) / degrees)
        if _scale_like(problem, limits) and low > 0 and estimate > 0:
            low, high = (estimate * (end / estimate) ** widen for end in (low, high))
        else:
            low, high = (estimate + widen * (end - estimate) for end in (low, high))
    if limits is not None:
        low, high = max(low, limits.low), min(high, limits.high)
        if isinstance(limits, Nonlinear) and limits.log and high >= limits.high * (1 - 1e-9):
            high = np.inf
    return float(min(low, estimate)), float(max(high, estimate))


def _widest(limits: Linear | Nonlinear | None) -> tuple[float, float]:
    return (-np.inf, np.inf) if limits is None else (limits.low, limits.high)


def _scale_like(problem: Problem, limits: Linear | Nonlinear | None) -> bool:
    """Whether a parameter is a positive scale, whose intervals are multiplicative."""
    if isinstance(limits, Linear):
        return limits.name != problem.law.asymptote and limits.low == 0.0
    return isinstance(limits, Nonlinear) and limits.log


def from_spread(
    problem: Problem,
    estimate: float,
    variance: float,
    level: float,
    limits: Linear | Nonlinear | None,
) -> tuple[float, float]:
    """Student interval (low, high) from a variance; multiplicative for positive scales.

    Args:
        problem: the fitted problem.
        estimate: the quantity at the optimum.
        variance: its variance; NaN gives the widest interval.
        level: confidence level.
        limits: the parameter, whose bounds end the interval; None for a prediction.
    """
    if np.isnan(variance) or effective_degrees(problem) <= 0:
        return _widest(limits)
    error = float(np.sqrt(max(variance, 0.0)))
    t = student(level, effective_degrees(problem))
    relative = error / estimate if estimate > 0 else np.inf
    if _scale_like(problem, limits) and relative < 5:
        factor = float(np.exp(t * relative))
        return estimate / factor, estimate * factor
    low, high = estimate - t * error, estimate + t * error
    if limits is not None:
        low, high = max(low, limits.low), min(high, limits.high)
    return float(low), float(high)
