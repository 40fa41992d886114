"""Claims of Part 2 on the growth of EntiGraph's accuracy with its tokens; see `entigraph`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.analysis import intervals
from experiments.analysis.growth import LEAST_SIZES, Growth, growth_of
from experiments.analysis.intervals import Estimate
from experiments.claims.claim import Finding, claim, verdict
from experiments.recipes.entigraph.forms import (
    EARLY,
    FORMS,
    ceiling_fit,
    early_error,
    held_out_error,
)
from experiments.recipes.entigraph.recipe import FactResults, entigraph
from experiments.recipes.facts.entigraph_large import entigraph_large
from experiments.story.story import Story

_mean = intervals.mean_estimate

CLOSE = 0.03
"""Error of a prediction of accuracy that counts as close."""
LEAST_CEILING = 0.1
"""Share of the stated facts that must be learned for the law to be tested."""
LEAST_RISE = 0.1
"""Accuracy that must be gained for the form of the growth to be judged."""
CURVED = 0.1
"""Departure from a straight line, as a share of the rise, up to which growth counts as straight."""


@claim("S4", "EntiGraph scales beyond paraphrase.")
def _s4(story: Story) -> Finding:
    """Accuracy on implied facts, least-squares slope against the logarithm of synthetic tokens,
    EntiGraph's minus that of paraphrases, a value a graph. Supported when its interval lies
    above zero and so does that of EntiGraph's balanced accuracy minus that of paraphrases, each
    at its largest corpus; contradicted when one of the two lies below zero; else
    inconclusive. The form of the growth is judged apart."""
    facts = story[entigraph]
    slope = _mean(_slopes(facts, "entigraph") - _slopes(facts, "paraphrase"))
    last = {
        "entigraph": facts.plan.entigraph_tokens[-1],
        "paraphrase": facts.plan.paraphrase_tokens[-1],
    }
    best = {method: facts.of(method, n, "balanced") for method, n in last.items()}
    lead = _mean(best["entigraph"] - best["paraphrase"])
    return Finding(
        verdict=verdict(
            supported=slope.is_positive and lead.is_positive,
            contradicted=slope.is_negative or lead.is_negative,
        ),
        quantity="slope over that of paraphrases (accuracy for each factor e of tokens)",
        estimate=slope,
        detail=f"Balanced lead at the largest corpora {lead}.",
        interval_of="graphs",
    )


def _slopes(facts: FactResults, method: str) -> np.ndarray:
    """Slope of accuracy on implied facts against ln tokens, a value a graph."""
    rows = facts.answers[facts.answers["method"] == method]
    return np.array(
        [
            np.polyfit(np.log(of_graph["n_unique"]), of_graph["implicit"], 1)[0]
            for _, of_graph in rows.groupby("graph")
        ]
    )


@claim("S4a", "EntiGraph's accuracy first grows log-linearly with its tokens.")
def _s4a(story: Story) -> Finding:
    """Mean accuracy on implied facts against the logarithm of synthetic tokens, from the smallest
    to the middle one of EntiGraph's corpora: the rise of the least-squares line, and the root
    mean squared departure from it. Supported when the rise's interval lies above 0.1 and that of
    the departure less a tenth of the rise lies below zero; contradicted when the former lies
    below 0.1 or the latter above zero; inconclusive otherwise and with fewer than four corpora.
    Intervals are over graphs, jackknives of the mean curve. The value is the rise."""
    curve = _growth(story)
    if curve is None:
        return _too_few("accuracy gained up to the middle corpus")
    whole, without = curve
    rise = intervals.jackknife(whole.rise, [[each.rise for each in without]])
    bend = intervals.jackknife(_bend(whole), [[_bend(each) for each in without]])
    return Finding(
        verdict=verdict(
            supported=rise.low > LEAST_RISE and bend.is_negative,
            contradicted=rise.high < LEAST_RISE or bend.is_positive,
        ),
        quantity=f"accuracy gained up to {whole.middle:,.0f} tokens",
        estimate=rise,
        detail=f"{whole.before:.3f} for each factor e of tokens; departure from the line "
        f"{whole.departure:.3f}, less a tenth of the rise {bend}. {_implied(story)}",
        interval_of="graphs",
    )


def _bend(growth: Growth) -> float:
    return growth.departure - CURVED * growth.rise


@claim("S4b", "EntiGraph's growth then levels off.")
def _s4b(story: Story) -> Finding:
    """Slope of the accuracy on implied facts against the logarithm of synthetic tokens from the
    middle one of EntiGraph's corpora to the largest, minus half of that from the smallest to the
    middle one. Supported when its interval lies below zero, contradicted when above (growth keeps
    on); inconclusive otherwise, where the interval of the rise up to the middle does not lie
    above 0.1, and with fewer than four corpora. Intervals are over graphs, jackknives of the mean
    curve."""
    curve = _growth(story)
    quantity = (
        "slope of the upper half minus half of that of the lower (accuracy for each factor e)"
    )
    if curve is None:
        return _too_few(quantity)
    whole, without = curve
    rise = intervals.jackknife(whole.rise, [[each.rise for each in without]])
    excess = intervals.jackknife(
        whole.after - whole.before / 2, [[each.after - each.before / 2 for each in without]]
    )
    grows = rise.low > LEAST_RISE
    return Finding(
        verdict=verdict(
            supported=grows and excess.is_negative, contradicted=grows and excess.is_positive
        ),
        quantity=quantity,
        estimate=excess,
        detail=f"Slope {whole.before:.3f} up to {whole.middle:,.0f} tokens, {whole.after:.3f} from "
        f"there on. {_implied(story)}",
        interval_of="graphs",
    )


def _growth(story: Story) -> tuple[Growth, list[Growth]] | None:
    """Return the growth of the mean accuracy, and that without each graph."""
    facts = story[entigraph]
    sizes = facts.plan.entigraph_tokens
    if len(sizes) < LEAST_SIZES:
        return None
    accuracy = np.array([facts.of("entigraph", n, "implicit") for n in sizes])
    without = [np.delete(accuracy, i, axis=1).mean(axis=1) for i in range(accuracy.shape[1])]
    return growth_of(sizes, accuracy.mean(axis=1)), [growth_of(sizes, one) for one in without]


def _too_few(quantity: str) -> Finding:
    return Finding(
        verdict="inconclusive",
        quantity=quantity,
        estimate=Estimate(value=math.nan, low=-math.inf, high=math.inf, n=0),
        detail=f"Not measured: fewer than {LEAST_SIZES} sizes of corpora.",
        interval_of="graphs",
    )


def _implied(story: Story) -> str:
    """List the accuracy on implied facts by tokens."""
    facts = story[entigraph]
    curve = ", ".join(
        f"{n:,}: {facts.of('entigraph', n, 'implicit').mean():.3f}"
        for n in facts.plan.entigraph_tokens
    )
    return f"Implied facts by tokens {curve}."


@claim("S5", "Accuracy follows the mixture of exponentials of the graph process.")
def _s5(story: Story) -> Finding:
    """Accuracy on implied facts against chance + (1 - chance) x ceiling x the expected share of
    implied pairs stated after as many steps on the same graph, one ceiling a graph. Two rivals
    that know nothing of the graph, with two parameters a graph each: a line in the logarithm of
    tokens, and chance plus one exponential approach to a ceiling. Each corpus size is predicted
    by least squares on the others; root mean squared error of these predictions, a value a
    graph. Supported when the interval of the law's error lies below 0.05 and that of each
    rival's error minus the law's lies above zero; contradicted when the law's error lies above
    0.1 or the difference to one rival below zero; inconclusive otherwise, with fewer than four
    sizes, and where the ceilings' interval does not lie above 0.1: a law that predicts that
    nothing is learned is not put to the test. The value is the smaller of the two differences.
    That a fact must be stated twice to be learned, and the prediction of the largest corpus from
    the smallest alone, are reported beside it, and change no verdict."""
    return _follows_process(story[entigraph])


@claim("S5b", "On larger graphs, accuracy follows the mixture of exponentials as well.")
def _s5b(story: Story) -> Finding:
    """The rule of S5 for graphs of more entities, and a wider model."""
    return _follows_process(story[entigraph_large])


def _follows_process(facts: FactResults) -> Finding:
    """Judge by the rule of S5."""
    quantity = "error of the better rival minus that of the law, predicted sizes (accuracy)"
    if len(facts.plan.entigraph_tokens) < LEAST_SIZES:
        return _too_few(quantity)
    rows = facts.answers[facts.answers["method"] == "entigraph"]
    graphs = [of.sort_values("n_synthetic") for _, of in rows.groupby("graph")]
    errors = {
        name: np.array([held_out_error(of, form) for of in graphs]) for name, form in FORMS.items()
    }
    leads = {name: _mean(errors[name] - errors["law"]) for name in ("line", "exponential")}
    ceilings = _mean(
        [ceiling_fit(of["expected"].to_numpy(float), of["implicit"].to_numpy()) for of in graphs]
    )
    error = _mean(errors["law"])
    learned = ceilings.low > LEAST_CEILING
    return Finding(
        verdict=verdict(
            supported=learned
            and error.high < 0.05
            and all(lead.is_positive for lead in leads.values()),
            contradicted=learned
            and (error.low > 0.1 or any(lead.is_negative for lead in leads.values())),
        ),
        quantity=quantity,
        estimate=min(leads.values(), key=lambda lead: lead.value),
        detail=f"Error of the law {error}, of a line in ln tokens {_mean(errors['line'])}, of one "
        f"exponential {_mean(errors['exponential'])}; the law over the line {leads['line']}, over "
        f"the exponential {leads['exponential']}. Ceiling {ceilings}. With pairs stated at least "
        f"twice {_mean(errors['twice'])}. {_early(graphs)}",
        interval_of="graphs",
    )


def _early(graphs: Sequence[pd.DataFrame]) -> str:
    """Say on how many graphs small corpora predict the largest closely, and how noisy it is."""
    sizes = graphs[0]["n_synthetic"].to_numpy(float)
    if (sizes * EARLY <= sizes.max()).sum() < 2:
        return ""
    errors = {name: [early_error(of, FORMS[name]) for of in graphs] for name in FORMS}
    close = {name: int((np.abs(each) <= CLOSE).sum()) for name, each in errors.items()}
    last = np.array([of["implicit"].to_numpy(float)[-2:] for of in graphs])
    same = int((np.abs(last[:, 1] - last[:, 0]) <= CLOSE).sum())
    return (
        f"From corpora of 1/{EARLY} of the largest and less, the largest is predicted within "
        f"{CLOSE} on {close['law']} of {len(graphs)} graphs by the law (mean error "
        f"{_mean(errors['law'])}), on {close['line']} by the line and {close['exponential']} by "
        f"the exponential; the two largest corpora themselves agree within {CLOSE} on {same}."
    )
