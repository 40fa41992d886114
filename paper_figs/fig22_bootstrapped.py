"""Figure 22: repetition, bootstrapping and its controls, new documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis import intervals
from experiments.recipes.bootstrapped.recipe import Bootstrapped, bootstrapped
from experiments.story.story import Story
from experiments.worlds.plans import USUAL_DECAY
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, error_bars, look
from scaling.published.talk import SBP, SBP_PAPER

NAME = "fig22"
CLAIMS = ("S8", "S9")
NEEDS = (bootstrapped,)
TITLE = "Baseline, bootstrapping, its controls and an oracle at equal training tokens"
CAPTION = (
    "Test loss (left) and loss where a document first gives a value, which the model must know "
    "(right). Each grey dot is a set of invented concepts; points are means with 95 % intervals "
    "over sets. Weight decay is chosen for each arm on another set from the same candidates. "
    "New documents: unlimited unique data, the oracle of the claims. Hollow: baseline and "
    f"SBP with the usual weight decay of {USUAL_DECAY}; compared with that baseline, any synthetic "
    "text appears to be a gain. The setting favours bootstrapping by construction."
)
LABELS = {
    "baseline": "repetition", "sbp": "SBP", "random": "random\npairs",
    "unconditional": "baseline's\nsamples", "scratch": "synthesizer\nfrom\nscratch",
    "oracle": "new\ndocuments",
}  # fmt: skip
PANELS = {"test_loss": "test loss (nats per token)", "first_mention_loss": "at first mentions"}
PUBLISHED_TITLE = "Synthetic documents recover much of the gain of unique data"
PUBLISHED_CAPTION = (
    f"Published ({SBP_PAPER}; table of the talk), at equal training tokens: 10B real tokens in "
    "200B (left) and 50B in 1T (right). Change relative to repeating the real data, with added "
    "synthetic documents and with unlimited unique data: accuracy in points, perplexity as its "
    "relative decrease in %. Printed beside each: the share of the gain of unique data that is "
    "recovered, computed from these values. No intervals are published; where unique data gains "
    "little, the share is not informative."
)


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw one position per arm, one panel per loss.

    The columns of the frame are those of `draw_arms`.
    """
    axes = panels(ax, 1, len(PANELS), wide=1.5, tall=0.95)
    return axes, draw_arms(axes, story[bootstrapped], PANELS)


def draw_arms(
    axes: Sequence[Axes], found: Bootstrapped, columns: Mapping[str, str]
) -> pd.DataFrame:
    """Draw the arms of one experiment.

    Args:
        axes: one for each column.
        found: its results.
        columns: columns of its runs, with the labels of their axes.

    Returns:
        A row for each mean and for each grey dot; columns `what` (mean or world), `arm`, `decay`,
        `loss`, `value`, `low`, `high` and `n_worlds`.
    """
    arms = [arm for arm in LABELS if arm in found.plan.arms]
    rows: list[dict[str, Any]] = []
    for ax, (column, label) in zip(axes, columns.items(), strict=True):
        for place, arm in enumerate(arms):
            both = [("tuned", found.of(arm, column))]
            if arm in ("baseline", "sbp"):
                both.append(("usual", found.usual(arm, column)))
            for decay, losses in both:
                is_tuned = decay == "tuned"
                row = {"arm": arm, "decay": decay, "loss": column}
                mean = intervals.mean_estimate(losses)
                x = place if is_tuned else place + 0.25
                if is_tuned:
                    ax.plot([x - 0.18] * len(losses), losses, ".", color="#999999")
                    rows += [{"what": "world", **row, "value": loss} for loss in losses]
                ax.errorbar(
                    x, mean.value, yerr=error_bars(mean.value, mean.low, mean.high),
                    fillstyle="full" if is_tuned else "none", capsize=4,
                    **look("tuned" if is_tuned else "standard").line,
                )  # fmt: skip
                rows.append(
                    {"what": "mean", **row, "value": mean.value, "low": mean.low,
                     "high": mean.high, "n_worlds": mean.n}
                )  # fmt: skip
        ax.set_xticks(range(len(arms)), [LABELS[arm] for arm in arms], fontsize="small")
        ax.set(ylabel=label)
    return pd.DataFrame(rows)


def draw_published(ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw one row per benchmark, one panel per scale.

    The frame has columns `scale`, `benchmark`, `sbp`, `unique` and `share`.
    """
    axes = panels(ax, 1, 2, wide=1.5, tall=1.1, sharey=True)
    frames = [_panel(one, scale) for one, scale in zip(axes, ("200B", "1T"), strict=True)]
    axes[0].legend(loc="lower right")
    return axes, pd.concat(frames, ignore_index=True)


def gains(scale: str) -> pd.DataFrame:
    """Return gains over repetition at one scale.

    Returns:
        A row per benchmark; columns `scale`, `benchmark`, `sbp`, `unique` and `share`.
    """
    # For perplexity, the gain is the decrease in % of the perplexity with repetition.
    lower_is_better = SBP["metric"] == "perplexity"
    factor = np.where(lower_is_better, -100 / SBP[f"repeated_{scale}"], 1.0)
    sbp, unique = SBP[f"sbp_{scale}"] * factor, SBP[f"unique_{scale}"] * factor
    return pd.DataFrame(
        {
            "scale": scale,
            "benchmark": SBP["benchmark"] + np.where(lower_is_better, " (ppl)", ""),
            "sbp": sbp,
            "unique": unique,
            "share": sbp / unique,
        }
    )


def _panel(ax: Axes, scale: str) -> pd.DataFrame:
    table = gains(scale)
    places = np.arange(len(table))[::-1]
    for name in ("unique", "sbp"):
        shown = look(name)
        ax.plot(
            table[name], places, shown.marker, color=shown.color, label=shown.label,
            fillstyle="none" if name == "unique" else "full",
        )  # fmt: skip
    for place, row in zip(places, table.itertuples(), strict=True):
        ax.plot([row.sbp, row.unique], [place] * 2, color="#bbbbbb", linewidth=1, zorder=0)
        ax.annotate(
            f"{100 * row.share:.0f} %", (max(row.sbp, row.unique), place), xytext=(8, 0),
            textcoords="offset points", va="center", fontsize="small",
        )  # fmt: skip
    ax.axvline(0, color=BLACK, linewidth=0.9)
    ax.set_yticks(places, table["benchmark"])
    ax.margins(x=0.16)
    ax.set(title=f"{scale} training tokens", xlabel="gain over repetition (points, or % of ppl)")
    return table
