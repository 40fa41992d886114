"""Figure 23: quality of synthetic documents at two model sizes, compared with real documents."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis import intervals
from experiments.recipes.bootstrapped.recipe import bootstrapped
from experiments.story.story import Story
from paper_figs.layout import Place, panel
from paper_figs.style import COLORS, MARKERS
from scaling.published.talk import SBP_PAPER, SBP_QUALITY

NAME = "fig23"
CLAIMS = ("S10a", "S10b", "S10c", "S10d", "S10e")
NEEDS = (bootstrapped,)
TITLE = "Quality of synthetic documents at two model sizes, compared with real ones"
CAPTION = (
    "Percent of documents, means and 95 % intervals over sets of concepts. Repetition: a fifth of "
    "the word 4-grams of a document occur earlier in it. Duplicates: a near-duplicate (Jaccard "
    "similarity 0.8) exists among as many documents as there are real ones. Wrong values: not "
    "those of the concept that the document names. Copying: half of its 5-grams are in its source. "
    "Unrelated: 1 minus the probability that it is closer to its source than to another document. "
    "Novel 4-grams: in no real document (for a real one, in no other)."
)
MEASURES = {
    "repetition": "repetition",
    "duplicates": "duplicates",
    "disagreement": "wrong values",
    "pair_copying": "copying",
    "unrelated": "unrelated to its source",
    "novel_ngrams": "novel 4-grams",
}
PUBLISHED_TITLE = "Most failures of synthetic documents become rarer with scale"
PUBLISHED_CAPTION = (
    f"Published ({SBP_PAPER}; table of the talk): share of documents with each failure, for the "
    "synthesizers of the 200B and the 1T scale, and for real documents. The first two are "
    "counted, the third and fourth judged by a language model; thresholds are not published."
)
_LOOKS = {"200B": ("200B scale", 1), "1T": ("1T scale", 0), "real": ("real documents", 2)}


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw a table with one row per measure.

    The frame has columns `measure`, `text`, `percent`, `low`, `high` and `n_worlds`.
    """
    quality = story[bootstrapped].quality
    quality = quality.assign(unrelated=1 - quality["pair_relevance"].astype(float))
    widths = sorted(quality["width"].unique())
    groups = {
        f"width {width}": quality[(quality["kind"] == "synthetic") & (quality["width"] == width)]
        for width in widths
    }
    groups["real"] = quality[(quality["kind"] == "real") & (quality["width"] == widths[-1])]
    rows = []
    for name, label in MEASURES.items():
        for of, group in groups.items():
            values = 100 * group[name].dropna().to_numpy(float)
            if len(values):
                found = intervals.mean_estimate(values)
                rows.append(
                    {"measure": label, "text": of, "percent": found.value, "low": found.low,
                     "high": found.high, "n_worlds": found.n}
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    cells = {
        (row.measure, row.text): f"{row.percent:.1f} [{max(row.low, 0):.1f}, {row.high:.1f}]"
        for row in frame.itertuples()
    }
    ax = panel(ax, wide=1.2, tall=0.65)
    ax.axis("off")
    table = ax.table(
        [[cells.get((label, of), "-") for of in groups] for label in MEASURES.values()],
        rowLabels=list(MEASURES.values()), colLabels=[f"{of} (%)" for of in groups],
        loc="center", cellLoc="center",
    )  # fmt: skip
    table.scale(1, 1.5)
    return ax, frame


def draw_published(ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw one row per failure.

    The frame has columns `failure`, `200B`, `1T` and `real`.
    """
    places = list(range(len(SBP_QUALITY)))[::-1]
    ax = panel(ax, wide=1.1, tall=0.9)
    for name, (label, i) in _LOOKS.items():
        ax.plot(
            SBP_QUALITY[name], places, MARKERS[i], color=COLORS[i], markersize=7, label=label,
            fillstyle="none" if name == "real" else "full",
        )  # fmt: skip
    ax.set_yticks(places, SBP_QUALITY["failure"])
    ax.set(xscale="log", xlabel="documents with the failure (%)", xlim=(0.06, 50))
    ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    ax.legend(loc="lower right")
    return ax, SBP_QUALITY
