"""Intervals from bootstrap draws and from a covariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.problem import Problem
from scaling.laws.laws import Linear, Nonlinear
from scaling.uncertainty.bootstrap import Draws
from scaling.uncertainty.profiles import student

Array = NDArray[np.float64]

METHODS = ("bootstrap", "profile", "sandwich")
FEW = 30
"""Degrees of freedom below which bootstrap quantiles are widened to Student's."""


def effective_degrees(problem: Problem) -> int:
    """Clusters less one, or rows less parameters: the freedom that a variance rests on."""
    if problem.table.groups is not None:
        return max(int(problem.table.groups.max()), 1)
    return max(problem.table.n_rows - problem.n_free, 1)


def from_draws(
    problem: Problem,
    draws: Draws,
    values: Array,
    estimate: float,
    level: float,
    limits: Linear | Nonlinear | None,
) -> tuple[float, float]:
    """Percentile interval, widened around the estimate when few degrees of freedom are left.

    Resampling n rows under-disperses by sqrt(n / (n - p)), and normal quantiles by Student's;
    wild draws have already been enlarged for the first.
    """
    low, high = np.quantile(values, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    degrees = effective_degrees(problem)
    if degrees < FEW:
        widen = student(level, degrees) / student(level, 10**9)
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
    """Student interval from a variance; multiplicative for positive coefficients and scales."""
    if np.isnan(variance):
        return (-np.inf, np.inf) if limits is None else (limits.low, limits.high)
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
