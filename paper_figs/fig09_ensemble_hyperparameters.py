"""Figure 9: the best hyperparameters of one model are not the best for ensemble members."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.display.quantities import human
from experiments.recipes.ensembles import ensembles
from experiments.recipes.members.member_counts import member_counts
from experiments.recipes.regularized import regularized
from experiments.story.story import Story
from experiments.tuning.certificates import AXIS_LABELS
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, GREY, MARKERS, log_ticks, look, mark_uncertified
from scaling.published import talk
from scaling.published.figures import KIM

NAME = "fig09"
CLAIMS = ("P10",)
NEEDS = (regularized, ensembles, member_counts)
TITLE = "Hyperparameters against the size of the ensemble"
CAPTION = (
    "Test loss against the number of members (logits averaged, means over subsets), one panel per "
    "member size, with the learning rate, weight decay and epochs tuned for one model, those tuned "
    "for the ensemble and, where trained, those of the heuristic (twice the epochs, half the "
    "weight decay). "
    "Where two choices coincide, their lines overlap. The legend says which tuned settings are "
    "not certified. Last panel: epochs divided by weight decay of the setting with the lowest "
    "validation loss for K members, among all settings trained with every seed; hollow where some "
    "neighbouring settings were not. The heuristic of the talk (published) multiplies this ratio "
    "by 4."
)
CHOICES = ("single", "heuristic", "ensemble")
PUBLISHED_TITLE = "Members tuned for the ensemble reach a lower limit"
PUBLISHED_CAPTION = (
    f"Published (public code of {KIM}): fitted loss of infinitely many members, by model size and "
    "stock of tokens, with the hyperparameters that are best for one model, and with the "
    "heuristic for members (twice the epochs, half the weight decay). Bottom row: the difference. "
    "At the largest stocks the authors give no fit for some sizes."
)
_CHOSEN = {"single": "best for one model", "heuristic": look("heuristic").label}


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw one panel per size, one line per choice of hyperparameters.

    The frame has columns `width`, `n_params_non_embedding`, `chosen_for`, `learning_rate`,
    `weight_decay`, `n_epochs`, `n_members`, `validation_loss`, `test_loss`, `epochs_for_decay` and
    `certified`.
    """
    curves = story.ensembles.curves
    curves = curves[(curves["average"] == "logit") & curves["chosen_for"].isin(CHOICES)]
    keys = ["width", "n_params_non_embedding", "chosen_for", *AXIS_LABELS]
    table = curves.groupby([*keys, "n_members"])["test_loss"].mean().reset_index()
    widths = sorted(table["width"].unique())
    n_columns = 2 if len(widths) <= 3 else 3
    n_rows = -(-(len(widths) + 1) // n_columns)
    axes = panels(ax, n_rows, n_columns, wide=0.5 * n_columns, tall=0.8 * n_rows)
    for ax, width in zip(axes, widths, strict=False):
        of_width = table[table["width"] == width]
        for choice, rows in of_width.groupby("chosen_for"):
            ax.plot(rows["n_members"], rows["test_loss"], label=choice, **look(str(choice)).line)
        cells = of_width.groupby("chosen_for")[list(AXIS_LABELS)].first()
        tuned = {"single": story.regularized.tuned, "ensemble": story.ensembles.tuned}
        handles, choices = ax.get_legend_handles_labels()
        labels = [
            f"{look(choice).label}:\nlr {cells.learning_rate[choice]:g}, "
            f"wd {cells.weight_decay[choice]:g}, "
            f"{cells.n_epochs[choice]:g} epochs"
            + (" (not certified)" if choice in tuned and not tuned[choice][width].certified else "")
            for choice in choices
        ]
        ax.set_ylim(top=ax.get_ylim()[1] + 0.5 * np.ptp(ax.get_ylim()))  # room for the legend
        ax.legend(handles, labels, loc="upper right")
        ax.set(title=f"N = {human(of_width['n_params_non_embedding'].iloc[0])}")
        ax.set(xlabel="members K", ylabel="", xticks=sorted(table["n_members"].unique()))
    looseness = _looseness(axes[len(widths)], story)
    for ax in axes[len(widths) + 1 :]:
        ax.set_visible(False)
    for ax in axes[::n_columns]:
        ax.set_ylabel("test loss (nats per token)")
    return axes, pd.concat([table, looseness], ignore_index=True)


def _looseness(ax: Axes, story: Story) -> pd.DataFrame:
    """Draw epochs / weight decay of the best setting for K members, one line per size."""
    counts = story[member_counts]
    table = counts.table.assign(
        epochs_for_decay=counts.table["n_epochs"] / counts.table["weight_decay"]
    )
    names = [f"{k:g}" if math.isfinite(k) else "∞" for k in sorted(table["n_members"].unique())]
    for i, (width, rows) in enumerate(table.groupby("width")):
        places, values = range(len(rows)), rows["epochs_for_decay"].tolist()
        ax.plot(
            places, values, color=COLORS[i], marker=MARKERS[i],
            label=f"N = {human(rows['n_params_non_embedding'].iloc[0])}",
        )  # fmt: skip
        mark_uncertified(
            ax, list(places), values, list(counts.tuned[int(str(width))].values()),
            color=COLORS[i], marker=MARKERS[i], explained="hollow: not certified for K",
        )  # fmt: skip
    ax.set_yscale("log", base=2)
    ax.set_xticks(range(len(names)), names)
    ax.set(xlabel="members K", title="epochs over weight decay, best for K")
    ax.set_ylim(top=16 * ax.get_ylim()[1])  # room for the legend
    ax.legend(loc="upper left")
    return table.assign(chosen_for="best for K")


def draw_published(ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw both limits against size and their difference, one panel per stock.

    The frame has columns `n_unique_tokens`, `n_params`, one per choice and `gain`.
    """
    limits = talk.MEMBER_SETTINGS.pivot_table(
        index=["n_unique_tokens", "n_params"], columns="chosen_for", values="loss"
    )
    limits["gain"] = limits["single"] - limits["heuristic"]
    axes = panels(ax, 2, 4, wide=1.5, tall=1.2, sharex=True, sharey="row", height_ratios=(1.6, 1))
    limits_row, gains_row = axes[:4], axes[4:]
    for column, (tokens, stock) in enumerate(talk.STOCK_LABELS.items()):
        part = limits.loc[tokens]
        for choice, label in _CHOSEN.items():
            limits_row[column].plot(part.index, part[choice], label=label, **look(choice).line)
        gains_row[column].plot(part.index, part["gain"], color=BLACK, marker=MARKERS[2])
        gains_row[column].axhline(0, color=GREY, linewidth=0.8)
        limits_row[column].set_title(f"{stock} tokens")
        log_ticks(gains_row[column], [150e6, 300e6, 600e6, 1.4e9])
        gains_row[column].set_xlabel("parameters")
    limits_row[0].set_ylabel("loss of infinitely many members")
    gains_row[0].set_ylabel("gain of the heuristic")
    limits_row[-1].legend()
    return axes, limits.reset_index()
