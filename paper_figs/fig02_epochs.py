"""Figure 2: more epochs over the same tokens, standard recipe."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from experiments.story.story import Story
from paper_figs.style import COLORS, MARKERS, human, log_ticks

NAME = "fig02"
TITLE = "More epochs of one model, standard recipe"
CAPTION = (
    "Test loss of the standard recipe (the usual weight decay, the learning rate by one rule for "
    "all sizes) against the number of epochs over the same unique tokens, one line a model size: "
    "mean of the seeds, bars from the lowest to the highest seed, rings at the epochs that "
    "validation selects. The talk finds the same shape at 200M tokens, with 4 to 8 epochs best "
    "(published)."
)


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw loss against epochs, one line a size."""
    runs = story.standard
    keys = ["width", "n_params_non_embedding", "n_epochs"]
    table = runs.groupby(keys)["test_loss"].agg(["mean", "min", "max", "count"]).reset_index()
    figure, ax = plt.subplots()
    for i, (width, rows) in enumerate(table.groupby("width")):
        errors = [rows["mean"] - rows["min"], rows["max"] - rows["mean"]]
        label = f"N = {human(rows['n_params_non_embedding'].iloc[0])}"
        ax.errorbar(
            rows["n_epochs"], rows["mean"], yerr=errors, color=COLORS[i], marker=MARKERS[i],
            label=label, capsize=2,
        )  # fmt: skip
        chosen = rows[rows["n_epochs"] == story.standard_epochs[int(str(width))]]
        ax.plot(
            chosen["n_epochs"], chosen["mean"], "o", markersize=12, fillstyle="none",
            color=COLORS[i],
        )  # fmt: skip
    log_ticks(ax, table["n_epochs"].tolist(), base=2)
    ax.set(xlabel="epochs", ylabel="test loss (nats per token)")
    ax.legend(title="non-embedding parameters")
    return figure, table.rename(columns={"count": "n_seeds"})
