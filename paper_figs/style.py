"""The style of all figures: Okabe-Ito colors, always with a second encoding.

`look(name)` gives the label, color and marker of a recipe, for our results and published ones
alike. Use `COLORS` by index for other series, such as sizes, stocks of text or benchmarks, and
`shades` for several sizes of one recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, Formatter, FuncFormatter, NullLocator
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
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": "small",
    "lines.markersize": 5,
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "datawall",  # without it, ids in a file are random
    "pdf.fonttype": 42,  # TrueType, which publishers ask for and text search needs
}


UNCERTIFIED = (
    "Hollow: hyperparameters that are not certified (at an edge of the grid, or with neighbours on "
    "it that were not trained)."
)
"""Sentence in the caption of every figure that uses `mark_uncertified`."""


class SpacedCounts(Formatter):
    """Tick labels such as 300M; of labels that would overlap, those of larger values are kept."""

    def __init__(self, names: Mapping[float, str] | None = None) -> None:
        self.names = names or {}

    def __call__(self, value: float, position: int | None = None) -> str:
        """Return the label of one tick."""
        return self.names.get(value) or human(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Return a label for each tick, empty where it would overlap the next one kept."""
        labels = [self(value) for value in values]
        points, vertical = self._points(values)
        size = float(self.axis._get_tick_label_size(self.axis.axis_name))  # type: ignore[union-attr]
        end = np.inf
        for i in np.argsort(points)[::-1]:
            half = 0.6 * size if vertical else 0.33 * size * (len(labels[i]) + 1)
            if points[i] + half > end:
                labels[i] = ""
            else:
                end = points[i] - half
        return labels

    def _points(self, values: Sequence[float]) -> tuple[np.ndarray, bool]:
        """Return the positions of values along the axis in points, and whether it is vertical."""
        axes, vertical = self.axis.axes, self.axis.axis_name == "y"  # type: ignore[union-attr]
        other = np.full(len(values), (axes.get_xlim() if vertical else axes.get_ylim())[0])
        along = np.asarray(values, float)
        at = (other, along) if vertical else (along, other)
        pixels = axes.transData.transform(np.column_stack(at))[:, int(vertical)]
        return 72 * pixels / axes.figure.dpi, vertical


def log_ticks(
    ax: Axes,
    values: Sequence[float],
    *,
    axis: Literal["x", "y"] = "x",
    base: int = 10,
    names: Mapping[float, str] | None = None,
) -> None:
    """Make an axis logarithmic, with a tick at each value.

    Args:
        ax: axes to change.
        values: positions of the ticks.
        axis: "x" or "y".
        base: base of the logarithm.
        names: labels of some of them; by default such as 300M.
    """
    set_scale = ax.set_xscale if axis == "x" else ax.set_yscale
    set_scale("log", base=base)
    target = ax.xaxis if axis == "x" else ax.yaxis
    target.set_major_locator(FixedLocator(sorted(set(values))))
    target.set_minor_locator(NullLocator())
    target.set_major_formatter(SpacedCounts(names))


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


def limit_line(ax: Axes, limit: Estimate, *, color: str, label: str) -> dict[str, float]:
    """Draw a limit as a dashed line with its interval as a band.

    A limit that is not identified appears only in the legend and without a number, because a
    line would look like a result.

    Args:
        ax: axes with the data already drawn.
        limit: the limit with its interval.
        color: color of line and band.
        label: name of the limit in the legend.

    Returns:
        What is drawn, with the keys `test_loss`, `low` and `high`; NaN if it is not identified.
    """
    if not limit.is_bounded:
        ax.plot([], [], color=color, linestyle=":", label=f"{label}: {limit}")
        return dict.fromkeys(("test_loss", "low", "high"), np.nan)
    label = f"{label}: {limit}".replace(" (", "\n(")
    bottom, top = ax.get_ylim()
    ax.axhline(limit.value, color=color, linestyle="--", linewidth=1.2, label=label)
    ax.axhspan(limit.low, limit.high, color=color, alpha=0.10, linewidth=0)
    # The data set the scale; a wide interval is clipped.
    margin = 0.2 * (top - bottom)
    ax.set_ylim(min(bottom, limit.value - margin), max(top, limit.value + margin))
    return {"test_loss": limit.value, "low": limit.low, "high": limit.high}


def legend_beside(ax: Axes, **options: Any) -> None:
    """Put the legend to the right of the axes, where it covers nothing."""
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0, **options)


def dodged(place: ArrayLike, i: int, n: int, *, step: float = 0.08, base: float = 2) -> np.ndarray:
    """Return positions on a logarithmic axis moved aside, so that n error bars do not overlap.

    Args:
        place: positions.
        i: index of the series.
        n: number of series.
        step: distance between neighbours, in factors of `base`.
        base: see `step`.

    Returns:
        Array [n_points].
    """
    moved: np.ndarray = np.asarray(place, float) * base ** (step * (i - (n - 1) / 2))
    return moved


def print_below(ax: Axes, x: float, text: str, color: str) -> None:
    """Print the settings of a size at the bottom of the axes, where no curve runs.

    Args:
        ax: axes, whose limits leave room below the curves.
        x: the size.
        text: settings, one a line.
        color: of the text.
    """
    ax.annotate(
        text, (x, 0.01), xycoords=ax.get_xaxis_transform(), ha="center", va="bottom",
        fontsize="small", color=color,
    )  # fmt: skip


def mark_uncertified(
    ax: Axes,
    x: Sequence[float],
    y: Sequence[float],
    tuned: Sequence[Tuned],
    *,
    color: str,
    marker: str,
    explained: str = "hollow: not certified",
) -> None:
    """Redraw the points whose hyperparameters are not certified as hollow ones.

    Args:
        ax: axes with all points already drawn.
        x: x coordinates of all points.
        y: y coordinates of all points.
        tuned: optimum behind each point.
        color: color of the points.
        marker: marker of the points.
        explained: entry of the legend.
    """
    hollow = [i for i, found in enumerate(tuned) if not found.certified]
    if hollow and explained not in (line.get_label() for line in ax.lines):
        ax.plot(
            [], [], linestyle="none", marker="o", markeredgecolor=GREY, markerfacecolor="white",
            label=explained,
        )  # fmt: skip
    ax.plot(
        [x[i] for i in hollow], [y[i] for i in hollow], linestyle="none", marker=marker,
        markeredgecolor=color, markerfacecolor="white", zorder=4, label="_uncertified",
    )  # fmt: skip
