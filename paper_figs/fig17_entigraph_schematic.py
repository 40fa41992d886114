"""Figure 17: how EntiGraph turns a small corpus into a large one (schematic)."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from paper_figs.layout import Place, panel
from paper_figs.style import BLACK, COLORS

NAME = "fig17"
CLAIMS = ("S4",)
NEEDS = ()
TITLE = "EntiGraph: from a small corpus to a large one through its entities"
CAPTION = (
    "Schematic; no measurements. Entities are extracted from each source document. A language "
    "model with the document in its context writes about pairs of entities, most of which the "
    "document never relates directly. The model is then pretrained further on these texts (after "
    "Yang et al., arXiv 2409.07431, Section 2)."
)

BOXES = pd.DataFrame(
    [
        ("source document", "Linear space.\nMakers build\ntools; tools\nshape languages.", 0.2),
        ("1  extract entities", "maker\ntool\nlanguage\nlinear space", 2.9),
        ("2  relate pairs", "(maker, language)\nwith the document\nin context", 5.6),
        (
            "synthetic corpus",
            "“A maker's choice\nof tool decides\nwhich language ...”\n+ one per pair",
            8.3,
        ),
        ("3  continue\npretraining", "what was implicit\nis now stated,\nso it is learned", 11.0),
    ],
    columns=["stage", "content", "x"],
)  # fmt: skip
_WIDTH, _HEIGHT = 2.2, 2.3


def draw(story: object = None, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw the stages from left to right.

    The frame has columns `stage` and `content`.
    """
    ax = panel(ax, wide=1.5, tall=0.75)
    for number, (stage, content, x) in enumerate(BOXES.itertuples(index=False)):
        step = number in (1, 2, 4)
        _box(ax, x, stage, content, COLORS[0] if step else COLORS[1], "-" if step else "--")
        if number:
            _arrow(ax, (x - 0.5, 1.5), (x, 1.5))
    ax.add_patch(
        FancyArrowPatch(
            (1.3, 0.32), (6.7, 0.32), connectionstyle="arc3,rad=0.12", arrowstyle="-|>",
            mutation_scale=12, color=BLACK, linestyle=":",
        )
    )  # fmt: skip
    ax.text(4.0, -0.38, "the document stays in context", ha="center", fontsize="small")
    ax.set(xlim=(0, 13.4), ylim=(-0.7, 3.6))
    ax.axis("off")
    return ax, BOXES[["stage", "content"]].replace("\n", " ", regex=True)


draw_published = draw


def _box(ax: Axes, x: float, stage: str, content: str, color: str, linestyle: str) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x, 0.4), _WIDTH, _HEIGHT, boxstyle="round,pad=0.02,rounding_size=0.12",
            facecolor="none", edgecolor=color, linestyle=linestyle, linewidth=1.5,
        )
    )  # fmt: skip
    ax.text(x + _WIDTH / 2, 2.85, stage, ha="center", va="bottom", color=color, weight="bold")
    ax.text(x + _WIDTH / 2, 0.4 + _HEIGHT / 2, content, ha="center", va="center", fontsize="small")


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=BLACK))
