"""What a measurement of `worth` says, what would decide what it leaves open, and its limits."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from experiments.planner.worth import STOCK, Worth

MOST_DRAWS = 64
"""Most draws that are suggested; beyond, a difference is too small for these models."""


def verdict(worth: Worth) -> str:
    """Return what the best arm is worth, and whether that helps or harms, in a sentence."""
    found, stock = worth.multipliers[worth.best], worth.settings.n_stock
    if not found.is_identified:
        return (
            f"It could not be decided what the synthetic text is worth: for {worth.best}, the best "
            "arm by validation, neither the least nor the most real text has a loss that differs "
            "beyond the spread between draws."
        )
    if found.low > 1:
        effect = "the synthetic text helps"
    elif found.high < 1:
        effect = "the synthetic text harms"
    else:
        effect = "it is not shown to help or harm"
    real = f"the stock of {stock:,} real tokens"
    if worth.losses(worth.best, "size").any():
        subject, unit = f"{real} with {worth.best}", "that stock alone"
    else:
        subject, unit = worth.best, real
    return (
        f"{subject[0].upper()}{subject[1:]}, the best arm by validation, is worth {found} {unit}: "
        f"{effect}."
    )


def remedy(worth: Worth) -> str:
    """Return what would decide the question that is left open, or an empty string if none is."""
    found = worth.multipliers[worth.best]
    if found.is_identified and (found.low > 1 or found.high < 1):
        return ""
    arm = worth.losses(worth.best)
    sizes = worth.runs[worth.runs["share"] == 0].groupby("size")["arm"].first().sort_index()
    least, most = (worth.losses(sizes.iloc[end]) for end in (0, -1))
    if not np.isfinite([arm, least, most]).all():
        return "Some runs diverged; a lower --learning-rate would decide more."
    if (least - most).mean() <= 0:
        return (
            "More real text does not lower the loss of these models, so that there is nothing to "
            "measure with: take more --epochs, a larger --width, or more text."
        )
    if found.is_identified:
        gaps, question = [worth.losses(STOCK) - arm], "whether it helps"
    else:
        gaps, question = [least - arm, arm - most], "more"
        gaps = [gap for gap in gaps if gap.mean() > 0]
    needed = [n for n in map(draws_needed, gaps) if n is not None]
    if not needed:
        return (
            f"Even {MOST_DRAWS} draws would not decide {question} if they differ as much as these; "
            "more --epochs, a larger --unique-tokens or more held-out text may."
        )
    n = max(min(needed), worth.settings.n_draws + 1)
    return f"About {n} draws (--draws {n}) would decide {question} if they differ as these do."


def draws_needed(differences: np.ndarray) -> int | None:
    """Return how many draws make the 95 % interval of a mean exclude zero.

    Args:
        differences: of losses, a value a draw, [n_draws]; further ones are taken to have the same
            mean and standard deviation.

    Returns:
        The fewest, from 2 on, or None if more than `MOST_DRAWS`.
    """
    mean, sd = abs(differences.mean()), differences.std(ddof=1)
    counts = np.arange(2, MOST_DRAWS + 1)
    enough = stdtrit(counts - 1, 0.975) * sd / np.sqrt(counts) < mean
    return int(counts[enough][0]) if enough.any() else None


def limits(worth: Worth, *, has_oracle: bool) -> list[str]:
    """Return what the measurement does not say, a sentence each."""
    settings = worth.settings
    notes = [
        f"This is measured on models of {worth.n_params:,} parameters (without embeddings), on "
        f"{settings.n_stock:,} tokens and {settings.n_steps:,} steps. It says whether these texts "
        "hold what helps such a model predict your documents. It does not say what a large "
        "pretrained model gains, which knows the language already and may lack only the facts, nor "
        "what more steps or another learning rate would give.",
        "Intervals are over draws of the stock, which may share documents, each with new weights; "
        "the held-out documents, the writer and the synthetic texts of a document are the same "
        "throughout.",
    ]
    if worth.runs["is_edge"].any():
        notes.append("* the best weight decay is an end of those tried.")
    if not has_oracle:
        notes.append(
            "The synthesizer has read all of the real text, so that no oracle is fair: worth above "
            "1x is open."
        )
    if "template:" in worth.provenance:
        notes.append(
            "The template writer only rearranges sentences of the source: this measures repetition "
            "in another order, not new text."
        )
    return notes
