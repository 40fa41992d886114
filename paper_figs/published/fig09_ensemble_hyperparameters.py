"""Figure 9, published: what tuning members for the ensemble is worth in the limit of many."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from paper_figs.published import KIM, STOCK_TOKENS, infinite_compute
from paper_figs.style import COLORS, MARKERS, log_ticks

NAME = "fig09"
TITLE = "Members tuned as members reach a lower limit"
CAPTION = (
    f"Published (public code of {KIM}): fitted loss of infinitely many members, by size and stock, "
    "with the hyperparameters that are best for one model, and with the members' heuristic (twice "
    "the epochs, half the decay). Bottom row: the difference. At the largest stocks the authors' "
    "fits of some sizes are missing."
)
_RECIPES = {"single-model-optimal": "best for one model", "heuristic": "members' heuristic"}


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw both limits against size, one panel a stock, and their difference."""
    rows = infinite_compute("fitted_asymptote")
    rows = rows.assign(
        chosen=rows["recipe"].map(
            lambda recipe: next(label for key, label in _RECIPES.items() if key in recipe)
        )
    )
    limits = rows.pivot_table(
        index=["n_unique_tokens", "n_params"], columns="chosen", values="value"
    )
    limits["gain"] = limits["best for one model"] - limits["members' heuristic"]
    figure, axes = plt.subplots(
        2, 4, figsize=(10.4, 5.2), sharex=True, sharey="row", height_ratios=[1.6, 1]
    )
    for column, (stock, tokens) in enumerate(STOCK_TOKENS.items()):
        part = limits.loc[tokens]
        for i, chosen in enumerate(_RECIPES.values()):
            axes[0, column].plot(
                part.index, part[chosen], color=COLORS[1 - i], marker=MARKERS[1 - i], label=chosen
            )
        axes[1, column].plot(part.index, part["gain"], color=COLORS[6], marker=MARKERS[2])
        axes[1, column].axhline(0, color="#777777", linewidth=0.8)
        axes[0, column].set_title(f"{stock} tokens")
        log_ticks(axes[1, column], [150e6, 300e6, 600e6, 1.4e9])
        axes[1, column].set_xlabel("parameters")
    axes[0, 0].set_ylabel("loss of infinitely many")
    axes[1, 0].set_ylabel("gain of the heuristic")
    axes[0, -1].legend(fontsize=8)
    return figure, limits.reset_index()
