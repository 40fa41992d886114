"""Figure 9: the best hyperparameters of one model are not the best of an ensemble's members."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from experiments.story import Story
from paper_figs.style import COLORS, MARKERS, human

NAME = "fig09"
TITLE = "Hyperparameters against the size of the ensemble"
CAPTION = (
    "Test loss against the number of members (logits averaged, means over subsets) with the weight "
    "decay and epochs tuned for one model, those of the heuristic (twice the epochs, half the "
    "decay) and those tuned for the ensemble, one panel a member size. Where two choices fall on "
    "the same cell, one line stands for both."
)
CHOICES = ("single", "heuristic", "ensemble")


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw one panel a size, one line a way to choose hyperparameters."""
    curves = story.ensembles.curves
    curves = curves[(curves["average"] == "logit") & curves["chosen_for"].isin(CHOICES)]
    keys = ["width", "n_params_non_embedding", "chosen_for", "weight_decay", "n_epochs"]
    table = curves.groupby([*keys, "n_members"])["test_loss"].mean().reset_index()
    widths = sorted(table["width"].unique())
    n_columns = min(len(widths), 2)
    n_rows = -(-len(widths) // n_columns)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(4.3 * n_columns, 3.1 * n_rows), squeeze=False, sharex=True
    )
    for ax, width in zip(axes.flat, widths, strict=False):
        of_width = table[table["width"] == width]
        for i, choice in enumerate(CHOICES):
            rows = of_width[of_width["chosen_for"] == choice]
            if rows.empty:
                continue
            cell = f"wd {rows['weight_decay'].iloc[0]:g}, {rows['n_epochs'].iloc[0]:g} epochs"
            ax.plot(
                rows["n_members"], rows["test_loss"], color=COLORS[i], marker=MARKERS[i],
                label=f"{choice}: {cell}",
            )  # fmt: skip
        ax.set_title(f"N = {human(of_width['n_params_non_embedding'].iloc[0])}")
        ax.set_xticks(sorted(table["n_members"].unique()))
        ax.legend(fontsize=7.5)
    for ax in axes[-1]:
        ax.set_xlabel("members K")
    for ax in axes[:, 0]:
        ax.set_ylabel("test loss (nats per token)")
    return figure, table
