"""Figure 13, published: downstream accuracy of the recipes."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from paper_figs.published import KIM, infinite_compute
from paper_figs.style import COLORS, MARKERS, human

NAME = "fig13"
TITLE = "At large total size the Pareto-best on downstream tasks are ensembles"
CAPTION = (
    f"Published (public data of {KIM}, 200M tokens): mean accuracy on ARC-Easy, PIQA and SciQ "
    "against total parameters N x K: the standard recipe, single regularised models, ensembles of "
    "one to five members at four sizes, and the two distilled 300M students. Black: the Pareto "
    "front. No intervals are published; ARC-Easy has 2,376 questions, so that one standard error "
    "of its accuracy is about a point."
)
_LOOKS = {
    "standard": (COLORS[1], MARKERS[1]),
    "regularized": (COLORS[0], MARKERS[0]),
    "8-ensemble distill student": (COLORS[4], MARKERS[5]),
    "self-distill student": (COLORS[4], MARKERS[6]),
}


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy against total parameters."""
    rows = infinite_compute("benchmark", metric="avg3_acc")
    rows = rows[rows["recipe"] != "epoch sweep"].assign(accuracy=100 * rows["value"])
    rows = rows.assign(n_total=rows["n_params"] * rows["n_members"])
    figure, ax = plt.subplots(figsize=(7.0, 4.4))
    for recipe, (color, marker) in _LOOKS.items():
        part = rows[rows["recipe"] == recipe].sort_values("n_total")
        ax.plot(part["n_total"], part["accuracy"], color=color, marker=marker, label=recipe)
    ensembles = rows[rows["recipe"] == "ensemble"]
    for i, (size, part) in enumerate(ensembles.groupby("n_params")):
        part = part.sort_values("n_members")
        ax.plot(
            part["n_total"], part["accuracy"], color=COLORS[2], marker=MARKERS[2 + i],
            linewidth=0.9, label=f"1 to 5 members of {human(float(str(size)))}",
        )  # fmt: skip
    front = rows.sort_values(["n_total", "accuracy"], ascending=[True, False])
    front = front[front["accuracy"] > front["accuracy"].cummax().shift(fill_value=0.0)]
    ax.step(
        front["n_total"], front["accuracy"], where="post", color=COLORS[6], linewidth=0.9,
        label="Pareto front",
    )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: human(value))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xticks([2e8, 5e8, 1e9, 2e9, 5e9])
    ax.set(xlabel="total parameters N x K", ylabel="mean accuracy (%)")
    ax.legend(fontsize=7.5)
    columns = ["recipe", "n_params", "n_members", "n_total", "accuracy"]
    return figure, rows[columns].assign(on_front=rows.index.isin(front.index))
