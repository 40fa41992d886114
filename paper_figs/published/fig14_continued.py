"""Figure 14, published: continued pre-training on mathematics."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from paper_figs.published import KIM
from paper_figs.style import COLORS, MARKERS
from scaling.published.talk_tables import CONTINUED

NAME = "fig14"
TITLE = "Eight models on 4B tokens beat one on 73B"
CAPTION = (
    f"Published (the talk's table; {KIM}): accuracy after continued pre-training of Llama 3B on 4B "
    "MegaMath tokens, step by step along the recipe, and (hollow, dotted line) on all 73B tokens "
    "with the default recipe. No intervals are published."
)


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw one line a benchmark over the steps of the recipe."""
    table = CONTINUED.set_index("benchmark")
    steps = [name for name in table.columns if name != "73B tokens"]
    figure, ax = plt.subplots(figsize=(7.6, 4.4))
    for i, (benchmark, row) in enumerate(table.iterrows()):
        strong = benchmark == "average"
        color = COLORS[6] if strong else COLORS[i]
        ax.plot(
            range(len(steps)), row[steps], color=color, marker=MARKERS[i],
            linewidth=2 if strong else 1.2, label=str(benchmark),
        )  # fmt: skip
        ax.axhline(row["73B tokens"], color=color, linestyle=":", linewidth=1)
        ax.plot(len(steps), row["73B tokens"], MARKERS[i], color=color, fillstyle="none")
    ax.set_xticks(range(len(steps) + 1), [name.replace(", ", "\n") for name in table.columns])
    ax.set(ylabel="accuracy (%)", ylim=(0, 68))
    ax.legend(ncols=2, loc="upper left")
    return figure, CONTINUED
