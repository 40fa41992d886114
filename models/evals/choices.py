"""Multiple choice by the log-likelihood of each option."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.evals.continuations import encode_continuation, score_continuations
from models.evals.estimates import Metric, proportion
from models.language.language_model import Predictor


@dataclass(frozen=True, kw_only=True)
class ChoiceItem:
    """A question with its options.

    Attributes:
        contexts: text before each option; equal for all options except in partial scoring, where
            the option is part of the context.
        continuations: scored text of each option, including its leading space.
        gold: index of the correct option.
    """

    contexts: tuple[str, ...]
    continuations: tuple[str, ...]
    gold: int

    def __post_init__(self) -> None:
        n_options = len(self.continuations)
        if n_options < 2 or len(self.contexts) != n_options or not 0 <= self.gold < n_options:
            raise ValueError(
                "an item must have two options or more, a context for each, and the right one "
                f"among them; not {n_options} options, {len(self.contexts)} contexts and "
                f"gold {self.gold}"
            )


@dataclass(frozen=True, kw_only=True)
class ChoiceResult:
    """Share of items whose correct option scores highest, with binomial standard errors.

    Attributes:
        accuracy: by the log-likelihood of the option.
        accuracy_per_token: by the log-likelihood divided by the option's tokens.
        accuracy_per_byte: by the log-likelihood divided by the UTF-8 bytes of the stripped option.
        chance: expected accuracy of guessing.
        n_truncated: items of which an option did not fit the model's context.
    """

    accuracy: Metric
    accuracy_per_token: Metric
    accuracy_per_byte: Metric
    chance: float
    n_truncated: int

    def summary(self) -> str:
        """Return the accuracies with their standard errors as text, one a line."""
        lines = [
            f"accuracy   {self.accuracy.summary()}, by chance {self.chance:.4g}",
            f"per token  {self.accuracy_per_token.summary()}",
            f"per byte   {self.accuracy_per_byte.summary()}",
        ]
        if self.n_truncated:
            lines.append(f"{self.n_truncated:,} items did not fit the context")
        return "\n".join(lines)


def evaluate_choices(predictor: Predictor, items: Sequence[ChoiceItem]) -> ChoiceResult:
    """Return the accuracy on multiple-choice items; ties count as the first tied option.

    Args:
        predictor: a model or an ensemble, with its tokenizer.
        items: the items.

    Raises:
        ValueError: no items, an option without tokens, or a model without tokenizer.
    """
    if not items:
        raise ValueError("there are no items to score")
    requests = [
        encode_continuation(predictor, context, continuation)
        for item in items
        for context, continuation in zip(item.contexts, item.continuations, strict=True)
    ]
    scored = iter(score_continuations(predictor, requests))
    hits: list[tuple[bool, bool, bool]] = []
    n_truncated = 0
    for item in items:
        options = [next(scored) for _ in item.continuations]
        totals = np.array([option.total for option in options])
        n_tokens = [len(option.log_probs) for option in options]
        n_bytes = [max(1, len(text.strip().encode())) for text in item.continuations]
        right = [
            int(np.argmax(totals / size)) == item.gold for size in (np.ones(1), n_tokens, n_bytes)
        ]
        hits.append((right[0], right[1], right[2]))
        n_truncated += any(option.truncated for option in options)
    plain, per_token, per_byte = (proportion(column) for column in zip(*hits, strict=True))
    return ChoiceResult(
        accuracy=plain,
        accuracy_per_token=per_token,
        accuracy_per_byte=per_byte,
        chance=float(np.mean([1 / len(item.continuations) for item in items])),
        n_truncated=n_truncated,
    )
