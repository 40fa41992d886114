"""Figure 3: more parameters under the standard recipe."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.recipes.standard import standard
from experiments.story.story import Story
from paper_figs.layout import Place, panel
from paper_figs.style import (
    MARKERS,
    UNCERTIFIED,
    log_ticks,
    look,
    mark_uncertified,
    print_below,
    shades,
)
from scaling.published import talk
from scaling.published.figures import KIM

NAME = "fig03"
CLAIMS = ("P3",)
NEEDS = (standard,)
TITLE = "More parameters under the standard recipe"
CAPTION = (
    "Test loss at the usual weight decay against model size, at the best number of epochs of each "
    "size and at fixed ones; bars run from the lowest to the highest seed. The learning rate "
    f"(printed at the bottom) is tuned too. {UNCERTIFIED}"
)
PUBLISHED_TITLE = "Under the standard recipe, more parameters stop helping at 600M"
PUBLISHED_CAPTION = (
    f"Published ({KIM}): held-out loss on 200M tokens of DCLM at the usual weight decay 0.1, with "
    "learning rate and epochs tuned at each size (printed at the bottom). Ring: the best size. "
    "The last increase in size costs 0.015 nats; no spread over seeds is published."
)


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw loss against size.

    The frame has columns `series`, `n_params_non_embedding`, `n_epochs`, `learning_rate`, `mean`,
    `min`, `max` and `certified`.
    """
    runs = story.standard
    n = "n_params_non_embedding"
    ax = panel(ax)
    frames = []
    tuned = [found.tuned for _, found in sorted(story.standard_certificates.items())]
    best = story.standard_best.groupby([n, "learning_rate", "n_epochs"])["test_loss"]
    best = best.agg(["mean", "min", "max"]).reset_index()
    best["certified"] = [found.certified for found in tuned]
    frames.append(best.assign(series="best epochs of each size"))
    n_sizes = runs.groupby("n_epochs")[n].nunique()
    for n_epochs in n_sizes.index[n_sizes == runs[n].nunique()][-3:]:
        rows = runs[runs["n_epochs"] == n_epochs]
        table = rows.groupby([n, "n_epochs"])["test_loss"].agg(["mean", "min", "max"])
        frames.append(table.reset_index().assign(series=f"{n_epochs} epochs at every size"))
    standard = look("standard")
    colors = [standard.color, *shades(standard.color, len(frames) - 1)]
    markers = [standard.marker, *(mark for mark in MARKERS if mark != standard.marker)]
    for i, frame in enumerate(frames):
        errors = [frame["mean"] - frame["min"], frame["max"] - frame["mean"]]
        ax.errorbar(
            frame[n], frame["mean"], yerr=errors, color=colors[i], marker=markers[i], capsize=2,
            linestyle="-" if i == 0 else "--", label=frame["series"].iloc[0],
        )  # fmt: skip
    mark_uncertified(ax, best[n].tolist(), best["mean"].tolist(), tuned, **standard.line)
    for row in best.itertuples():
        settings = f"lr {row.learning_rate:g}\n{row.n_epochs} ep"
        print_below(ax, row.n_params_non_embedding, settings, standard.color)
    ax.margins(0.12, 0.15)
    log_ticks(ax, runs[n].tolist())
    ax.set(xlabel="non-embedding parameters", ylabel="test loss (nats per token)")
    ax.legend()
    return ax, pd.concat(frames, ignore_index=True)


def draw_published(ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw loss against size with the tuned settings.

    The frame has columns `n_params`, `loss`, `n_epochs` and `learning_rate`.
    """
    table = talk.STANDARD
    ax = panel(ax)
    standard = look("standard")
    ax.plot(table["n_params"], table["loss"], **standard.line)
    best = table.loc[table["loss"].idxmin()]
    ax.plot(
        best["n_params"], best["loss"], "o", markersize=14, fillstyle="none", color=standard.color
    )
    for row in table.itertuples():
        settings = f"lr {row.learning_rate:g}\n{row.n_epochs} ep"
        print_below(ax, row.n_params, settings, standard.color)
    log_ticks(ax, table["n_params"].tolist())
    ax.margins(x=0.12, y=0.2)
    ax.set(xlabel="parameters", ylabel="held-out loss (nats per token)")
    return ax, table
