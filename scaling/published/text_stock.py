"""The stock of public text, what training sets take of it, and the year in which they meet.

The model and its inputs are those of Villalobos et al. 2024 (arXiv 2211.04325, code in
epoch-research/data-stock): the indexed web in tokens, times the share of it that is good enough,
times the gain from repeating it. Each input is a log-normal distribution given by an interval.
Here one draw keeps its inputs over all years, so that the uncertainty of a year is that of a path.
Only the historical branch of the demand is drawn; the branch that follows compute needs a table
that the public code leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

BASE_YEAR = 2024.0
"""The year of the inputs (its 1 January)."""
N_DRAWS = 20_000
LEAST_BYTES_PER_TOKEN = 1.0
"""A token is never shorter than a byte; the printed distribution reaches below zero in one draw of
a thousand."""


@dataclass(frozen=True, kw_only=True)
class LogNormal:
    """A log-normal distribution given by an interval that holds `level` of it."""

    low: float
    high: float
    level: float = 0.95

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Draw n values."""
        low, high = np.log(self.low), np.log(self.high)
        spread = (high - low) / (2.0 * stats.norm.ppf(0.5 + 0.5 * self.level))
        return np.exp(rng.normal(0.5 * (low + high), spread, n))


WEB_PAGES = LogNormal(low=75e9, high=1e12)
BYTES_PER_PAGE = LogNormal(low=6100, high=8200)
BYTES_BELOW_SIX = LogNormal(low=1, high=4)
"""Six less the bytes of a token: so the source states a distribution that is skewed to the left."""
PAGE_SIZE_GROWTH = LogNormal(low=1.02, high=1.04)
PAGE_COUNT_GROWTH = LogNormal(low=1.00, high=1.10)
GOOD_SHARE = LogNormal(low=0.1, high=0.4)
REPETITION_GAIN = LogNormal(low=2, high=5)
LARGEST_TRAINING_SET = LogNormal(low=3e12, high=13e12, level=0.90)
"""Tokens, at the beginning of 2024."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Orders of magnitude a year, with a 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Draw n rates from the normal distribution of that interval."""
        return rng.normal(self.value, (self.high - self.low) / (2.0 * stats.norm.ppf(0.975)), n)


DATA_GROWTH = Growth(value=0.371, low=0.270, high=0.482, n=80)
"""Growth of training sets, as `growth_of` finds it in the language models since 2010 that
epoch-research/data-stock lists (commit 83da8ed; `load_dataset("training_sets")` reads them)."""
COMPUTE_GROWTH = Growth(value=0.604, low=0.448, high=0.742, n=59)
"""Growth of training compute, from the rows of that table that state it."""


@dataclass(frozen=True, kw_only=True)
class StockDraws:
    """Draws of the stock, in tokens at the base year; arrays (n_draws,).

    Attributes:
        raw: the indexed web.
        good: what of it is worth training on.
        effective: that with the gain of repeating it a few times.
        growth: orders of magnitude a year, of all three.
    """

    raw: Array
    good: Array
    effective: Array
    growth: Array

    def quantiles(self, years: Array, *, level: float = 0.95) -> pd.DataFrame:
        """Quantiles of the three stocks by year.

        Returns:
            A row a year and stock: `year`, `stock`, `low`, `median`, `high`, in tokens.
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
    """Draws of the largest training set: tokens at the base year, and growth; (n_draws,)."""

    tokens: Array
    growth: Array

    def quantiles(self, years: Array, *, level: float = 0.95) -> pd.DataFrame:
        """Quantiles of the largest training set by year: `year`, `low`, `median`, `high`."""
        rows = []
        for year in years:
            tokens = self.tokens * 10.0 ** (self.growth * (year - BASE_YEAR))
            ends = np.quantile(tokens, [0.5 - level / 2, 0.5, 0.5 + level / 2])
            rows.append((float(year), *ends))
        return pd.DataFrame(rows, columns=["year", "low", "median", "high"])


def draw_stock(n_draws: int = N_DRAWS, *, seed: int = 0) -> StockDraws:
    """Draw the stock of public text."""
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
    """Draw the largest training set and its growth."""
    rng = np.random.default_rng(seed)
    return DemandDraws(
        tokens=LARGEST_TRAINING_SET.draw(rng, n_draws), growth=growth.draw(rng, n_draws)
    )


def years_of_use(stock: StockDraws, demand: DemandDraws, *, multiplier: float = 1.0) -> Array:
    """The year in which the largest training set equals the effective stock, a draw each.

    Args:
        stock: draws of the stock.
        demand: as many draws of the demand.
        multiplier: how many times more data the recipe makes of the stock.

    Returns:
        Years (n_draws,); infinite where the demand grows no faster than the stock.

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
    """Exponential growth: least squares of log10(size) on the year, rows resampled.

    Args:
        years: (n,), as decimals.
        sizes: (n,), above zero.
        n_draws: bootstrap draws, as many as Villalobos et al. take.
        seed: of the draws.

    Raises:
        ValueError: fewer than three rows, or a size that is not above zero.
    """
    x, y = np.asarray(years, float), np.asarray(sizes, float)
    if len(x) < 3:
        raise ValueError(f"growth needs at least 3 rows; there are {len(x)}")
    if not np.all(y > 0):
        raise ValueError("sizes must be above 0 to grow by a factor a year")
    x, y, n = x - x.mean(), np.log10(y), len(x)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), n_draws) / n
    low, high = np.quantile(_slopes(x, y, weights), [0.025, 0.975])
    value = float(_slopes(x, y, np.full((1, n), 1.0 / n))[0])
    return Growth(value=value, low=float(low), high=float(high), n=n)


def _slopes(x: Array, y: Array, weights: Array) -> Array:
    """Weighted least-squares slopes; weights (k, n) sum to one in each row."""
    x_mean, y_mean = weights @ x, weights @ y
    return (weights @ (x * y) - x_mean * y_mean) / (weights @ x**2 - x_mean**2)
