"""Claims of Part 1: using data better."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from experiments.analysis import intervals
from experiments.analysis.intervals import Estimate
from experiments.claims.claim import Finding, cell, claim, uncertified, verdict
from experiments.story.story import Story
from experiments.worlds.plans import USUAL_DECAY
from scaling.published import talk


def _losses(runs: pd.DataFrame, column: str = "test_loss", **where: Any) -> np.ndarray:
    """Return a column of the runs whose settings equal `where`."""
    for name, value in where.items():
        runs = runs[runs[name] == value]
    return runs[column].to_numpy(float)


@claim("P2", "With the standard recipe, more epochs stop paying and then hurt.")
def _p2(story: Story) -> Finding:
    """At each size, compare the largest number of epochs tried there with the number that
    validation selects. Supported when the test loss is higher at the largest at every size,
    intervals above zero; contradicted when at every size the interval lies below zero; else
    inconclusive."""
    runs, best = story.standard, story.standard_epochs
    most = runs.groupby("width")["n_epochs"].max()
    harm = {
        width: intervals.difference(
            _losses(runs, width=width, n_epochs=most[width]),
            _losses(runs, width=width, n_epochs=epochs),
        )
        for width, epochs in best.items()
    }
    smallest = min(harm.values(), key=lambda e: e.value)
    chosen = ", ".join(f"{epochs} at width {width}" for width, epochs in best.items())
    return Finding(
        verdict=verdict(
            supported=all(e.is_positive for e in harm.values()),
            contradicted=all(e.is_negative for e in harm.values()),
        ),
        quantity="least harm of the most epochs tried over the best number (nats)",
        estimate=smallest,
        detail=f"Best epochs: {chosen}.",
    )


@claim("P3", "With the standard recipe, more parameters stop paying.")
def _p3(story: Story) -> Finding:
    """With epochs and learning rate selected at each size, compare the largest model with the
    best of the smaller ones, the best by validation loss. Supported when the largest is not
    better: the interval of its loss minus theirs lies above zero; contradicted when it lies
    below zero; else inconclusive."""
    best = story.standard_best
    widths = sorted(best["width"].unique())
    losses = {width: _losses(best, width=width) for width in widths}
    selected = best.groupby("width")["validation_loss"].mean()
    smaller = selected[widths[:-1]].idxmin()
    gap = intervals.difference(losses[widths[-1]], losses[smaller])
    means = ", ".join(f"{losses[width].mean():.3f} at width {width}" for width in widths)
    return Finding(
        verdict=verdict(supported=gap.is_positive, contradicted=gap.is_negative),
        quantity=f"test loss at width {widths[-1]} minus width {smaller} (nats)",
        estimate=gap,
        detail=f"Best-epoch losses: {means}.",
    )


@claim("P4", "Overfitting is not benign here: train loss falls while held-out loss rises.")
def _p4(story: Story) -> Finding:
    """From the epochs that validation selects to the largest number, at the largest size.
    Supported when train loss falls and test loss rises, both intervals clear of zero;
    contradicted when test loss falls; else inconclusive."""
    runs = story.standard
    width = int(runs["width"].max())
    most = int(runs.loc[runs["width"] == width, "n_epochs"].max())
    best = story.standard_epochs[width]

    def change(column: str) -> Estimate:
        return intervals.difference(
            _losses(runs, column, width=width, n_epochs=most),
            _losses(runs, column, width=width, n_epochs=best),
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


@claim("P5", "The best weight decay is about 30x the usual, and grows with N/D.")
def _p5(story: Story) -> Finding:
    """Tuned decay over the usual 0.1, at each size. Supported when it is within a factor of 4
    of 30 at every size, larger at the largest size than at the smallest, and every optimum is
    certified; contradicted when it is under 7.5 at some certified size, or falls from the
    smallest to the largest with every optimum certified; else inconclusive. The interval is
    the range over sizes; the grid's step is 2x."""
    tuned = story.regularized.tuned
    ratios = {
        width: found.best["weight_decay"] / USUAL_DECAY for width, found in sorted(tuned.items())
    }
    values = list(ratios.values())
    certified = all(found.certified for found in tuned.values())
    too_low = any(ratios[w] < 30 / 4 and tuned[w].certified for w in ratios)
    in_range = all(30 / 4 <= ratio <= 30 * 4 for ratio in values)
    points = ", ".join(
        f"width {w}: {cell(found)} epochs"
        + ("" if found.certified else f" (not certified: {'; '.join(found.flaws)})")
        for w, found in sorted(tuned.items())
    )
    published = ", ".join(f"{decay:g}" for decay in talk.TUNED["weight_decay"])
    return Finding(
        verdict=verdict(
            supported=in_range and values[-1] > values[0] and certified,
            contradicted=too_low or (values[-1] < values[0] and certified),
        ),
        quantity="tuned weight decay over the usual, geometric mean over sizes",
        estimate=Estimate(
            value=float(np.exp(np.mean(np.log(values)))), low=min(values), high=max(values),
            n=story.world.n_seeds,
        ),
        detail=f"{points}. Published decays: {published}.",
        interval_of="the range over sizes",
    )  # fmt: skip


@claim("P6", "With tuned decay, loss falls monotonically in N as E + A / N^alpha.")
def _p6(story: Story) -> Finding:
    """Compare the tuned test losses of consecutive sizes. Supported when each step down has an
    interval clear of zero; contradicted when some step up has; else inconclusive."""
    best = story.regularized.best
    widths = sorted(best["width"].unique())
    steps = [
        intervals.difference(_losses(best, width=small), _losses(best, width=large))
        for small, large in itertools.pairwise(widths)
    ]
    fit = story.laws.single
    by_width = best.groupby("width")[["test_loss", "validation_loss"]].mean()
    means = ", ".join(
        f"{row.test_loss:.3f} ({row.validation_loss:.3f})" for row in by_width.itertuples()
    )
    smallest = min(steps, key=lambda e: e.value)
    at = steps.index(smallest)
    return Finding(
        verdict=verdict(
            supported=all(e.is_positive for e in steps),
            contradicted=any(e.is_negative for e in steps),
        ),
        quantity=f"smallest fall, from width {widths[at]} to {widths[at + 1]} (nats)",
        estimate=smallest,
        detail=f"Fit: E = {fit.params['E']:.3f}, alpha = {fit.params['alpha']:.2f}. Means on "
        f"test (validation): {means}.",
    )


@claim("P7", "Regularized scaling has a limit below the best standard loss (3.43 < 3.75).")
def _p7(story: Story) -> Finding:
    """The limit E of the law of tuned single models against the mean loss of the standard
    recipe at the size, epochs and learning rate that validation selects; errors added in
    quadrature. Supported when the whole interval of the difference lies above zero,
    contradicted when below, else inconclusive, also when the limit is not identified."""
    best = story.standard_best
    width = best.groupby("width")["validation_loss"].mean().idxmin()
    standard = intervals.mean_estimate(_losses(best, width=width))
    gap = intervals.gap(standard, story.laws.single_limit)
    return Finding(
        verdict=verdict(supported=gap.is_positive, contradicted=gap.is_negative),
        quantity="best standard loss minus the limit (nats)",
        estimate=gap,
        detail=f"Best standard {standard} at width {width}; limit {story.laws.single_limit}.",
    )


@claim("P8", "Ensembles of small models have a lower limit than one ever larger model.")
def _p8(story: Story) -> Finding:
    """The limit of infinitely many members of the second smallest size (the talk's 300M is the
    second of four) against the limit E of single models. Errors of the two are added in
    quadrature, each side by its own half-interval. Supported when the interval of the
    difference lies above zero, contradicted below, else inconclusive."""
    width = sorted(story.laws.limits)[1]
    single = story.laws.single_limit
    gap = intervals.gap(single, story.laws.limits[width])
    every = ", ".join(f"width {w}: {limit}" for w, limit in sorted(story.laws.limits.items()))
    return Finding(
        verdict=verdict(supported=gap.is_positive, contradicted=gap.is_negative),
        quantity=f"limit of one model minus limit of members of width {width} (nats)",
        estimate=gap,
        detail=f"One model {single}; ensembles {every}.{uncertified(story.ensembles.tuned)}",
        interval_of="seeds and members",
    )


@claim("P9", "Ensemble loss falls about as 1/K.")
def _p9(story: Story) -> Finding:
    """Exponent of 1/K with members tuned for the ensemble, at each size. Supported when at
    every size the interval overlaps [0.8, 1.2] and is no wider than 0.8; contradicted when at
    some size it lies outside [0.8, 1.2]; else inconclusive. The value is the mean over sizes,
    the interval the range of the intervals."""
    exponents = [story.laws.exponents[width] for width in sorted(story.laws.exponents)]
    outside = [e.low > 1.2 or e.high < 0.8 for e in exponents]
    tight = [e.high - e.low <= 0.8 for e in exponents]
    return Finding(
        verdict=verdict(supported=not any(outside) and all(tight), contradicted=any(outside)),
        quantity="exponent of 1/K",
        estimate=Estimate(
            value=float(np.mean([e.value for e in exponents])),
            low=min(e.low for e in exponents),
            high=max(e.high for e in exponents),
            n=min(e.n for e in exponents),
        ),
        detail="By size: "
        + ", ".join(map(str, exponents))
        + "."
        + uncertified(story.ensembles.tuned),
        interval_of="members, and the range over sizes",
    )


@claim("P11", "Members to infinity, then parameters to infinity, is lower still (3.17).")
def _p11(story: Story) -> Finding:
    """The joint limit against the limit E of single models, errors added in quadrature, and
    against the lowest limit of ensembles. Supported when both limits are identified, the
    interval of the difference to the single limit lies above zero and that of the joint limit
    below the lowest ensemble limit; contradicted when the interval of the difference lies
    below zero; else inconclusive."""
    joint, single = story.laws.joint_limit, story.laws.single_limit
    gap = intervals.gap(single, joint)
    lowest = min(limit.value for limit in story.laws.limits.values())
    is_lowest = joint.is_bounded and joint.high < lowest
    return Finding(
        verdict=verdict(supported=gap.is_positive and is_lowest, contradicted=gap.is_negative),
        quantity="limit of one model minus the joint limit (nats)",
        estimate=gap,
        detail=f"Joint limit {joint}; lowest ensemble limit {lowest:.3f}"
        + ("." if is_lowest else "; these runs cannot distinguish the two.")
        + uncertified(story.ensembles.tuned),
        interval_of="seeds and members",
    )


@claim("P12", "The order of the limits does not matter.")
def _p12(story: Story) -> Finding:
    """Members first then parameters, against parameters first then members. Supported when the
    interval of their difference lies within 0.05 nats of zero; contradicted when it lies above
    0.05 or below -0.05; else inconclusive, also when one of the nested fits has no asymptote."""
    joint, gap = story.laws.joint, story.laws.nested_gap
    return Finding(
        verdict=verdict(
            supported=gap.low > -0.05 and gap.high < 0.05,
            contradicted=gap.low > 0.05 or gap.high < -0.05,
        ),
        quantity="members first minus parameters first (nats)",
        estimate=gap,
        detail=f"Members first {joint.members_first:.3f}, parameters first "
        f"{joint.params_first:.3f} (zero: no asymptote), joint {story.laws.joint_limit}.",
        interval_of="members",
    )
