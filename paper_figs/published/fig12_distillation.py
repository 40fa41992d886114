"""Figure 12, published: an ensemble distilled into one small model, and self-distillation."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from paper_figs.published import KIM
from paper_figs.style import COLORS, MARKERS
from scaling import PUBLISHED_FIGURES

NAME = "fig12"
TITLE = "One small student keeps most of an ensemble's gain; self-distillation helps too"
CAPTION = (
    f"Published ({KIM}; losses of 300M models on 200M tokens). Top: a regularised model, the "
    "ensemble of eight that teaches, and its student; the share of the gain that the student "
    "keeps is computed from these three. Bottom: self-distillation, its teacher a member tuned "
    "for ensembles; synthetic text alone, and mixed with real text one to one and three to one."
)
_ROWS = (
    ("one regularised model", "single_loss", 0),
    ("ensemble of eight", "eight_members_loss", 2),
    ("student of the eight", "distilled_loss", 1),
    ("teacher of itself", "member_loss", 0),
    ("synthetic text only", "synthetic_only_loss", 3),
    ("one synthetic to one real", "synthetic_one_to_one_loss", 1),
    ("three synthetic to one real", "self_distilled_loss", 1),
)


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw one point a model."""
    table = pd.DataFrame(_ROWS, columns=["model", "figure", "look"])
    table["loss"] = [PUBLISHED_FIGURES[name].value for name in table["figure"]]
    figure, ax = plt.subplots(figsize=(7.4, 4.0))
    places = [7.0, 6.0, 5.0, 3.4, 2.4, 1.4, 0.4]
    for place, row in zip(places, table.itertuples(), strict=True):
        ax.plot(row.loss, place, MARKERS[row.look], color=COLORS[row.look], markersize=7)
        ax.annotate(
            f"{row.loss:.3g}", (row.loss, place), xytext=(8, 0), textcoords="offset points",
            va="center", fontsize=8.5,
        )  # fmt: skip
    one, eight, student = table["loss"][:3]
    kept = (one - student) / (one - eight)
    ax.annotate("", (student, 5.35), (one, 5.35), arrowprops={"arrowstyle": "->", "lw": 1})
    ax.text((one + student) / 2, 5.5, f"{100 * kept:.0f} % of the gain", ha="center", fontsize=8.5)
    ax.set_yticks(places, table["model"])
    ax.set(xlabel="held-out loss (nats per token)", xlim=(3.25, 4.2), ylim=(-0.2, 7.6))
    return figure, table[["model", "loss"]].assign(share_kept=kept)
