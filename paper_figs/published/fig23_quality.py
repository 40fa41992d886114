"""Figure 23, published: what is wrong with synthesised documents, at two scales."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from paper_figs.style import COLORS, MARKERS
from scaling.published.talk_tables import SBP_PAPER, SBP_QUALITY

NAME = "fig23"
TITLE = "Failures of synthetic documents fall with scale, most of them"
CAPTION = (
    f"Published ({SBP_PAPER}; the talk's table): share of documents with each failure, of the "
    "synthesisers of the 200B-scale and the 1T-scale, and of real documents. The first two are "
    "counted, the third and fourth judged by a language model; thresholds are not published."
)
_LOOKS = {"200B": ("200B scale", 1), "1T": ("1T scale", 0), "real": ("real documents", 2)}


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw one row a failure."""
    places = list(range(len(SBP_QUALITY)))[::-1]
    figure, ax = plt.subplots(figsize=(7.2, 3.8))
    for name, (label, i) in _LOOKS.items():
        ax.plot(
            SBP_QUALITY[name], places, MARKERS[i], color=COLORS[i], markersize=7, label=label,
            fillstyle="none" if name == "real" else "full",
        )  # fmt: skip
    ax.set_yticks(places, SBP_QUALITY["failure"])
    ax.set(xscale="log", xlabel="documents with the failure (%)", xlim=(0.06, 50))
    ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    ax.legend(loc="lower right")
    return figure, SBP_QUALITY
