"""Figure 2, published: more epochs of one model, read off downstream accuracy."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from paper_figs.published import infinite_compute
from paper_figs.style import COLORS, MARKERS, log_ticks

NAME = "fig02"
TITLE = "More epochs of one model help and then hurt; weight decay moves the turn"
CAPTION = (
    "Published (public data of Kim et al. 2025, arXiv 2509.14786): mean accuracy on ARC-Easy, PIQA "
    "and SciQ of a 300M model against epochs over 200M tokens, learning rate 3e-3, at the usual "
    "weight decay 0.1 and at 1.6. Hollow: the best. Losses of this sweep are not published as "
    "numbers. The talk's tuned learning rates at 1, 8 and 128 epochs are 1e-3, 1e-3 and 3e-3."
)


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy against epochs, one line a weight decay."""
    rows = infinite_compute("benchmark", metric="avg3_acc")
    rows = rows[rows["recipe"] == "epoch sweep"].sort_values(["weight_decay", "n_epochs"])
    figure, ax = plt.subplots()
    for i, (decay, line) in enumerate(rows.groupby("weight_decay")):
        ax.plot(
            line["n_epochs"], 100 * line["value"], color=COLORS[1 - i], marker=MARKERS[1 - i],
            label=f"weight decay {decay:g}",
        )  # fmt: skip
        best = line.loc[line["value"].idxmax()]
        ax.plot(
            best["n_epochs"], 100 * best["value"], "o", markersize=13, fillstyle="none",
            color=COLORS[1 - i],
        )  # fmt: skip
    log_ticks(ax, rows["n_epochs"].unique().tolist(), base=2)
    ax.set(xlabel="epochs over 200M tokens", ylabel="mean accuracy of three tasks (%)")
    ax.legend()
    columns = ["weight_decay", "n_epochs", "value"]
    return figure, rows[columns].rename(columns={"value": "accuracy"})
