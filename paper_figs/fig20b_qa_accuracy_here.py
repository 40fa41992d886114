"""Figure 20b: accuracy on implied facts against the expectation of the graph process."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.recipes.entigraph.answers import expected_coverage
from experiments.recipes.entigraph.forms import ceiling_fit, law_of
from experiments.recipes.entigraph.questions import CHANCE
from experiments.recipes.entigraph.recipe import entigraph
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, GREY, look
from scaling import fit_law
from scaling.laws.curves import MIXTURE_OF_EXPONENTIALS

NAME = "fig20b"
CLAIMS = ("S5",)
NEEDS = (entigraph,)
TITLE = "Accuracy on implied facts here, compared with the graph process"
CAPTION = (
    "Left: accuracy after continued training on EntiGraph's documents against the number of steps "
    "that generated them, one point per graph and size. Solid lines: the exact expectation of the "
    "process on each graph for a model that knows a fact once it is stated and guesses otherwise; "
    "dashed: the same with a ceiling fitted to each graph. Right: a mixture of exponentials "
    "fitted to all graphs against synthetic tokens (non-negative least squares), if there are at "
    "least six sizes. Dotted: chance."
)


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw points, expectations and the fitted mixture.

    The frame has columns `series`, `x`, `y` and `graph`.
    """
    facts = story[entigraph]
    rows = facts.answers[facts.answers["method"] == "entigraph"]
    axes = left, right = panels(ax, 1, 2, wide=1.5, tall=0.95, sharey=True)
    frames, ceilings, measured = [], [], look("entigraph")
    for graph, points in rows.groupby("graph"):
        author = facts.plan.settings(int(graph)).target()
        first, last = points["n_steps"].min(), points["n_steps"].max()
        steps = np.unique(np.geomspace(first / 2, 1.5 * last, 60).round())
        expected = np.array([expected_coverage(author, int(step)) for step in steps])
        ceiling = ceiling_fit(points["expected"].to_numpy(float), points["implicit"].to_numpy())
        ceilings.append(ceiling)
        left.plot(points["n_steps"], points["implicit"], measured.marker, color=measured.color)
        left.plot(steps, law_of(expected), color=BLACK, linewidth=1)
        left.plot(steps, law_of(expected, ceiling), color=COLORS[1], linewidth=1, linestyle="--")
        frames.append(_frame("measured", points["n_steps"], points["implicit"], graph))
        frames.append(_frame("expected", steps, law_of(expected), graph))
        frames.append(_frame("with ceiling", steps, law_of(expected, ceiling), graph))
    points, process, fitted = left.get_lines()[:3]  # one look for every graph
    points.set_label("measured")
    process.set_label("graph process")
    fitted.set_label(f"with ceilings of {min(ceilings):.2f} to {max(ceilings):.2f}")
    frames.append(_draw_mixture(right, rows))
    for ax, label in ((left, "steps of the process"), (right, "synthetic tokens")):
        ax.axhline(CHANCE, color=GREY, linestyle=":", linewidth=0.9)
        ax.set(xscale="log", xlabel=label, ylim=(0, 1.05))
        ax.legend(loc="lower right")
    left.set_ylabel("accuracy on implied facts")
    frames.append(_frame("chance", [np.nan], [CHANCE], -1))
    return axes, pd.concat(frames, ignore_index=True)


def _draw_mixture(ax: Axes, rows: pd.DataFrame) -> pd.DataFrame:
    frame = pd.DataFrame({"time": rows["n_unique"], "loss": 1 - rows["implicit"]})
    shown = look("entigraph")
    ax.plot(frame["time"], 1 - frame["loss"], shown.marker, color=shown.color, label="measured")
    if frame["time"].nunique() < (MIXTURE_OF_EXPONENTIALS.n_effective or 0):
        return _frame("mixture", [], [], -1)
    fit = fit_law(frame, "mixture_of_exponentials", x="time", y="loss", loss="squared")
    x = np.geomspace(frame["time"].min(), frame["time"].max(), 100)
    y = 1 - fit.evaluate({"time": x})
    plateau = f"plateau {1 - fit.asymptote:.2f}" if fit.status.usable else "plateau not identified"
    ax.plot(x, y, color=COLORS[1], label=f"mixture, {plateau}")
    return _frame("mixture", x, y, -1)


def _frame(series: str, x: object, y: object, graph: object) -> pd.DataFrame:
    return pd.DataFrame({"series": series, "x": np.asarray(x), "y": np.asarray(y), "graph": graph})
