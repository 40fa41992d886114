"""One look for every figure: Okabe-Ito colours, always with a second encoding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from experiments.analysis.intervals import Estimate
from experiments.tuning.search import Tuned

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

STYLE = {
    "figure.figsize": (6.4, 4.2),
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.markersize": 5,
    "text.usetex": False,
    "svg.fonttype": "none",
}


UNCERTIFIED = "Hollow: hyperparameters that are not certified (on an edge of the grid, say)."
"""What every caption of a figure with tuned points says of `mark_uncertified`."""


def human(count: float) -> str:
    """Write a count of parameters or tokens the way people say it: 100672 -> 101k."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:.3g}"


def log_ticks(ax: Axes, values: Sequence[float], *, axis: str = "x", base: int = 10) -> None:
    """Make an axis logarithmic, with a tick at each value that occurs."""
    set_scale = ax.set_xscale if axis == "x" else ax.set_yscale
    set_scale("log", base=base)
    target = ax.xaxis if axis == "x" else ax.yaxis
    target.set_major_locator(FixedLocator(sorted(set(values))))
    target.set_minor_locator(NullLocator())
    target.set_major_formatter(FuncFormatter(lambda value, _: human(value)))


def spread_x(low: float, high: float, n: int = 200) -> np.ndarray:
    """Return n points between low and high, evenly spaced in the logarithm."""
    return np.geomspace(low, high, n)


def limit_line(ax: Axes, limit: Estimate, *, color: str, label: str) -> None:
    """Draw a limit as a dashed line with its interval as a band.

    One that the data do not identify is only named in the legend: a line would look like a result.
    """
    if not limit.is_bounded:
        ax.plot([], [], color=color, linestyle=":", label=f"{label}: {limit}")
        return
    bottom, top = ax.get_ylim()
    ax.axhline(limit.value, color=color, linestyle="--", linewidth=1.2, label=f"{label}: {limit}")
    ax.axhspan(limit.low, limit.high, color=color, alpha=0.10, linewidth=0)
    # The data set the scale: a wide interval runs off the page rather than flattening them.
    margin = 0.2 * (top - bottom)
    ax.set_ylim(min(bottom, limit.value - margin), max(top, limit.value + margin))


def mark_uncertified(
    ax: Axes,
    x: Sequence[float],
    y: Sequence[float],
    tuned: Sequence[Tuned],
    *,
    color: str,
    marker: str,
) -> None:
    """Make the points hollow whose hyperparameters are not certified; one optimum a point."""
    hollow = [i for i, found in enumerate(tuned) if not found.certified]
    ax.plot(
        [x[i] for i in hollow], [y[i] for i in hollow], linestyle="none", marker=marker,
        markeredgecolor=color, markerfacecolor="white", zorder=4, label="_uncertified",
    )  # fmt: skip
