"""Figure 24: documents, each with two synthetic documents written from it."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes

from experiments.recipes.bootstrapped.passages import PASSAGES
from experiments.recipes.bootstrapped.recipe import bootstrapped
from experiments.recipes.prototypes import prototypes
from experiments.story.story import Story
from paper_figs.layout import Place, panel
from paper_figs.style import BLACK, COLORS

NAME = "fig24"
CLAIMS = ("S10a", "S10b", "S10c", "S10d", "S10e")
NEEDS = (bootstrapped,)
READS_IF_RUN = (prototypes,)
TITLE = "Documents and what was written from them"
CAPTION = (
    "Left: a document; middle and right: two texts written from it. First, invented concepts: the "
    "synthesizer trained here should name the same concept and give its values in new sentences. "
    "Then, if the world has it, beginnings of books in the public domain, continued by the "
    "synthesizer that was trained on excerpts of the world's own text: at this size it spells and "
    "does not make sense. Last, texts on pairs of entities as EntiGraph asks for them, by the "
    "template writer, which only selects sentences; a language model behind `datawall augment "
    "entigraph` writes new ones."
)
COLUMNS = ("document", "text 1", "text 2")
WRAP = 40


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw the texts side by side.

    The frame has columns `written_by`, `document`, `text 1` and `text 2`.
    """
    rows = [("the synthesizer, on concepts", *texts) for texts in story[bootstrapped].examples]
    if prototypes in story.results:
        rows += [
            (f"the synthesizer, on excerpts of {story.world.corpus}", *texts)
            for texts in story[prototypes].examples
        ]
    rows.append(("EntiGraph's templates", *_by_entigraph("Dickens, A Christmas Carol (1843)")))
    frame = pd.DataFrame(rows, columns=["written_by", *COLUMNS])
    wrapped = frame[[*COLUMNS]].map(lambda text: textwrap.wrap(text, WRAP))
    heights = wrapped.map(len).max(axis=1) + 2.5  # a line for the writer, and space
    ax = panel(ax, wide=1.5, tall=0.1 + 0.036 * heights.sum())
    ax.axis("off")
    for x, (column, color) in enumerate(zip(COLUMNS, COLORS, strict=False)):
        ax.text(x / 3, 1, column, color=color, weight="bold", va="bottom")
    line = 1 / heights.sum()
    tops = 1 - (heights.cumsum() - heights) * line
    for top, writer, texts in zip(tops, frame["written_by"], wrapped.to_numpy(), strict=True):
        ax.text(0, top - line, f"Written by {writer}:", va="center", color=BLACK, fontsize="small")
        for x, text in enumerate(texts):
            ax.text(
                x / 3, top - 1.7 * line, "\n".join(text), va="top", fontsize="small",
                family="monospace",
            )  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(0, 1))
    return ax, frame


def _by_entigraph(title: str) -> tuple[str, ...]:
    """Return a passage and two texts on pairs of its entities, by the template writer."""
    from models.augment.backends.template import TemplateBackend
    from models.augment.texts.records import Record
    from models.augment.writing.documents import Chunk
    from models.augment.writing.entigraph import EntiGraph, entigraph

    passage, backend = PASSAGES[title], TemplateBackend()
    chunk = Chunk(source_id=title, part=0, n_parts=1, text=passage)
    outcomes = entigraph([chunk], backend.generate, EntiGraph(), writer=backend.name)
    texts = [
        one.text for one in outcomes if isinstance(one, Record) and one.metadata["task"] == "pair"
    ]
    return passage, *texts[:2]
