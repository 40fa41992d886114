"""Claims on what buys data efficiency beyond weight decay and ensembles: levers and chains."""

from __future__ import annotations

from experiments.claims.claim import Finding, claim, verdict
from experiments.lab.recipe import NotRun
from experiments.recipes.chains import ARMS, CONTROL, Chains, chains
from experiments.recipes.levers.recipe import Levers, levers
from experiments.recipes.levers.trials import CONTROL as NO_LEVER
from experiments.recipes.levers.trials import DIFFUSION, MASKING, NOISE, PURPOSES, STACK
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
    below 0.01 nats, else inconclusive. Inconclusive also where the setting (weight decay, share)
    that could overturn the verdict lies at an end of the candidates: that of independent members if
    supported, that of the chain if contradicted. Published: 0.040 nats (slowrun, 100M tokens)."""
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


@claim("N12", "On top of tuned decay, noise in the input is worth 1.3 times the data.")
def _n12(story: Story) -> Finding:
    """One model with replaced or masked input, whichever and at whatever strength, decay and epochs
    validation selects, and the control on 1.3 times the unique tokens at the settings selected for
    it without them, both against the control on the same tokens, paired by draw of the text. Each
    noise is tuned over as many settings as the control, so that noise has twice as many in all. The
    noise is worth the data if it gains more than half of what these gain. Supported when
    the interval of the noise's gain over half of the data's lies above zero, contradicted when
    below, else inconclusive. Inconclusive also where the gain of the data is not above zero with
    its interval, and where the weight decay that could overturn the verdict lies at an end of the
    candidates: the control's if supported, the noise's if contradicted. Published: about 1.3 times
    (arXiv 2606.06888)."""
    found = _tried(story, *NOISE)
    noise, data = found.best_noise, found.gain_of_data
    over = found.over_share_of_data(noise, 0.5)
    return Finding(
        verdict=verdict(
            supported=data.is_positive
            and over.is_positive
            and not found.is_edge("tuned decay", NO_LEVER),
            contradicted=data.is_positive
            and over.is_negative
            and not found.is_edge("tuned decay", noise),
        ),
        quantity=f"gain of noise over half of that of {found.more_data:g} times the data (nats)",
        estimate=over,
        detail=f"{noise}: gain {found.gain('tuned decay', noise)}; data: {data}. At the usual "
        f"decay: {found.gain('usual decay', noise)}.{_cost(found)}",
        interval_of="draws of the text",
    )


@claim("N13", "Masked diffusion overtakes next-token prediction if the epochs are many.")
def _n13(story: Story) -> Finding:
    """One model of each objective at the most epochs tried and thus, but for one position in a
    window, at equal operations, each at the decay and learning rate that validation selects among
    equally many; test losses, of diffusion the bound on it, paired by draw of the text. Supported
    when the interval of diffusion's gain lies above zero, contradicted when below, else
    inconclusive. Inconclusive also where the weight decay that could overturn the verdict lies at
    an end of the candidates, which zero is not: that of next tokens if supported, that of diffusion
    if contradicted; and no contradiction while diffusion's best validation loss still falls at the
    most epochs. As the bound lies above the loss, a contradiction is one of what can be shown."""
    found = _tried(story, DIFFUSION)
    gain = found.gain("most epochs", DIFFUSION)
    curves = {name: found.by_epochs(name) for name in (NO_LEVER, DIFFUSION)}
    by_epochs = ", ".join(
        f"{epochs}: {curves[NO_LEVER][epochs]:.3f} and {curves[DIFFUSION][epochs]:.3f}"
        for epochs in curves[NO_LEVER].index
    )
    return Finding(
        verdict=verdict(
            supported=gain.is_positive and not found.is_edge("most epochs", NO_LEVER),
            contradicted=gain.is_negative
            and not found.is_edge("most epochs", DIFFUSION)
            and curves[DIFFUSION].idxmin() < found.most_epochs,
        ),
        quantity=f"gain of masked diffusion at {found.most_epochs} epochs (nats, of a bound)",
        estimate=gain,
        detail=f"Validation losses of next tokens and diffusion by epochs, decay tuned: "
        f"{by_epochs}.{_cost(found)}",
        interval_of="draws of the text",
    )


@claim("N14", "Masking the input as augmentation explains most of what diffusion gains.")
def _n14(story: Story) -> Finding:
    """At the most epochs, each tuned over equally many settings: the gain in test loss of
    next-token prediction with masked input over half the gain of masked diffusion (of its bound),
    both against next-token prediction without, paired by draw. Supported when its interval lies
    above zero, contradicted when below, else inconclusive. Inconclusive also where the interval of
    diffusion's gain does not lie above zero: then there is nothing to explain. Published: most
    (arXiv 2510.04071)."""
    found = _tried(story, DIFFUSION, MASKING)
    whole = found.gain("most epochs", DIFFUSION)
    over = found.over_share("most epochs", MASKING, DIFFUSION, 0.5)
    return Finding(
        verdict=verdict(
            supported=whole.is_positive and over.is_positive,
            contradicted=whole.is_positive and over.is_negative,
        ),
        quantity="gain of masked input over half of that of masked diffusion (nats)",
        estimate=over,
        detail=f"At {found.most_epochs} epochs: diffusion {whole}, masked input "
        f"{found.gain('most epochs', MASKING)}.",
        interval_of="draws of the text",
    )


@claim("N15", "Some lever still pays once weight decay is tuned and members are many.")
def _n15(story: Story) -> Finding:
    """The limit of many members with each lever against that without, each tuned for it over
    equally many settings, paired by draw of the text. Intervals allow, on either side, for the
    exponent of 1/K that the members trained show and for one, to which it tends (see
    `Levers.gain_of_limit`), and are simultaneous over the levers (Bonferroni, 95 % together).
    Supported when that of a lever lies above zero and the control's weight decay is no end of the
    candidates; contradicted when those of all levers lie below 0.01 nats and no lever's weight
    decay is an end; else inconclusive."""
    found = story[levers]
    level = 1 - 0.05 / len(found.tried)
    gains = {name: found.gain_of_limit(name, level=level) for name in found.tried}
    best = max(gains, key=lambda name: gains[name].low)
    at_edge = any(found.is_edge("ensembles", name) for name in found.tried)
    some = any(gain.is_positive for gain in gains.values())
    return Finding(
        verdict=verdict(
            supported=some and not found.is_edge("ensembles", NO_LEVER),
            contradicted=all(gain.high < NOTHING for gain in gains.values())
            and not some
            and not at_edge,
        ),
        quantity=f"gain of the limit of many members by {best} (nats)",
        estimate=gains[best],
        detail="; ".join(
            f"{name}: "
            + ", ".join(f"{purpose} {found.gain(purpose, name)}" for purpose in list(PURPOSES)[:3])
            for name in found.tried
        )
        + f".{_cost(found)}",
        interval_of="draws of the text",
    )


@claim("N18", "Levers add up: a stack of them lowers the limit of ensembles more than any alone.")
def _n18(story: Story) -> Finding:
    """The limit of many members with the stack of levers against that with each lever alone, paired
    by draw of the text, with exponents of 1/K as for N15. The stack is selected by validation among
    more settings than a lever, see `Trials.stack`, and judged by test losses. Intervals are
    simultaneous over the levers (Bonferroni, 95 % together). Supported when all lie above zero and
    no lever's weight decay is an end of the candidates; contradicted when that against some lever
    lies below 0.01 nats and the stack's decay is no end; else inconclusive, as where no lever
    joined the best one on validation: then none is stacked."""
    found = story[levers]
    level = 1 - 0.05 / len(found.tried)
    over = {name: found.gain_of_limit(STACK, over=name, level=level) for name in found.tried}
    nearest = min(over, key=lambda name: over[name].low)
    some_edge = any(found.is_edge("ensembles", name) for name in found.tried)
    supported = all(gain.is_positive for gain in over.values())
    return Finding(
        verdict=verdict(
            supported=found.is_stacked and supported and not some_edge,
            contradicted=found.is_stacked
            and any(gain.high < NOTHING for gain in over.values())
            and not supported
            and not found.is_edge("ensembles", STACK),
        ),
        quantity=f"limit of many members with {nearest} alone over that with the stack (nats)",
        estimate=over[nearest],
        detail=f"The stack is {found.stack}"
        + ("" if found.is_stacked else ", to which none was added")
        + ". It gains over no lever: "
        + ", ".join(f"{PURPOSES[name]} {found.gain(name, STACK)}" for name in list(PURPOSES)[:3])
        + f".{_cost(found)}",
        interval_of="draws of the text",
    )


def _tried(story: Story, *names: str) -> Levers:
    """Return what the levers gain.

    Raises:
        NotRun: the world does not run the recipe, or does not try one of these levers.
    """
    found = story[levers]
    if missing := [name for name in names if name not in found.tried]:
        raise NotRun(f"the levers tried do not include {', '.join(missing)}")
    return found


def _cost(found: Levers) -> str:
    return f" Compared with {found.n_runs:,} runs, {found.train_flops:.2g} operations."


def _at_edge(found: Chains, arm: str) -> bool:
    return bool(found.chosen.set_index("arm").loc[arm, "is_edge"])


def _edges(found: Chains) -> str:
    arms = ", ".join(arm for arm in ARMS if _at_edge(found, arm))
    return f" Weight decay or share at an end of the candidates: {arms}." if arms else ""
