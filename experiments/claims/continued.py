"""The claim of Part 1 on continued training in a small domain."""

from __future__ import annotations

import itertools

from experiments.analysis import intervals
from experiments.claims.claim import Finding, claim, verdict
from experiments.recipes.continued.recipe import continued
from experiments.story.story import Story

_mean = intervals.mean_estimate


@claim("P18", "Going on in a small domain, smaller batches, epochs and above all ensembles help.")
def _p18(story: Story) -> Finding:
    """Test loss on the domain of the usual recipe with many times the tokens, minus that of the
    largest ensemble on few (the talk: 8 members on 4B tokens beat 73B), a value a draw of the
    domain. Supported when its interval and those of each step (usual, small batch,
    epochs, ensemble) lie above zero; contradicted when one of them lies below zero; else
    inconclusive."""
    found = story[continued]
    n = found.plan.n_members
    losses = {name: found.of(name) for name in ("base", "usual", "small batch", "epochs")}
    losses["ensemble"] = found.of("ensemble", n)
    many = found.of("many tokens")
    order = ("usual", "small batch", "epochs", "ensemble")
    steps = {f"{a} to {b}": _mean(losses[a] - losses[b]) for a, b in itertools.pairwise(order)}
    lead = _mean(many - losses["ensemble"])
    every = [lead, *steps.values()]
    return Finding(
        verdict=verdict(
            supported=all(gain.is_positive for gain in every),
            contradicted=any(gain.is_negative for gain in every),
        ),
        quantity=f"loss of the usual recipe on {found.plan.many_times} times the tokens minus "
        f"that of {n} members (nats)",
        estimate=lead,
        detail="Steps: "
        + ", ".join(f"{name} {gain}" for name, gain in steps.items())
        + f". Before {losses['base'].mean():.3f}, many tokens {many.mean():.3f}.",
        interval_of="draws",
    )
