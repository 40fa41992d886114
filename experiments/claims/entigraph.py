"""Claims of Part 2 on facts: training on a small domain, paraphrases, EntiGraph.

Facts are those of `experiments.recipes.entigraph`; an interval is over graphs, each with its own
text. Unless the plan says `shared_base=False`, it conditions on one first training.
"""

from __future__ import annotations

import numpy as np

from experiments.analysis import intervals
from experiments.claims.claim import Finding, claim, verdict
from experiments.lab.recipe import NotRun
from experiments.recipes.entigraph.questions import CHANCE
from experiments.recipes.entigraph.recipe import FactResults, entigraph
from experiments.story.story import Story
from graphsim import EntityGraph, expected_accuracy, finite_law, printed_law

_mean = intervals.mean_estimate

RETRIEVAL_READ = 0.1
"""Accuracy that a source in the context must add on stated facts to count as read."""


def _facts(story: Story) -> FactResults:
    return story[entigraph]


@claim("S1", "Training directly on a small domain hardly teaches it.")
def _s1(story: Story) -> Finding:
    """Balanced accuracy (1/3 stated, 2/3 implied facts) gained by training on the source alone,
    as a share of what EntiGraph's largest corpus gains at the same training tokens, a value a
    graph. Supported when the interval lies below 0.25, contradicted when above 0.5, else
    inconclusive."""
    facts = _facts(story)
    before = facts.of("base", 0, "balanced")
    raw = facts.of("raw", 0, "balanced")
    best = facts.of("entigraph", facts.plan.entigraph_tokens[-1], "balanced")
    share = _mean((raw - before) / (best - before))
    stated, implied = (_mean(facts.of("raw", 0, kind)) for kind in ("explicit", "implicit"))
    return Finding(
        verdict=verdict(supported=share.high < 0.25, contradicted=share.low > 0.5),
        quantity="gain of raw training over that of EntiGraph",
        estimate=share,
        detail=f"After raw training, stated facts {stated}, implied {implied}; chance {CHANCE}.",
        interval_of="graphs",
    )


@claim("S2", "A fact read one way is not known the other way (the reversal curse).")
def _s2(story: Story) -> Finding:
    """After EntiGraph's largest corpus, in which every sentence names its object last, accuracy
    over chance of questions for the subject as a share of that of questions for the object,
    stated and implied facts together, a value a graph. Supported when the interval lies below
    0.25, contradicted when above 0.5, else inconclusive."""
    facts = _facts(story)
    largest = facts.plan.entigraph_tokens[-1]

    def over_chance(*sheets: str) -> np.ndarray:
        columns = [facts.of("entigraph", largest, sheet) for sheet in sheets]
        return np.mean(columns, axis=0) - CHANCE

    forward = over_chance("explicit", "implicit")
    backward = over_chance("reverse_explicit", "reverse_implicit")
    share = _mean(backward / forward)
    return Finding(
        verdict=verdict(supported=share.high < 0.25, contradicted=share.low > 0.5),
        quantity="accuracy over chance, asked backwards over asked forwards",
        estimate=share,
        detail=f"Forwards {_mean(forward + CHANCE)}, backwards {_mean(backward + CHANCE)}. The "
        "first training asked both ways about its own facts.",
        interval_of="graphs",
    )


@claim("S3", "Paraphrasing helps, then saturates.")
def _s3(story: Story) -> Finding:
    """Balanced accuracy against the size of the paraphrased corpus. Supported when the second
    largest corpus beats raw training, interval above zero, and the growth from there to the
    largest has an interval below 0.05; contradicted when the first interval lies below zero or
    that of the growth above 0.05; else inconclusive."""
    facts = _facts(story)
    *_, smaller, largest = facts.plan.paraphrase_tokens
    at = {n: facts.of("paraphrase", n, "balanced") for n in facts.plan.paraphrase_tokens}
    gain = _mean(at[smaller] - facts.of("raw", 0, "balanced"))
    growth = _mean(at[largest] - at[smaller])
    curve = ", ".join(f"{n:,}: {values.mean():.3f}" for n, values in at.items())
    return Finding(
        verdict=verdict(
            supported=gain.is_positive and growth.high < 0.05,
            contradicted=gain.is_negative or growth.low > 0.05,
        ),
        quantity=f"growth of accuracy from {smaller:,} to {largest:,} paraphrased tokens",
        estimate=growth,
        detail=f"Over raw training at {smaller:,} tokens: {gain}. By tokens {curve}.",
        interval_of="graphs",
    )


@claim("S6", "Knowledge in the weights adds to retrieval.")
def _s6(story: Story) -> Finding:
    """With the source's document about the subject read before the question: accuracy on implied
    facts after EntiGraph's largest corpus minus that of the first training, and the same for
    stated facts. Supported when both intervals lie above zero, contradicted when one lies below;
    inconclusive otherwise, and also where the first training cannot read: where the document
    adds less than 0.1 to its accuracy on stated facts, so that nothing has been retrieved."""
    facts = _facts(story)
    largest = facts.plan.entigraph_tokens[-1]
    if "open_explicit" not in facts.answers:
        raise NotRun("the documents of this world's source do not fit the model's context")
    read = _mean(facts.of("base", 0, "open_explicit") - facts.of("base", 0, "explicit"))
    gains = {
        kind: _mean(
            facts.of("entigraph", largest, f"open_{kind}") - facts.of("base", 0, f"open_{kind}")
        )
        for kind in ("explicit", "implicit")
    }
    can_read = read.low > RETRIEVAL_READ
    return Finding(
        verdict=verdict(
            supported=can_read and all(gain.is_positive for gain in gains.values()),
            contradicted=can_read and any(gain.is_negative for gain in gains.values()),
        ),
        quantity="accuracy on implied facts that weights add to the source in the context",
        estimate=gains["implicit"],
        detail=f"On stated facts {gains['explicit']}. The document alone adds {read} to the "
        "first training's accuracy on stated facts"
        + ("." if can_read else ": a model this small does not read it, so nothing is retrieved."),
        interval_of="graphs",
    )


@claim("S7", "The printed mixture-of-exponentials law describes the graph process.")
def _s7(story: Story) -> Finding:
    """Printed law against the exact expectation, both as accuracy gained over the source
    edges, averaged over 8 random graphs of 1,000 entities of mean degree 3 at s = t / V(V-1) =
    0.1. Supported when the interval of the relative error lies within 2 %, contradicted when
    its whole interval over graphs is beyond 5 %, else inconclusive."""

    errors = printed_law_errors(n_entities=1000, mean_degree=3.0, per_pair_time=0.1, n_graphs=8)
    printed, corrected = (intervals.mean_estimate(errors[name]) for name in errors)
    return Finding(
        verdict=verdict(
            supported=printed.low > -0.02 and printed.high < 0.02,
            contradicted=printed.high < -0.05 or printed.low > 0.05,
        ),
        quantity="relative error of the printed law",
        estimate=printed,
        detail=f"The corrected law is off by {corrected}.",
        interval_of="graphs",
    )


def printed_law_errors(
    *, n_entities: int, mean_degree: float, per_pair_time: float, n_graphs: int, seed: int = 0
) -> dict[str, list[float]]:
    """Return the errors of both laws against the exact expectation on several random graphs.

    Args:
        n_entities: V.
        mean_degree: expected out-degree.
        per_pair_time: s = t / V(V-1), steps for each ordered pair.
        n_graphs: graphs drawn.
        seed: of the first; the others follow from it.

    Returns:
        For "printed" and "corrected", the relative error of the accuracy gained over the source
        edges, a value a graph.
    """
    times = np.array([per_pair_time])
    density = mean_degree / n_entities
    laws = {
        name: float(law(mean_degree, n_entities, times, per_pair=True)[0])
        for name, law in (("printed", printed_law), ("corrected", finite_law))
    }
    errors: dict[str, list[float]] = {name: [] for name in laws}
    for child in np.random.SeedSequence(seed).generate_state(n_graphs):
        graph = EntityGraph.random(n_entities, mean_degree, seed=int(child))
        exact = expected_accuracy(graph, times, per_pair=True).accuracy[0]
        gained = exact - graph.n_edges / (n_entities * (n_entities - 1))
        for name, accuracy in laws.items():
            errors[name].append((accuracy - density - gained) / gained)
    return errors
