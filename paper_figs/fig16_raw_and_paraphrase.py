"""Figure 16: the source itself, paraphrases and EntiGraph, on stated and on implied facts."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.analysis import intervals
from experiments.recipes.entigraph.questions import CHANCE
from experiments.story.story import Story
from paper_figs.style import COLORS, MARKERS, log_ticks

NAME = "fig16"
TITLE = "What the source, its paraphrases and EntiGraph teach"
CAPTION = (
    "Closed-book accuracy after continued training on a world of facts, four choices of one kind "
    "each, means and 95 % intervals over graphs. Left: facts that the source states; middle: those "
    "that only paths imply; right: the same facts asked backwards. Every method reads the same "
    "number of tokens, with its learning rate chosen on another graph; dotted, chance."
)
SHEETS = {
    "explicit": "stated facts",
    "implicit": "implied facts",
    "reverse_implicit": "implied facts, asked backwards",
}
METHODS = {"paraphrase": "paraphrases", "entigraph": "EntiGraph"}
FLAT = {"base": "before", "raw": "the source itself"}


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw accuracy against synthetic tokens, a panel a kind of question."""
    answers = story.result("entigraph").answers
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.7), sharey=True)
    rows = []
    for ax, (sheet, title) in zip(axes, SHEETS.items(), strict=True):
        for i, (method, label) in enumerate((METHODS | FLAT).items()):
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
                ax.axhline(value, color=COLORS[i], linestyle=("--", "-.")[i - 2], label=label)
                continue
            errors = [table["accuracy"] - table["low"], table["high"] - table["accuracy"]]
            ax.errorbar(
                table["n_synthetic"], table["accuracy"], yerr=np.abs(errors), color=COLORS[i],
                marker=MARKERS[i], capsize=3, label=label,
            )  # fmt: skip
        ax.axhline(CHANCE, color="#777777", linestyle=":", linewidth=0.9)
        shown = answers.loc[answers["method"].isin(METHODS), "n_synthetic"]
        log_ticks(ax, shown.tolist())
        ax.set(title=title, xlabel="synthetic tokens", ylim=(0, 1.05))
    axes[0].set_ylabel("accuracy")
    axes[-1].legend(loc="upper right")  # where nothing rises
    return figure, pd.DataFrame(rows)


def _estimate(values: np.ndarray) -> dict[str, float]:
    found = intervals.mean_estimate(values)
    return {"accuracy": found.value, "low": found.low, "high": found.high}
