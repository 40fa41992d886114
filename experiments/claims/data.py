"""Claims of Part 1 on data: do the gains persist, and where does each recipe pay?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, rounded
from experiments.claims.claim import Finding, claim, verdict
from experiments.recipes.data_scaling import data_scaling
from experiments.story.regimes import STEPS, gains, slope
from experiments.story.story import Story
from scaling.published.figures import PUBLISHED_FIGURES


@claim("P13", "The gains persist as data grows: multipliers 2.3x, 3.0x, 5.2x.")
def _p13(story: Story) -> Finding:
    """The data multiplier over the standard recipe, by its data law, of tuned single models and
    of ensembles, on every stock of text; of the joint limit too where one is determined.
    Supported when on every stock the intervals for single models and ensembles lie above 1;
    contradicted when on the largest stock one of them lies below 1; else inconclusive. The
    value is the ensembles' on the largest stock; an end that does not exist says that no
    amount of data may do."""
    found = story[data_scaling]
    judged = ("regularized", "ensemble")
    multipliers = {
        (name, size): found.multiplier(name, size) for name in judged for size in found.sizes
    }
    largest = found.sizes[-1]
    lowest = [estimate.low for estimate in multipliers.values()]
    at_largest = [multipliers[name, largest].high for name in judged]
    others = [name for name in found.recipes if name not in ("standard", *judged)]
    texts = [
        f"{name}: "
        + ", ".join(f"{_times(found.multiplier(name, size))} at {size:,}" for size in found.sizes)
        for name in (*judged, *others)
    ]
    published = ", ".join(
        f"{PUBLISHED_FIGURES[f'multiplier_{name}'].value:g}x"
        for name in ("regularized", "ensembles", "joint")
    )
    law = found.laws["standard"]
    return Finding(
        verdict=verdict(
            supported=all(low > 1 for low in lowest), contradicted=any(x < 1 for x in at_largest)
        ),
        quantity=f"data multiplier of ensembles at D = {largest:,}",
        estimate=multipliers["ensemble", largest],
        detail=f"{'; '.join(texts)}. Standard recipe: {law.params['E']:.2f} + "
        f"{law.params['A']:.3g} / D^{law.params['alpha']:.2f}. Published at 200M tokens "
        f"(limits): {published}.",
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
