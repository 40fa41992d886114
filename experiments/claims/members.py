"""Claims on the members of an ensemble: how to train, weigh and draw them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from experiments.analysis import intervals
from experiments.analysis.intervals import Estimate
from experiments.analysis.members import limit_estimate
from experiments.claims.claim import Finding, cell, claim, uncertified, verdict
from experiments.recipes.members.diversity import diversity
from experiments.recipes.members.learned_weights import ALL_SIZES, learned_weights
from experiments.recipes.members.member_counts import epochs_for_decay, member_counts
from experiments.story import equal_size
from experiments.story.story import Story
from experiments.tuning.search import Tuned

if TYPE_CHECKING:
    from models.ensembles.ensemble import Average

NO_WORSE = 0.01
"""Nats by which one average may be worse and count as no worse."""


@claim("P10", "The best hyperparameters change with K: members train longer, less regularized.")
def _p10(story: Story) -> Finding:
    """The best cell for K members, K from 1 to infinity, among all that were given every seed.
    Supported when at more than half of the sizes the epochs for its decay never fall as K grows
    and end higher than they began, and the mean gain in the estimated limit of test loss from
    tuning members for it rather than for one model is above zero with its interval;
    contradicted when at more than half of the sizes they end where they began or lower; else
    inconclusive."""
    counts = story[member_counts]
    paths = {
        width: [epochs_for_decay(found.point) for _, found in sorted(by_count.items())]
        for width, by_count in sorted(counts.tuned.items())
    }
    looser = [all(np.diff(path) >= 0) and path[-1] > path[0] for path in paths.values()]
    not_looser = [path[-1] <= path[0] for path in paths.values()]
    gain = _gain_of_tuning(story)
    cells = "; ".join(
        f"width {width}: {_path_of(by_count)}" for width, by_count in sorted(counts.tuned.items())
    )
    return Finding(
        verdict=verdict(
            supported=float(np.mean(looser)) > 0.5 and gain.is_positive,
            contradicted=float(np.mean(not_looser)) > 0.5,
        ),
        quantity="gain in the limit from tuning members for it, mean over sizes (nats)",
        estimate=gain,
        detail=f"Best decay x epochs by K: {cells}.{uncertified(story.ensembles.tuned)}",
        interval_of="members",
    )


def _path_of(by_count: Mapping[float, Tuned]) -> str:
    """List the best cells by number of members; a star says that one is not certified for it."""
    steps: list[str] = []
    for count, found in sorted(by_count.items()):
        name = "infinite" if math.isinf(count) else f"{count:g}"
        steps.append(f"K {name} {cell(found)}{'' if found.certified else '*'}")
    return ", ".join(steps)


def _gain_of_tuning(story: Story) -> Estimate:
    """Limit of members tuned singly minus that of members tuned together, mean over sizes."""
    ensembles = story.ensembles
    widths = sorted(ensembles.tuned)

    def gain(width: int, left_out: int | None = None) -> float:
        single, together = (
            ensembles.at(width, found[width].point)
            for found in (story.regularized.tuned, ensembles.tuned)
        )
        if left_out is not None:
            single, together = (
                curve[[str(left_out) not in members.split(",") for members in curve["members"]]]
                for curve in (single, together)
            )
        return limit_estimate(single, "test_loss") - limit_estimate(together, "test_loss")

    gains = [gain(width) for width in widths]
    mean = float(np.mean(gains))
    replicates = [
        [
            mean + (gain(width, member) - whole) / len(widths)
            for member in range(story.world.n_members)
        ]
        for width, whole in zip(widths, gains, strict=True)
    ]
    return intervals.jackknife(mean, replicates)


@claim("N5", "Averaging logits, as in the talk, is no worse than averaging probabilities.")
def _n5(story: Story) -> Finding:
    """Whole tuned ensembles of each size, equal weights: test loss of the logit average minus that
    of the probability average, with the jackknife over members. Supported (logits no worse) when
    at every size the interval lies below 0.01 nats, contradicted when at one size it lies above
    0.01, else inconclusive. The value is the largest difference."""
    gaps = {width: _average_gap(story, width) for width in sorted(story.ensembles.tuned)}
    return Finding(
        verdict=verdict(
            supported=all(gap.high < NO_WORSE for gap in gaps.values()),
            contradicted=any(gap.low > NO_WORSE for gap in gaps.values()),
        ),
        quantity="logit minus probability average, the largest of all sizes (nats)",
        estimate=max(gaps.values(), key=lambda gap: gap.value),
        detail=f"{_by_size(gaps)}. Over {_by_cell(story)}.",
        interval_of="members",
    )


def _average_gap(story: Story, width: int) -> Estimate:
    """Return logit minus probability average of all members of a width.

    Each replicate leaves a member out: the ensemble of the others.
    """
    curves = story.ensembles.curves
    chosen = (curves["width"] == width) & (curves["chosen_for"] == "ensemble")
    table = curves[chosen].pivot_table(
        index=["n_members", "members"], columns="average", values="test_loss"
    )
    gaps = table["logit"] - table["probability"]
    n_members = int(gaps.index.get_level_values(0).max())
    return intervals.jackknife(float(gaps[n_members].iloc[0]), [gaps[n_members - 1].tolist()])


def _by_size(estimates: Mapping[int, Estimate]) -> str:
    """List estimates by width."""
    return "; ".join(f"width {width} {found}" for width, found in estimates.items())


def _by_cell(story: Story) -> str:
    """Say the range of logit minus probability average over every cell with all its members."""
    curves = story.ensembles.curves
    whole = curves[curves["n_members"] == story.world.n_members]
    cells = ["width", "learning_rate", "weight_decay", "n_epochs"]
    table = whole.pivot_table(index=cells, columns="average", values="test_loss")
    gaps = table["logit"] - table["probability"]
    return f"{len(gaps)} cells, {gaps.min():+.3f} to {gaps.max():+.3f}"


@claim("N6", "At equal total parameters, several small models beat one large one.")
def _n6(story: Story) -> Finding:
    """A tuned model against K smaller tuned members with as many parameters in all, embeddings
    counted, for every pair of sizes for which enough members are trained; K between two whole
    numbers is read on a line in 1/K. Supported when at every pair the interval of the gain of
    the ensemble lies above zero, contradicted when at one pair it lies below, else inconclusive.
    The value is the smallest gain."""
    every = equal_size.compare(story.regularized, story.ensembles)
    blocks = equal_size.compare(story.regularized, story.ensembles, count="n_params_non_embedding")
    if not every:
        return Finding(
            verdict="inconclusive",
            quantity="smallest gain of an ensemble over one model of its size (nats)",
            estimate=Estimate(value=math.nan, low=-np.inf, high=np.inf, n=0),
            detail="No size has enough members to make up a larger one.",
            interval_of="seeds and members",
        )
    least = min((pair.gain for pair in every), key=lambda gain: gain.value)
    return Finding(
        verdict=verdict(
            supported=all(pair.gain.is_positive for pair in every),
            contradicted=any(pair.gain.is_negative for pair in every),
        ),
        quantity="smallest gain of an ensemble over one model of its size (nats)",
        estimate=least,
        detail=f"{_pairs(every)}. Counting the blocks' parameters only: "
        f"{_pairs(blocks) or 'no pair has enough members'}.{uncertified(story.ensembles.tuned)}",
        interval_of="seeds and members",
    )


def _pairs(pairs: list[equal_size.EqualSize]) -> str:
    return "; ".join(
        f"{pair.n_members:.1f} of width {pair.small} against one of width {pair.large}: {pair.gain}"
        for pair in pairs
    )


@claim("N7", "Learned member weights beat equal ones.")
def _n7(story: Story) -> Finding:
    """Weights learned on validation, scored on test, logits averaged, for the whole tuned ensemble
    of each size. The sum of such weights is an inverse temperature, which equal weights can learn
    as well: loss with equal weights of a learned sum minus loss with learned ones, with the
    jackknife over members, weights being learned again without each. Supported when at every size
    the interval lies above zero, contradicted when at one size it lies below; inconclusive
    otherwise, and where shipped results lack the ensembles without a member. The value is the
    smallest gain."""
    weights = story[learned_weights]
    sizes = [pool for pool in weights.table["pool"].unique() if pool != ALL_SIZES]

    def gains(average: Average, worse: str, better: str, pools: list[str]) -> str:
        found = [
            weights.loss(at, average, worse) - weights.loss(at, average, better) for at in pools
        ]
        return ", ".join(f"{value:+.4f}" for value in found)

    every = {pool: weights.gain(pool) for pool in sizes}
    alone = ", ".join(f"{value:+.4f}" for value in weights.gain_of_one.values())
    shown = ", ".join(
        f"{gain.value:+.4f}" + (f" [{gain.low:+.4f}, {gain.high:+.4f}]" if gain.is_bounded else "")
        for gain in every.values()
    )
    lacking = (
        ""
        if all(gain.is_bounded for gain in every.values())
        else " No interval: the ensembles without a member are lacking."
    )
    return Finding(
        verdict=verdict(
            supported=all(gain.is_positive for gain in every.values()),
            contradicted=any(gain.is_negative for gain in every.values()),
        ),
        quantity="equal weights of a learned sum minus learned weights, logits, the smallest of "
        "all sizes (nats)",
        estimate=min(every.values(), key=lambda gain: gain.value),
        detail=f"By size {shown}.{lacking} The learned sum alone gains "
        f"{gains('logit', 'equal', 'tempered', sizes)}; of one member alone, {alone}; weights of "
        f"probabilities gain {gains('probability', 'equal', 'learned', sizes)}. Of one model of "
        f"each size, those of logits gain {gains('logit', 'tempered', 'learned', [ALL_SIZES])}, "
        f"those of probabilities {gains('probability', 'equal', 'learned', [ALL_SIZES])}.",
        interval_of="members",
    )


@claim("N8", "The order of the data alone, or the first weights alone, give most of the gain.")
def _n8(story: Story) -> Finding:
    """One size's tuned members, differing in one thing only: gain of infinitely many over one
    of them, as a share of that of members that differ in both. Supported when the intervals of
    both shares lie above one half, contradicted when one lies below, else inconclusive. The
    value is the smaller share."""
    found = story[diversity]
    weights, order = found.share("weights"), found.share("order")
    smaller = min(weights, order, key=lambda share: share.value)
    return Finding(
        verdict=verdict(
            supported=weights.low > 0.5 and order.low > 0.5,
            contradicted=weights.high < 0.5 or order.high < 0.5,
        ),
        quantity="smaller share of the gain from one source of difference alone",
        estimate=smaller,
        detail=f"Width {found.width}, {found.n_members} members: first weights alone {weights}, "
        f"order alone {order} of a gain of {found.gain_estimate('both')} nats; each with a text of "
        f"its own, {found.gain_estimate('text')} nats.",
        interval_of="members",
    )
