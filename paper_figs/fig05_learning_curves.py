"""Figure 5: train and test loss against the size of the training set (Cortes et al. 1993)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from experiments.recipes.learning_curves import LearningCurves
from experiments.story.story import Story
from paper_figs.style import COLORS, MARKERS, log_ticks, spread_x

NAME = "fig05"
TITLE = "Learning curves: large-data loss from small data"
CAPTION = (
    "Left: loss of the world's smallest model on its training tokens (final weights) and on the "
    "test part against the number of training tokens, the same steps at each, a point a seed and a "
    "draw of the corpus. Lines: E + B / l^alpha and E - C / l^beta with one asymptote E (Cortes et "
    "al. 1993), fitted to the filled points with a 95 % band; dashed beyond them, where the "
    "hollow points check the prediction; were both curves mirror images, half their sum would be "
    "flat. Right: their difference, a straight line on these axes then. The talk shows the curves "
    "of the paper, without numbers."
)
CURVES = {0.0: ("test", 0), 1.0: ("training", 1)}


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw both curves with their law, then their sum and difference."""
    curves: LearningCurves = story.result("learning_curves")
    figure, (ax, gaps) = plt.subplots(
        1, 2, figsize=(9.2, 4.2), gridspec_kw={"width_ratios": [1.6, 1]}
    )
    known, largest = curves.known["n_examples"], float(curves.largest)
    inside = spread_x(known.min(), known.max(), 60)
    beyond = spread_x(known.max(), 2 * largest, 30)
    for is_train, (label, i) in CURVES.items():
        rows = curves.table[curves.table["is_train"] == is_train]
        for held_out, of in rows.groupby(rows["n_examples"] == largest):
            ax.plot(
                of["n_examples"], of["loss"], MARKERS[i], color=COLORS[i],
                fillstyle="none" if held_out else "full", label=None if held_out else label,
            )  # fmt: skip
        for sizes, linestyle in ((inside, "-"), (beyond, "--")):
            at = pd.DataFrame({"n_examples": sizes, "is_train": is_train})
            band = curves.law.predict(at)
            ax.plot(sizes, band["mean"], color=COLORS[i], linestyle=linestyle, linewidth=1.2)
            ax.fill_between(sizes, band["low"], band["high"], color=COLORS[i], alpha=0.12, lw=0)
    asymptote = curves.law.params["E"]
    ax.axhline(
        asymptote, color="black", linestyle=":", linewidth=1, label=f"asymptote {asymptote:.3f}"
    )
    low, high = curves.table["loss"].min(), curves.table["loss"].max()
    ax.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    log_ticks(ax, sorted(curves.table["n_examples"].unique()))
    ax.set(xlabel="training tokens", ylabel="loss (nats per token)", title=f"width {curves.width}")

    means = curves.table.pivot_table(index="n_examples", columns="is_train", values="loss")
    ax.plot(
        means.index, means.sum(axis=1) / 2, MARKERS[6], color="black", label="half the sum",
        markersize=4,
    )  # fmt: skip
    ax.legend()
    gaps.plot(means.index, means[0.0] - means[1.0], MARKERS[2], color=COLORS[2])
    for sizes, linestyle in ((inside, "-"), (beyond, "--")):
        test, train = (
            curves.law.predict(
                pd.DataFrame({"n_examples": sizes, "is_train": is_train}), method="sandwich"
            )["mean"]
            for is_train in CURVES
        )
        gaps.plot(sizes, test - train, color=COLORS[2], linestyle=linestyle, linewidth=1.2)
    log_ticks(gaps, means.index.tolist())
    gaps.set(
        yscale="log", xlabel="training tokens", ylabel="test less training loss (nats per token)"
    )
    gaps.yaxis.set_major_formatter("{x:g}")
    gaps.yaxis.set_minor_formatter("{x:g}")
    predicted = curves.law.predict(curves.table[["n_examples", "is_train"]])["mean"]
    return figure, curves.table.assign(
        law=predicted.to_numpy(), in_fit=curves.table["n_examples"] < largest
    )
