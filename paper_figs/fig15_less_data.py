"""Figure 15, published: 10,000 times less data than other continued pre-training."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.display.quantities import human
from paper_figs.layout import Place, panel
from paper_figs.style import COLORS, MARKERS
from scaling.published.talk import DOMAIN_CORPORA, ENTIGRAPH_PAPER

NAME = "fig15"
CLAIMS = ("S1",)
PUBLISHED_TITLE = "10,000 times less data than in other work on continued pre-training"
PUBLISHED_CAPTION = (
    f"Published ({ENTIGRAPH_PAPER}, and table of the talk): unique tokens in studies that adapt a "
    "language model to a domain by continued pre-training, as ranges where several models were "
    "trained, and the 1.3M tokens of the EntiGraph setting, with the domains and parameter counts "
    "of the models as printed. Beside each: how many times more tokens than in the latter."
)


def draw_published(ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw one row per study on a logarithmic axis.

    The frame has columns `study`, `domain`, `parameters`, `low`, `high` and `times_more`.
    """
    table = DOMAIN_CORPORA.sort_values("high", ignore_index=True)
    least = table["low"].min()
    ax = panel(ax, wide=1.3, tall=0.9)
    for row in table.itertuples():
        ours = row.low == least
        color, marker = (COLORS[1], MARKERS[1]) if ours else (COLORS[0], MARKERS[0])
        ax.plot([row.low, row.high], [row.Index] * 2, color=color, marker=marker)
        times = "" if ours else f", {row.low / least:,.0f}x"
        ax.annotate(
            f"{human(row.low)}{times}", (row.high, row.Index), xytext=(8, 0),
            textcoords="offset points", va="center", fontsize="small",
        )  # fmt: skip
        ax.annotate(
            row.parameters, (0.02, row.Index), xycoords=ax.get_yaxis_transform(), va="center",
            fontsize="small",
        )  # fmt: skip
    ax.annotate(
        "parameters", (0.02, len(table) - 0.4), xycoords=ax.get_yaxis_transform(),
        fontsize="small", weight="bold",
    )  # fmt: skip
    ax.set_yticks(table.index, [f"{row.study} ({row.domain})" for row in table.itertuples()])
    ax.set(xscale="log", xlim=(5e3, 2e13), ylim=(-0.6, len(table) + 0.2), xlabel="unique tokens")
    return ax, table.assign(times_more=table["low"] / least)
