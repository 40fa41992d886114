"""Figure 11: every recipe on stocks of text of several sizes, and its value in data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis.laws import LOSS
from experiments.analysis.multiplier import Multiplier
from experiments.planner.published_laws import data_laws, multiplier_of
from experiments.recipes.data_scaling.losses import D
from experiments.recipes.data_scaling.recipe import REFERENCE, DataScaling, data_scaling
from experiments.story.story import Story
from paper_figs.fig10_joint_limit import refit
from paper_figs.layout import Place, panels
from paper_figs.style import (
    BLACK,
    Look,
    dodged,
    error_bars,
    log_counts,
    log_ticks,
    look,
    spread_x,
)
from scaling import MEMBER_LIMITS, PUBLISHED_FIGURES, fit_law
from scaling.published import talk
from scaling.published.figures import KIM

NAME = "fig11"
CLAIMS = ("P13",)
NEEDS = (data_scaling,)
TITLE = "Data scaling: do the gains persist as data grows?"
CAPTION = (
    "Left: test loss against unique tokens D, each recipe tuned on every stock (means over draws "
    "of the corpus with 95 % intervals; lines: fitted E + A / D^alpha, where three stocks or more "
    "were trained). Hollow: some optimum behind the point is not certified. Right: how many times "
    "more data the standard recipe needs for the same loss, read between its points on lines in "
    "ln D (intervals over draws, recipes paired). An arrow: that end of the interval lies "
    "beyond the data on which the standard recipe was trained. Multipliers of one stock are drawn "
    "side by side."
)
PUBLISHED_TITLE = "The gains of each recipe persist as data grows"
PUBLISHED_CAPTION = (
    f"Published ({KIM}). Left: data laws with the published E = 1.94 and alpha = 0.235 through "
    "the loss of each recipe at 200M tokens; points: joint limits refitted here at four stocks "
    "of tokens (best fits: not all are identified, see figure 10), with the law fitted to them "
    "(these earlier values have a lower asymptote than the final ones of the paper). Right: how "
    "many times more data the standard recipe needs; bars span the published ranges of E and "
    "alpha and the rounding of losses; rings: printed values (for ensembles read off a figure)."
)
_TIMES = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 1e3, 1e4)
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


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw losses and data multipliers against D.

    The frame has columns `series` (points or law), `recipe`, `n_unique_tokens`, `test_loss`, `low`,
    `high`, `certified`, `multiplier`, `multiplier_low` and `multiplier_high`.
    """
    found = story[data_scaling]
    axes = ax, worth = panels(ax, 1, 2, wide=1.5, tall=1.05, width_ratios=(1.2, 1))
    tables = []
    for i, recipe in enumerate(found.recipes):
        table = _losses(found, recipe)
        shown = look(recipe)
        ax.errorbar(
            table[D], table[LOSS], yerr=error_bars(table[LOSS], table["low"], table["high"]),
            linestyle="none", capsize=3, label=shown.label, **shown.line,
        )  # fmt: skip
        hollow = ~table["certified"].to_numpy(bool)
        ax.plot(
            table.loc[hollow, D], table.loc[hollow, LOSS], linestyle="none", marker=shown.marker,
            markeredgecolor=shown.color, markerfacecolor="white", zorder=4, label="_uncertified",
        )  # fmt: skip
        if recipe != REFERENCE:
            worths = [found.multiplier(recipe, size) for size in table[D]]
            table["multiplier"] = [one.value for one in worths]
            table["multiplier_low"] = [one.low for one in worths]
            table["multiplier_high"] = [one.high for one in worths]
            _draw_worth(worth, worths, dodged(table[D], i, len(found.recipes)), shown)
        tables.append(table.assign(series="points"))
        if recipe in found.laws:
            sizes = spread_x(table[D].min(), 2 * table[D].max(), 60)
            law = pd.DataFrame({D: sizes, LOSS: found.laws[recipe].evaluate({D: sizes})})
            ax.plot(law[D], law[LOSS], color=shown.color, linestyle=":", linewidth=1.2)
            tables.append(law.assign(series="law", recipe=recipe))
    worth.axhline(1, color=BLACK, linewidth=0.8)
    worth.set_yscale("log")
    low, high = worth.get_ylim()
    log_ticks(worth, [tick for tick in _TIMES if low <= tick <= high], axis="y")
    for one in axes:
        log_ticks(one, found.sizes_of(REFERENCE))
        one.set_xlabel("unique tokens D")
    ax.set(ylabel="test loss (nats per token)")
    worth.set(ylabel="times more data for the standard recipe")
    ax.legend()
    return axes, pd.concat(tables, ignore_index=True)


def _losses(found: DataScaling, recipe: str) -> pd.DataFrame:
    """Return the losses of a recipe on each of its stocks."""
    sizes = found.sizes_of(recipe)
    losses = [found.loss(recipe, size) for size in sizes]
    return pd.DataFrame(
        {
            "recipe": recipe,
            D: sizes,
            LOSS: [loss.value for loss in losses],
            "low": [loss.low for loss in losses],
            "high": [loss.high for loss in losses],
            "certified": [_certified(found, recipe, size) for size in sizes],
        }
    )


def _draw_worth(ax: Axes, worths: Sequence[Multiplier], places: np.ndarray, shown: Look) -> None:
    """Draw multipliers with their intervals; an arrow stands for an end that was not measured."""
    for x, worth in zip(places, worths, strict=True):
        if not worth.is_identified:
            continue
        low, value, high = np.clip([worth.low, worth.value, worth.high], *worth.measured)
        ax.errorbar(x, value, yerr=error_bars(value, low, high), capsize=3, **shown.line)
        for open_end, at, by in ((worth.high == np.inf, high, 16), (worth.low == 0, low, -16)):
            if open_end:
                ax.annotate(
                    "", (x, at), xytext=(0, by), textcoords="offset points",
                    arrowprops={"arrowstyle": "<-", "color": shown.color},
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


def draw_published(ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw the data laws and the multipliers.

    The frame has columns `panel`, `series`, `x`, `y`, `low` and `high`.
    """
    axes = panels(ax, 1, 2, wide=1.5, tall=1.05, width_ratios=(1.5, 1))
    return axes, pd.concat([_laws(axes[0]), _multipliers(axes[1])], ignore_index=True)


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
    frames.append(refitted.assign(panel="law", series="joint, refitted"))
    law_of_limits = pd.DataFrame({"x": tokens, "y": shown})
    return pd.concat([*frames, law_of_limits.assign(panel="law", series="law of joint, refitted")])


def _multipliers(ax: Axes) -> pd.DataFrame:
    rows = []
    for place, (name, (loss, figure)) in enumerate(_RECIPES.items()):
        found = multiplier_of(loss)
        ends = [[found.value - found.low], [found.high - found.value]] if figure else None
        ax.errorbar(place, found.value, yerr=ends, capsize=4, **_LOOKS[name].line)
        ax.annotate(
            f"{found.value:.2f}x", (place, found.value), xytext=(8, 0), textcoords="offset points",
            va="center", fontsize="small",
        )  # fmt: skip
        if figure is not None:
            ax.plot(
                place, PUBLISHED_FIGURES[figure].value, "o", markersize=11, fillstyle="none",
                color=BLACK,
            )  # fmt: skip
        rows.append(("multiplier", name, place, found.value, found.low, found.high))
        if figure is not None:
            printed = PUBLISHED_FIGURES[figure].value
            rows.append(("multiplier", f"{name}, printed", place, printed, np.nan, np.nan))
    ax.set_xticks(range(len(_RECIPES)), ["standard", "regular-\nized", "300M\nensembles", "joint"])
    ax.set(xlim=(-0.4, 3.7), ylim=(0, 6.2), ylabel="times more data")
    return pd.DataFrame(rows, columns=["panel", "series", "x", "y", "low", "high"])
