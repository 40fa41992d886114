"""Figure N8: EntiGraph on larger graphs, and what keeps a model from learning all it states."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis.intervals import mean_estimate
from experiments.recipes.entigraph.answers import TIMES
from experiments.recipes.entigraph.forms import FORMS, ceiling_fit, held_out_error, law_of
from experiments.recipes.entigraph.questions import CHANCE
from experiments.recipes.entigraph.recipe import FactResults, entigraph
from experiments.recipes.facts.entigraph_large import entigraph_large
from experiments.recipes.facts.entigraph_long import entigraph_long
from experiments.recipes.facts.first_training import FirstTrainings, first_training
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import COLORS, GREY, MARKERS, error_bars, log_ticks

NAME = "figN8"
CLAIMS = ("S5b", "N23", "N24", "N25")
NEEDS = (entigraph, entigraph_long, entigraph_large, first_training)
TITLE = "What EntiGraph states often is learned, more so after a longer first training"
CAPTION = (
    "Top left: accuracy on implied facts against EntiGraph's tokens, on graphs of two sizes, "
    "and with longer training; means with 95 % intervals over graphs. "
    "Solid: a reader that knows every fact that is stated (the expectation of the graph process) "
    "and guesses otherwise; broken: the same with a ceiling fitted to each graph. Dotted: chance. "
    "Top right: error of the accuracy of a left-out corpus size as predicted from the others, a "
    "value a graph. Bottom left: share right about implied facts by how often the corpus states "
    "them, whatever its size: training reads as many tokens of each. Bottom right: accuracy on new "
    "implied facts after EntiGraph's largest corpus, against accuracy on the implied facts of the "
    "worlds that the first training read about, a dot a graph and length of the first training."
)
SHOWN = {"law": "graph\nprocess", "line": "line in\nln tokens", "exponential": "one\nexponential"}


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw accuracy against tokens, statements and what the first training learned; and errors.

    The frame has columns `series` (measured, longer training, law with a ceiling, law, chance, by
    statements, first training, error or error of a graph), `n_entities`, `width`, `n_synthetic`,
    `base_tokens`, `x` (tokens, statements, accuracy on the first training's own facts or the form
    that predicts), `y`, `low` and `high`.
    """
    axes = curves, errors, times, first = panels(
        ax, 2, 2, wide=1.4, tall=1.9, width_ratios=(1.3, 1)
    )
    rows = _draw_times(times, story[entigraph].by_times) + _draw_first(first, story[first_training])
    for place, recipe in enumerate((entigraph, entigraph_large)):
        rows += _draw(curves, errors, story[recipe], place)
    rows += _draw_longer(curves, story[entigraph_long])
    curves.axhline(CHANCE, color=GREY, linestyle=":", linewidth=0.9)
    log_ticks(curves, sorted({row["x"] for row in rows if row["series"] == "measured"}))
    curves.set(xlabel="synthetic tokens", ylabel="accuracy on implied facts", ylim=(0, 1.05))
    curves.legend(loc="lower right")
    errors.set_xticks(range(len(SHOWN)), SHOWN.values())
    errors.set_xlim(-0.6, len(SHOWN) - 0.4)
    errors.set(ylabel="error of a left-out size (accuracy)", ylim=(0, None))
    return axes, pd.DataFrame([*rows, {"series": "chance", "y": CHANCE}])


def _draw_longer(ax: Axes, facts: FactResults) -> list[dict[str, Any]]:
    largest, plan = facts.plan.entigraph_tokens[-1], facts.plan
    measured = _row(facts.of("entigraph", largest, "implicit"))
    y, low, high = (measured[name] for name in ("y", "low", "high"))
    ax.errorbar(
        [largest], [y], yerr=error_bars([y], [low], [high]), linestyle="none", capsize=3,
        color=COLORS[2], marker=MARKERS[2], label=f"{plan.n_entities} entities, longer training",
    )  # fmt: skip
    return [{"series": "longer training", "n_entities": plan.n_entities, "x": largest, **measured}]


def _draw_times(ax: Axes, by_times: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    sizes = sorted(by_times["n_synthetic"].unique())
    names = [f"{at}" if at == end - 1 else f"{at}-{end - 1}" for at, end in pairwise(TIMES)]
    names.append(f"{TIMES[-1]} or more")
    for place, n in enumerate([sizes[0], sizes[len(sizes) // 2], sizes[-1]]):
        of_size = by_times[by_times["n_synthetic"] == n].sort_values("times")
        groups = [(times, of) for times, of in of_size.groupby("times") if len(of) > 1]
        found = pd.DataFrame([_row(of["right"].to_numpy()) for _, of in groups])
        x = [TIMES.index(times) for times, _ in groups]
        ax.errorbar(
            x, found["y"], yerr=error_bars(*(found[name] for name in ("y", "low", "high"))),
            capsize=3, label=f"{n:,} tokens", color=COLORS[place], marker=MARKERS[place],
        )  # fmt: skip
        rows += found.assign(
            series="by statements", n_synthetic=n, x=[times for times, _ in groups]
        ).to_dict("records")
    ax.set_xticks(range(len(TIMES)), names, rotation=45)
    ax.axhline(CHANCE, color=GREY, linestyle=":", linewidth=0.9)
    ax.set(xlabel="statements of a fact", ylabel="share right", ylim=(0, 1.05))
    ax.legend(loc="lower right")
    return rows


def _draw_first(ax: Axes, found: FirstTrainings) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for place, (n, of) in enumerate(found.answers.groupby("base_tokens")):
        ax.plot(
            of["own_implicit"], of["implicit"], linestyle="none", marker=MARKERS[place],
            color=COLORS[place], markersize=4, label=f"{n:,}",
        )  # fmt: skip
        rows += [
            {"series": "first training", "base_tokens": n, "x": x, "y": y}
            for x, y in zip(of["own_implicit"], of["implicit"], strict=True)
        ]
    ax.axhline(CHANCE, color=GREY, linestyle=":", linewidth=0.9)
    ax.axvline(CHANCE, color=GREY, linestyle=":", linewidth=0.9)
    ax.set(
        xlabel="accuracy on implied facts of the first training",
        ylabel="accuracy on new implied facts", xlim=(0.15, 1.05), ylim=(0.15, 1.05),
    )  # fmt: skip
    ax.legend(title="tokens of the first training", loc="lower right")
    return rows


def _draw(curves: Axes, errors: Axes, facts: FactResults, place: int) -> list[dict[str, Any]]:
    answers = facts.answers[facts.answers["method"] == "entigraph"]
    graphs = [of_graph.sort_values("n_synthetic") for _, of_graph in answers.groupby("graph")]
    sizes, plan = facts.plan.entigraph_tokens, facts.plan
    color, marker = COLORS[place], MARKERS[place]
    label = f"{plan.n_entities} entities"
    measured = pd.DataFrame([_row(facts.of("entigraph", n, "implicit")) for n in sizes])
    curves.errorbar(
        sizes, measured["y"], yerr=error_bars(*(measured[name] for name in ("y", "low", "high"))),
        linestyle="none", capsize=3, label=label, color=color, marker=marker,
    )  # fmt: skip
    stated = [of_graph["expected"].to_numpy(float) for of_graph in graphs]
    fitted = [
        law_of(share, ceiling_fit(share, of_graph["implicit"].to_numpy(float)))
        for share, of_graph in zip(stated, graphs, strict=True)
    ]
    with_ceiling, law = (np.mean(curve, axis=0) for curve in (fitted, [*map(law_of, stated)]))
    curves.plot(sizes, with_ceiling, linewidth=1, color=color, linestyle="--")
    curves.plot(sizes, law, linewidth=1, color=color)
    tables = {"measured": measured, "law with a ceiling": {"y": with_ceiling}, "law": {"y": law}}
    frames = [pd.DataFrame({"series": name, "x": sizes, **of}) for name, of in tables.items()]
    for at, name in enumerate(SHOWN):
        each = np.array([held_out_error(of_graph, FORMS[name]) for of_graph in graphs])
        mean = _row(each)
        x = at + 0.2 * (place - 0.5)
        errors.plot([x] * len(each), each, "o", color=GREY, markersize=2.5, alpha=0.6)
        errors.errorbar(
            [x], [mean["y"]], yerr=error_bars([mean["y"]], [mean["low"]], [mean["high"]]),
            capsize=3, color=color, marker=marker,
        )  # fmt: skip
        frames.append(pd.DataFrame([{"series": "error", "x": name, **mean}]))
        frames.append(pd.DataFrame({"series": "error of a graph", "x": name, "y": each}))
    place_of = {"n_entities": plan.n_entities, "width": plan.width}
    table = pd.concat(frames, ignore_index=True).assign(**place_of)
    return table.to_dict("records")


def _row(values: np.ndarray) -> dict[str, float]:
    found = mean_estimate(values)
    return {"y": found.value, "low": found.low, "high": found.high}
