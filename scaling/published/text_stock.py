"""The stock of public text, the largest training sets, and the year in which they are equal.

The model and its inputs are those of Villalobos et al. 2024 (arXiv 2211.04325, code in
epoch-research/data-stock): the indexed web in tokens, times the share of sufficient quality, times
the gain from repetition. Each input is a log-normal distribution given by an interval. Here a draw
keeps its inputs over all years, so that each draw is a path over time. Only the historical branch
of the demand is drawn; the branch that follows compute needs a table that is missing in the public
code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]

BASE_YEAR = 2024.0
"""The year of the inputs (its 1 January)."""
N_DRAWS = 20_000
LEAST_BYTES_PER_TOKEN = 1.0
"""A token has at least one byte; the published distribution is below zero in one of 1,000 draws."""


@dataclass(frozen=True, kw_only=True)
class LogNormal:
    """A log-normal distribution, given by the central interval with probability `level`."""

    low: float
    high: float
    level: float = 0.95

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Random values, shape (n,)."""
        low, high = np.log(self.low), np.log(self.high)
        spread = (high - low) / (2.0 * ndtri(0.5 + 0.5 * self.level))
        return np.exp(rng.normal(0.5 * (low + high), spread, n))


WEB_PAGES = LogNormal(low=75e9, high=1e12)
BYTES_PER_PAGE = LogNormal(low=6100, high=8200)
BYTES_BELOW_SIX = LogNormal(low=1, high=4)
"""Six minus the bytes per token; the source uses it for a distribution skewed to the left."""
PAGE_SIZE_GROWTH = LogNormal(low=1.02, high=1.04)
PAGE_COUNT_GROWTH = LogNormal(low=1.00, high=1.10)
GOOD_SHARE = LogNormal(low=0.1, high=0.4)
REPETITION_GAIN = LogNormal(low=2, high=5)
LARGEST_TRAINING_SET = LogNormal(low=3e12, high=13e12, level=0.90)
"""Tokens at the beginning of 2024."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Exponential growth in orders of magnitude per year, with a 95 % interval and its rows."""

    value: float
    low: float
    high: float
    n: int

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Random rates from the normal distribution with that interval, shape (n,)."""
        return rng.normal(self.value, (self.high - self.low) / (2.0 * ndtri(0.975)), n)


DATA_GROWTH = Growth(value=0.371, low=0.270, high=0.482, n=80)
"""Growth of training sets: `growth_of` the language models since 2010 in epoch-research/data-stock
(commit 83da8ed; `load_dataset("training_sets")`)."""
COMPUTE_GROWTH = Growth(value=0.604, low=0.448, high=0.742, n=59)
"""Growth of training compute, from the rows of the same table that state it."""


@dataclass(frozen=True, kw_only=True)
class StockDraws:
    """Draws of the stock of text, arrays of shape (n_draws,).

    Attributes:
        raw: tokens of the indexed web in the base year.
        good: tokens of sufficient quality for training.
        effective: the same including the gain from a few repetitions.
        growth: orders of magnitude per year, of all three.
    """

    raw: Array
    good: Array
    effective: Array
    growth: Array

    def quantiles(self, years: Array, *, level: float = 0.95) -> pd.DataFrame:
        """Quantiles of the three stocks by year.

        Args:
            years: years as decimals, shape (n_years,).
            level: probability of the central interval.

        Returns:
            A row per stock and year, columns year, stock, low, median and high, in tokens.
        """
        rows = []
        for name in ("raw", "good", "effective"):
            for year in years:
                tokens = getattr(self, name) * 10.0 ** (self.growth * (year - BASE_YEAR))
                low, median, high = np.quantile(tokens, [0.5 - level / 2, 0.5, 0.5 + level / 2])
                rows.append((float(year), name, low, median, high))
        return pd.DataFrame(rows, columns=["year", "stock", "low", "median", "high"])


@dataclass(frozen=True, kw_only=True)
class DemandDraws:
    """Draws of the largest training set: tokens in the base year and growth, each (n_draws,)."""

    tokens: Array
    growth: Array

    def quantiles(self, years: Array, *, level: float = 0.95) -> pd.DataFrame:
        """Quantiles of the largest training set by year.

        Args:
            years: years as decimals, shape (n_years,).
            level: probability of the central interval.

        Returns:
            A row per year, columns year, low, median and high, in tokens.
        """
        rows = []
        for year in years:
            tokens = self.tokens * 10.0 ** (self.growth * (year - BASE_YEAR))
            ends = np.quantile(tokens, [0.5 - level / 2, 0.5, 0.5 + level / 2])
            rows.append((float(year), *ends))
        return pd.DataFrame(rows, columns=["year", "low", "median", "high"])


def draw_stock(n_draws: int = N_DRAWS, *, seed: int = 0) -> StockDraws:
    """Draws of the stock of public text.

    Source:
        Villalobos et al. 2024, arXiv 2211.04325.
    """
    rng = np.random.default_rng(seed)
    bytes_per_token = np.maximum(6.0 - BYTES_BELOW_SIX.draw(rng, n_draws), LEAST_BYTES_PER_TOKEN)
    raw = WEB_PAGES.draw(rng, n_draws) * BYTES_PER_PAGE.draw(rng, n_draws) / bytes_per_token
    good = raw * GOOD_SHARE.draw(rng, n_draws)
    growth = PAGE_SIZE_GROWTH.draw(rng, n_draws) * PAGE_COUNT_GROWTH.draw(rng, n_draws)
    return StockDraws(
        raw=raw,
        good=good,
        effective=good * REPETITION_GAIN.draw(rng, n_draws),
        growth=np.log10(growth),
    )


def draw_demand(
    growth: Growth = DATA_GROWTH, n_draws: int = N_DRAWS, *, seed: int = 1
) -> DemandDraws:
    """Draws of the largest training set and its growth.

    Args:
        growth: growth of the largest training set.
        n_draws: number of draws.
        seed: random seed.

    Source:
        Villalobos et al. 2024, arXiv 2211.04325, historical trend.
    """
    rng = np.random.default_rng(seed)
    return DemandDraws(
        tokens=LARGEST_TRAINING_SET.draw(rng, n_draws), growth=growth.draw(rng, n_draws)
    )


def years_of_use(stock: StockDraws, demand: DemandDraws, *, multiplier: float = 1.0) -> Array:
    """Year in which the largest training set equals the effective stock, in each draw.

    Args:
        stock: draws of the stock.
        demand: the same number of draws of the demand.
        multiplier: data efficiency of the recipe: factor by which the stock counts.

    Returns:
        Years as decimals, shape (n_draws,); infinite where the demand grows no faster than the
        stock.

    Raises:
        ValueError: the multiplier is not above zero.
    """
    if not multiplier > 0:
        raise ValueError(f"`multiplier` must be above 0; not {multiplier!r}")
    distance = np.log10(stock.effective * multiplier / demand.tokens)
    gaining = demand.growth - stock.growth
    with np.errstate(divide="ignore"):
        return np.where(gaining > 0, BASE_YEAR + distance / np.maximum(gaining, 1e-12), np.inf)


def growth_of(years: Array, sizes: Array, *, n_draws: int = 10_000, seed: int = 0) -> Growth:
    """Exponential growth by least squares of log10(size) on the year, with a bootstrap interval.

    Args:
        years: years as decimals, shape (n_rows,).
        sizes: positive sizes, shape (n_rows,).
        n_draws: number of bootstrap draws over rows, by default as in Villalobos et al.
        seed: random seed of the draws.

    Raises:
        ValueError: fewer than three rows, or a size that is not above zero.
    """
    x, y = np.asarray(years, float), np.asarray(sizes, float)
    if len(x) < 3:
        raise ValueError(f"growth needs at least 3 rows; there are {len(x)}")
    if not np.all(y > 0):
        raise ValueError("sizes must be above 0: growth is a factor per year")
    x, y, n = x - x.mean(), np.log10(y), len(x)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), n_draws) / n
    low, high = np.quantile(_slopes(x, y, weights), [0.025, 0.975])
    value = float(_slopes(x, y, np.full((1, n), 1.0 / n))[0])
    return Growth(value=value, low=float(low), high=float(high), n=n)


def _slopes(x: Array, y: Array, weights: Array) -> Array:
    """Weighted least-squares slopes (k,) for weights (k, n) whose rows sum to one."""
    x_mean, y_mean = weights @ x, weights @ y
    return (weights @ (x * y) - x_mean * y_mean) / (weights @ x**2 - x_mean**2)
