"""Figure 11: every recipe on stocks of text of several sizes, and what it is worth in data."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from experiments.analysis.laws import LOSS
from experiments.recipes.data_scaling import REFERENCE, D, DataScaling
from experiments.story.story import Story
from paper_figs.style import COLORS, MARKERS, log_ticks, spread_x
from scaling.published.figures import MEMBER_LIMITS

NAME = "fig11"
TITLE = "Data scaling: do the gains persist as data grows?"
CAPTION = (
    "Left: test loss against unique tokens D, each recipe tuned on every stock (means over draws "
    "of the corpus with 95 % intervals; lines: fitted E + A / D^alpha). Hollow: some optimum "
    "behind the point is not certified. Middle: how many times more data the standard recipe "
    "would need for the same loss, by its data law (intervals: draws left out one at a time, the "
    "recipes paired; an arrow: no upper end). Right, published: "
    "limits of infinitely many members (Kim et al. 2025, arXiv 2509.14786, authors' code)."
)


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw losses and data multipliers against D, beside the published limits."""
    found: DataScaling = story.result("data_scaling")
    figure, (ax, worth, published) = plt.subplots(
        1, 3, figsize=(11, 4.2), gridspec_kw={"width_ratios": [1.4, 1.2, 1]}
    )
    sizes = np.array(found.sizes, float)
    tables = []
    for i, recipe in enumerate(found.recipes):
        look = {"color": COLORS[i], "marker": MARKERS[i]}
        losses = [found.loss(recipe, size) for size in found.sizes]
        values = np.array([loss.value for loss in losses])
        errors = np.abs([[e.value - e.low, e.high - e.value] for e in losses]).T
        ax.errorbar(
            sizes, values, yerr=np.where(np.isfinite(errors), errors, 0), linestyle="none",
            capsize=3, label=recipe, **look,
        )  # fmt: skip
        curve = spread_x(sizes[0], 4 * sizes[-1])
        law = found.laws[recipe].predict(pd.DataFrame({D: curve}))["mean"]
        ax.plot(curve, law, color=COLORS[i], linestyle=":", linewidth=1.2)
        certified = [_certified(found, recipe, size) for size in found.sizes]
        ax.plot(
            sizes[~np.array(certified)], values[~np.array(certified)], linestyle="none",
            marker=MARKERS[i], markeredgecolor=COLORS[i], markerfacecolor="white", zorder=4,
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
            _draw_worth(worth, table, i)
        tables.append(table)
    worth.axhline(1, color="black", linewidth=0.8)
    worth.set_yscale("log")
    worth.yaxis.set_major_formatter(LogFormatter())
    worth.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
    for axes in (ax, worth):
        log_ticks(axes, found.sizes)
        axes.set_xlabel("unique tokens D")
    ax.set(ylabel="test loss (nats per token)", title="here")
    worth.set(ylabel="times more data for the standard recipe", title="data efficiency, here")
    ax.legend()
    names = {"209M": 209e6, "419M": 419e6, "839M": 839e6, "1.68B": 1.68e9}
    for i, n_params in enumerate(MEMBER_LIMITS["209M"]):
        published.plot(
            list(names.values()), [MEMBER_LIMITS[name][n_params] for name in names],
            color=COLORS[i], marker=MARKERS[i], label=f"members of {n_params:g}B",
        )  # fmt: skip
    log_ticks(published, list(names.values()))
    published.set(xlabel="unique tokens D", title="published: limits in K")
    published.legend()
    return figure, pd.concat(tables, ignore_index=True)


def _draw_worth(ax: plt.Axes, table: pd.DataFrame, i: int) -> None:
    """Draw multipliers with their intervals; an end beyond all data is an arrow."""
    there = table[np.isfinite(table["multiplier"])]
    below = there["multiplier"] - there["multiplier_low"]
    endless = ~np.isfinite(there["multiplier_high"])
    above = (there["multiplier_high"] - there["multiplier"]).where(~endless, there["multiplier"])
    ax.errorbar(
        there[D], there["multiplier"], yerr=[below, above], lolims=endless.to_numpy(), capsize=3,
        color=COLORS[i], marker=MARKERS[i],
    )  # fmt: skip


def _certified(found: DataScaling, recipe: str, size: int) -> bool:
    """Tell whether the optima behind a point are certified."""
    objective = {"standard": "standard", "regularized": "single"}.get(recipe, "ensemble")
    rows = found.best[(found.best["recipe"] == recipe) & (found.best[D] == size)]
    widths = set(rows["width"]) - {0}
    return all(
        one.tuned.certified
        for one in found.certificates[size]
        if one.objective == objective and (not widths or one.spec.model.width in widths)
    )
