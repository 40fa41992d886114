"""The figure of `datawall worth`: losses by real tokens, and the multiplier read off them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.planner.worth import Worth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CAPTION = (
    "Black: loss of real text alone by its tokens, the mean over draws, shaded from the lowest to "
    "the highest draw. Colored: loss of each arm that reads synthetic text; its worth is read off "
    "where its line meets the black one (marker), the bar there is the 95 % interval. Solid: the "
    "best arm by validation."
)

DASHES = ("--", ":", "-.", (0, (6, 1)))


def draw_worth(worth: Worth, path: Path) -> None:
    """Draw the losses of all arms and write the figure; its numbers are `Worth.runs`.

    Args:
        worth: the result.
        path: of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from experiments.runs.files import replacing
    from paper_figs.style import BLACK, STYLE, log_ticks

    stock = worth.settings.n_stock
    by_arm = worth.runs.groupby("arm", sort=False)
    means = by_arm[["size", "share", "test_loss"]].mean()
    spread = by_arm["test_loss"].agg(["min", "max"])
    real = means[means["share"] == 0].sort_values("size")
    tokens = real["size"] * stock
    with plt.style.context(STYLE):
        figure, ax = plt.subplots(figsize=(6.4, 4.8))
        ax.plot(tokens, real["test_loss"], "o-", color=BLACK, label="real text alone")
        ends = spread.loc[real.index]
        ax.fill_between(tokens, ends["min"], ends["max"], color=BLACK, alpha=0.12, linewidth=0)
        for at, name in enumerate(means.index[means["share"] > 0]):
            _draw_arm(ax, worth, str(name), float(means.loc[name, "test_loss"]), at)
        log_ticks(ax, sorted(tokens))
        ax.set(xlabel="real tokens", ylabel="loss on held-out real text (nats per token)")
        figure.legend(loc="outside lower left", ncols=1)
        with replacing(path) as beside:
            figure.savefig(beside, dpi=160)
        plt.close(figure)


def _draw_arm(ax: Axes, worth: Worth, name: str, loss: float, at: int) -> None:
    """Draw the loss of an arm, and its worth where real text has that loss."""
    from paper_figs.style import COLORS, MARKERS

    found, stock = worth.multipliers[name], worth.settings.n_stock
    color, marker = COLORS[at % 6], MARKERS[1 + at % 6]
    ax.axhline(
        loss, color=color, linewidth=1.3,
        linestyle="-" if name == worth.best else DASHES[at % len(DASHES)],
    )  # fmt: skip
    ax.plot(
        [], [], color=color, marker=marker, label=f"{name}: {found}",
        linestyle="-" if name == worth.best else DASHES[at % len(DASHES)],
    )  # fmt: skip
    if not 0 < found.value < math.inf or not found.is_identified:
        return
    least, most = found.measured
    ends = [stock * max(found.low, least), stock * min(found.high, most)]
    ax.plot(ends, [loss, loss], color=color, linewidth=4, alpha=0.5, solid_capstyle="butt")
    ax.plot(found.value * stock, loss, marker, color=color, markersize=7)
