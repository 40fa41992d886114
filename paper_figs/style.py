"""The style of all figures: Okabe-Ito colors, always with a second encoding.

`look(name)` gives the label, color and marker of a recipe, for our results and published ones
alike. Use `COLORS` by index for other series, such as sizes, stocks of text or benchmarks, and
`shades` for several sizes of one recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike

from experiments.analysis.intervals import Estimate
from experiments.display.quantities import human
from experiments.tuning.search import Tuned

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
GREY = "#777777"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Look:
    """The appearance of a recipe.

    Attributes:
        label: name in legends.
        color: color of lines and points.
        marker: marker of points.
    """

    label: str
    color: str
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Color and marker, as keyword arguments of `plot` and `errorbar`."""
        return {"color": self.color, "marker": self.marker}


LOOKS = {
    "standard": Look("standard recipe", VERMILION, "s"),
    "regularized": Look("regularized model", BLUE, "o"),
    "ensemble": Look("ensemble", PURPLE, "D"),
    "heuristic": Look("members' heuristic", SKY, "P"),
    "ensemble limit": Look("infinitely many members", ORANGE, "v"),
    "joint limit": Look("joint limit", GREEN, "^"),
    "distilled": Look("distilled student", SKY, "X"),
    "self-distilled": Look("self-distilled student", ORANGE, "P"),
    "classical": Look("n-gram model", BLACK, "X"),
    "Bayes-optimal": Look("Bayes-optimal", GREEN, "X"),
    # Part 2 of the talk, which reuses the colors.
    "base": Look("base model", GREY, "D"),
    "raw": Look("source text", BLACK, "v"),
    "paraphrase": Look("paraphrases", VERMILION, "s"),
    "entigraph": Look("EntiGraph", BLUE, "o"),
    "sbp": Look("synthetic documents", BLUE, "o"),
    "unique": Look("unlimited unique data", GREEN, "^"),
}
"""Recipes, their limits and their controls, by name."""

OTHER_NAMES = {
    "single": "regularized",
    "tuned": "regularized",
    "member": "ensemble",
    "ensembles": "ensemble",
    "joint": "joint limit",
    "8-ensemble distill student": "distilled",
    "self-distill student": "self-distilled",
    "single-model-optimal": "regularized",
    "paraphrases": "paraphrase",
    "EntiGraph": "entigraph",
    "rephrase_cpt": "paraphrase",
    "entigraph_cpt": "entigraph",
    "SBP": "sbp",
}
"""Other names of the same recipes, in tables of runs and in published tables."""


def look(name: str) -> Look:
    """Return the appearance of a recipe, by any of its names in `LOOKS` and `OTHER_NAMES`."""
    return LOOKS[OTHER_NAMES.get(name, name)]


def shades(color: str, n: int) -> list[str]:
    """Return n shades of a color as hexadecimal strings, from dark to light."""
    from matplotlib.colors import to_hex, to_rgb

    rgb = np.array(to_rgb(color))
    dark, light = 0.45 * rgb, 0.35 * rgb + 0.65
    return [to_hex(dark + (light - dark) * share) for share in np.linspace(0.15, 0.85, n)]


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
    "svg.hashsalt": "datawall",  # without it, ids in a file are random
    "pdf.fonttype": 42,  # TrueType, which publishers ask for and text search needs
}


UNCERTIFIED = (
    "Hollow: hyperparameters that are not certified (for example, at an edge of the grid)."
)
"""Sentence in the caption of every figure that uses `mark_uncertified`."""


def log_ticks(ax: Axes, values: Sequence[float], *, axis: str = "x", base: int = 10) -> None:
    """Make an axis logarithmic, with a tick at each value.

    Args:
        ax: axes to change.
        values: positions of the ticks.
        axis: "x" or "y".
        base: base of the logarithm.
    """
    set_scale = ax.set_xscale if axis == "x" else ax.set_yscale
    set_scale("log", base=base)
    target = ax.xaxis if axis == "x" else ax.yaxis
    target.set_major_locator(FixedLocator(sorted(set(values))))
    target.set_minor_locator(NullLocator())
    target.set_major_formatter(FuncFormatter(lambda value, _: human(value)))


def log_counts(ax: Axes) -> None:
    """Make the x axis logarithmic, with tick labels such as 300M."""
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human(value)))


def error_bars(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """Return the lengths of error bars, shape [2, n_points]; infinite ends have none.

    Args:
        value: one or several values.
        low: lower end of the interval of each.
        high: upper end of the interval of each.
    """
    ends = np.array(
        [np.atleast_1d(np.subtract(value, low)), np.atleast_1d(np.subtract(high, value))]
    )
    return np.where(np.isfinite(ends), np.abs(ends), 0.0)


def spread_x(low: float, high: float, n: int = 200) -> np.ndarray:
    """Return points that are evenly spaced in the logarithm.

    Args:
        low: first point.
        high: last point.
        n: number of points.

    Returns:
        Points, shape (n,).
    """
    return np.geomspace(low, high, n)


def limit_line(ax: Axes, limit: Estimate, *, color: str, label: str) -> None:
    """Draw a limit as a dashed line with its interval as a band.

    A limit that is not identified appears only in the legend and without a number, because a
    line would look like a result.

    Args:
        ax: axes with the data already drawn.
        limit: the limit with its interval.
        color: color of line and band.
        label: name of the limit in the legend.
    """
    if not limit.is_bounded:
        ax.plot([], [], color=color, linestyle=":", label=f"{label}: {limit}")
        return
    bottom, top = ax.get_ylim()
    ax.axhline(limit.value, color=color, linestyle="--", linewidth=1.2, label=f"{label}: {limit}")
    ax.axhspan(limit.low, limit.high, color=color, alpha=0.10, linewidth=0)
    # The data set the scale; a wide interval is clipped.
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
    """Redraw the points whose hyperparameters are not certified as hollow ones.

    Args:
        ax: axes with all points already drawn.
        x: x coordinates of all points.
        y: y coordinates of all points.
        tuned: optimum behind each point.
        color: color of the points.
        marker: marker of the points.
    """
    hollow = [i for i, found in enumerate(tuned) if not found.certified]
    explained = "hollow: not certified"
    if hollow and explained not in (line.get_label() for line in ax.lines):
        ax.plot(
            [], [], linestyle="none", marker="o", markeredgecolor=GREY, markerfacecolor="white",
            label=explained,
        )  # fmt: skip
    ax.plot(
        [x[i] for i in hollow], [y[i] for i in hollow], linestyle="none", marker=marker,
        markeredgecolor=color, markerfacecolor="white", zorder=4, label="_uncertified",
    )  # fmt: skip
