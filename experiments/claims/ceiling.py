"""Claims of Part 2 on what keeps a model from learning all that EntiGraph's text states."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from experiments.analysis import intervals
from experiments.claims.claim import Finding, claim, verdict
from experiments.claims.growth import LEAST_RISE
from experiments.recipes.entigraph.recipe import entigraph
from experiments.recipes.entigraph.streams import REPLAY_SHARE, SOURCE_SHARE
from experiments.recipes.facts.entigraph_long import entigraph_long
from experiments.recipes.facts.first_training import first_training
from experiments.story.story import Story

_mean = intervals.mean_estimate

OFTEN, SELDOM = 33, 9
"""Facts stated at least 33 times, and 16 times or fewer: the group from 9 on ends there."""
LEARNED = 0.9
"""Share of right answers from which facts count as learned."""
NOTABLE = 0.05
"""Difference of shares of right answers that counts."""
COMPLETE = 0.99
"""Share of the implied facts that a corpus must state for its size not to be what limits."""
LEAST_LEFT, MOST = 0.02, 0.5
"""Share of wrong answers that must be left for a share of it to be judged, and that share."""


@claim("N23", "A first training that has learned its own facts lets a text teach more new ones.")
def _n23(story: Story) -> Finding:
    """Accuracy on the implied facts of a new graph after EntiGraph's largest corpus, after the
    longest first training minus after the shortest, a value a graph: both read the same text about
    it, as many tokens of it, at the same learning rates. Supported when the interval lies above
    0.1, contradicted when it lies below; inconclusive otherwise, and where the interval of what
    the longer first training knows more of its own implied facts does not lie above 0.1.
    Written after this had been seen on graphs that are not reported."""
    found = story[first_training]
    lengths = sorted(found.answers["base_tokens"].unique())
    own, new = (
        {n: found.of(n, column) for n in lengths} for column in ("own_implicit", "implicit")
    )
    shortest, longest = lengths[0], lengths[-1]
    gain, contrast = (_mean(of[longest] - of[shortest]) for of in (new, own))
    is_tested = contrast.low > LEAST_RISE
    curve = ", ".join(f"{n:,}: {own[n].mean():.3f}, {new[n].mean():.3f}" for n in lengths)
    rank = spearmanr(found.answers["own_implicit"], found.answers["implicit"]).statistic
    return Finding(
        verdict=verdict(
            supported=is_tested and gain.low > LEAST_RISE,
            contradicted=is_tested and gain.high < LEAST_RISE,
        ),
        quantity=f"accuracy at {found.n_synthetic:,} tokens that a longer first training adds",
        estimate=gain,
        detail="By tokens of the first training, accuracy on its own implied facts and then on new "
        f"ones {curve}; rank correlation of the two over all runs {rank:.2f}.",
        interval_of="graphs",
    )


@claim("N24", "What EntiGraph leaves unlearned is what its largest corpus states least often.")
def _n24(story: Story) -> Finding:
    """Share of right answers about the implied facts that EntiGraph's largest corpus states at
    least 33 times, minus that about those that it states at most 16 times, a value a graph.
    Supported when the interval lies above 0.05, contradicted when it lies below; inconclusive
    otherwise, and where the former do not lie above 0.9, so that these are not learned either.
    Written after a look at one run a graph."""
    facts = story[entigraph]
    found, largest = facts.by_times, facts.plan.entigraph_tokens[-1]
    passes = (1 - SOURCE_SHARE - REPLAY_SHARE) * facts.plan.tokens / largest
    last = found[found["n_synthetic"] == largest]
    often, seldom = (
        _right(rows) for rows in (last[last["times"] >= OFTEN], last[last["times"] <= SELDOM])
    )
    lead = _mean((often - seldom).dropna().to_numpy())
    known = _mean(often.to_numpy())
    is_tested = known.low > LEARNED
    return Finding(
        verdict=verdict(
            supported=is_tested and lead.low > NOTABLE,
            contradicted=is_tested and lead.high < NOTABLE,
        ),
        quantity="share right about facts stated often, minus about those stated seldom",
        estimate=lead,
        detail=f"Stated at least {OFTEN} times {known}, at most 16 times "
        f"{_mean(seldom.to_numpy())}. Training reads this corpus {passes:.1f} times.",
        interval_of="graphs",
    )


def _right(rows: pd.DataFrame) -> pd.Series:
    """Return the share of right answers by graph."""
    right = rows["right"] * rows["n_questions"]
    return right.groupby(rows["graph"]).sum() / rows.groupby("graph")["n_questions"].sum()


@claim("N25", "Longer training on the same text learns most of what is left.")
def _n25(story: Story) -> Finding:
    """Accuracy on implied facts after EntiGraph's largest corpus: the share of what the usual
    training leaves wrong (at least 0.02) that training on more tokens of the same text gets right,
    a value a graph. Supported when the interval lies above 0.5, contradicted when it lies below;
    inconclusive otherwise, where the usual training leaves less than 0.02 wrong, and where the
    corpus states less than 99 % of the implied facts, so that more text could be what is missing.
    The learning rate is chosen for each length of training; written after a plan of which it had
    been chosen on smaller corpora, where the largest rate won and left one of the same graphs
    unlearned."""
    usual, longer = story[entigraph], story[entigraph_long]
    largest = longer.plan.entigraph_tokens[-1]
    before, after = (facts.of("entigraph", largest, "implicit") for facts in (usual, longer))
    learned = _mean((after - before) / np.maximum(1 - before, LEAST_LEFT))
    left = _mean(1 - before)
    stated = longer.of("entigraph", largest, "stated").mean()
    is_tested = left.low > LEAST_LEFT and stated >= COMPLETE
    return Finding(
        verdict=verdict(
            supported=is_tested and learned.low > MOST,
            contradicted=is_tested and learned.high < MOST,
        ),
        quantity="share of the errors that longer training removes",
        estimate=learned,
        detail=f"Of implied facts, {_mean(before)} after {usual.plan.tokens:,} training tokens, "
        f"{_mean(after)} after {longer.plan.tokens:,}, on the same {largest:,} tokens of text.",
        interval_of="graphs",
    )
