"""How many times as many real tokens give the loss of a model: real arms read as a ruler."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

N_GRID = 401
"""Multipliers at which the interval is tested, over the range that real arms measured."""


@dataclass(frozen=True, kw_only=True)
class Multiplier:
    """How many times as many real tokens give the loss of an arm.

    Attributes:
        value: the multiplier; infinite if the loss is below that of every real arm on average, 0 if
            it is above.
        low: least multiplier that the draws do not rule out; 0 if it is below those measured.
        high: greatest multiplier; infinite if it is above those measured.
        measured: least and greatest multiplier of real arms.
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


def multiplier_of(runs: pd.DataFrame, arm: str) -> Multiplier:
    """Return the size of a real stock, as a multiple, with the test loss of an arm.

    A multiplier is ruled out if the loss of real text of that size, interpolated in ln size between
    the real arms of each draw, differs from the loss of the arm beyond Student's 95 % interval over
    draws. No law is assumed, and nothing is extrapolated: an interval may be open.

    Args:
        runs: rows of `Worth.runs`.
        arm: name of the arm.
    """
    of_arm = runs[runs["arm"] == arm].sort_values("draw")["test_loss"].to_numpy(float)
    real = runs[runs["share"] == 0].pivot_table(
        index="draw", columns="size", values="test_loss", dropna=False
    )
    sizes = real.columns.to_numpy(float)
    measured = float(sizes[0]), float(sizes[-1])
    grid = np.linspace(math.log(measured[0]), math.log(measured[1]), N_GRID)
    curves = np.array([np.interp(grid, np.log(sizes), row) for row in real.to_numpy(float)])
    gaps = curves - of_arm[:, None]  # above zero where that much real text is worse than the arm
    if not np.isfinite(gaps).all():
        return Multiplier(value=math.nan, low=0.0, high=math.inf, measured=measured)
    # As `mean_estimate`, at all sizes at once.
    n_draws, means = len(gaps), gaps.mean(axis=0)
    half = stdtrit(n_draws - 1, 0.975) * gaps.std(axis=0, ddof=1) / np.sqrt(n_draws)
    # Real text of the size in question and less is worse, more is better.
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
