"""Where in N/D each recipe pays."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.data_scaling import D
from experiments.regimes import STEPS, gains
from experiments.story import Story
from paper_figs.style import COLORS, MARKERS, human

NAME = "figN2"
TITLE = "Where each recipe pays"
CAPTION = (
    "Gain in test loss against parameters a unique token, N/D: left, of tuned weight decay, epochs "
    "and learning rate over the standard recipe at its best epochs; right, of an ensemble of "
    "members tuned for it over the tuned single model of the same size. One point a size of model "
    "and stock of text, 95 % intervals over draws of the corpus. Nothing like it is published."
)
TITLES = {
    "regularization": "tuned over standard",
    "ensembles": "ensemble over tuned single model",
}


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw the gains against N/D."""
    table = gains(story)
    figure, panels = plt.subplots(1, 2, figsize=(9.2, 4.2))
    for ax, step in zip(panels, STEPS, strict=True):
        for i, (size, rows) in enumerate(table.groupby(D)):
            ends = [rows[step] - rows[f"{step}_low"], rows[f"{step}_high"] - rows[step]]
            reach = np.where(np.isfinite(ends), ends, 0)
            ax.errorbar(
                rows["n_per_token"], rows[step], yerr=reach, capsize=3, color=COLORS[i % 7],
                marker=MARKERS[i % 7], label=f"D = {human(float(str(size)))}",
            )  # fmt: skip
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set_xscale("log")
        ax.set(xlabel="parameters a unique token, N/D", title=TITLES[step])
    panels[0].set_ylabel("gain in test loss (nats per token)")
    panels[0].legend()
    return figure, table
