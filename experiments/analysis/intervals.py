"""Intervals for small samples: a few seeds, a few ensemble members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: the estimate.
        low, high: ends of the interval; infinite if the data do not identify the value.
        n: number of independent samples.
        if_law_holds: ends of the narrower interval of a limit that trusts the fitted law.
    """

    value: float
    low: float
    high: float
    n: int
    if_law_holds: tuple[float, float] | None = None

    @property
    def is_positive(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0

    @property
    def is_negative(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.high < 0

    @property
    def is_bounded(self) -> bool:
        """Whether both ends of the interval are finite."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def __str__(self) -> str:
        if not self.is_bounded:
            return "not identified"  # a number would look like a result
        shown = f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"
        if self.if_law_holds is None:
            return shown
        low, high = self.if_law_holds
        return f"{shown} (if the law holds [{low:.3f}, {high:.3f}])"


def unbounded(estimate: Estimate) -> Estimate:
    """Return an estimate that the data do not identify: the same value without finite ends."""
    return replace(estimate, low=-np.inf, high=np.inf)


def rounded(value: float, digits: int) -> str:
    """Return a number with so many significant digits, without an exponent below a million.

    For example, three digits give 2028 for a year, not 2.03e+03.
    """
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e6 else text


def mean_estimate(samples: Sequence[float] | np.ndarray, *, level: float = 0.95) -> Estimate:
    """Return a mean with Student's t interval; it is unbounded with fewer than two samples."""
    samples = np.asarray(samples, float)
    mean, n = float(samples.mean()), len(samples)
    if n < 2:
        return Estimate(value=mean, low=-np.inf, high=np.inf, n=n)
    half = stdtrit(n - 1, (1 + level) / 2) * samples.std(ddof=1) / np.sqrt(n)
    return Estimate(value=mean, low=mean - half, high=mean + half, n=n)


def difference(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    *,
    level: float = 0.95,
) -> Estimate:
    """Return mean(first) - mean(second) with Welch's t interval.

    Args:
        first: samples of one group.
        second: independent samples of another group.
        level: confidence level.
    """
    return contrast([first, second], [1, -1], level=level)


def contrast(
    groups: Sequence[Sequence[float] | np.ndarray],
    coefficients: Sequence[float],
    *,
    level: float = 0.95,
) -> Estimate:
    """Return a linear combination of the means of groups with its interval.

    The interval uses Student's t with the degrees of freedom of Welch and Satterthwaite; it is
    unbounded if a group has fewer than two samples.

    Args:
        groups: independent samples of each group.
        coefficients: factor of the mean of each group.
        level: confidence level.
    """
    samples = [np.asarray(group, float) for group in groups]
    sizes = np.array([len(group) for group in samples])
    weights = np.asarray(coefficients, float)
    value, n = float(weights @ [group.mean() for group in samples]), int(sizes.min())
    if n < 2:
        return Estimate(value=value, low=-np.inf, high=np.inf, n=n)
    variances = weights**2 * [group.var(ddof=1) for group in samples] / sizes
    spread = float((variances**2 / (sizes - 1)).sum())
    df = float(variances.sum()) ** 2 / spread if spread > 0 else n - 1
    half = float(stdtrit(df, (1 + level) / 2) * np.sqrt(variances.sum()))
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def gap(first: Estimate, second: Estimate) -> Estimate:
    """Return first - second; half-widths are added in quadrature, as for independent errors."""
    value = first.value - second.value
    return Estimate(
        value=value,
        low=value - float(np.hypot(first.value - first.low, second.high - second.value)),
        high=value + float(np.hypot(first.high - first.value, second.value - second.low)),
        n=min(first.n, second.n),
    )


def share_of(
    before: Sequence[float] | np.ndarray,
    after: Sequence[float] | np.ndarray,
    target: float,
    *,
    level: float = 0.95,
) -> Estimate:
    """Return the share of the distance from mean(before) to a target that mean(after) covers.

    The share is (before - after) / (before - target), with the variance of the delta method and
    the degrees of freedom of the smaller sample. The interval is unbounded if mean(before) is not
    significantly above the target, or with fewer than two samples.

    Args:
        before: samples of one group.
        after: independent samples of another group.
        target: a known value.
        level: confidence level.
    """
    a, b = np.asarray(before, float), np.asarray(after, float)
    way, n = float(a.mean() - target), min(len(a), len(b))
    value = float((a.mean() - b.mean()) / way) if way else float("nan")
    if n < 2 or not mean_estimate(a - target, level=level).is_positive:
        return Estimate(value=value, low=-np.inf, high=np.inf, n=n)
    by_after = b.var(ddof=1) / len(b)
    by_before = (1 - value) ** 2 * a.var(ddof=1) / len(a)
    half = stdtrit(n - 1, (1 + level) / 2) * np.sqrt(by_after + by_before) / way
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def jackknife(
    value: float, replicates: Sequence[Sequence[float]], *, level: float = 0.95
) -> Estimate:
    """Return a statistic of several independent groups with its delete-one jackknife interval.

    The variance is the sum over groups of (n - 1) / n times the sum of squared deviations, and
    Student's t has the degrees of freedom of the smallest group.

    Args:
        value: the statistic with every member of every group.
        replicates: for each group, the statistic with one of its members left out at a time.
        level: confidence level.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 11.
    """
    groups = [np.asarray(group, float) for group in replicates]
    n = min(len(group) for group in groups)
    if n < 2:
        return Estimate(value=value, low=-np.inf, high=np.inf, n=n)
    variance = sum(
        (len(group) - 1) / len(group) * np.sum((group - group.mean()) ** 2) for group in groups
    )
    half = stdtrit(n - 1, (1 + level) / 2) * np.sqrt(variance)
    return Estimate(value=value, low=value - half, high=value + half, n=n)
