"""How many times as much data give a loss: the losses of known stocks read as a ruler."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

N_GRID = 401
"""Multipliers at which the interval is tested, over the range of the stocks."""


@dataclass(frozen=True, kw_only=True)
class Multiplier:
    """How many times as much data give the same loss.

    Attributes:
        value: the multiplier; infinite if the loss is below that of every stock on average, 0 if it
            is above.
        low: least multiplier that the draws do not rule out; 0 if it is below those measured.
        high: greatest multiplier; infinite if it is above those measured.
        measured: least and greatest multiplier of the stocks.
    """

    value: float
    low: float
    high: float
    measured: tuple[float, float]

    @property
    def is_identified(self) -> bool:
        """Whether some of the multipliers measured are ruled out."""
        return self.low > 0 or self.high < math.inf

    def __str__(self) -> str:
        least, most = self.measured
        if not self.is_identified:
            return "not identified"
        if self.value == 0:
            return f"less than {least:.2g}x [.., {self.high:.2f}]"
        low = f"{self.low:.2f}" if self.low else f"below {least:.2g}"
        high = f"{self.high:.2f}" if self.high < math.inf else f"above {most:.2g}"
        if self.value == math.inf:
            return f"more than {most:.2g}x [{low}, ..]"
        return f"{self.value:.2f}x [{low}, {high}]"


def multiplier_of(losses: np.ndarray, stocks: pd.DataFrame) -> Multiplier:
    """Return the size of a stock, as a multiple, with which a reference reaches given losses.

    A multiplier is ruled out if the loss of the reference on a stock of that size, interpolated in
    ln size between the stocks of each draw, differs from the given loss of that draw beyond
    Student's 95 % interval over draws. No law is assumed, and nothing is extrapolated: an interval
    may be open.

    Args:
        losses: a loss a draw, [n_draws].
        stocks: losses of the reference: a row a draw, a column a multiple of the data, ascending.
    """
    sizes = stocks.columns.to_numpy(float)
    measured = float(sizes[0]), float(sizes[-1])
    grid = np.linspace(math.log(measured[0]), math.log(measured[1]), N_GRID)
    curves = np.array([np.interp(grid, np.log(sizes), row) for row in stocks.to_numpy(float)])
    gaps = curves - losses[:, None]  # above zero where the reference is worse with that much data
    if not np.isfinite(gaps).all():
        return Multiplier(value=math.nan, low=0.0, high=math.inf, measured=measured)
    # As `mean_estimate`, at all sizes at once.
    n_draws, means = len(gaps), gaps.mean(axis=0)
    half = stdtrit(n_draws - 1, 0.975) * gaps.std(axis=0, ddof=1) / np.sqrt(n_draws)
    # The reference with the data in question and less is worse, with more better.
    worse, better = means - half > 0, means + half < 0
    held = np.flatnonzero(~worse & ~better)
    falls = np.flatnonzero((means[:-1] > 0) & (means[1:] <= 0))
    value = math.inf if means[-1] > 0 else 0.0
    if len(falls):
        at = int(falls[-1])
        step = means[at] / (means[at] - means[at + 1])
        value = float(np.exp(grid[at] + step * (grid[at + 1] - grid[at])))
        held = held if len(held) else np.array([at, at + 1])
    if not len(held):
        low, high = (measured[1], math.inf) if value else (0.0, measured[0])
        return Multiplier(value=value, low=low, high=high, measured=measured)
    # The ends lie within a step of the grid beyond what is held.
    first, last = max(int(held[0]) - 1, 0), min(int(held[-1]) + 1, N_GRID - 1)
    return Multiplier(
        value=value,
        low=float(np.exp(grid[first])) if worse[0] else 0.0,
        high=float(np.exp(grid[last])) if better[-1] else math.inf,
        measured=measured,
    )
