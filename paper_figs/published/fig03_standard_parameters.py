"""Figure 3, published: more parameters under the standard recipe, with the tuned settings."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from paper_figs.style import COLORS, MARKERS, log_ticks
from scaling.published import talk

NAME = "fig03"
TITLE = "Under the standard recipe, more parameters stop paying at 600M"
CAPTION = (
    "Published (Kim et al. 2025, arXiv 2509.14786): held-out loss on 200M tokens of DCLM at the "
    "usual weight decay 0.1, with the learning rate and the epochs tuned at each size (beside the "
    "point); hollow: the best. The last step in size costs 0.015 nats; no spread over seeds is "
    "published."
)


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw loss against size with the tuned settings."""
    table = talk.STANDARD
    figure, ax = plt.subplots()
    ax.plot(table["n_params"], table["loss"], color=COLORS[1], marker=MARKERS[1])
    best = table.loc[table["loss"].idxmin()]
    ax.plot(best["n_params"], best["loss"], "o", markersize=14, fillstyle="none", color=COLORS[1])
    for row in table.itertuples():
        ax.annotate(
            f"lr {row.learning_rate:g}\n{row.n_epochs} epochs", (row.n_params, row.loss),
            xytext=(0, 9), textcoords="offset points", ha="center", fontsize=8.5,
        )  # fmt: skip
    log_ticks(ax, table["n_params"].tolist())
    ax.margins(x=0.12, y=0.2)
    ax.set(xlabel="parameters", ylabel="held-out loss (nats per token)")
    return figure, table
