"""Claims of Part 1 on the standard recipe: usual weight decay, more epochs, more parameters."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from experiments.analysis import intervals
from experiments.analysis.intervals import Estimate
from experiments.claims.claim import Finding, claim, losses, rate_of_standard, verdict
from experiments.recipes.standard import most_epochs
from experiments.story.story import Story
from scaling.published import talk

HARMLESS = 0.05
"""Nats; overfitting that costs less than this at every size contradicts that epochs hurt."""


@claim("P2", "With the standard recipe, more epochs stop paying and then hurt.")
def _p2(story: Story) -> Finding:
    """At each size, the test loss at the largest number of epochs tried there minus that at the
    number that validation selects. A size where the two are one has not been tested, and leaves the
    claim inconclusive. Supported when the interval lies above zero at every size; contradicted
    when not so and it lies below 0.05 nats at every size; else inconclusive."""
    runs, most = story.standard, most_epochs(story.standard)
    best = story.standard_epochs
    untested = [str(width) for width, epochs in best.items() if epochs == most[width]]
    harm = [
        intervals.difference(
            losses(runs, width=width, n_epochs=most[width]),
            losses(runs, width=width, n_epochs=epochs),
        )
        for width, epochs in best.items()
        if epochs < most[width]
    ]
    unknown = Estimate(value=math.nan, low=-np.inf, high=np.inf, n=0)
    hurts = all(e.is_positive for e in harm)
    chosen = ", ".join(f"{epochs} at width {width}" for width, epochs in best.items())
    return Finding(
        verdict=verdict(
            supported=not untested and hurts,
            contradicted=not (untested or hurts) and all(e.high < HARMLESS for e in harm),
        ),
        quantity="smallest rise of test loss from the best to the most epochs (nats)",
        estimate=min(harm, key=lambda e: e.value, default=unknown),
        detail=f"Best epochs: {chosen}; most {', '.join(map(str, most.values()))}."
        + (f" Not tested at width {', '.join(untested)}." if untested else ""),
    )


@claim("P3", "With the standard recipe, more parameters stop paying.")
def _p3(story: Story) -> Finding:
    """Test loss of the largest model minus that of the best of the smaller ones, the best by
    validation loss: with epochs selected at each size (and the learning rate, where it is
    searched), and at the largest number of epochs that most sizes tried without diverging.
    Supported when both intervals lie above zero; contradicted when that with selected epochs lies
    below zero; else inconclusive, also when one of the two sizes selects the largest number of
    epochs tried. Half of the first interval is the smallest difference that these seeds can
    show."""
    most = most_epochs(story.standard)
    tuned, sizes, means = _largest_over_smaller(story.standard_best)
    selected = story.standard_best.groupby("width")["n_epochs"].max()
    at_edge = [width for width in sizes if selected[width] >= most[width]]
    finite = story.standard[story.standard["test_loss"].notna()]
    n_runs = finite.groupby("n_epochs").size()
    n_epochs = int(n_runs.index[n_runs == n_runs.max()].max())
    fixed, pair, _ = _largest_over_smaller(story.standard[story.standard["n_epochs"] == n_epochs])
    published = talk.STANDARD["loss"].iloc[-1] - talk.STANDARD["loss"].iloc[:-1].min()
    seen = (tuned.high - tuned.low) / 2
    return Finding(
        verdict=verdict(
            supported=not at_edge and tuned.is_positive and fixed.is_positive,
            contradicted=not at_edge and tuned.is_negative,
        ),
        quantity=f"test loss at width {sizes[1]} minus width {sizes[0]} (nats)",
        estimate=tuned,
        detail=f"Best-epoch losses: {means}. Smallest difference that these seeds can show: "
        f"{seen:.3f}; the talk's is {published:.4f}. At {n_epochs} epochs, width {pair[1]} minus "
        f"width {pair[0]}: {fixed}.{rate_of_standard(story)}"
        + "".join(f" Width {w} selects the largest number of epochs tried." for w in at_edge),
    )


def _largest_over_smaller(runs: pd.DataFrame) -> tuple[Estimate, tuple[int, int], str]:
    """Compare the largest size with the best of the smaller ones, by validation loss.

    Returns:
        The difference in test loss, the best smaller width and the largest, and the mean test
        losses of all widths as text.
    """
    *smaller, largest = sorted(runs["width"].unique())
    best = runs.groupby("width")["validation_loss"].mean()[smaller].idxmin()
    gap = intervals.difference(losses(runs, width=largest), losses(runs, width=best))
    means = runs.groupby("width")["test_loss"].mean()
    listed = ", ".join(f"{loss:.3f} at width {width}" for width, loss in means.items())
    return gap, (int(best), int(largest)), listed


@claim("P4", "Overfitting is not benign here: train loss falls while held-out loss rises.")
def _p4(story: Story) -> Finding:
    """From the epochs that validation selects to the largest number, at the largest size.
    Supported when train loss falls and test loss rises, both intervals clear of zero;
    contradicted when test loss falls; else inconclusive."""
    runs = story.standard
    width = int(runs["width"].max())
    most, best = most_epochs(story.standard)[width], story.standard_epochs[width]

    def change(column: str) -> Estimate:
        return intervals.difference(
            losses(runs, column, width=width, n_epochs=most),
            losses(runs, column, width=width, n_epochs=best),
        )

    train, test = change("train_loss"), change("test_loss")
    return Finding(
        verdict=verdict(
            supported=train.is_negative and test.is_positive, contradicted=test.is_negative
        ),
        quantity=f"rise of test loss from {best} to {most} epochs at width {width} (nats)",
        estimate=test,
        detail=f"Train loss changes by {train} meanwhile.",
    )
