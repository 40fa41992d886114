"""Figure 11, published: data laws of the recipes, and what each is worth in data."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.planner.published_laws import data_laws, multiplier_of
from paper_figs.published import KIM, STOCK_TOKENS
from paper_figs.published.fig10_joint_limit import refit
from paper_figs.style import COLORS, MARKERS, human
from scaling import MEMBER_LIMITS, PUBLISHED_FIGURES, fit_law
from scaling.published import talk

NAME = "fig11"
TITLE = "The gains of each recipe persist as data grows"
CAPTION = (
    f"Published ({KIM}). Left: data laws with the published E = 1.94 and alpha = 0.235 through the "
    "loss of each recipe at 200M tokens; points: joint limits refitted here at four stocks, with "
    "the law that fits them (their snapshot has a lower asymptote than the paper's final one). "
    "Right: how many times more data the standard recipe needs; ends over the published ranges of "
    "E and alpha and the rounding of losses; rings: as printed (the ensembles' is read off a "
    "figure)."
)
_RECIPES = {
    "standard": (talk.STANDARD_BEST, None),
    "regularised": (talk.REGULARIZED_LAW["E"], "multiplier_regularized"),
    "ensembles of 300M": (talk.ENSEMBLE_LAW["E"], "multiplier_ensembles"),
    "joint": (talk.JOINT_LIMIT, "multiplier_joint"),
}
_COLORS = dict(zip(_RECIPES, (COLORS[1], COLORS[0], COLORS[3], COLORS[2]), strict=True))


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw the data laws and the multipliers."""
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
        ax.plot(tokens, line, color=_COLORS[name], linestyle=linestyle, label=name)
        frames.append(pd.DataFrame({"panel": "law", "series": name, "x": tokens, "y": line}))
    limits = [
        refit(pd.DataFrame({"n_params": list(one), "loss": list(one.values())})).asymptote
        for one in MEMBER_LIMITS.values()
    ]
    points = pd.DataFrame({"n_tokens": list(STOCK_TOKENS.values()), "loss": limits})
    fit = fit_law(points, "power", x="n_tokens", y="loss", loss="squared_log", n_boot=0)
    shown = fit.params["E"] + fit.params["A"] / tokens ** fit.params["alpha"]
    ax.plot(
        points["n_tokens"], points["loss"], MARKERS[2], color=COLORS[2], label="joint, refitted"
    )
    ax.plot(
        tokens, shown, color=COLORS[2], linewidth=0.9,
        label=f"its law: E = {fit.params['E']:.2f}, alpha = {fit.params['alpha']:.2f}",
    )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: human(value))
    ax.set(xlabel="unique tokens", ylabel="held-out loss (nats per token)")
    ax.legend()
    refitted = points.rename(columns={"n_tokens": "x", "loss": "y"})
    return pd.concat([*frames, refitted.assign(panel="law", series="joint, refitted")])


def _multipliers(ax: Axes) -> pd.DataFrame:
    rows = []
    for place, (name, (loss, figure)) in enumerate(_RECIPES.items()):
        found = multiplier_of(loss)
        ends = [[found.value - found.low], [found.high - found.value]] if figure else None
        ax.errorbar(
            place, found.value, yerr=ends, color=_COLORS[name], marker=MARKERS[0], capsize=4
        )
        ax.annotate(
            f"{found.value:.2f}x", (place, found.value), xytext=(8, 0), textcoords="offset points",
            va="center", fontsize=8.5,
        )  # fmt: skip
        if figure is not None:
            ax.plot(
                place, PUBLISHED_FIGURES[figure].value, "o", markersize=11, fillstyle="none",
                color=COLORS[6],
            )  # fmt: skip
        rows.append(("multiplier", name, place, found.value, found.low, found.high))
    ax.set_xticks(range(len(_RECIPES)), ["standard", "regular-\nised", "300M\nensembles", "joint"])
    ax.set(xlim=(-0.4, 3.7), ylim=(0, 6.2), ylabel="times more data")
    return pd.DataFrame(rows, columns=["panel", "series", "x", "y", "low", "high"])
