"""Figure 13: downstream accuracy along the scaling curves."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments.display.quantities import human
from experiments.recipes.downstream import downstream
from experiments.story.story import Story
from paper_figs.style import BLACK, MARKERS, log_counts, log_ticks, look
from scaling.published import talk
from scaling.published.figures import KIM
from scaling.published.talk import infinite_compute

NAME = "fig13"
CLAIMS = ("P17",)
TITLE = "Downstream accuracy: do lower losses mean higher accuracies?"
CAPTION = (
    "Left: accuracy on minimal pairs of grammar (BLiMP, Warstadt et al. 2020) against test loss, "
    "for the first seeds of the standard and tuned recipes and for ensembles of tuned members; "
    "bars are one standard error over paradigms. Hollow: hyperparameters that are not certified. "
    "Middle: the same against training compute of all members, with the Pareto front. Right, "
    "published: mean accuracy on ARC-Easy, PIQA and SciQ against total parameters at 200M tokens "
    f"(public code of {KIM}). Chance is 0.5 on pairs."
)
PUBLISHED_TITLE = "At large total size, ensembles are Pareto-optimal on downstream tasks"
PUBLISHED_CAPTION = (
    f"Published (public data of {KIM}, 200M tokens): mean accuracy on ARC-Easy, PIQA and SciQ "
    "against total parameters N x K for the standard recipe, single regularized models, ensembles "
    "of one to five members at four sizes, and the two distilled 300M students. Black: the Pareto "
    "front. No intervals are published; ARC-Easy has 2,376 questions, so one standard error of "
    "its accuracy is about one point."
)
_SINGLE = ("standard", "regularized", "8-ensemble distill student", "self-distill student")
"""Recipes of single models, by their names in the published table."""


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy against loss and compute, and the published accuracies.

    The frame has columns `panel`, those of `Downstream.models`, `certified` and those of
    `talk.DOWNSTREAM`.

    Raises:
        FileNotFoundError: the evaluations are not on this machine.
    """
    found = story[downstream]
    if found.missing:
        raise FileNotFoundError(f"figure {NAME} was not measured: {found.missing}")
    tuned = {
        "standard": {w: c.tuned for w, c in story.standard_certificates.items()},
        "tuned": story.regularized.tuned,
        "ensemble": story.ensembles.tuned,
    }
    models = found.models.assign(
        certified=[tuned[row.recipe][row.width].certified for row in found.models.itertuples()]
    )
    figure, (by_loss, by_compute, published) = plt.subplots(1, 3, figsize=(11.5, 4.0))
    for ax, x in ((by_loss, "test_loss"), (by_compute, "train_flops")):
        _points(ax, models, x)
    by_loss.invert_xaxis()
    correlation = found.rank_correlation()
    by_loss.set(
        xlabel="test loss (nats per token), falling", ylabel="accuracy on minimal pairs",
        title=f"rank correlation {correlation}",
    )  # fmt: skip
    by_loss.legend(fontsize=8, loc="lower left")
    frontier = found.frontier()
    by_compute.step(
        frontier["train_flops"], frontier["pairs"], where="post", color=BLACK, linewidth=1,
        linestyle="--", zorder=0, label="frontier",
    )  # fmt: skip
    by_compute.set(xscale="log", xlabel="training FLOPs of all members", title="here")
    by_compute.legend(handles=by_compute.lines[-1:], fontsize=8)
    theirs = talk.DOWNSTREAM
    for recipe, rows in theirs.groupby("recipe", sort=False):
        shown = look(str(recipe))
        if recipe == "ensemble":
            for i, (size, of) in enumerate(rows.groupby("n_params")):
                published.plot(
                    of["n_params"] * of["n_members"], of["accuracy"], marker=MARKERS[2 + i],
                    color=shown.color, label=f"members of {human(float(str(size)))}",
                )  # fmt: skip
        else:
            published.plot(rows["n_params"], rows["accuracy"], label=shown.label, **shown.line)
    log_ticks(published, [150e6, 300e6, 600e6, 1.4e9, 7e9])
    published.set(
        xlabel="parameters of all members", ylabel="mean accuracy",
        title="published: 200M tokens",
    )  # fmt: skip
    published.legend(fontsize=7.5)
    shown = theirs.assign(panel="published")
    return figure, pd.concat([models.assign(panel="here"), shown], ignore_index=True)


def _points(ax: Axes, models: pd.DataFrame, x: str) -> None:
    for recipe, rows in models.groupby("recipe", sort=False):
        shown = look(str(recipe))
        ax.errorbar(
            rows[x], rows["pairs"], yerr=rows["pairs_stderr"], linestyle="none", elinewidth=0.5,
            alpha=0.8, label=shown.label, **shown.line,
        )  # fmt: skip
        hollow = rows[~rows["certified"]]
        ax.plot(
            hollow[x], hollow["pairs"], linestyle="none", marker=shown.marker,
            markeredgecolor=shown.color, markerfacecolor="white", zorder=4, label="_uncertified",
        )  # fmt: skip
        for row in rows[rows["recipe"] == "ensemble"].itertuples():
            ax.annotate(
                f"K={row.n_members}", (getattr(row, x), row.pairs), xytext=(3, 3),
                textcoords="offset points", fontsize=7, color=shown.color,
            )  # fmt: skip


def draw_published() -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy against total parameters.

    The frame has columns `recipe`, `n_params`, `n_members`, `n_total`, `accuracy` and `on_front`.
    """
    rows = infinite_compute("benchmark", metric="avg3_acc")
    rows = rows[rows["recipe"] != "epoch sweep"].assign(accuracy=100 * rows["value"])
    rows = rows.assign(n_total=rows["n_params"] * rows["n_members"])
    figure, ax = plt.subplots(figsize=(7.0, 4.4))
    for recipe in _SINGLE:
        part = rows[rows["recipe"] == recipe].sort_values("n_total")
        shown = look(recipe)
        ax.plot(part["n_total"], part["accuracy"], label=shown.label, **shown.line)
    ensembles = rows[rows["recipe"] == "ensemble"]
    for i, (size, part) in enumerate(ensembles.groupby("n_params")):
        part = part.sort_values("n_members")
        ax.plot(
            part["n_total"], part["accuracy"], color=look("ensemble").color, marker=MARKERS[2 + i],
            linewidth=0.9, label=f"1 to 5 members of {human(float(str(size)))}",
        )  # fmt: skip
    front = rows.sort_values(["n_total", "accuracy"], ascending=[True, False])
    front = front[front["accuracy"] > front["accuracy"].cummax().shift(fill_value=0.0)]
    ax.step(
        front["n_total"], front["accuracy"], where="post", color=BLACK, linewidth=0.9,
        label="Pareto front",
    )  # fmt: skip
    log_counts(ax)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xticks([2e8, 5e8, 1e9, 2e9, 5e9])
    ax.set(xlabel="total parameters N x K", ylabel="mean accuracy (%)")
    ax.legend(fontsize=7.5)
    columns = ["recipe", "n_params", "n_members", "n_total", "accuracy"]
    return figure, rows[columns].assign(on_front=rows.index.isin(front.index))
