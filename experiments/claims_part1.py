"""Claims of Part 1: using data better."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from experiments import intervals, talk
from experiments.claims import Verdict, claim, verdict
from experiments.intervals import Estimate
from experiments.limits import member_curve
from experiments.story import Story

USUAL_DECAY = 0.1


def _losses(runs: pd.DataFrame, column: str = "test_loss", **where: Any) -> np.ndarray:
    """Return a column of the runs whose settings equal `where`."""
    for name, value in where.items():
        runs = runs[runs[name] == value]
    return runs[column].to_numpy(float)


@claim("P2", "With the standard recipe, more epochs stop paying and then hurt.")
def _p2(story: Story) -> dict:
    """At each size, compare the largest number of epochs with the number that validation selects.
    Supported when the test loss is higher at the largest at every size, intervals above zero;
    contradicted when at no size; else inconclusive."""
    runs, most = story.standard, int(story.standard["n_epochs"].max())
    best = story.standard_best.groupby("width")["n_epochs"].first()
    harm = {
        width: intervals.difference(
            _losses(runs, width=width, n_epochs=most), _losses(runs, width=width, n_epochs=epochs)
        )
        for width, epochs in best.items()
    }
    smallest = min(harm.values(), key=lambda e: e.value)
    chosen = ", ".join(f"{epochs} at width {width}" for width, epochs in best.items())
    return {
        "verdict": verdict(
            supported=all(e.is_positive for e in harm.values()),
            contradicted=not any(e.is_positive for e in harm.values()),
        ),
        "quantity": f"least harm of {most} epochs over the best number (nats)",
        "estimate": smallest,
        "detail": f"Best epochs: {chosen}.",
    }


@claim("P3", "With the standard recipe, more parameters stop paying.")
def _p3(story: Story) -> dict:
    """With epochs selected at each size, compare the largest model with the best of the smaller
    ones. Supported when the largest is not better: the interval of its loss minus theirs lies above
    zero; contradicted when it lies below zero; else inconclusive."""
    best = story.standard_best
    widths = sorted(best["width"].unique())
    losses = {width: _losses(best, width=width) for width in widths}
    smaller = min(widths[:-1], key=lambda width: losses[width].mean())
    gap = intervals.difference(losses[widths[-1]], losses[smaller])
    means = ", ".join(f"{losses[width].mean():.3f} at width {width}" for width in widths)
    return {
        "verdict": verdict(supported=gap.is_positive, contradicted=gap.is_negative),
        "quantity": f"test loss at width {widths[-1]} minus width {smaller} (nats)",
        "estimate": gap,
        "detail": f"Best-epoch losses: {means}.",
    }


@claim("P4", "Overfitting is not benign here: train loss falls while held-out loss rises.")
def _p4(story: Story) -> dict:
    """From the epochs that validation selects to the largest number, at the largest size.
    Supported when train loss falls and test loss rises, both intervals clear of zero; contradicted
    when test loss falls; else inconclusive."""
    runs, most = story.standard, int(story.standard["n_epochs"].max())
    width = int(runs["width"].max())
    best = int(story.standard_best.set_index("width").loc[[width], "n_epochs"].iloc[0])

    def change(column: str) -> Estimate:
        return intervals.difference(
            _losses(runs, column, width=width, n_epochs=most),
            _losses(runs, column, width=width, n_epochs=best),
        )

    train, test = change("train_loss"), change("test_loss")
    return {
        "verdict": verdict(
            supported=train.is_negative and test.is_positive, contradicted=test.is_negative
        ),
        "quantity": f"rise of test loss from {best} to {most} epochs at width {width} (nats)",
        "estimate": test,
        "detail": f"Train loss changes by {train} meanwhile.",
    }


@claim("P5", "The best weight decay is about 30x the usual, and grows with N/D.")
def _p5(story: Story) -> dict:
    """Tuned decay over the usual 0.1, at each size. Supported when it is within a factor of 4 of 30
    at every size, larger at the largest size than at the smallest, and every optimum is certified;
    contradicted when it is under 7.5 at some certified size or falls from the smallest to the
    largest; else inconclusive. The interval is the range over sizes; the grid's step is 2x."""
    tuned = story.regularized.tuned
    ratios = {width: found.point[0] / USUAL_DECAY for width, found in sorted(tuned.items())}
    values = list(ratios.values())
    certified = all(found.certified for found in tuned.values())
    too_low = any(ratios[w] < 30 / 4 and tuned[w].certified for w in ratios)
    in_range = all(30 / 4 <= ratio <= 30 * 4 for ratio in values)
    points = ", ".join(
        f"width {w}: {found.point[0]:g} x {found.point[1]:g} epochs"
        + ("" if found.certified else f" (edge of {', '.join(found.edges)})")
        for w, found in sorted(tuned.items())
    )
    published = ", ".join(f"{decay:g}" for decay in talk.TUNED["weight_decay"])
    return {
        "verdict": verdict(
            supported=in_range and values[-1] > values[0] and certified,
            contradicted=too_low or (values[-1] < values[0] and certified),
        ),
        "quantity": "tuned weight decay over the usual, geometric mean over sizes",
        "estimate": Estimate(
            value=float(np.exp(np.mean(np.log(values)))), low=min(values), high=max(values),
            n=story.world.n_seeds,
        ),
        "detail": f"{points}. Published decays: {published}.",
    }  # fmt: skip


@claim("P6", "With tuned decay, loss falls monotonically in N as E + A / N^alpha.")
def _p6(story: Story) -> dict:
    """Compare the tuned test losses of consecutive sizes. Supported when each step down has an
    interval clear of zero; contradicted when some step up has; else inconclusive."""
    best = story.regularized.best
    widths = sorted(best["width"].unique())
    steps = [
        intervals.difference(_losses(best, width=small), _losses(best, width=large))
        for small, large in itertools.pairwise(widths)
    ]
    fit = story.laws.single
    smallest = min(steps, key=lambda e: e.value)
    at = steps.index(smallest)
    return {
        "verdict": verdict(
            supported=all(e.is_positive for e in steps),
            contradicted=any(e.is_negative for e in steps),
        ),
        "quantity": f"smallest fall, from width {widths[at]} to {widths[at + 1]} (nats)",
        "estimate": smallest,
        "detail": f"Fit: E = {fit.params['E']:.3f}, alpha = {fit.params['alpha']:.2f}.",
    }


def _limit_against(estimate: Estimate, reference: float) -> tuple[Estimate, Verdict]:
    """Say whether a limit lies below a reference, and by how much."""
    gap = Estimate(
        value=reference - estimate.value, low=reference - estimate.high,
        high=reference - estimate.low, n=estimate.n,
    )  # fmt: skip
    return gap, verdict(supported=gap.is_positive, contradicted=gap.is_negative)


@claim("P7", "Regularised scaling has a limit below the best standard loss (3.43 < 3.75).")
def _p7(story: Story) -> dict:
    """The limit E of the law of tuned single models against the lowest mean loss of the standard
    recipe. Supported when E's whole interval lies below, contradicted when above, else
    inconclusive."""
    standard = float(story.standard_best.groupby("width")["test_loss"].mean().min())
    limit = story.laws.single_limit
    gap, decided = _limit_against(limit, standard)
    return {
        "verdict": decided,
        "quantity": "best standard loss minus the limit (nats)",
        "estimate": gap,
        "detail": f"Best standard {standard:.3f}; limit {limit}.",
    }


@claim("P8", "Ensembles of small models have a lower limit than one ever larger model.")
def _p8(story: Story) -> dict:
    """The limit of infinitely many members of the second smallest size (the talk's 300M is the
    second of four) against the limit E of single models. Errors of the two are added in quadrature,
    each side by its own half-interval. Supported when the interval of the difference lies above
    zero, contradicted below, else inconclusive."""
    width = sorted(story.laws.limits)[1]
    ensemble, single = story.laws.limits[width], story.laws.single_limit
    value = single.value - ensemble.value
    low = value - np.hypot(single.value - single.low, ensemble.high - ensemble.value)
    high = value + np.hypot(single.high - single.value, ensemble.value - ensemble.low)
    gap = Estimate(value=value, low=float(low), high=float(high), n=ensemble.n)
    every = ", ".join(f"width {w}: {limit}" for w, limit in sorted(story.laws.limits.items()))
    return {
        "verdict": verdict(supported=gap.is_positive, contradicted=gap.is_negative),
        "quantity": f"limit of one model minus limit of members of width {width} (nats)",
        "estimate": gap,
        "detail": f"One model {single}; ensembles {every}.",
    }


@claim("P9", "Ensemble loss falls about as 1/K.")
def _p9(story: Story) -> dict:
    """Exponent of 1/K with members tuned for the ensemble, at each size. Supported when at every
    size the interval overlaps [0.8, 1.2] and is no wider than 0.8; contradicted when at some size
    it lies outside [0.8, 1.2]; else inconclusive. The value is the mean over sizes, the interval
    the range of the intervals."""
    exponents = [story.laws.exponents[width] for width in sorted(story.laws.exponents)]
    outside = [e.low > 1.2 or e.high < 0.8 for e in exponents]
    tight = [e.high - e.low <= 0.8 for e in exponents]
    return {
        "verdict": verdict(supported=not any(outside) and all(tight), contradicted=any(outside)),
        "quantity": "exponent of 1/K",
        "estimate": Estimate(
            value=float(np.mean([e.value for e in exponents])),
            low=min(e.low for e in exponents),
            high=max(e.high for e in exponents),
            n=min(e.n for e in exponents),
        ),
        "detail": "By size: " + ", ".join(map(str, exponents)) + ".",
    }


@claim("P10", "The best hyperparameters change with K: members train longer, less regularised.")
def _p10(story: Story) -> dict:
    """Cell tuned for the ensemble against cell tuned for one model. Supported when at most sizes
    (more than half) the ensemble's has more epochs or less decay, and at none the opposite;
    contradicted when at most sizes they are the same or the opposite; else inconclusive. The value
    is the mean gain in test loss of the whole ensemble over members tuned singly."""
    single, members = story.regularized.tuned, story.ensembles.tuned
    looser, tighter = [], []
    for width, found in members.items():
        (decay, epochs), (decay_1, epochs_1) = found.point, single[width].point
        looser.append(
            (epochs > epochs_1 or decay < decay_1) and epochs / decay > epochs_1 / decay_1
        )
        tighter.append(epochs / decay < epochs_1 / decay_1)
    cells = ", ".join(
        f"width {w}: {single[w].point[0]:g} x {single[w].point[1]:g} -> "
        f"{found.point[0]:g} x {found.point[1]:g}"
        for w, found in sorted(members.items())
    )
    gains = _gains_of_tuning(story)
    return {
        "verdict": verdict(
            supported=sum(looser) > len(looser) / 2 and not any(tighter),
            contradicted=sum(looser) <= len(looser) / 2,
        ),
        "quantity": "gain of tuning members for the ensemble, mean over sizes (nats)",
        "estimate": intervals.mean_estimate(gains) if gains else Estimate(
            value=0.0, low=0.0, high=0.0, n=0
        ),
        "detail": f"Decay x epochs, one model -> ensemble: {cells}.",
    }  # fmt: skip


def _gains_of_tuning(story: Story) -> list[float]:
    """Loss of all members tuned singly minus that of all members tuned together, by width."""
    curves = story.ensembles.curves
    whole = curves[(curves["average"] == "logit") & (curves["n_members"] == story.world.n_members)]
    gains = []
    for width, found in sorted(story.ensembles.tuned.items()):
        if found.point != story.regularized.tuned[width].point:
            losses = whole[whole["width"] == width].set_index("chosen_for")["test_loss"]
            gains.append(float(losses["single"] - losses["ensemble"]))
        else:
            gains.append(0.0)
    return gains


@claim("P11", "Members to infinity, then parameters to infinity, is lower still (3.17).")
def _p11(story: Story) -> dict:
    """The joint limit against the limit E of single models. Supported when the joint fit is
    identified and its interval lies below the value of E and below every ensemble limit's value;
    contradicted when its interval lies above E; inconclusive otherwise, also when it is not
    identified."""
    joint, single = story.laws.joint_limit, story.laws.single_limit
    gap, against_single = _limit_against(joint, single.value)
    lowest = min(limit.value for limit in story.laws.limits.values())
    identified = story.laws.joint_is_identified
    return {
        "verdict": verdict(
            supported=identified and against_single == "supported" and joint.value < lowest,
            contradicted=identified and against_single == "contradicted",
        ),
        "quantity": "limit of one model minus the joint limit (nats)",
        "estimate": gap,
        "detail": f"Joint limit {joint}; lowest ensemble limit {lowest:.3f}. "
        + _why_not_lower(identified, joint, lowest),
    }


def _why_not_lower(identified: bool, joint: Estimate, lowest: float) -> str:
    if not identified:
        return "Not identified by these runs."
    if joint.value >= lowest:
        return "These runs do not tell it from the lowest ensemble limit."
    return ""


@claim("P12", "The order of the limits does not matter.")
def _p12(story: Story) -> dict:
    """Members first then parameters, against parameters first then members. Supported when they
    differ by less than 0.05 nats; contradicted when the difference exceeds the width of the joint
    fit's interval; inconclusive otherwise, also when the joint limit is not identified."""
    joint = story.laws.joint
    gap = float(joint.members_first - joint.params_first)
    width = story.laws.joint_limit.high - story.laws.joint_limit.low
    return {
        "verdict": verdict(
            supported=story.laws.joint_is_identified and abs(gap) < 0.05,
            contradicted=story.laws.joint_is_identified and abs(gap) > width,
        ),
        "quantity": "members first minus parameters first (nats)",
        "estimate": Estimate(
            value=gap, low=gap - width / 2, high=gap + width / 2, n=story.laws.joint_limit.n
        ),
        "detail": f"Members first {joint.members_first:.3f}, parameters first "
        f"{joint.params_first:.3f}, joint {joint.limit:.3f}.",
    }


@claim("N5", "Probabilities or logits? The talk averages logits.")
def _n5(story: Story) -> dict:
    """Whole tuned ensembles, equal weights: test loss of the logit average minus that of the
    probability average, a value a size. Supported (logits no worse) when the interval over sizes
    lies below 0.01 nats, contradicted when above zero, else inconclusive."""
    gaps = []
    for width in sorted(story.ensembles.tuned):
        logit, probability = (
            member_curve(story.ensembles.curves, width, average=how)["test_loss"].iloc[-1]
            for how in ("logit", "probability")
        )
        gaps.append(float(logit - probability))
    gap = intervals.mean_estimate(gaps)
    by_size = ", ".join(f"{x:+.3f}" for x in gaps)
    return {
        "verdict": verdict(supported=gap.high < 0.01, contradicted=gap.is_positive),
        "quantity": "logit minus probability average (nats)",
        "estimate": gap,
        "detail": f"By size: {by_size}.",
    }
