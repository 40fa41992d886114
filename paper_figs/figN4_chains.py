"""Figure N4: ensembles whose members learn from each other, by their number."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis.intervals import mean_estimate
from experiments.recipes.chains import ARMS, chains
from experiments.story.story import Story
from paper_figs.layout import Place, panel
from paper_figs.style import COLORS, MARKERS

NAME = "figN4"
CLAIMS = ("N10", "N11")
NEEDS = (chains,)
TITLE = "Ensembles whose members learn from each other"
CAPTION = (
    "Test loss of ensembles by their number of members, means over draws of the text, and the "
    "exponent of 1/K. Members learn from "
    + "; ".join(f"{learns_from} ({arm})" for arm, learns_from in ARMS.items())
    + ". Every arm is tuned over equally many settings. The first K members of the arms in which a "
    "member learns from those before it, whose first member learns from the text alone; means over "
    "subsets of the others. "
    "Dotted: the limit of E + A / K^alpha with a free exponent, where it is identified. The "
    "intervals of differences, paired by draw, are in the claims. There is no published "
    "counterpart."
)


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw a curve for each arm.

    The frame has columns `arm`, `n_members` (infinite for the limit), `test_loss`, `low`, `high`,
    the interval over draws, and `exponent`.
    """
    found = story[chains]
    ax = panel(ax, wide=1.2)
    counts = range(1, found.n_members + 1)
    rows = []
    for i, arm in enumerate(ARMS):
        losses = [mean_estimate(found.losses(arm, k)) for k in counts]
        exponent, limit = found.exponent(arm), found.limit(arm)
        ax.plot(
            counts, [loss.value for loss in losses], color=COLORS[i], marker=MARKERS[i],
            label=f"{arm}: exponent {exponent}",
        )  # fmt: skip
        ends = [*losses, limit] if limit.is_bounded else losses
        if limit.is_bounded:
            ax.axhline(limit.value, color=COLORS[i], linestyle=":", linewidth=1)
        rows += [
            {
                "arm": arm, "n_members": k, "test_loss": loss.value, "low": loss.low,
                "high": loss.high, "exponent": exponent.value,
            }
            for k, loss in zip([*counts, float("inf")], ends, strict=False)
        ]  # fmt: skip
    ax.set_xticks(counts)
    ax.set(xlabel="members", ylabel="test loss (nats per token)")
    ax.legend()
    return ax, pd.DataFrame(rows)
