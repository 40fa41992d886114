"""Figure 4: training and test loss as the data is repeated."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.display.quantities import human
from experiments.recipes.standard import standard
from experiments.story.story import Story
from paper_figs.layout import Place, panel
from paper_figs.style import COLORS, MARKERS, log_ticks

NAME = "fig04"
CLAIMS = ("P4",)
NEEDS = (standard,)
TITLE = "Training and test loss as the data is repeated"
CAPTION = (
    "Standard recipe: training loss averaged over the last epoch (dashed, hollow) and test loss "
    "(solid, filled) against the number of epochs over the same unique tokens, one color per "
    "model size, means over seeds."
)


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw both losses against epochs.

    The frame has columns `width`, `n_params_non_embedding`, `n_epochs`, `train_loss` and
    `test_loss`.
    """
    keys = ["width", "n_params_non_embedding", "n_epochs"]
    table = story.standard.groupby(keys)[["train_loss", "test_loss"]].mean().reset_index()
    ax = panel(ax)
    for i, (_, rows) in enumerate(table.groupby("width")):
        size = human(rows["n_params_non_embedding"].iloc[0])
        ax.plot(
            rows["n_epochs"], rows["test_loss"], color=COLORS[i], marker=MARKERS[i],
            label=f"test, N = {size}",
        )  # fmt: skip
        ax.plot(
            rows["n_epochs"], rows["train_loss"], color=COLORS[i], marker=MARKERS[i],
            linestyle="--", fillstyle="none", label=f"train, N = {size}",
        )  # fmt: skip
    log_ticks(ax, table["n_epochs"].tolist(), base=2)
    ax.set(xlabel="epochs", ylabel="loss (nats per token)")
    ax.legend(ncols=2)
    return ax, table
