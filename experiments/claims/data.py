"""Claims of Part 1 on data: do the gains persist, and where does each recipe pay?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, mean_estimate, rounded
from experiments.claims.claim import Finding, claim, verdict
from experiments.lab.recipe import NotRun
from experiments.recipes.data_scaling.recipe import data_scaling
from experiments.recipes.draws import Draws, draws
from experiments.story.regimes import STEPS, gains, slope
from experiments.story.story import Story
from scaling.published.figures import PUBLISHED_FIGURES

JUDGED = ("regularized", "ensemble")
NO_GAIN = 0.02
"""Nats below which a fall counts as none."""
PERSISTS = -1 / 3
"""Slope of ln(multiplier) on ln D with which a multiplier halves over eightfold data."""


@claim("P13", "The gains persist as data grows: multipliers 2.3x, 3.0x, 5.2x.")
def _p13(story: Story) -> Finding:
    """Tuned single models and ensembles against the standard recipe, by draw of the corpus. Gain:
    the fall in test loss on every stock. Multiplier: the data with which the standard recipe
    reaches a recipe's loss over the recipe's own, both read between measured stocks on lines in
    ln D, never beyond; its slope is that of ln(multiplier) on ln D. With their intervals:
    supported when for both every gain lies above zero and the slope above -1/3 (with which a
    multiplier halves over the talk's eightfold data); contradicted when for one the gain on the
    largest stock lies below zero or the slope below -1/3; else inconclusive. The value is the
    ensembles' multiplier, a geometric mean over the range that could be read."""
    found = story[data_scaling]
    others = [name for name in found.recipes if name not in ("standard", *JUDGED)]
    falls = {n: [found.gain(n, size) for size in found.sizes] for n in (*JUDGED, *others)}
    slopes = {name: found.multiplier_slope(name) for name in falls}
    texts = [
        f"{name}: {_times(found.measured_multiplier(name))}, slope {slopes[name]}, gains "
        + ", ".join(map(str, of))
        for name, of in falls.items()
    ]
    published = ", ".join(
        f"{PUBLISHED_FIGURES[f'multiplier_{name}'].value:g}x"
        for name in ("regularized", "ensembles", "joint")
    )
    return Finding(
        verdict=verdict(
            supported=all(
                slopes[name].low > PERSISTS and all(gain.is_positive for gain in falls[name])
                for name in JUDGED
            ),
            contradicted=any(
                slopes[name].high < PERSISTS or falls[name][-1].is_negative for name in JUDGED
            ),
        ),
        quantity=f"data multiplier of ensembles, within {found.sizes[0]:,} to "
        f"{found.sizes[-1]:,} tokens",
        estimate=found.measured_multiplier("ensemble"),
        detail=f"{'; '.join(texts)}. Published at 200M tokens (limits): {published}.",
        interval_of="draws of the corpus",
    )


def _times(found: Estimate) -> str:
    value, low, high = (rounded(number, 2) for number in (found.value, found.low, found.high))
    return f"{value}x [{low}, {high}]"


@claim("N2", "Where in N/D each recipe pays: the more parameters a token has, the more.")
def _n2(story: Story) -> Finding:
    """The gain in test loss of tuned single models over the standard recipe, and of ensembles
    over tuned single models, at every size of model and stock of text. For each, the slope
    per tenfold N/D of a straight line through all points. Supported when both slopes lie above
    zero with their intervals; contradicted when one lies below zero; else inconclusive. The
    value is the first one's. Members are tuned for infinitely many of them: the gain of
    infinitely many, by the law of K, is reported beside and not judged."""
    table = gains(story)
    slopes = {name: slope(table, name) for name in STEPS}
    judged = [slopes[name] for name in ("regularization", "ensembles")]
    texts = [
        f"{name}: {table[name].min():.2f} to {table[name].max():.2f} nats, slope {found}, "
        + _boundary(table, name)
        for name, found in slopes.items()
    ]
    return Finding(
        verdict=verdict(
            supported=all(found.is_positive for found in judged),
            contradicted=any(found.is_negative for found in judged),
        ),
        quantity="gain of regularization per tenfold N/D (nats)",
        estimate=slopes["regularization"],
        detail=f"N/D from {table['n_per_token'].min():.2g} to {table['n_per_token'].max():.2g}. "
        + "; ".join(texts)
        + ".",
        interval_of="cells of N and D",
    )


def _boundary(table: pd.DataFrame, name: str) -> str:
    """Return up to which N/D a gain cannot be distinguished from zero, as text."""
    doubtful = table[table[f"{name}_low"] <= 0]["n_per_token"]
    if doubtful.empty:
        return "above zero everywhere"
    return f"not distinguishable from zero up to N/D = {np.max(doubtful):.2g}"


@claim("N16", "On other draws of the text, each recipe still beats the one before.")
def _n16(story: Story) -> Finding:
    """Test losses on several draws of as many tokens, with the settings tuned on the first; the
    size of model is the one with the lowest validation loss over draws. Falls, paired by draw:
    from the standard recipe to one tuned model, from this to infinitely many members of the
    second smallest size (the law of K of that draw). Supported when the intervals of both lie
    above zero, contradicted when one lies below; else inconclusive. The value is the second
    fall."""
    found = story[draws]
    second = found.widths[min(1, len(found.widths) - 1)]
    standard, single = found.loss("standard"), found.loss("regularized")
    limit = found.loss("ensemble limit", second)
    falls = [mean_estimate(standard - single), mean_estimate(single - limit)]
    return Finding(
        verdict=verdict(
            supported=all(fall.is_positive for fall in falls),
            contradicted=any(fall.is_negative for fall in falls),
        ),
        quantity=f"loss of the best single model above the limit of members of width {second}",
        estimate=falls[1],
        detail=f"Standard above single {falls[0]}. {_spread(found)}",
        interval_of="draws of the corpus",
    )


@claim(
    "N17", "Infinitely many larger members reach a lower loss than infinitely many smaller ones."
)
def _n17(story: Story) -> Finding:
    """The limit of infinitely many members (the law of K of each draw) of the second smallest of
    three or more sizes, or of the smaller of two, less that of the largest, paired by draw of the
    text. Supported when its interval lies above zero, contradicted when it lies below 0.02 nats
    (the smallest fall of the talk between two recipes is 0.09); else inconclusive."""
    found = story[draws]
    if len(found.widths) < 2:
        raise NotRun("draws of the text have members of one size only")
    smaller, largest = found.widths[-2 if len(found.widths) == 2 else 1], found.widths[-1]
    limits = {width: found.loss("ensemble limit", width) for width in found.widths}
    fall = mean_estimate(limits[smaller] - limits[largest])
    means = ", ".join(f"{width} {losses.mean():.3f}" for width, losses in limits.items())
    return Finding(
        verdict=verdict(supported=fall.is_positive, contradicted=fall.high < NO_GAIN),
        quantity=f"limit of members of width {smaller} above that of width {largest} (nats)",
        estimate=fall,
        detail=f"Means of the limits by width: {means}. {_spread(found)}",
        interval_of="draws of the corpus",
    )


def _spread(found: Draws) -> str:
    """Say how well other draws predict the loss on one."""
    inside, n = found.held
    return (
        f"{inside} of {n} losses lie in the 95 % prediction interval that the other "
        f"{found.n_draws - 1} draws give."
    )
