"""The figure that answers the title: where each recipe stops, here and as published."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.display.quantities import human
from experiments.recipes.ensembles import ensembles
from experiments.recipes.regularized import regularized
from experiments.recipes.standard import standard
from experiments.story.limits import RecipeLimit, recipe_limits
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import GREY, error_bars, look
from scaling.published import talk
from scaling.published.figures import KIM

NAME = "fig00"
CLAIMS = ("P7", "P8", "P11")
NEEDS = (standard, regularized, ensembles)
TITLE = "Where each recipe stops"
CAPTION = (
    "The loss of the best standard model and the limits of ever larger tuned models, of ensembles "
    "of the second size with ever more members, and of members and then parameters without end. "
    "Left, here: limits with 95 % intervals (thin: whatever smooth decreasing law holds; thick: if "
    "the fitted law holds) and, as a grey bar, the best loss that was trained. Right: published, "
    f"without intervals ({KIM}). Both axes span the same number of nats."
)
_NAMES = {
    "standard": "standard,\nbest size",
    "regularized": "regularized,\nN to infinity",
    "ensemble limit": "ensembles,\nK to infinity",
    "joint limit": "joint, K and N\nto infinity",
}


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw the limits of four recipes, ours beside the published ones.

    The frame has columns `recipe`, `limit`, `low`, `high`, `low_if_law_holds`,
    `high_if_law_holds`, `reached` and `published`; limits that are not identified are empty.
    """
    limits = recipe_limits(story)
    axes = here, published = panels(ax, 1, 2, wide=1.05, tall=0.8, sharey=True)
    rows = [_row(one) for one in limits]
    for place, one in enumerate(limits):
        shown = look(one.recipe)
        _draw_here(here, place, one)
        published.plot(one.published, place, markersize=9, **shown.line)
        published.annotate(
            f"{one.published:g}", (one.published, place), xytext=(0, 12), ha="center",
            textcoords="offset points",
        )  # fmt: skip
    theirs = np.array([one.published for one in limits])
    frame = pd.DataFrame(rows)
    ours = frame[["limit", "low", "high", "reached"]].to_numpy(float)
    middles = [(np.nanmin(values) + np.nanmax(values)) / 2 for values in (ours, theirs)]
    half = 0.7 * max(np.nanmax(ours) - np.nanmin(ours), np.ptp(theirs))
    for one_of, middle in zip(axes, middles, strict=True):
        one_of.set_xlim(middle - half, middle + half)
        one_of.set_xlabel("nats per token")
        one_of.locator_params(axis="x", nbins=5)
    here.set_yticks(range(len(limits)), [_NAMES[one.recipe] for one in limits])
    here.set_ylim(len(limits) - 0.5, -0.7)
    here.set_title(f"here: {human(story.world.n_unique_tokens)} unique tokens")
    published.set_title(f"published: {human(talk.N_UNIQUE_TOKENS)} unique tokens")
    return axes, frame


def _row(one: RecipeLimit) -> dict[str, str | float]:
    limit, nothing = one.limit, (np.nan, np.nan)
    there = limit.is_bounded
    law_low, law_high = (limit.if_law_holds or nothing) if there else nothing
    return {
        "recipe": one.recipe,
        "limit": limit.value if there else np.nan,
        "low": limit.low if there else np.nan,
        "high": limit.high if there else np.nan,
        "low_if_law_holds": law_low,
        "high_if_law_holds": law_high,
        "reached": one.reached,
        "published": one.published,
    }


def _draw_here(ax: Axes, place: int, one: RecipeLimit) -> None:
    """Draw one limit with its intervals, or the words that it is not identified."""
    limit, shown = one.limit, look(one.recipe)
    ax.plot(one.reached, place, marker="|", markersize=14, markeredgewidth=2.5, color=GREY)
    if not limit.is_bounded:
        ax.annotate(
            "limit not identified", (one.reached, place), xytext=(8, -4), ha="left",
            textcoords="offset points",
        )  # fmt: skip
        return
    ax.errorbar(
        limit.value, place, xerr=error_bars(limit.value, limit.low, limit.high), capsize=4,
        markersize=9, **shown.line,
    )  # fmt: skip
    if limit.if_law_holds is not None:
        ax.hlines(place, *limit.if_law_holds, color=shown.color, linewidth=5, alpha=0.5)
    ax.annotate(
        f"{limit.value:.2f} [{limit.low:.2f}, {limit.high:.2f}]", (limit.value, place),
        xytext=(0, 12), ha="center", textcoords="offset points",
    )  # fmt: skip
