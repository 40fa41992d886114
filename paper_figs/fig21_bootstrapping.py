"""Figure 21: how bootstrapped pre-training generates documents, and a check before sampling."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from experiments.analysis import intervals
from experiments.recipes.bootstrapped.recipe import bootstrapped
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import COLORS, error_bars

NAME = "fig21"
CLAIMS = ("S8", "S9")
NEEDS = (bootstrapped,)
TITLE = "Bootstrapped pre-training: learn to write one document from another, then train on both"
CAPTION = (
    "Left: the procedure (after arXiv 2509.15248), schematic. Right: the check made before "
    "anything is sampled: loss on held-out second documents by the baseline, by the synthesizer "
    "given the first document of another pair, and given their own; means and 95 % intervals over "
    "sets of concepts. If the first document carries no information, the samples are noise."
)
STAGES = ("documents", "nearest pairs\n(d1, d2)", "train\nlog p(d2 | d1)", "sample d2\nfor real d1",
          "train a new\nmodel on both")  # fmt: skip
GATES = {"alone": "alone", "given_other": "after\nanother's d1", "given": "after\nits own d1"}


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw the stages of the procedure and the losses of the check before sampling.

    The frame has columns `read`, `loss`, `low`, `high` and `n`.
    """
    gates = story[bootstrapped].gates
    axes = schema, ax = panels(ax, 1, 2, wide=1.5, tall=0.75, width_ratios=(2.2, 1))
    _draw_stages(schema)
    rows = []
    for name, label in GATES.items():
        loss = intervals.mean_estimate(gates[name].to_numpy())
        rows.append(
            {"read": label, "loss": loss.value, "low": loss.low, "high": loss.high, "n": loss.n}
        )
    frame = pd.DataFrame(rows)
    errors = error_bars(frame["loss"], frame["low"], frame["high"])
    ax.bar(frame["read"], frame["loss"], yerr=errors, color=COLORS[:3], capsize=4,
           hatch=["", "//", ".."])  # fmt: skip
    ax.set(ylabel="loss of d2 (nats per token)")
    return axes, frame


def _draw_stages(ax: Axes) -> None:
    for i, stage in enumerate(STAGES):
        ax.add_patch(
            FancyBboxPatch(
                (2.4 * i, 0), 1.9, 1.2, boxstyle="round,pad=0.02,rounding_size=0.1",
                facecolor="none", edgecolor=COLORS[i % 2], linewidth=1.4,
            )
        )  # fmt: skip
        ax.text(2.4 * i + 0.95, 0.6, stage, ha="center", va="center", fontsize="small")
        if i:
            ax.add_patch(
                FancyArrowPatch((2.4 * i - 0.45, 0.6), (2.4 * i, 0.6), arrowstyle="-|>",
                                mutation_scale=11)
            )  # fmt: skip
    ax.set(xlim=(-0.2, 2.4 * len(STAGES)), ylim=(-0.6, 1.8))
    ax.axis("off")
