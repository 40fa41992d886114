"""The languages of the recipe `calibration`: what they write, and the truth about them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from experiments.analysis.intervals import Estimate
from experiments.lab.lab import Lab
from experiments.lab.streams import plan_stream
from experiments.runs.spec import DataConfig
from experiments.runs.texts import Stream
from experiments.worlds.plans import KINDS, CalibrationPlan, Kind
from models.analytic.hidden_markov import HiddenMarkovSource
from models.analytic.known_entropy import DirichletPrior, MarkovSource

SOURCE, TRAIN, VALIDATION, TEST, ENTROPY = range(5)
"""What a seed is for, of the same language."""
N_SEQUENCES = 20_000
"""Sequences for the entropy of windows of a hidden Markov model: its error is about 1e-4 nats."""


class Truth(NamedTuple):
    """What is known of a language.

    Attributes:
        entropy_rate: nats a token, exact or the middle of its bounds.
        rate_error: how far that may be off.
        window_entropy: nats a token that no model goes below on windows, see
            `models.analytic.known_entropy`.
        window_error: how far that may be off.
        luck: loss of the source itself on its test windows less their expectation; it is taken
            off every test loss, of which it is most of the error.
    """

    entropy_rate: float
    rate_error: float
    window_entropy: float
    window_error: float
    luck: float


class Languages:
    """The languages of a plan, in one lab."""

    def __init__(self, lab: Lab, plan: CalibrationPlan) -> None:
        self.lab, self.plan = lab, plan
        self.prior = DirichletPrior(vocab_size=plan.vocab_size, concentration=plan.concentration)

    @lru_cache(maxsize=256)  # noqa: B019 - lives as long as its recipe
    def source(self, kind: Kind, number: int) -> MarkovSource | HiddenMarkovSource:
        """Return a language, drawn by its number."""
        plan, seed = self.plan, _seed(kind, number, SOURCE)
        if kind == "markov":
            return self.prior.draw(seed=seed)
        return HiddenMarkovSource.draw(
            plan.n_states, plan.vocab_size, seed=seed, concentration=plan.state_concentration
        )

    @lru_cache(maxsize=8)  # noqa: B019
    def tokens(self, kind: Kind, number: int) -> np.ndarray:
        """Return the longest training text of a language, int [n], of which others are prefixes."""
        longest = max(self.plan.brute_size, self.plan.n_unique_tokens)
        return self.source(kind, number).sample(longest, seed=_seed(kind, number, TRAIN))

    @lru_cache(maxsize=32)  # noqa: B019
    def windows(self, kind: Kind, number: int, part: int) -> np.ndarray:
        """Return the windows [n_windows, context + 1] of a part, one after the other.

        Args:
            kind: of the language.
            number: of the language.
            part: `VALIDATION` or `TEST`.
        """
        n_windows, length = self.plan.n_eval_windows, self.plan.context + 1
        text = self.source(kind, number).sample(n_windows * length, seed=_seed(kind, number, part))
        return text.reshape(n_windows, length)

    def data(self, kind: Kind, number: int, n_unique_tokens: int) -> DataConfig:
        """Return the identity of D tokens and the windows, writing them where they are missing.

        Args:
            kind: of the language.
            number: of the language.
            n_unique_tokens: D.
        """
        return plan_stream(
            self.lab,
            f"calibration, {kind} {number}, {n_unique_tokens} tokens",
            [*self._identity(kind, number), n_unique_tokens, self.plan.n_eval_windows],
            lambda: Stream(
                tokens=self.tokens(kind, number)[:n_unique_tokens],
                held_out={
                    "validation": self.windows(kind, number, VALIDATION),
                    "test": self.windows(kind, number, TEST),
                },
            ),
        )

    def truth(self, kind: Kind, number: int) -> Truth:
        """Return what is known of a language."""

        def measure() -> list[float]:
            source, context = self.source(kind, number), self.plan.context
            if isinstance(source, MarkovSource):
                rate, rate_error = source.entropy_rate, 0.0
                entropy, error = source.window_entropy(context), 0.0
            else:
                seed = _seed(kind, number, ENTROPY)
                rates = source.entropy_rate(seed=seed)
                windows = source.window_entropy(context, n_sequences=N_SEQUENCES, seed=seed)
                rate, rate_error = rates.value, rates.error
                entropy, error = windows.value, windows.error
            on_test = -float(source.log_probs(self.windows(kind, number, TEST)).mean())
            return [rate, rate_error, entropy, error, on_test - entropy]

        identity = [*self._identity(kind, number), "truth", self.plan.n_eval_windows]
        return Truth(*self.lab.remember("calibration", identity, measure))

    def bayes_losses(self, number: int) -> dict[int, float]:
        """Return the loss of the Bayes-optimal predictor of a Markov chain after D tokens, by D.

        On the test windows, less their luck.
        """
        plan = self.plan
        sizes = sorted({plan.n_unique_tokens, *plan.sizes, plan.brute_size})

        def measure() -> list[float]:
            windows, tokens = self.windows("markov", number, TEST), self.tokens("markov", number)
            return [-float(self.prior.log_probs(tokens[:n], windows).mean()) for n in sizes]

        identity = [*self._identity("markov", number), "bayes", sizes, plan.n_eval_windows]
        losses = self.lab.remember("calibration", identity, measure)
        luck = self.truth("markov", number).luck
        return {n: loss - luck for n, loss in zip(sizes, losses, strict=True)}

    def _identity(self, kind: Kind, number: int) -> list[object]:
        plan = self.plan
        settings = (
            [self.prior.order, self.prior.concentration, self.prior.exponent]
            if kind == "markov"
            else [plan.n_states, plan.state_concentration]
        )
        longest = max(plan.brute_size, plan.n_unique_tokens)
        return [kind, number, plan.vocab_size, plan.context, *settings, longest]


def corrected(loss: float, truth: Truth) -> float:
    """Return a test loss without the luck of its windows."""
    return loss - truth.luck


def as_estimate(value: float, error: float) -> Estimate:
    """Return a known value with how far it may be off."""
    return Estimate(value=value, low=value - error, high=value + error, n=1)


def _seed(kind: Kind, number: int, use: int) -> int:
    """Derive a seed from all that it is for."""
    return int(np.random.SeedSequence((KINDS.index(kind), number, use)).generate_state(1)[0])
