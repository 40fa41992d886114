"""Figure N8: EntiGraph at two widths of the model, against the expectation of the graph process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis.intervals import mean_estimate
from experiments.recipes.entigraph.forms import FORMS, ceiling_fit, held_out_error, law_of
from experiments.recipes.entigraph.questions import CHANCE
from experiments.recipes.entigraph.recipe import FactResults, entigraph
from experiments.recipes.entigraph_wide import entigraph_wide
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, GREY, MARKERS, error_bars, log_ticks

NAME = "figN8"
CLAIMS = ("S5a", "N23")
NEEDS = (entigraph, entigraph_wide)
TITLE = "The width of the model sets where EntiGraph's accuracy levels off"
CAPTION = (
    "Left: accuracy on implied facts after the same text, by models of two widths, against "
    "EntiGraph's tokens; means with 95 % intervals over graphs. Black: a reader that knows every "
    "fact that is stated (the expectation of the graph process) and guesses otherwise; broken: the "
    "same with a ceiling fitted to each graph. Dotted: chance. Right: error of the accuracy of a "
    "left-out corpus size as predicted from the others, a value a graph."
)
SHOWN = {"law": "graph\nprocess", "line": "line in\nln tokens", "exponential": "one\nexponential"}


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw accuracy against tokens, and errors of predicted sizes.

    The frame has columns `series` (measured, law, chance, error or error of a graph), `width` (0: a
    reader that knows all), `x` (tokens or the form that predicts), `y`, `low` and `high`.
    """
    axes = curves, errors = panels(ax, 1, 2, wide=1.4, width_ratios=(1.4, 1))
    rows: list[dict[str, Any]] = []
    for place, facts in enumerate((story[entigraph], story[entigraph_wide])):
        rows += _draw_width(curves, errors, facts, place)
    curves.axhline(CHANCE, color=GREY, linestyle=":", linewidth=0.9)
    log_ticks(curves, sorted({row["x"] for row in rows if row["series"] == "measured"}))
    curves.set(xlabel="synthetic tokens", ylabel="accuracy on implied facts", ylim=(0, 1.05))
    curves.legend(loc="upper left")
    errors.set_xticks(range(len(SHOWN)), SHOWN.values())
    errors.set(ylabel="error of a left-out size (accuracy)", ylim=(0, None))
    errors.legend()
    return axes, pd.DataFrame([*rows, {"series": "chance", "y": CHANCE}])


def _draw_width(curves: Axes, errors: Axes, facts: FactResults, place: int) -> list[dict[str, Any]]:
    answers = facts.answers[facts.answers["method"] == "entigraph"]
    graphs = [of_graph.sort_values("n_synthetic") for _, of_graph in answers.groupby("graph")]
    sizes, width = facts.plan.entigraph_tokens, facts.plan.width
    look: dict[str, Any] = {"color": COLORS[place], "marker": MARKERS[place]}
    rows = [
        {"series": "measured", "width": width, "x": n}
        | _row(facts.of("entigraph", n, "implicit"))
        for n in sizes
    ]  # fmt: skip
    measured = pd.DataFrame(rows)
    curves.errorbar(
        measured["x"], measured["y"], yerr=error_bars(*(measured[c] for c in ("y", "low", "high"))),
        linestyle="none", capsize=3, label=f"width {width}", **look,
    )  # fmt: skip
    stated = [of_graph["expected"].to_numpy(float) for of_graph in graphs]
    fitted = [
        law_of(share, ceiling_fit(share, of_graph["implicit"].to_numpy(float)))
        for share, of_graph in zip(stated, graphs, strict=True)
    ]
    laws = {width: fitted} if place else {0: [law_of(share) for share in stated], width: fitted}
    for of_width, by_graph in laws.items():
        mean = np.mean(by_graph, axis=0)
        style: dict[str, Any] = (
            {"color": look["color"], "linestyle": "--"}
            if of_width
            else {"color": BLACK, "label": "knows all that is stated"}
        )
        curves.plot(sizes, mean, linewidth=1, **style)
        rows += [
            {"series": "law", "width": of_width, "x": n, "y": y}
            for n, y in zip(sizes, mean, strict=True)
        ]
    for at, name in enumerate(SHOWN):
        each = np.array([held_out_error(of_graph, FORMS[name]) for of_graph in graphs])
        found = _row(each)
        x = at + 0.2 * place - 0.1
        errors.plot([x] * len(each), each, "o", color=GREY, markersize=2.5, alpha=0.6)
        errors.errorbar(
            [x], [found["y"]], yerr=error_bars([found["y"]], [found["low"]], [found["high"]]),
            capsize=3, label=None if at else f"width {width}", **look,
        )  # fmt: skip
        rows.append({"series": "error", "width": width, "x": name, **found})
        rows += [
            {"series": "error of a graph", "width": width, "x": name, "y": error} for error in each
        ]
    return rows


def _row(values: np.ndarray) -> dict[str, float]:
    found = mean_estimate(values)
    return {"y": found.value, "low": found.low, "high": found.high}
