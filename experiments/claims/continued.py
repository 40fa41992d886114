"""The claims of Part 1 on continued training in a small domain."""

from __future__ import annotations

import itertools

import numpy as np

from experiments.analysis import intervals
from experiments.claims.claim import Finding, claim, verdict
from experiments.recipes.continued.recipe import Continued, continued
from experiments.story.story import Story

_mean = intervals.mean_estimate
STEPS = ("usual", "small batch", "epochs", "ensemble")
"""In the order of the talk; each has all that the one before it has."""


@claim("P18", "Going on in a small domain, an ensemble on few tokens beats one model on many.")
def _p18(story: Story) -> Finding:
    """Test loss on the domain of the usual recipe with many times the tokens, minus that of the
    largest ensemble on few (the talk: 8 members on 4B tokens beat 73B), a value a draw of the
    domain. Supported when its interval lies above zero, contradicted when below, else
    inconclusive. The steps that lead to the ensemble are claims of their own."""
    found = story[continued]
    n = found.plan.n_members
    many = found.of("many tokens")
    lead = _mean(many - found.of("ensemble", n))
    return Finding(
        verdict=verdict(supported=lead.is_positive, contradicted=lead.is_negative),
        quantity=f"loss of the usual recipe on {found.plan.many_times} times the tokens minus "
        f"that of {n} members (nats)",
        estimate=lead,
        detail=f"Before {found.of('base').mean():.3f}, many tokens {many.mean():.3f}.",
        interval_of="draws",
    )


@claim("P18a", "Going on in a small domain, a smaller batch helps.")
def _p18a(story: Story) -> Finding:
    """Test loss on the domain of the usual recipe minus that with a smaller batch, the learning
    rates of both chosen from the same values, a value a draw of the domain. Supported when the
    interval lies above zero, contradicted when below, else inconclusive."""
    return _helps(story, "small batch")


@claim("P18b", "Going on in a small domain, more epochs help.")
def _p18b(story: Story) -> Finding:
    """Test loss on the domain of one pass in small batches minus that of the number of epochs
    that validation selects, a value a draw of the domain. Supported when the interval lies above
    zero, contradicted when below; else, and where validation selects one pass, inconclusive."""
    return _helps(story, "epochs")


@claim("P18c", "Going on in a small domain, an ensemble helps.")
def _p18c(story: Story) -> Finding:
    """Test loss on the domain of one model with small batches and epochs minus that of the
    largest ensemble of them, a value a draw of the domain. Supported when the interval lies
    above zero, contradicted when below, else inconclusive."""
    return _helps(story, "ensemble")


@claim("P18d", "Going on in a small domain, the ensemble helps most of these steps.")
def _p18d(story: Story) -> Finding:
    """What the step to the ensemble gains in test loss minus what each of the other steps does
    (smaller batch, epochs), a value a draw of the domain. Supported when both intervals lie above
    zero, contradicted when one lies below, else inconclusive. The value is the smaller one."""
    gains = _gains(story[continued])
    leads = {
        name: _mean(gains["ensemble"] - gain) for name, gain in gains.items() if name != "ensemble"
    }
    least = min(leads.values(), key=lambda lead: lead.value)
    return Finding(
        verdict=verdict(
            supported=all(lead.is_positive for lead in leads.values()),
            contradicted=any(lead.is_negative for lead in leads.values()),
        ),
        quantity="gain of the ensemble minus that of another step, the smaller one (nats)",
        estimate=least,
        detail="Over " + ", ".join(f"{name} {lead}" for name, lead in leads.items()) + ".",
        interval_of="draws",
    )


def _gains(found: Continued) -> dict[str, np.ndarray]:
    """Return what each step gains over the one before it, a value a draw."""
    losses = {
        name: found.of(name, found.plan.n_members if name == "ensemble" else 1) for name in STEPS
    }
    return {b: losses[a] - losses[b] for a, b in itertools.pairwise(STEPS)}


def _helps(story: Story, step: str) -> Finding:
    """Judge one step by its gain."""
    gain = _mean(_gains(story[continued])[step])
    before = STEPS[STEPS.index(step) - 1]
    return Finding(
        verdict=verdict(supported=gain.is_positive, contradicted=gain.is_negative),
        quantity=f"test loss, {before} minus {step} (nats)",
        estimate=gain,
        detail="",
        interval_of="draws",
    )
