"""Figure 24: real documents, each with two synthetic documents written from it."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes

from experiments.recipes.bootstrapped.recipe import bootstrapped
from experiments.recipes.bootstrapped_text import bootstrapped_text
from experiments.story.story import Story
from paper_figs.layout import Place, panel
from paper_figs.style import COLORS

NAME = "fig24"
CLAIMS = ("S10a", "S10b", "S10c", "S10d", "S10e")
NEEDS = (bootstrapped,)
READS_IF_RUN = (bootstrapped_text,)
TITLE = "Real documents and what the synthesizer wrote from them"
CAPTION = (
    "Left: the first real documents that have two samples; middle and right: two synthetic "
    "documents sampled from each. Top: from a set of invented concepts; a sample should name the "
    "same concept and give its values in new sentences. Below, if the world has them: excerpts of "
    "its own text; shipped results omit them, because they may not be redistributed."
)
COLUMNS = ("real", "synthetic 1", "synthetic 2")
WRAP = 40


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw the texts side by side.

    The frame has columns `real`, `synthetic 1` and `synthetic 2`.
    """
    examples = list(story[bootstrapped].examples)
    if bootstrapped_text in story.results:
        examples += story[bootstrapped_text].examples
    frame = pd.DataFrame(examples, columns=list(COLUMNS))
    ax = panel(ax, wide=1.5, tall=0.15 + 0.4 * len(frame))
    ax.axis("off")
    for x, (column, color) in enumerate(zip(COLUMNS, COLORS, strict=False)):
        ax.text(x / 3, 1, column, color=color, weight="bold", va="bottom")
        for row, text in enumerate(frame[column]):
            ax.text(
                x / 3, 1 - (row + 0.08) / max(len(frame), 1), textwrap.fill(text, WRAP), va="top",
                fontsize="small", family="monospace",
            )  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(0, 1))
    return ax, frame
