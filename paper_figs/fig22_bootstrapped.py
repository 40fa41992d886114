"""Figure 22: repetition, bootstrapping and its controls, new documents."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.analysis import intervals
from experiments.recipes.bootstrapped.recipe import Bootstrapped
from experiments.story.story import Story
from experiments.worlds.bootstrapping_plan import USUAL_DECAY
from paper_figs.style import COLORS, MARKERS

NAME = "fig22"
TITLE = "Baseline, bootstrapping, its controls and an oracle at equal training tokens"
CAPTION = (
    "Test loss (left) and loss where a document first gives a value, which must be known (right); "
    "a grey dot a world, means with 95 % intervals over worlds. Weight decay is chosen for each "
    "arm on another world from the same values; hollow, baseline and SBP with the usual decay of "
    f"{USUAL_DECAY}: against that baseline any synthetic text looks like a gain. The world favours "
    "bootstrapping by construction."
)
LABELS = {
    "baseline": "repetition", "sbp": "SBP", "random": "random\npairs",
    "unconditional": "baseline's\nsamples", "scratch": "synthesiser\nfrom scratch",
    "oracle": "new\ndocuments",
}  # fmt: skip
PANELS = {"test_loss": "test loss (nats per token)", "first_mention_loss": "at first mentions"}


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw one place an arm, one panel a loss."""
    return draw_arms(story.result("bootstrapped"), PANELS)


def draw_arms(found: Bootstrapped, panels: Mapping[str, str]) -> tuple[Figure, pd.DataFrame]:
    """Draw the arms of one experiment, a panel for each column of its runs."""
    arms = [arm for arm in LABELS if arm in found.plan.arms]
    figure, axes = plt.subplots(1, len(panels), figsize=(0.5 + 5 * len(panels), 3.8), squeeze=False)
    rows = []
    for ax, (column, label) in zip(axes.flat, panels.items(), strict=True):
        for place, arm in enumerate(arms):
            both = [("tuned", found.of(arm, column))]
            if arm in ("baseline", "sbp"):
                both.append(("usual", found.usual(arm, column)))
            for decay, losses in both:
                is_tuned = decay == "tuned"
                mean = intervals.mean_estimate(losses)
                x = place if is_tuned else place + 0.25
                if is_tuned:
                    ax.plot([x - 0.18] * len(losses), losses, ".", color="#999999")
                ax.errorbar(
                    x, mean.value, yerr=np.abs([[mean.value - mean.low], [mean.high - mean.value]]),
                    color=COLORS[0 if is_tuned else 1], marker=MARKERS[0 if is_tuned else 1],
                    fillstyle="full" if is_tuned else "none", capsize=4,
                )  # fmt: skip
                rows.append(
                    {"arm": arm, "decay": decay, "loss": column, "mean": mean.value,
                     "low": mean.low, "high": mean.high, "n_worlds": mean.n}
                )  # fmt: skip
        ax.set_xticks(range(len(arms)), [LABELS[arm] for arm in arms], fontsize=8)
        ax.set(ylabel=label)
    return figure, pd.DataFrame(rows)
