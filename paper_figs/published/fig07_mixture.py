"""Figure 7, published: a mixture of classical and neural models beats each of them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from paper_figs.style import COLORS, MARKERS
from scaling.published.talk_tables import HEREL, MIXTURE, MIXTURE_PERPLEXITY

NAME = "fig07"
TITLE = "A mixture of classical and neural models beats each of them"
CAPTION = (
    f"Published ({HEREL}; the talk's table): Penn Treebank test perplexity of seven models, and of "
    "the mixture of their probabilities with the weights on the right, which were fitted on the "
    "validation part. The 5-gram with perplexity 141 still gets a weight. WikiText-2 is not "
    "published as numbers that are typed here."
)


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw perplexities and weights, one row a model."""
    table = MIXTURE.sort_values("perplexity", ascending=False, ignore_index=True)
    figure, (ax, weights) = plt.subplots(
        1, 2, figsize=(8.8, 3.8), sharey=True, gridspec_kw={"width_ratios": [1.6, 1]}
    )
    ax.plot(table["perplexity"], table.index, MARKERS[0], color=COLORS[0])
    mixture = MIXTURE_PERPLEXITY["test"]
    ax.axvline(mixture, color=COLORS[1], linestyle="--", label=f"mixture: {mixture}")
    for row in table.itertuples():
        ax.annotate(
            f"{row.perplexity:.1f}", (row.perplexity, row.Index), xytext=(6, 5),
            textcoords="offset points", fontsize=8.5,
        )  # fmt: skip
    ax.set_yticks(table.index, table["model"])
    ax.set(xscale="log", xlabel="test perplexity", xlim=(44, 170))
    ax.set_xticks([50, 60, 80, 100, 140], ["50", "60", "80", "100", "140"])
    ax.minorticks_off()
    ax.legend(loc="upper right")
    weights.barh(table.index, table["weight"], height=0.55, color=COLORS[0], alpha=0.7)
    weights.set(xlabel="weight in the mixture")
    extra = pd.DataFrame({"model": ["mixture"], "perplexity": [mixture]})
    return figure, pd.concat([table, extra], ignore_index=True)
