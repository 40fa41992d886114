"""Claims of Part 1: tuned single models, ensembles and their limits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from experiments.analysis import intervals
from experiments.analysis.intervals import Estimate
from experiments.analysis.laws import LOSS, K, predicted_largest
from experiments.analysis.members import exponent_of, predicted_loss
from experiments.claims.claim import (
    Finding,
    cell,
    claim,
    losses,
    rate_of_standard,
    uncertified,
    verdict,
)
from experiments.story.story import Story
from experiments.tuning.search import Tuned
from experiments.worlds.plans import USUAL_DECAY
from scaling.fitting.status import FitStatus
from scaling.published import talk

NEAR = 4
"""A factor within which a tuned decay is about the published one."""
PUBLISHED_RATIO = 30
"""Tuned over usual weight decay in the talk."""
TUNING_ERROR = 0.02
"""Nats by which the settings of a size may miss its optimum: the margins that certificates leave
between neighbours on the grid are of this order."""


@claim("P5", "The best weight decay is about 30x the usual, and grows with N/D.")
def _p5(story: Story) -> Finding:
    """Tuned decay over the usual 0.1, judged at each size by its certificate, whose bracket
    ends at the nearest decays, below and above, that are worse by more than the noise. The
    decay grows if, for some pair of certified sizes, the bracket of the smaller ends no higher
    than that of the larger begins, and for none the reverse. Supported when every size is
    certified with its best decay within a factor of 4 of 30, and the decay grows; contradicted
    when the bracket of a certified size lies outside that factor, or the decay falls, likewise;
    else inconclusive. The interval is the bracket of the largest size."""
    tuned = dict(sorted(story.regularized.tuned.items()))
    ratios = {width: found.best["weight_decay"] / USUAL_DECAY for width, found in tuned.items()}
    low, high = PUBLISHED_RATIO / NEAR, PUBLISHED_RATIO * NEAR
    brackets = {w: np.array(it.bracket("weight_decay")) / USUAL_DECAY for w, it in tuned.items()}
    certified = [brackets[width] for width, found in tuned.items() if found.certified]
    outside = any(bracket[1] <= low or bracket[0] >= high for bracket in certified)
    pairs = list(itertools.combinations(certified, 2))
    grows = any(small[1] <= large[0] for small, large in pairs)
    falls = any(large[1] <= small[0] for small, large in pairs)
    largest = max(tuned)
    published = ", ".join(f"{decay:g}" for decay in talk.TUNED["weight_decay"])
    return Finding(
        verdict=verdict(
            supported=len(certified) == len(tuned)
            and all(low <= ratio <= high for ratio in ratios.values())
            and grows
            and not falls,
            contradicted=outside or (falls and not grows),
        ),
        quantity=f"tuned weight decay over the usual at width {largest}",
        estimate=Estimate(
            value=ratios[largest],
            low=float(brackets[largest][0]),
            high=float(brackets[largest][1]),
            n=min(len(found.values[found.point]) for found in tuned.values()),
        ),
        detail="; ".join(_decay(width, found) for width, found in tuned.items())
        + f". Published decays: {published}.",
        interval_of="seeds of every setting",
    )  # fmt: skip


def _decay(width: int, found: Tuned) -> str:
    """Return decay and epochs of a size with the bracket of the decay, as text."""
    low, high = found.bracket("weight_decay")
    flaws = "" if found.certified else f", not certified: {'; '.join(found.flaws)}"
    return f"width {width}: {cell(found)} epochs (bracket {low:g} to {high:g}{flaws})"


@claim("P6", "With tuned decay, loss falls monotonically in N as E + A / N^alpha.")
def _p6(story: Story) -> Finding:
    """Falls: the tuned test loss of each size minus that of the next. Prediction: the mean of
    the largest size minus what the law fitted to all others predicts, both with the errors of
    their seeds. Supported when the interval of every fall lies above zero, that of the
    prediction's error meets [-0.02, 0.02] (what tuning leaves open) and reaches less far than
    the fall predicted, and the law of all sizes is not rejected and has an identified limit;
    contradicted when the interval of a fall lies below zero, or that of the prediction's error
    outside [-0.02, 0.02]; else inconclusive."""
    best, fit = story.regularized.best, story.laws.single
    widths = sorted(best["width"].unique())
    falls = [
        intervals.difference(losses(best, width=small), losses(best, width=large))
        for small, large in itertools.pairwise(widths)
    ]
    predicted = predicted_largest(best)
    error = intervals.gap(intervals.mean_estimate(losses(best, width=widths[-1])), predicted)
    fall_predicted = losses(best, width=widths[-2]).mean() - predicted.value
    meets = error.low <= TUNING_ERROR and error.high >= -TUNING_ERROR
    law_holds = fit.status is FitStatus.CONVERGED and story.laws.single_limit.is_bounded
    smallest = min(falls, key=lambda e: e.value)
    at = falls.index(smallest)
    by_width = best.groupby("width")[["test_loss", "validation_loss"]].mean()
    means = ", ".join(
        f"{row.test_loss:.3f} ({row.validation_loss:.3f})" for row in by_width.itertuples()
    )
    return Finding(
        verdict=verdict(
            supported=all(e.is_positive for e in falls)
            and meets
            and error.high - error.low < 2 * fall_predicted
            and law_holds,
            contradicted=any(e.is_negative for e in falls) or (error.is_bounded and not meets),
        ),
        quantity=f"smallest fall, from width {widths[at]} to {widths[at + 1]} (nats)",
        estimate=smallest,
        detail=f"Limit of the law {story.laws.single_limit}, alpha {fit.params['alpha']:.2f}. "
        f"{fit.message} The other sizes predict {predicted} at width {widths[-1]}, a fall of "
        f"{fall_predicted:.3f}; measured minus predicted {error}. Means on test (validation): "
        f"{means}.",
    )


@claim("P7", "Regularized scaling has a limit below the best standard loss (3.43 < 3.75).")
def _p7(story: Story) -> Finding:
    """The limit E of the law of tuned single models against the mean loss of the standard
    recipe at the size and epochs (and learning rate, where it is searched) that validation
    selects; errors added in quadrature. Supported when the whole interval of the difference lies
    above zero, contradicted when below, else inconclusive, also when the limit is not
    identified."""
    best = story.standard_best
    width = best.groupby("width")["validation_loss"].mean().idxmin()
    standard = intervals.mean_estimate(losses(best, width=width))
    gap = _gap(standard, story.laws.single_limit)
    return Finding(
        verdict=verdict(supported=gap.is_positive, contradicted=gap.is_negative),
        quantity="best standard loss minus the limit (nats)",
        estimate=gap,
        detail=f"Best standard {standard} at width {width}; limit {story.laws.single_limit}."
        + rate_of_standard(story),
    )


def _gap(first: Estimate, second: Estimate) -> Estimate:
    """Return the difference of two limits, without a value where one is not identified."""
    gap = intervals.gap(first, second)
    return gap if gap.is_bounded else replace(gap, value=math.nan)


@claim("P8", "Ensembles of small models have a lower limit than one ever larger model.")
def _p8(story: Story) -> Finding:
    """The limit of infinitely many members of the second smallest size (the talk's 300M is the
    second of four) against the limit E of single models. Errors of the two are added in
    quadrature, each side by its own half-interval. Supported when the interval of the
    difference lies above zero, contradicted below, else inconclusive."""
    width = sorted(story.laws.limits)[1]
    single = story.laws.single_limit
    gap = _gap(single, story.laws.limits[width])
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
    """Exponent of 1/K through the losses of one member, of two, and of K = all but two, which
    share no member with the two. Members are tuned for the ensemble. Supported when at every
    size the interval over members lies within [0.8, 1.2]; contradicted when at some size it
    lies outside; else inconclusive, also with fewer than five members. Averaged logits of any
    members fall as 1/K to second order: the rule finds out whether higher orders matter, and
    not whether members are good. The value is the mean over sizes, the interval the range of
    the intervals."""
    exponents, errors = {}, {}
    for width, table in sorted(story.laws.tables.items()):
        n_members = int(table[K].max()) - 2
        curve, *without = (
            part.set_index(K)[LOSS].to_dict() for part in (table, *story.laws.left_out[width])
        )
        if n_members < 3:
            exponents[width] = Estimate(value=math.nan, low=-np.inf, high=np.inf, n=n_members + 2)
            continue
        exponents[width] = _over_members(exponent_of, curve, without, n_members)
        errors[width] = _over_members(
            lambda losses, k: losses[k] - predicted_loss(losses, k), curve, without, n_members
        )
    found = list(exponents.values())
    return Finding(
        verdict=verdict(
            supported=all(e.low >= 0.8 and e.high <= 1.2 for e in found),
            contradicted=any(e.low > 1.2 or e.high < 0.8 for e in found),
        ),
        quantity="exponent of 1/K",
        estimate=Estimate(
            value=float(np.mean([e.value for e in found])),
            low=min(e.low for e in found),
            high=max(e.high for e in found),
            n=min(e.n for e in found),
        ),
        detail="By size: "
        + ", ".join(map(str, found))
        + ". Loss of all but two minus that predicted by 1/K from one and two: "
        + (", ".join(map(str, errors.values())) or "too few members")
        + "."
        + uncertified(story.ensembles.tuned),
        interval_of="members, and the range over sizes",
    )


def _over_members(
    statistic: Callable[[Mapping[int, float], int], float],
    curve: Mapping[int, float],
    without: Sequence[Mapping[int, float]],
    n_members: int,
) -> Estimate:
    """Return a statistic of mean losses by number of members, with the jackknife over members."""
    replicates = [statistic(part, n_members) for part in without]
    value = statistic(curve, n_members)
    if not np.isfinite([value, *replicates]).all():
        return Estimate(value=value, low=-np.inf, high=np.inf, n=len(without))
    return intervals.jackknife(value, [replicates])


@claim("P11", "Members to infinity, then parameters to infinity, is lower still (3.17).")
def _p11(story: Story) -> Finding:
    """The limit of infinitely many members of the second smallest size (the talk's 3.34) minus
    the joint limit, errors added in quadrature. Supported when both are identified and the
    interval lies above zero; contradicted when it lies below zero, or when that of the limit
    of the second smallest size minus the limit of the largest does; else inconclusive. Beside
    it, without a law: the same two sizes with all members trained."""
    joint, single, limits = story.laws.joint_limit, story.laws.single_limit, story.laws.limits
    second, largest = sorted(limits)[1], max(limits)
    gap = _gap(limits[second], joint)
    by_size = intervals.gap(limits[second], limits[largest])
    every = ", ".join(f"width {width}: {limit}" for width, limit in sorted(limits.items()))
    return Finding(
        verdict=verdict(
            supported=gap.is_positive and gap.is_bounded,
            contradicted=gap.is_negative or by_size.is_negative,
        ),
        quantity=f"limit of members of width {second} minus the joint limit (nats)",
        estimate=gap,
        detail=f"Joint limit {joint}; one model {single}; ensembles {every}. Limit of width "
        f"{second} minus that of width {largest}: {by_size}; without a law, "
        f"{_with_all_members(story, second, largest)}.{uncertified(story.ensembles.tuned)}",
        interval_of="members",
    )


def _with_all_members(story: Story, small: int, large: int) -> str:
    """Say by how much all members of one size beat all those of a smaller one."""
    first, second = (story.laws.tables[width].iloc[-1] for width in (small, large))
    replicates = [
        [part[LOSS].iloc[-1] for part in story.laws.left_out[width]] for width in (small, large)
    ]
    gain = intervals.jackknife(float(first[LOSS] - second[LOSS]), replicates)
    return f"{first[K]:.0f} members of the one minus {second[K]:.0f} of the other: {gain}"


@claim("P12", "The order of the limits does not matter.")
def _p12(story: Story) -> Finding:
    """Members first then parameters, against parameters first then members. Supported when the
    interval of their difference lies within 0.05 nats of zero; contradicted when it lies above
    0.05 or below -0.05; else inconclusive, also when one of the nested fits has no asymptote."""
    joint, gap = story.laws.joint, story.laws.nested_gap
    orders = (
        f"Members first {joint.members_first:.3f}, parameters first {joint.params_first:.3f} "
        "(zero: no asymptote)"
        if story.laws.joint_limit.is_bounded
        else "Limit in either order not identified"
    )
    return Finding(
        verdict=verdict(
            supported=gap.low > -0.05 and gap.high < 0.05,
            contradicted=gap.low > 0.05 or gap.high < -0.05,
        ),
        quantity="members first minus parameters first (nats)",
        estimate=gap,
        detail=f"{orders}, joint {story.laws.joint_limit}.",
        interval_of="members",
    )
