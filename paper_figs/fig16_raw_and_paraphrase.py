"""Figure 16: source text, paraphrases and EntiGraph on stated and implied facts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis import intervals
from experiments.recipes.entigraph.questions import CHANCE
from experiments.recipes.entigraph.recipe import entigraph
from experiments.story.story import Story
from paper_figs.layout import Place, panel, panels
from paper_figs.style import GREY, error_bars, log_ticks, look
from scaling.published.talk import ENTIGRAPH_ACCURACY, ENTIGRAPH_PAPER, ENTIGRAPH_POINTS

NAME = "fig16"
CLAIMS = ("S1", "S3", "S4", "S4a", "S4b")
NEEDS = (entigraph,)
TITLE = "What models learn from the source text, paraphrases and EntiGraph"
CAPTION = (
    "Closed-book accuracy after continued training on a synthetic world of facts; questions have "
    "four choices of the same kind; means and 95 % intervals over graphs. Left: facts that the "
    "source states; middle: facts that it only implies; right: the same facts asked backwards. "
    "Every method trains on the same number of tokens, with its learning rate chosen on another "
    "graph. Dotted: chance."
)
SHEETS = {
    "explicit": "stated facts",
    "implicit": "implied facts",
    "reverse_implicit": "implied facts, asked backwards",
}
METHODS = ("paraphrase", "entigraph")
FLAT = {"base": "--", "raw": "-."}
"""Methods without synthetic text, and the line style of each."""
PUBLISHED_TITLE = (
    "The source text itself teaches nothing; paraphrases teach with diminishing returns"
)
PUBLISHED_CAPTION = (
    f"Published ({ENTIGRAPH_PAPER}): closed-book accuracy on QuALITY of Llama 3 8B, of the same "
    "model after continued pre-training on the 1.3M source tokens (lower), and on paraphrases of "
    "them, against synthetic tokens; EntiGraph at equal tokens for comparison. Lines: least "
    "squares on the logarithm of the tokens, made here, dashed where they extrapolate; the legend "
    "gives points of accuracy per e-fold of tokens with a 95 % interval."
)


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw accuracy against synthetic tokens, one panel per kind of question.

    The frame has columns `method`, `questions`, `n_synthetic`, `n_graphs`, `accuracy`, `low` and
    `high`.
    """
    answers = story[entigraph].answers
    axes = panels(ax, 1, 3, wide=1.5, tall=0.85, sharey=True)
    rows = []
    for ax, (sheet, title) in zip(axes, SHEETS.items(), strict=True):
        for method in (*METHODS, *FLAT):
            shown = look(method)
            of_method = answers[answers["method"] == method]
            curve = [
                {"method": method, "questions": sheet, "n_synthetic": n, "n_graphs": len(group)}
                | _estimate(group[sheet].to_numpy())
                for n, group in of_method.groupby("n_synthetic")
            ]
            rows += curve
            table = pd.DataFrame(curve)
            if method in FLAT:
                value = float(table["accuracy"].iloc[0])
                ax.axhline(value, color=shown.color, linestyle=FLAT[method], label=shown.label)
                continue
            errors = error_bars(table["accuracy"], table["low"], table["high"])
            ax.errorbar(
                table["n_synthetic"], table["accuracy"], yerr=errors, capsize=3,
                label=shown.label, **shown.line,
            )  # fmt: skip
        ax.axhline(CHANCE, color=GREY, linestyle=":", linewidth=0.9)
        sizes = answers.loc[answers["method"].isin(METHODS), "n_synthetic"]
        log_ticks(ax, sizes.tolist())
        ax.set(title=title, xlabel="synthetic tokens", ylim=(0, 1.05))
    axes[0].set_ylabel("accuracy")
    axes[-1].legend(loc="upper right")
    return axes, pd.DataFrame([*rows, {"method": "chance", "accuracy": CHANCE}])


def _estimate(values: np.ndarray) -> dict[str, float]:
    found = intervals.mean_estimate(values)
    return {"accuracy": found.value, "low": found.low, "high": found.high}


def draw_published(ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw both curves with their log-linear fits.

    The frame has columns `series`, `x`, `y`, `slope` and `half_interval`.
    """
    ax = panel(ax, wide=1.1)
    frames = [
        pd.DataFrame({"series": look(name).label, "y": [ENTIGRAPH_ACCURACY[name]]}) for name in FLAT
    ]
    for series in METHODS:
        shown, rows = look(series), ENTIGRAPH_POINTS[series]
        x, y = rows["n_million_tokens"].to_numpy(float), rows["accuracy"].to_numpy(float)
        slope, at_one, half = log_linear(x, y)
        ax.plot(
            x, y, shown.marker, color=shown.color,
            label=f"{shown.label}: {slope:.2f} ± {half:.2f} per e-fold",
        )  # fmt: skip
        line = np.geomspace(x.min(), 455, 60)
        for inside, linestyle in ((line <= x.max(), "-"), (line > x.max(), "--")):
            ax.plot(
                line[inside], at_one + slope * np.log(line[inside]), color=shown.color,
                linestyle=linestyle, linewidth=1,
            )  # fmt: skip
        frames.append(
            pd.DataFrame(
                {"series": shown.label, "x": x, "y": y, "slope": slope, "half_interval": half}
            )
        )
        fitted = {"x": line, "y": at_one + slope * np.log(line)}
        frames.append(pd.DataFrame({"series": f"{shown.label}, law", **fitted}))
    for name, linestyle in FLAT.items():
        accuracy, shown = ENTIGRAPH_ACCURACY[name], look(name)
        ax.axhline(
            accuracy, color=shown.color, linestyle=linestyle, linewidth=1,
            label=f"{shown.label}: {accuracy}",
        )  # fmt: skip
    ax.set(xscale="log", xlabel="synthetic tokens (millions)", ylabel="closed-book accuracy (%)")
    ax.legend()
    return ax, pd.concat(frames, ignore_index=True)


def log_linear(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Return slope and value at x = 1 of y on ln x, and half the 95 % interval of the slope."""
    from scipy import stats

    found = stats.linregress(np.log(x), y)
    half = float(stats.t.ppf(0.975, len(x) - 2) * found.stderr)
    return float(found.slope), float(found.intercept), half
