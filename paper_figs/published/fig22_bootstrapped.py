"""Figure 22, published: synthetic bootstrapped pre-training at two scales."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figs.style import COLORS, MARKERS
from scaling.published.talk_tables import SBP, SBP_PAPER

NAME = "fig22"
TITLE = "Synthetic documents recover a good part of what unique data would give"
CAPTION = (
    f"Published ({SBP_PAPER}; the talk's table), at equal training tokens: 10B real tokens in 200B "
    "(left) and 50B in 1T (right). Change against repeating the real data, with synthetic "
    "documents beside it and with unlimited unique data: accuracy in points, perplexity as its "
    "relative fall in %. Beside each: share of the unique data's gain that is recovered, computed "
    "from these. No intervals are published; where unique data gains little, the share says little."
)


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw one row a benchmark, one panel a scale."""
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.6), sharey=True)
    frames = [_panel(ax, scale) for ax, scale in zip(axes, ("200B", "1T"), strict=True)]
    axes[0].legend(loc="lower right")
    return figure, pd.concat(frames, ignore_index=True)


def gains(scale: str) -> pd.DataFrame:
    """Gains over repetition at one scale: `benchmark`, `sbp`, `unique`, `share`."""
    # A fall of the perplexity is a gain, in % of what repetition reaches.
    lower_is_better = SBP["metric"] == "perplexity"
    factor = np.where(lower_is_better, -100 / SBP[f"repeated_{scale}"], 1.0)
    sbp, unique = SBP[f"sbp_{scale}"] * factor, SBP[f"unique_{scale}"] * factor
    return pd.DataFrame(
        {
            "scale": scale,
            "benchmark": SBP["benchmark"] + np.where(lower_is_better, " (ppl)", ""),
            "sbp": sbp,
            "unique": unique,
            "share": sbp / unique,
        }
    )


def _panel(ax: Axes, scale: str) -> pd.DataFrame:
    table = gains(scale)
    places = np.arange(len(table))[::-1]
    for name, i, label in (("unique", 2, "unlimited unique data"), ("sbp", 0, "synthetic data")):
        ax.plot(
            table[name], places, MARKERS[i], color=COLORS[i], label=label,
            fillstyle="none" if name == "unique" else "full",
        )  # fmt: skip
    for place, row in zip(places, table.itertuples(), strict=True):
        ax.plot([row.sbp, row.unique], [place] * 2, color="#bbbbbb", linewidth=1, zorder=0)
        ax.annotate(
            f"{100 * row.share:.0f} %", (max(row.sbp, row.unique), place), xytext=(8, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    ax.axvline(0, color=COLORS[6], linewidth=0.9)
    ax.set_yticks(places, table["benchmark"])
    ax.margins(x=0.16)
    ax.set(title=f"{scale} training tokens", xlabel="gain over repetition (points, or % of ppl)")
    return table
