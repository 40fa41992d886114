"""Scores with their standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A mean over items, with its standard error as an estimate for all items of their kind.

    Attributes:
        value: the mean.
        stderr: its standard error; nan if a single item or cluster leaves it unknown.
        n: items scored.
    """

    value: float
    stderr: float
    n: int

    def scaled(self, factor: float) -> Metric:
        """Return the score multiplied by a factor, for another unit."""
        return Metric(value=factor * self.value, stderr=factor * self.stderr, n=self.n)

    def exponential(self) -> Metric:
        """Return the exponential, to first order in the error: a loss's perplexity."""
        # Beyond the range of floats a perplexity is infinite, not an error.
        value = math.exp(self.value) if self.value < 700 else math.inf
        return Metric(value=value, stderr=value * self.stderr, n=self.n)

    def summary(self) -> str:
        """Return the score with its standard error, as text."""
        return f"{self.value:.4g} ± {self.stderr:.2g} (n = {self.n:,})"


def proportion(hits: ArrayLike) -> Metric:
    """Return the share of hits [n], with its binomial standard error."""
    right = np.asarray(hits, bool)
    p = float(right.mean())
    return Metric(value=p, stderr=math.sqrt(p * (1 - p) / len(right)), n=len(right))


def mean(values: ArrayLike) -> Metric:
    """Return the mean of independent items [n]."""
    x = np.asarray(values, np.float64)
    stderr = float(x.std(ddof=1)) / math.sqrt(len(x)) if len(x) > 1 else math.nan
    return Metric(value=float(x.mean()), stderr=stderr, n=len(x))


def clustered_mean(totals: ArrayLike, sizes: ArrayLike) -> Metric:
    """Return the mean over all items of independent clusters.

    Items of one cluster may be correlated in any way: the linearised variance of a ratio of means
    uses only the clusters.

    Args:
        totals: sum of the items in each cluster [G].
        sizes: number of items, or other divisor of the sum, in each cluster [G].

    Source:
        Cochran 1977, Sampling Techniques, eq. 6.13.
    """
    total, size = np.asarray(totals, np.float64), np.asarray(sizes, np.float64)
    value, n_clusters = total.sum() / size.sum(), len(total)
    stderr = math.nan
    if n_clusters > 1:
        spread = np.square(total - value * size).sum() * n_clusters / (n_clusters - 1)
        stderr = float(np.sqrt(spread) / size.sum())
    return Metric(value=float(value), stderr=stderr, n=int(size.sum()))
