"""Figure 20: EntiGraph's published accuracy, which does not identify a plateau."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, MARKERS, error_bars, look
from scaling import FitResult, fit_law
from scaling.published.talk import ENTIGRAPH_ACCURACY, ENTIGRAPH_POINTS

NAME = "fig20"
CLAIMS = ("S5",)
NEEDS = ()
TITLE = "Accuracy grows with synthetic tokens; the plateau is not identified"
CAPTION = (
    "Left: published closed-book accuracy on QuALITY after continued pre-training on EntiGraph (36 "
    "points) and on paraphrases (20 points); dotted: the published fit of three exponentials "
    "(arXiv 2409.07431, Section 4 and Appendix F.1). Computed here: non-negative mixtures of "
    "exponentials, fitted by least squares to the EntiGraph points, with a slowest time scale of "
    "at most 1, 3 or 10 times the largest number of tokens; dashed where they extrapolate. Right: "
    "the plateau of each fit with its 95 % profile interval; a plateau whose interval extends to "
    "100 % is not identified."
)

PUBLISHED_PLATEAU = 64.5456
PUBLISHED_TERMS = ((13.8352, 0.9989), (8.4705, 0.8961), (3.932, 0.0546))
"""Accuracy in % at x million tokens: plateau - sum of c r^x (arXiv 2409.07431, Appendix F.1)."""
BASE_ACCURACY = ENTIGRAPH_ACCURACY["base"]
CAPS = (1, 3, 10)
_RATES_PER_CAP = 1e3  # the law's slowest rate is 1e-3 / t0


def draw(story: object = None, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw points, fits and plateaus.

    The frame has columns `panel`, `series`, `x`, `y`, `low`, `high` and `identified`.
    """
    points = pd.concat(rows.assign(series=name) for name, rows in ENTIGRAPH_POINTS.items())
    points = points.rename(columns={"n_million_tokens": "x", "accuracy": "y"})
    entigraph = points[points["series"] == "entigraph"]
    fits = {cap: _fit(entigraph, cap) for cap in CAPS}
    axes = ax, plateaus = panels(ax, 1, 2, wide=1.5, width_ratios=(1.9, 1))
    frames = [_draw_points(ax, points), _draw_fits(ax, entigraph, fits)]
    frames.append(_draw_plateaus(plateaus, fits))
    ax.set(
        xscale="log", ylim=(37, 75), xlabel="synthetic tokens (millions)",
        ylabel="closed-book accuracy (%)",
    )  # fmt: skip
    ax.legend(loc="upper left")
    return axes, pd.concat(frames, ignore_index=True)


draw_published = draw


def _fit(points: pd.DataFrame, cap: float) -> FitResult:
    """Return the fit of 100 - accuracy with time scales up to `cap` times the last x."""
    frame = pd.DataFrame({"time": points["x"], "loss": 100 - points["y"]})
    return fit_law(
        frame, "mixture_of_exponentials", x="time", y="loss", loss="squared",
        fixed={"t0": cap * float(points["x"].max()) / _RATES_PER_CAP},
    )  # fmt: skip


def _plateau(fit: FitResult) -> tuple[float, float, float]:
    """Return the plateau of the accuracy and both ends of its 95 % interval."""
    low, high = fit.interval("E", level=0.95)
    return 100 - fit.params["E"], max(100 - high, 0.0), min(100 - low, 100.0)


def _draw_points(ax: Axes, points: pd.DataFrame) -> pd.DataFrame:
    for series in ENTIGRAPH_POINTS:
        rows, shown = points[points["series"] == series], look(series)
        ax.plot(
            rows["x"], rows["y"], shown.marker, color=shown.color, fillstyle="none",
            label=f"{shown.label}, published",
        )  # fmt: skip
    base = look("base")
    ax.axhline(BASE_ACCURACY, color=base.color, linewidth=0.9)
    ax.annotate(base.label, (30, BASE_ACCURACY - 0.2), va="top", fontsize="small", color=base.color)
    at_base = pd.DataFrame({"series": ["base"], "y": [BASE_ACCURACY]})
    return pd.concat([points[["series", "x", "y"]], at_base]).assign(panel="points")


def _draw_fits(ax: Axes, points: pd.DataFrame, fits: dict[int, FitResult]) -> pd.DataFrame:
    last = float(points["x"].max())
    x = np.geomspace(float(points["x"].min()), 20 * last, 160)
    frames = []
    for (cap, fit), color in zip(fits.items(), COLORS[2:], strict=False):
        # Only the mean is drawn; profile intervals at all its points would take a minute.
        y = 100 - fit.evaluate({"time": x})
        inside = x <= last
        ax.plot(x[inside], y[inside], color=color, linewidth=1.2)
        ax.plot(
            x[~inside], y[~inside], color=color, linestyle="--",
            marker=MARKERS[2 + list(fits).index(cap)], markevery=12, linewidth=1.2,
            label=f"mixture, slowest scale {cap}x the data",
        )  # fmt: skip
        frames.append(pd.DataFrame({"series": f"cap {cap}", "x": x, "y": y, "panel": "fit"}))
    published = np.full_like(x, PUBLISHED_PLATEAU)
    for coefficient, rate in PUBLISHED_TERMS:
        published -= coefficient * rate**x
    ax.plot(x, published, color=BLACK, linestyle=":", label="published fit")
    frames.append(pd.DataFrame({"series": "published fit", "x": x, "y": published, "panel": "fit"}))
    return pd.concat(frames)


def _draw_plateaus(ax: Axes, fits: dict[int, FitResult]) -> pd.DataFrame:
    rows = []
    for place, (cap, fit) in enumerate(fits.items()):
        plateau, low, high = _plateau(fit)
        color, marker = COLORS[2 + place], MARKERS[2 + place]
        ax.errorbar(
            place, plateau, yerr=error_bars(plateau, low, high), color=color, marker=marker,
            capsize=4,
        )  # fmt: skip
        open_ended = high > 99.99
        label = "not\nidentified" if open_ended else f"[{low:.1f},\n{high:.1f}]"
        ax.annotate(
            label, (place, min(low, plateau)), textcoords="offset points", xytext=(0, -8),
            ha="center", va="top", fontsize="small",
        )  # fmt: skip
        rows.append((f"cap {cap}", float(cap), plateau, low, high, not open_ended))
    ax.axhline(PUBLISHED_PLATEAU, color=BLACK, linestyle=":")
    ax.set_xticks(range(len(fits)), [f"{cap}x" for cap in fits])
    ax.set(
        xlim=(-0.6, len(fits) - 0.4), ylim=(45, 101), xlabel="slowest time scale over data",
        ylabel="plateau (%)",
    )  # fmt: skip
    rows.append(("published fit", np.nan, PUBLISHED_PLATEAU, np.nan, np.nan, False))
    columns = ["series", "x", "y", "low", "high", "identified"]
    return pd.DataFrame(rows, columns=columns).assign(panel="plateau")
