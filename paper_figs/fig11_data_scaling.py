"""Figure 11: every recipe on stocks of text of several sizes, and its value in data."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from experiments.analysis.laws import LOSS
from experiments.planner.published_laws import data_laws, multiplier_of
from experiments.recipes.data_scaling import REFERENCE, D, DataScaling, data_scaling
from experiments.story.story import Story
from paper_figs.fig10_joint_limit import refit
from paper_figs.style import BLACK, MARKERS, Look, log_counts, log_ticks, look, shades, spread_x
from scaling import MEMBER_LIMITS, PUBLISHED_FIGURES, fit_law
from scaling.published import talk
from scaling.published.figures import KIM

NAME = "fig11"
CLAIMS = ("P13",)
TITLE = "Data scaling: do the gains persist as data grows?"
CAPTION = (
    "Left: test loss against unique tokens D, each recipe tuned on every stock (means over draws "
    "of the corpus with 95 % intervals; lines: fitted E + A / D^alpha). Hollow: some optimum "
    "behind the point is not certified. Middle: how many times more data the standard recipe "
    "would need for the same loss, by its data law (jackknife intervals over draws, recipes "
    "paired; an arrow means no upper end). Right, published: limits of infinitely many members "
    f"(public code of {KIM})."
)
PUBLISHED_TITLE = "The gains of each recipe persist as data grows"
PUBLISHED_CAPTION = (
    f"Published ({KIM}). Left: data laws with the published E = 1.94 and alpha = 0.235 through the "
    "loss of each recipe at 200M tokens; points: joint limits refitted here at four stocks of "
    "tokens, with the law fitted to them (these earlier values have a lower asymptote than the "
    "final ones of the paper). Right: how many times more data the standard recipe needs; bars "
    "span the published ranges of E and alpha and the rounding of losses; rings: printed values "
    "(for ensembles read off a figure)."
)
_RECIPES = {
    "standard": (talk.STANDARD_BEST, None),
    "regularized": (talk.REGULARIZED_LAW["E"], "multiplier_regularized"),
    "ensembles of 300M": (talk.ENSEMBLE_LAW["E"], "multiplier_ensembles"),
    "joint": (talk.JOINT_LIMIT, "multiplier_joint"),
}
_LOOKS = {
    "standard": look("standard"),
    "regularized": look("regularized"),
    "ensembles of 300M": look("ensemble limit"),
    "joint": look("joint limit"),
}


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw losses and data multipliers against D, beside the published limits.

    The frame has columns `recipe`, `n_unique_tokens`, `test_loss`, `low`, `high`, `certified`,
    `multiplier`, `multiplier_low`, `multiplier_high`, `unpaired_low` and `unpaired_high`.
    """
    found = story[data_scaling]
    figure, (ax, worth, published) = plt.subplots(
        1, 3, figsize=(11, 4.2), gridspec_kw={"width_ratios": [1.4, 1.2, 1]}
    )
    sizes = np.array(found.sizes, float)
    tables = []
    for recipe in found.recipes:
        shown = look(recipe)
        losses = [found.loss(recipe, size) for size in found.sizes]
        values = np.array([loss.value for loss in losses])
        errors = np.abs([[e.value - e.low, e.high - e.value] for e in losses]).T
        ax.errorbar(
            sizes, values, yerr=np.where(np.isfinite(errors), errors, 0), linestyle="none",
            capsize=3, label=shown.label, **shown.line,
        )  # fmt: skip
        curve = spread_x(sizes[0], 4 * sizes[-1])
        law = found.laws[recipe].evaluate({D: curve})
        ax.plot(curve, law, color=shown.color, linestyle=":", linewidth=1.2)
        certified = [_certified(found, recipe, size) for size in found.sizes]
        ax.plot(
            sizes[~np.array(certified)], values[~np.array(certified)], linestyle="none",
            marker=shown.marker, markeredgecolor=shown.color, markerfacecolor="white", zorder=4,
            label="_uncertified",
        )  # fmt: skip
        table = pd.DataFrame(
            {
                "recipe": recipe, D: found.sizes, LOSS: values, "low": values - errors[0],
                "high": values + errors[1], "certified": certified,
            }
        )  # fmt: skip
        if recipe != REFERENCE:
            worths = [found.multiplier(recipe, size) for size in found.sizes]
            unpaired = [found.efficiency(recipe, size).interval for size in found.sizes]
            table["multiplier"] = [estimate.value for estimate in worths]
            table["multiplier_low"] = [estimate.low for estimate in worths]
            table["multiplier_high"] = [estimate.high for estimate in worths]
            table["unpaired_low"], table["unpaired_high"] = zip(*unpaired, strict=True)
            _draw_worth(worth, table, shown)
        tables.append(table)
    worth.axhline(1, color=BLACK, linewidth=0.8)
    worth.set_yscale("log")
    worth.yaxis.set_major_formatter(LogFormatter())
    worth.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
    for axes in (ax, worth):
        log_ticks(axes, found.sizes)
        axes.set_xlabel("unique tokens D")
    ax.set(ylabel="test loss (nats per token)", title="here")
    worth.set(ylabel="times more data for the standard recipe", title="data efficiency, here")
    ax.legend()
    stocks = list(talk.STOCK_TOKENS.values())
    colors = shades(look("ensemble limit").color, len(MEMBER_LIMITS["209M"]))
    for i, n_params in enumerate(MEMBER_LIMITS["209M"]):
        published.plot(
            stocks, [limits[n_params] for limits in MEMBER_LIMITS.values()],
            color=colors[i], marker=MARKERS[i], label=f"members of {n_params:g}B",
        )  # fmt: skip
    log_ticks(published, stocks)
    published.set(xlabel="unique tokens D", title="published: limits in K")
    published.legend()
    return figure, pd.concat(tables, ignore_index=True)


def _draw_worth(ax: plt.Axes, table: pd.DataFrame, shown: Look) -> None:
    """Draw multipliers with their intervals; an arrow stands for an infinite end."""
    there = table[np.isfinite(table["multiplier"])]
    below = there["multiplier"] - there["multiplier_low"]
    endless = ~np.isfinite(there["multiplier_high"])
    above = (there["multiplier_high"] - there["multiplier"]).where(~endless, there["multiplier"])
    ax.errorbar(
        there[D], there["multiplier"], yerr=[below, above], lolims=endless.to_numpy(), capsize=3,
        **shown.line,
    )  # fmt: skip


def _certified(found: DataScaling, recipe: str, size: int) -> bool:
    """Return whether all optima behind a point are certified."""
    objective = {"standard": "standard", "regularized": "single"}.get(recipe, "ensemble")
    rows = found.best[(found.best["recipe"] == recipe) & (found.best[D] == size)]
    widths = set(rows["width"]) - {0}
    return all(
        one.tuned.certified
        for one in found.certificates[size]
        if one.objective == objective and (not widths or one.spec.model.width in widths)
    )


def draw_published() -> tuple[Figure, pd.DataFrame]:
    """Draw the data laws and the multipliers.

    The frame has columns `panel`, `series`, `x`, `y`, `low` and `high`.
    """
    figure, (ax, worth) = plt.subplots(
        1, 2, figsize=(9.6, 4.4), gridspec_kw={"width_ratios": [1.5, 1]}
    )
    return figure, pd.concat([_laws(ax), _multipliers(worth)], ignore_index=True)


def _laws(ax: Axes) -> pd.DataFrame:
    tokens = np.geomspace(1e8, 4e9, 80)
    law = next(data_laws())
    frames = []
    for (name, (loss, _)), linestyle in zip(_RECIPES.items(), ("-", "--", "-.", ":"), strict=True):
        line = np.array([law.at(loss, one) for one in tokens])
        ax.plot(
            tokens, line, color=_LOOKS[name].color, linestyle=linestyle, label=_LOOKS[name].label
        )
        frames.append(pd.DataFrame({"panel": "law", "series": name, "x": tokens, "y": line}))
    limits = [
        refit(pd.DataFrame({"n_params": list(one), "loss": list(one.values())})).asymptote
        for one in MEMBER_LIMITS.values()
    ]
    points = pd.DataFrame({"n_tokens": list(talk.STOCK_TOKENS.values()), "loss": limits})
    fit = fit_law(points, "power", x="n_tokens", y="loss", loss="squared_log", n_boot=0)
    shown = fit.params["E"] + fit.params["A"] / tokens ** fit.params["alpha"]
    ax.plot(
        points["n_tokens"],
        points["loss"],
        linestyle="none",
        label="joint limit, refitted",
        **_LOOKS["joint"].line,
    )
    ax.plot(
        tokens, shown, color=_LOOKS["joint"].color, linewidth=0.9,
        label=f"its law: E = {fit.params['E']:.2f}, alpha = {fit.params['alpha']:.2f}",
    )  # fmt: skip
    log_counts(ax)
    ax.set(xlabel="unique tokens", ylabel="held-out loss (nats per token)")
    ax.legend()
    refitted = points.rename(columns={"n_tokens": "x", "loss": "y"})
    return pd.concat([*frames, refitted.assign(panel="law", series="joint, refitted")])


def _multipliers(ax: Axes) -> pd.DataFrame:
    rows = []
    for place, (name, (loss, figure)) in enumerate(_RECIPES.items()):
        found = multiplier_of(loss)
        ends = [[found.value - found.low], [found.high - found.value]] if figure else None
        ax.errorbar(place, found.value, yerr=ends, capsize=4, **_LOOKS[name].line)
        ax.annotate(
            f"{found.value:.2f}x", (place, found.value), xytext=(8, 0), textcoords="offset points",
            va="center", fontsize=8.5,
        )  # fmt: skip
        if figure is not None:
            ax.plot(
                place, PUBLISHED_FIGURES[figure].value, "o", markersize=11, fillstyle="none",
                color=BLACK,
            )  # fmt: skip
        rows.append(("multiplier", name, place, found.value, found.low, found.high))
    ax.set_xticks(range(len(_RECIPES)), ["standard", "regular-\nized", "300M\nensembles", "joint"])
    ax.set(xlim=(-0.4, 3.7), ylim=(0, 6.2), ylabel="times more data")
    return pd.DataFrame(rows, columns=["panel", "series", "x", "y", "low", "high"])
