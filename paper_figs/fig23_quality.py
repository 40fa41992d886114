"""Figure 23: quality of synthetic documents at two sizes, real documents beside them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from experiments.analysis import intervals
from experiments.story.story import Story

NAME = "fig23"
TITLE = "Quality of synthetic documents at two model sizes, beside real ones"
CAPTION = (
    "Percent of documents, means and 95 % intervals over worlds. Repetition: a fifth of a "
    "document's 4-grams of words occur in it before; duplicates: a near-double (Jaccard .8) among "
    "as many documents as there are real ones; wrong values: not those of the concept that the "
    "document names; copying: half of its 5-grams are its source's; unrelated: 1 minus the "
    "probability that it is nearer to its source than to another document; novel 4-grams: no real "
    "document (of a real one, no other) has them. Definitions in models.augment.quality.quality."
)
MEASURES = {
    "repetition": "repetition",
    "duplicates": "duplicates",
    "disagreement": "wrong values",
    "pair_copying": "copying",
    "unrelated": "unrelated to its source",
    "novel_ngrams": "novel 4-grams",
}


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw a table, a row a measure."""
    quality = story.result("bootstrapped").quality
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
    figure, ax = plt.subplots(figsize=(7.6, 2.6))
    ax.axis("off")
    table = ax.table(
        [[cells.get((label, of), "-") for of in groups] for label in MEASURES.values()],
        rowLabels=list(MEASURES.values()), colLabels=[f"{of} (%)" for of in groups],
        loc="center", cellLoc="center",
    )  # fmt: skip
    table.scale(1, 1.5)
    return figure, frame
