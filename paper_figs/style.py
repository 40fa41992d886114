"""One look for every figure: Okabe-Ito colours, always with a second encoding.

`look(name)` says how a recipe is named and drawn, here and in published numbers alike. Colours of
`COLORS` by number are for series that are no recipes: sizes, stocks of text, benchmarks; beside
recipes, `shades` keeps sizes of one recipe in its colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

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
    """How a recipe is drawn.

    Attributes:
        label: its name in legends.
        color: of its lines and points.
        marker: of its points.
    """

    label: str
    color: str
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Colour and marker, as keywords of `plot` and `errorbar`."""
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
    # Of Part 2 of the talk, which needs the same colours again.
    "base": Look("base model", GREY, "D"),
    "raw": Look("source text", BLACK, "v"),
    "paraphrase": Look("paraphrases", VERMILION, "s"),
    "entigraph": Look("EntiGraph", BLUE, "o"),
    "sbp": Look("synthetic documents", BLUE, "o"),
    "unique": Look("unlimited unique data", GREEN, "^"),
}
"""What is compared in figures: recipes, their limits and their controls, by name."""

OTHER_NAMES = {
    "single": "regularized",
    "tuned": "regularized",
    "regularised": "regularized",
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
"""What tables of runs and published tables call the same recipes."""


def look(name: str) -> Look:
    """Return how a recipe is drawn, by any of its names in `LOOKS` and `OTHER_NAMES`."""
    return LOOKS[OTHER_NAMES.get(name, name)]


def shades(color: str, n: int) -> list[str]:
    """Return n shades of a colour as hexadecimal strings, from dark to light."""
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
}


UNCERTIFIED = (
    "Hollow: hyperparameters that are not certified (for example, at an edge of the grid)."
)
"""Sentence in the caption of every figure that uses `mark_uncertified`."""


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

    A limit that the data do not identify appears in the legend only, because a line would look like
    a result.
    """
    if not limit.is_bounded:
        ax.plot([], [], color=color, linestyle=":", label=f"{label}: {limit}")
        return
    bottom, top = ax.get_ylim()
    ax.axhline(limit.value, color=color, linestyle="--", linewidth=1.2, label=f"{label}: {limit}")
    ax.axhspan(limit.low, limit.high, color=color, alpha=0.10, linewidth=0)
    # The data set the scale: a wide interval is cut off rather than flattening the points.
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
    """Draw the points whose hyperparameters are not certified hollow.

    Args:
        ax: where the points have been drawn.
        x, y: all points.
        tuned: the optimum behind each point.
        color, marker: look of the points.
    """
    hollow = [i for i, found in enumerate(tuned) if not found.certified]
    ax.plot(
        [x[i] for i in hollow], [y[i] for i in hollow], linestyle="none", marker=marker,
        markeredgecolor=color, markerfacecolor="white", zorder=4, label="_uncertified",
    )  # fmt: skip
