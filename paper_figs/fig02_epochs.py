"""Figure 2: training for more epochs on the same tokens, standard recipe."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.display.quantities import human
from experiments.recipes.standard import standard
from experiments.story.story import Story
from paper_figs.layout import Place, panel
from paper_figs.style import COLORS, MARKERS, log_ticks, look
from scaling.published import talk
from scaling.published.figures import KIM

NAME = "fig02"
CLAIMS = ("P2",)
NEEDS = (standard,)
TITLE = "More epochs of one model, standard recipe"
CAPTION = (
    "Test loss of the standard recipe (usual weight decay, learning rate set by one rule for all "
    "sizes) against the number of epochs over the same unique tokens, one line per model size. "
    "Points are means over seeds; bars run from the lowest to the highest seed; rings mark the "
    "number of epochs that validation selects. The talk reports the same shape at 200M tokens, "
    "with 4 to 8 epochs best (published)."
)
PUBLISHED_TITLE = "More epochs of one model help, then hurt; weight decay moves the turning point"
PUBLISHED_CAPTION = (
    f"Published (public code of {KIM}): mean accuracy on ARC-Easy, PIQA and SciQ of a 300M model "
    "against epochs over 200M tokens, learning rate 3e-3, at the usual weight decay 0.1 and at "
    "1.6. Rings: the best number of epochs. The losses of this sweep are not published as "
    "numbers. The learning rates tuned in the talk at 1, 8 and 128 epochs are 1e-3, 1e-3 and "
    "3e-3."
)


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw loss against epochs, one line per size.

    The frame has columns `width`, `n_params_non_embedding`, `n_epochs`, `mean`, `min`, `max`,
    `n_seeds` and `is_chosen`.
    """
    runs = story.standard
    keys = ["width", "n_params_non_embedding", "n_epochs"]
    table = runs.groupby(keys)["test_loss"].agg(["mean", "min", "max", "count"]).reset_index()
    ax = panel(ax)
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
    chosen = table["n_epochs"] == table["width"].map(story.standard_epochs)
    return ax, table.rename(columns={"count": "n_seeds"}).assign(is_chosen=chosen)


def draw_published(ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw accuracy against epochs, one line per weight decay.

    The frame has columns `weight_decay`, `n_epochs` and `accuracy`.
    """
    rows = talk.EPOCH_ACCURACY
    ax = panel(ax)
    for (decay, line), recipe in zip(
        rows.groupby("weight_decay"), ("standard", "regularized"), strict=True
    ):
        shown = look(recipe)
        ax.plot(
            line["n_epochs"], 100 * line["accuracy"], label=f"weight decay {decay:g}", **shown.line
        )  # fmt: skip
        best = line.loc[line["accuracy"].idxmax()]
        ax.plot(
            best["n_epochs"], 100 * best["accuracy"], "o", markersize=13, fillstyle="none",
            color=shown.color,
        )  # fmt: skip
    log_ticks(ax, rows["n_epochs"].unique().tolist(), base=2)
    ax.set(xlabel="epochs over 200M tokens", ylabel="mean accuracy of three tasks (%)")
    ax.legend()
    return ax, rows
