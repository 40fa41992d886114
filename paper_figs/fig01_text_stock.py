"""Figure 1, published: the stock of public text, and the training sets that exhaust it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, MARKERS
from scaling import load_dataset
from scaling.published.talk import DATED_TRAINING_SETS
from scaling.published.text_stock import draw_demand, draw_stock, years_of_use

NAME = "fig01"
CLAIMS = ("P1",)
PUBLISHED_TITLE = "Training sets grow tenfold in three years; the stock of text does not"
PUBLISHED_CAPTION = (
    "Left: tokens of public text on the indexed web, the part of sufficient quality, and that "
    "part including the gain from repeating it (medians; band: 95 % of the last), sampled here "
    "from the input distributions of Villalobos et al. 2024 (arXiv 2211.04325); the largest "
    "training set, from its size in 2024 and the growth refitted here to the training sets of "
    "language models since 2010 (dots; median and 95 % band); named models as in their figure. "
    "Right: the distribution of the year in which the two meet. Their own estimate, with half of "
    "the samples following compute: median 2028, 80 % between 2026 and 2032."
)
_YEARS = np.arange(2020.0, 2036.0)
_LOOKS = {"raw": ":", "good": "--", "effective": "-"}
_LABELS = {"raw": "indexed web", "good": "of good quality", "effective": "with repetition"}


def draw_published(ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw stock and demand by year, and the year in which they meet.

    The frame has columns `panel`, `system`, `series`, `x`, `y`, `low` and `high`.
    """
    axes = ax, met = panels(ax, 1, 2, wide=1.5, tall=1.05, width_ratios=(1.7, 1))
    stock, demand = draw_stock(), draw_demand()
    frames = [_models(ax)]
    for name, rows in stock.quantiles(_YEARS).groupby("stock", sort=False):
        label = f"stock: {_LABELS[str(name)]}"
        ax.plot(
            rows["year"], rows["median"], color=COLORS[0], linestyle=_LOOKS[str(name)], label=label
        )
        frames.append(_long(rows, str(name)))
    ax.fill_between(rows["year"], rows["low"], rows["high"], color=COLORS[0], alpha=0.12, lw=0)
    needed = demand.quantiles(_YEARS)
    ax.plot(needed["year"], needed["median"], color=COLORS[1], label="largest training set")
    ax.fill_between(
        needed["year"], needed["low"], needed["high"], color=COLORS[1], alpha=0.12, lw=0
    )
    frames.append(_long(needed, "largest training set"))
    ax.set(yscale="log", ylim=(1e9, 1e17), xlim=(2012, 2035), xlabel="year", ylabel="tokens")
    ax.legend(loc="upper left")
    years = years_of_use(stock, demand)
    frames.append(_meeting(met, years))
    return axes, pd.concat(frames, ignore_index=True)


def _models(ax: Axes) -> pd.DataFrame:
    """Draw training sets as dots, if their table is available, and those that the paper names."""
    named = DATED_TRAINING_SETS
    ax.plot(named["year"], named["tokens"], MARKERS[1], color=COLORS[1])
    for row in named.itertuples():
        left = row.system in ("FLAN", "Llama 3")  # above the line of the demand
        ax.annotate(
            row.system, (row.year, row.tokens), xytext=(-5, 4) if left else (5, -9),
            ha="right" if left else "left", textcoords="offset points", fontsize="small",
        )  # fmt: skip
    shown = named.rename(columns={"year": "x", "tokens": "y"}).assign(panel="named models")
    try:
        table = load_dataset("training_sets")
    except OSError:  # neither in the data folder nor downloaded; the growth is stored in the code
        return shown
    ax.plot(table["year"], table["size"], ".", color=COLORS[1], alpha=0.45, markersize=4)
    dots = table.rename(columns={"year": "x", "size": "y"})[["system", "x", "y"]]
    return pd.concat([shown, dots.assign(panel="training sets")])


def _meeting(ax: Axes, years: np.ndarray) -> pd.DataFrame:
    low, median, high = np.quantile(years, [0.025, 0.5, 0.975])
    shown = years[np.isfinite(years) & (years < 2040)]
    counts, edges = np.histogram(shown, bins=np.arange(2024, 2040.5, 0.5))
    share = counts / len(years)
    ax.stairs(share, edges, color=COLORS[4], fill=True, alpha=0.5)
    ax.axvline(median, color=BLACK, label=f"median {median:.1f}")
    for end in (low, high):
        ax.axvline(end, color=BLACK, linestyle=":")
    ax.plot([], [], color=BLACK, linestyle=":", label=f"95 %: {low:.1f} to {high:.1f}")
    ax.set(xlabel="year in which the stock is used up", ylabel="share of draws per half year")
    ax.legend(loc="upper right", frameon=True, framealpha=1, edgecolor="none")
    ends = pd.DataFrame({"panel": "year of use", "series": ["low", "median", "high"],
                         "x": [low, median, high]})  # fmt: skip
    bars = pd.DataFrame({"panel": "year of use", "series": "share", "x": edges[:-1], "y": share})
    return pd.concat([ends, bars])


def _long(rows: pd.DataFrame, series: str) -> pd.DataFrame:
    columns = {"year": "x", "median": "y"}
    return rows.rename(columns=columns)[["x", "y", "low", "high"]].assign(
        panel="by year", series=series
    )
