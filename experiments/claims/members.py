"""Claims on the members of an ensemble: how to train, weigh and draw them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from experiments.analysis import intervals
from experiments.analysis.intervals import Estimate
from experiments.analysis.laws import member_curve
from experiments.analysis.members import limit_estimate
from experiments.claims.claim import Finding, cell, claim, uncertified, verdict
from experiments.recipes.diversity import diversity
from experiments.recipes.learned_weights import ALL_SIZES, learned_weights
from experiments.recipes.member_counts import epochs_for_decay, member_counts
from experiments.story import equal_size
from experiments.story.story import Story
from experiments.tuning.search import Tuned

if TYPE_CHECKING:
    from models.ensembles.ensemble import Average


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
    """List the best cells by number of members; a star says that one is not certified."""
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


@claim("N5", "Probabilities or logits? The talk averages logits.")
def _n5(story: Story) -> Finding:
    """Whole tuned ensembles, equal weights: test loss of the logit average minus that of the
    probability average, a value a size. Supported (logits no worse) when the interval over
    sizes lies below 0.01 nats, contradicted when above 0.01, else inconclusive."""
    gaps = []
    for width in sorted(story.ensembles.tuned):
        logit, probability = (
            member_curve(story.ensembles.curves, width, average=how)["test_loss"].iloc[-1]
            for how in ("logit", "probability")
        )
        gaps.append(float(logit - probability))
    gap = intervals.mean_estimate(gaps)
    by_size = ", ".join(f"{x:+.3f}" for x in gaps)
    return Finding(
        verdict=verdict(supported=gap.high < 0.01, contradicted=gap.low > 0.01),
        quantity="logit minus probability average (nats)",
        estimate=gap,
        detail=f"By size: {by_size}. Over {_by_cell(story)}.",
        interval_of="sizes",
    )


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
    """The largest tuned model against K tuned members with as many parameters in all,
    embeddings counted, for every size of which enough members are trained; K between two whole
    numbers is read on a line in 1/K. Supported when at every such size the interval of the
    gain of the ensemble lies above zero, contradicted when at every one below, else
    inconclusive. The value is the smallest gain. Smaller totals, where parameters and not data
    are short, are reported only."""
    every = equal_size.compare(story.regularized, story.ensembles)
    largest = max(story.world.widths)
    pairs = [pair for pair in every if pair.large == largest]
    blocks = equal_size.compare(story.regularized, story.ensembles, count="n_params_non_embedding")
    if not pairs:
        return Finding(
            verdict="inconclusive",
            quantity="smallest gain of an ensemble over one model of its size (nats)",
            estimate=Estimate(value=0.0, low=-np.inf, high=np.inf, n=0),
            detail="No size has enough members to make up the largest.",
            interval_of="seeds and members",
        )
    least = min((pair.gain for pair in pairs), key=lambda gain: gain.value)
    return Finding(
        verdict=verdict(
            supported=all(pair.gain.is_positive for pair in pairs),
            contradicted=all(pair.gain.is_negative for pair in pairs),
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
    """Weights learned on validation, scored on test, logits averaged, a value a size for its
    whole tuned ensemble. The sum of such weights is an inverse temperature, which equal weights
    can learn as well: loss with equal weights of a learned sum minus loss with learned ones.
    Supported when the interval over sizes lies above zero, contradicted when below, else
    inconclusive."""
    weights = story[learned_weights]
    sizes = [pool for pool in weights.table["pool"].unique() if pool != ALL_SIZES]

    def gains(average: Average, worse: str, better: str, pools: list[str]) -> list[float]:
        return [
            weights.loss(pool, average, worse) - weights.loss(pool, average, better)
            for pool in pools
        ]

    def listed(values: list[float]) -> str:
        return ", ".join(f"{value:+.4f}" for value in values)

    estimate = intervals.mean_estimate(gains("logit", "tempered", "learned", sizes))
    return Finding(
        verdict=verdict(supported=estimate.is_positive, contradicted=estimate.is_negative),
        quantity="equal weights of a learned sum minus learned weights, logits (nats)",
        estimate=estimate,
        detail="By size, the learned sum alone gains "
        f"{listed(gains('logit', 'equal', 'tempered', sizes))}; of one member alone, "
        f"{listed(list(weights.gain_of_one.values()))}; weights of probabilities gain "
        f"{listed(gains('probability', 'equal', 'learned', sizes))}. Of one model of each size, "
        f"those of logits gain {listed(gains('logit', 'tempered', 'learned', [ALL_SIZES]))}, those "
        f"of probabilities {listed(gains('probability', 'equal', 'learned', [ALL_SIZES]))}.",
        interval_of="sizes",
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
