"""Claims on what buys data efficiency beyond weight decay and ensembles: levers and chains."""

from __future__ import annotations

from experiments.claims.claim import Finding, claim, verdict
from experiments.recipes.chains import ARMS, CONTROL, Chains, chains
from experiments.story.story import Story

NOTHING = 0.01
"""Nats below which a gain is practically none; the shipped worlds know gains to about as much."""
SLOW = 0.9
"""Exponent of 1/K below which an average gains clearly slower than that of independent members."""


@claim("N10", "Teaching each member by the one before lowers the loss of ensembles (by 0.04 nats).")
def _n10(story: Story) -> Finding:
    """Ensembles of members in a chain against as many that learn from the text alone, at the most
    members trained, each arm at the weight decay, epochs and share of soft targets (without a
    teacher: learning rate) that validation selects among equally many; paired by draw of the text.
    Supported when the interval of the gain in test loss lies above zero, contradicted when it lies
    below 0.01 nats, else inconclusive. Inconclusive also where the weight decay that could overturn
    the verdict lies at an end of the candidates: that of independent members if supported, that of
    the chain if contradicted. Published: 0.040 nats (slowrun, 100M tokens)."""
    found = story[chains]
    most = found.n_members
    gain = found.gain("chain", most)
    return Finding(
        verdict=verdict(
            supported=gain.is_positive and not _at_edge(found, CONTROL),
            contradicted=gain.high < NOTHING
            and not gain.is_positive
            and not _at_edge(found, "chain"),
        ),
        quantity=f"gain of {most} members of a chain over {most} independent ones (nats)",
        estimate=gain,
        detail="; ".join(
            f"{arm} ({ARMS[arm]}): {found.gain(arm, most)}"
            for arm in ARMS
            if arm not in (CONTROL, "chain")
        )
        + f". Compared with {found.train_flops:.2g} training operations.{_edges(found)}",
        interval_of="draws of the text",
    )


@claim("N11", "Ensembles of a chain gain more slowly with their number than 1/K.")
def _n11(story: Story) -> Finding:
    """The exponent of 1/K of the first K members of a chain, all free parameters fitted to the mean
    over draws, with the jackknife over draws. Supported when its interval lies below 0.9,
    contradicted when above, else inconclusive, as where the law is not identified."""
    found = story[chains]
    exponent = found.exponent("chain")
    others = "; ".join(
        f"{arm} {found.exponent(arm)}, limit {found.limit(arm)}" for arm in ARMS if arm != "chain"
    )
    return Finding(
        verdict=verdict(supported=exponent.high < SLOW, contradicted=exponent.low > SLOW),
        quantity="exponent of 1/K in a chain",
        estimate=exponent,
        detail=f"Limit of a chain {found.limit('chain')}, below that of independent members by "
        f"{found.gain_at_limit('chain')}. Other arms: {others}.",
        interval_of="draws of the text",
    )


def _at_edge(found: Chains, arm: str) -> bool:
    return bool(found.chosen.set_index("arm").loc[arm, "is_edge"])


def _edges(found: Chains) -> str:
    arms = ", ".join(arm for arm in ARMS if _at_edge(found, arm))
    return f" Weight decay at an end of the candidates: {arms}." if arms else ""
