"""Figure 13: downstream accuracy along the scaling curves."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from experiments.display.quantities import human
from experiments.recipes.downstream import downstream
from experiments.recipes.ensembles import ensembles
from experiments.recipes.regularized import regularized
from experiments.recipes.standard import standard
from experiments.story.story import Story
from paper_figs.layout import Place, panel, panels
from paper_figs.style import BLACK, MARKERS, legend_beside, log_counts, look, shades
from scaling.published import talk
from scaling.published.figures import KIM

NAME = "fig13"
CLAIMS = ("P17",)
NEEDS = (downstream, standard, regularized, ensembles)
TITLE = "Downstream accuracy: do lower losses mean higher accuracies?"
CAPTION = (
    "Accuracy on minimal pairs of grammar (BLiMP, Warstadt et al. 2020; chance is 0.5), for the "
    "first seeds of the standard and tuned recipes and for ensembles of tuned members, lighter for "
    "more members; bars are one standard error over paradigms. Hollow: hyperparameters that are "
    "not certified. Left: against test loss, falling to the right, with the rank correlation. "
    "Right: against training compute of all members; dashed: the Pareto front."
)
PUBLISHED_TITLE = "At large total size, ensembles are Pareto-optimal on downstream tasks"
PUBLISHED_CAPTION = (
    f"Published (public code of {KIM}, 200M tokens): mean accuracy on ARC-Easy, PIQA and SciQ "
    "against total parameters N x K for the standard recipe, single regularized models, ensembles "
    "of one to five members at four sizes, and the two distilled 300M students. Black: the Pareto "
    "front. No intervals are published; ARC-Easy has 2,376 questions, so one standard error of "
    "its accuracy is about one point."
)
_SINGLE = ("standard", "regularized", "8-ensemble distill student", "self-distill student")
"""Recipes of single models, by their names in the published table."""


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw accuracy against loss and compute.

    The frame has columns `is_on_front`, `certified` and those of `Downstream.models`.

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
    axes = by_loss, by_compute = panels(ax, 1, 2, wide=1.5, sharey=True)
    for one, x in ((by_loss, "test_loss"), (by_compute, "train_flops")):
        _points(one, models, x)
    by_loss.invert_xaxis()
    correlation = found.rank_correlation()
    by_loss.set(
        xlabel="test loss (nats per token), falling", ylabel="accuracy on minimal pairs",
        title=f"rank correlation {correlation}",
    )  # fmt: skip
    frontier = found.frontier()
    by_compute.step(
        frontier["train_flops"], frontier["pairs"], where="post", color=BLACK, linewidth=1,
        linestyle="--", zorder=0, label="Pareto front",
    )  # fmt: skip
    by_compute.set(xscale="log", xlabel="training FLOPs of all members")
    legend_beside(by_compute)
    return axes, models.assign(is_on_front=models.index.isin(frontier.index))


def _points(ax: Axes, models: pd.DataFrame, x: str) -> None:
    """Draw one series for each recipe, and for ensembles one for each number of members."""
    ensemble = models["recipe"] == "ensemble"
    counts = sorted(models.loc[ensemble, "n_members"].unique())
    series = [
        (look(str(recipe)), look(str(recipe)).color, look(str(recipe)).label, rows)
        for recipe, rows in models[~ensemble].groupby("recipe", sort=False)
    ]
    shown = look("ensemble")
    for count, color in zip(counts, shades(shown.color, len(counts)), strict=True):
        rows = models[ensemble & (models["n_members"] == count)]
        series.append((shown, color, f"{shown.label}, K = {count}", rows))
    for shown, color, label, rows in series:
        ax.errorbar(
            rows[x], rows["pairs"], yerr=rows["pairs_stderr"], linestyle="none", elinewidth=0.6,
            label=label, color=color, marker=shown.marker,
        )  # fmt: skip
        hollow = rows[~rows["certified"].astype(bool)]
        ax.plot(
            hollow[x], hollow["pairs"], linestyle="none", marker=shown.marker,
            markeredgecolor=color, markerfacecolor="white", zorder=4, label="_uncertified",
        )  # fmt: skip


def draw_published(ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw accuracy against total parameters.

    The frame has columns `recipe`, `n_params`, `n_members`, `n_total`, `accuracy` and `on_front`.
    """
    rows = talk.DOWNSTREAM.assign(accuracy=100 * talk.DOWNSTREAM["accuracy"])
    rows = rows.assign(n_total=rows["n_params"] * rows["n_members"])
    ax = panel(ax, wide=1.5)
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
    legend_beside(ax)
    columns = ["recipe", "n_params", "n_members", "n_total", "accuracy"]
    return ax, rows[columns].assign(on_front=rows.index.isin(front.index))
