"""Figure N1: fitted asymptotes and limits compared with languages of known entropy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.analysis.laws import LOSS, K, N
from experiments.recipes.calibration.laws import (
    AVERAGE,
    BAYES,
    LIMITS,
    METHODS,
    RECIPES,
    D,
    data_rows,
    excess_losses,
)
from experiments.recipes.calibration.recipe import calibration
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, GREY, Look, dodged, error_bars, log_ticks, look, spread_x

NAME = "figN1"
CLAIMS = ("N1a", "N1b", "N1c")
NEEDS = (calibration,)
TITLE = "Can a fitted asymptote be trusted?"
CAPTION = (
    "Models trained on languages of known entropy; every loss is the excess over the known value, "
    "in nats per token. Upper left: loss minus the entropy of the windows against D on the first "
    "Markov chain, for the Bayes-optimal predictor, tuned models and ensembles, with the data law "
    "of each; dashed beyond the fitted points, where hollow points check it. Upper right: the "
    "asymptote of every data law minus the truth, with its 95 % interval (profile likelihood); "
    "hollow where the interval misses the truth, a cross where the fit reports that it is not "
    "identified, at the edge if it lies outside the axes. Lower left: loss at a fixed D minus "
    "that of the Bayes-optimal predictor, which is a lower bound on average; means over Markov "
    "chains with 95 % intervals; hollow points are brute-force runs beyond the sizes and members "
    "that the limits are fitted to; points of one size are drawn side by side. "
    "Lower right: the limits of every chain minus the lower bound, "
    "a cross where one is not identified, at the edge if it lies outside the axes; x marks brute "
    "force. There is no published counterpart."
)
CURVES = (BAYES, "single", "ensemble")
FORMS = {"markov": "Markov", "hidden": "hidden Markov"}


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw data laws, their asymptotes, losses at a fixed D and their limits.

    The frame has columns `what` and those of the four tables that are drawn.
    """
    found = story[calibration]
    laws, rows, at_fixed, steps = found.laws, data_rows(found), found.limits, excess_losses(found)
    axes = curves, errors, sizes, ends = panels(ax, 2, 2, wide=1.5, tall=1.95)
    _draw_curves(curves, rows, laws[laws["method"] == METHODS[0]])
    _draw_errors(errors, laws[laws["method"] == METHODS[0]])
    _draw_excess(sizes, steps)
    sizes.set_title(f"D = {found.plan.n_unique_tokens:,}, mean of {found.plan.n_sources} chains")
    _draw_limits(ends, at_fixed)
    tables = {"loss": rows, "data law": laws, "excess": steps, "limit": at_fixed}
    return axes, pd.concat(
        [table.assign(what=what) for what, table in tables.items()], ignore_index=True
    )


def _draw_curves(ax: Axes, rows: pd.DataFrame, laws: pd.DataFrame) -> None:
    """Draw losses of the first Markov chain in excess of its entropy, with their laws."""
    rows = rows[(rows["kind"] == "markov") & (rows["source"] == 0)]
    laws = laws[(laws["kind"] == "markov") & (laws["source"] == 0)].set_index("recipe")
    last_fitted = rows.loc[rows["is_fitted"], D].max()
    for recipe in CURVES:
        of, law, shown = rows[rows["recipe"] == recipe], laws.loc[recipe], look(recipe)
        for is_fitted, part in of.groupby("is_fitted"):
            ax.plot(
                part[D], part[LOSS] - law["truth"], shown.marker, color=shown.color,
                fillstyle="full" if is_fitted else "none",
                label=shown.label if is_fitted else None,
            )  # fmt: skip
        for x, style in (
            (spread_x(of[D].min(), last_fitted), "-"),
            (spread_x(last_fitted, 4 * of[D].max()), "--"),
        ):
            y = law["E"] + law["A"] / x ** law["alpha"] - law["truth"]
            ax.plot(x, y, style, color=shown.color, linewidth=1.2)
    ax.axhline(0, color=BLACK, linewidth=0.8)
    log_ticks(ax, sorted(rows[D].unique()))
    ax.set(
        xlabel="unique tokens D", ylabel="loss minus entropy (nats per token)",
        title="data laws of the first chain",
    )  # fmt: skip
    ax.legend()


def _draw_errors(ax: Axes, laws: pd.DataFrame) -> None:
    """Draw every asymptote minus the truth; intervals are clipped at the axis."""
    # Asymptotes that are not identified can be arbitrary, so they do not set the axis.
    reach = 1.6 * max([*laws.loc[laws["identified"], "error"].abs(), 0.02])
    place, ticks = 0, {}
    for kind, form in FORMS.items():
        for recipe in (*RECIPES, BAYES):
            of = laws[(laws["kind"] == kind) & (laws["recipe"] == recipe)].sort_values("error")
            if of.empty:
                continue
            for row in of.itertuples():
                _draw_end(
                    ax, place, np.clip(row.error, -0.97 * reach, 0.97 * reach),
                    row.low - row.truth, row.high - row.truth,
                    shown=look(recipe), hollow=not row.covered, known=row.identified,
                )  # fmt: skip
                place += 1
            ticks[place - (len(of) + 1) / 2] = f"{form},\n{recipe}"
            place += 1
    ax.set_xlim(-reach, reach)
    _explain(ax, {"interval misses the truth": ("o", "white"), "not identified": ("+", GREY)})
    _finish(ax, ticks, place, "fitted asymptote minus entropy (nats per token)", "data laws")


def _draw_excess(ax: Axes, steps: pd.DataFrame) -> None:
    """Draw the excess over the lower bound against size, for single models and ensembles."""
    most, counts = steps[K].max(), sorted(steps[K].unique())
    for average, n in (("single", 1), *((AVERAGE, n) for n in counts)):
        of = steps[(steps["average"] == average) & (steps[K] == n)].sort_values(N)
        single = average == "single"
        shown = look("single" if single else "ensemble")
        places = dodged(of[N], 0 if single else 1 + counts.index(n), 1 + len(counts), step=0.07)
        color = shown.color if single else str(0.8 - 0.7 * np.log2(n) / np.log2(most))
        errors = error_bars(of["excess"], of["low"], of["high"])
        ax.errorbar(
            places, of["excess"], yerr=errors, color=color,
            linewidth=1, capsize=2, label=shown.label if single else f"K = {n}",
        )  # fmt: skip
        for is_fitted in (True, False):
            part = (of["is_fitted"] == is_fitted).to_numpy(bool)
            ax.plot(
                places[part], of.loc[part, "excess"], shown.marker, color=color,
                markerfacecolor=color if is_fitted else "white",
            )  # fmt: skip
    ax.axhline(0, color=BLACK, linewidth=0.8)
    log_ticks(ax, sorted(steps[N].unique()))
    ax.set(
        xlabel="non-embedding parameters of a member", ylabel="loss minus Bayes loss (nats)",
    )  # fmt: skip
    ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 0.07))


def _draw_limits(ax: Axes, at_fixed: pd.DataFrame) -> None:
    """Draw every limit minus the lower bound, and the brute-force loss; clipped at the axis."""
    brute = at_fixed["brute"] - at_fixed["floor"]
    known = pd.concat([brute, at_fixed.loc[at_fixed["identified"], "above_floor"]])
    low, high = min(known.min(), 0.0), known.max()
    reach = np.array([low, high]) + 0.3 * (high - low) * np.array([-1, 1])
    shown = at_fixed.assign(above_floor=at_fixed["above_floor"].clip(*reach))
    place, ticks = 0, {}
    looks = {"single": "single", "ensemble": "ensemble limit", "joint": "joint limit"}
    for name, label in LIMITS.items():
        of = shown[shown["limit"] == name].sort_values("above_floor")
        for row in of.itertuples():
            _draw_end(
                ax, place, row.above_floor, row.low - row.floor, row.high - row.floor,
                shown=look(looks[name]), hollow=False, known=row.identified,
            )  # fmt: skip
            ax.plot(row.brute - row.floor, place, "x", color=BLACK, markersize=5)
            place += 1
        ticks[place - (len(of) + 1) / 2] = label
        place += 1
    ax.set_xlim(*(reach * 1.03))
    _explain(ax, {"brute force": ("x", BLACK), "not identified": ("+", GREY)})
    _finish(ax, ticks, place, "limit minus Bayes loss (nats per token)", "limits at the fixed D")


def _draw_end(
    ax: Axes,
    at: float,
    value: float,
    low: float,
    high: float,
    *,
    shown: Look,
    hollow: bool,
    known: bool,
) -> None:
    """Draw one estimate with its interval, or a cross if it is not identified."""
    if not known:
        ax.plot(value, at, "+", color=shown.color, markersize=7)
        return
    ax.plot([low, high], [at, at], color=shown.color, linewidth=1.2)
    ax.plot(value, at, markerfacecolor="white" if hollow else shown.color, **shown.line)


def _explain(ax: Axes, marks: Mapping[str, tuple[str, str]]) -> None:
    """Add a legend of marks above the axes."""
    for label, (marker, face) in marks.items():
        edge = GREY if face == "white" else face
        ax.plot(
            [], [], marker, markerfacecolor=face, markeredgecolor=edge, linestyle="none",
            label=label,
        )  # fmt: skip
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.06), ncols=2, borderaxespad=0)


def _finish(ax: Axes, ticks: dict[float, str], n_rows: int, label: str, title: str) -> None:
    ax.axvline(0, color=BLACK, linewidth=0.8)
    ax.set_yticks(list(ticks), labels=list(ticks.values()))
    ax.set_ylim(n_rows - 0.5, -1)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set(xlabel=label, title=title)
