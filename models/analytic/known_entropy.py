"""Languages of known entropy rate, to validate fitted asymptotes.

- `MarkovSource`: a Markov chain of any order; its entropy rate is a finite sum, exact.
- `hidden_markov.HiddenMarkovSource`: a hidden Markov model; its rate lies between two bounds whose
  gap closes exponentially.
- `DirichletPrior`: a distribution over Markov chains. Given D tokens of a chain drawn from it, the
  posterior mean is the best predictor on average over the prior: its loss is a lower bound for
  every recipe at that D.

A model scored on windows has not seen the tokens before them. The lowest loss it can reach is the
window entropy, the mean over positions of the entropy given the tokens of the window so far; it is
the entropy rate of a chain of order 1, and above it for longer memory. Every source also predicts
windows (`log_probs`), so that a model's loss can be compared with the optimum on the same tokens.

Token frequencies follow Zipf's law (Zipf 1949). All losses in nats.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.analytic.discrete import (
    check_ids,
    checked_windows,
    digits,
    entropies,
    probabilities,
    require_count,
    zipf,
)

_TOLERANCE = 1e-12
_MOST_STEPS = 100_000


@dataclass(frozen=True, eq=False)
class MarkovSource:
    """A Markov chain whose next token depends on the last `order` tokens.

    Attributes:
        transitions: probabilities [vocab_size ** order, vocab_size]; the row of a context is its
            tokens read as digits, the latest last.

    Raises:
        ValueError: rows that are not probabilities, or whose number is not a power of vocab_size.
    """

    transitions: np.ndarray

    def __post_init__(self) -> None:
        table = probabilities("transitions", self.transitions)
        object.__setattr__(self, "transitions", table)  # lists are accepted
        n_contexts, vocab_size = table.shape
        if vocab_size**self.order != n_contexts:
            raise ValueError(
                f"transitions must have vocab_size ** order rows; not {n_contexts} of {vocab_size}"
            )

    @property
    def vocab_size(self) -> int:
        """Number of tokens of the language."""
        return self.transitions.shape[1]

    @property
    def order(self) -> int:
        """Number of tokens that the next one depends on."""
        n_contexts, vocab_size = self.transitions.shape
        if vocab_size == 1:  # the states of a hidden chain may be a single one
            return 1
        return max(1, round(np.log(n_contexts) / np.log(vocab_size)))

    @cached_property
    def stationary(self) -> np.ndarray:
        """Stationary probability of each context, [vocab_size ** order].

        Raises:
            ValueError: the chain does not converge.
        """
        n_contexts = len(self.transitions)
        share = np.full(n_contexts, 1.0 / n_contexts)
        for _ in range(_MOST_STEPS):
            after = self._step(share)
            if np.abs(after - share).sum() < _TOLERANCE:
                return after
            share = after
        raise ValueError("the chain does not converge: it is periodic or nearly reducible")

    def _step(self, share: np.ndarray) -> np.ndarray:
        """Return the distribution over contexts one step later; the oldest token is dropped."""
        moved = (share[:, None] * self.transitions).reshape(self.vocab_size, -1)
        return moved.sum(axis=0)

    @cached_property
    def entropy_rate(self) -> float:
        """Exact entropy rate in nats per token, the lowest loss of any predictor."""
        return self.loss(self.transitions)

    def loss(self, predicted: np.ndarray) -> float:
        """Return the expected loss of predictions [vocab_size ** order, vocab_size], in nats."""
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(self.transitions > 0, self.transitions * np.log(predicted), 0.0)
        return float(-self.stationary @ terms.sum(axis=1))

    def window_entropy(self, context: int) -> float:
        """Return the exact mean entropy of the tokens 2 to `context` + 1 given those before them.

        Raises:
            ValueError: `context` is less than 1.
        """
        require_count("context", context, least=1)
        short = min(context, self.order - 1)
        blocks = [entropies(self._blocks(n)[None])[0] for n in (1, short + 1)]
        return float((blocks[1] - blocks[0] + (context - short) * self.entropy_rate) / context)

    def log_probs(self, windows: np.ndarray) -> np.ndarray:
        """Return the log-probability of each token given those before it in its window.

        Args:
            windows: token ids [n_windows, positions + 1].

        Returns:
            Array [n_windows, positions] in nats; the first token of a window is not scored.

        Raises:
            ValueError: windows of fewer than two tokens, or ids outside the vocabulary.
        """
        windows = checked_windows(windows, self.vocab_size)
        found = np.empty((len(windows), windows.shape[1] - 1))
        with np.errstate(divide="ignore"):
            logs = np.log(self.transitions)
            for at in range(found.shape[1]):
                seen = windows[:, max(0, at + 1 - self.order) : at + 1]
                before, token = digits(seen, self.vocab_size), windows[:, at + 1]
                if at + 1 >= self.order:
                    found[:, at] = logs[before, token]
                else:
                    both = self._blocks(at + 2).reshape(-1, self.vocab_size)
                    found[:, at] = np.log(both[before, token] / both.sum(axis=1)[before])
        return found

    def _blocks(self, length: int) -> np.ndarray:
        """Return the probability of each block of up to `order` tokens, [vocab_size ** length]."""
        return self.stationary.reshape(self.vocab_size**length, -1).sum(axis=1)

    def sample(self, n_tokens: int, *, seed: int) -> np.ndarray:
        """Return tokens int32 [n_tokens] sampled from the stationary chain.

        Raises:
            ValueError: a negative number of tokens.
        """
        require_count("n_tokens", n_tokens)
        rng = np.random.default_rng(seed)
        cumulative = np.cumsum(self.transitions, axis=1)
        cumulative[:, -1] = 1.0  # rounding must not leave a gap above the last token
        context = int(rng.choice(len(self.transitions), p=self.stationary))
        n_contexts = len(self.transitions)
        rows, tokens = cumulative.tolist(), np.empty(n_tokens, np.int32)
        for at, uniform in enumerate(rng.random(n_tokens).tolist()):
            token = bisect_right(rows[context], uniform)
            tokens[at] = token
            context = (context * self.vocab_size + token) % n_contexts
        return tokens


@dataclass(frozen=True, kw_only=True)
class DirichletPrior:
    """Markov chains whose rows are independent Dirichlet(concentration x Zipf) draws.

    Attributes:
        vocab_size: number of tokens.
        order: tokens that the next one depends on.
        concentration: similarity of the rows; small values give a chain of low entropy.
        exponent: of Zipf's law.

    Raises:
        ValueError: fewer than two tokens, an order below 1, a concentration that is not positive,
            or a negative exponent.
    """

    vocab_size: int
    order: int = 1
    concentration: float = 8.0
    exponent: float = 1.0

    def __post_init__(self) -> None:
        zipf(self.vocab_size, self.exponent)  # raises if either is invalid
        if self.order < 1:
            raise ValueError(f"order must be at least 1; not {self.order!r}")
        if not self.concentration > 0:
            raise ValueError(f"concentration must be above 0; not {self.concentration!r}")

    @property
    def pseudo_counts(self) -> np.ndarray:
        """Dirichlet parameters [vocab_size] of every row."""
        return self.concentration * zipf(self.vocab_size, self.exponent)

    def draw(self, *, seed: int) -> MarkovSource:
        """Return a chain drawn from the prior."""
        rng = np.random.default_rng(seed)
        rows = rng.dirichlet(self.pseudo_counts, size=self.vocab_size**self.order)
        return MarkovSource(rows)

    def posterior_mean(self, tokens: np.ndarray) -> np.ndarray:
        """Return the Bayes-optimal prediction after `tokens` [D].

        Each row is (counts + pseudo-counts) / their sum, since the Dirichlet is conjugate.

        Returns:
            Probabilities [vocab_size ** order, vocab_size].

        Raises:
            ValueError: ids outside the vocabulary, or more than one dimension.
        """
        weights = self._counts(tokens) + self.pseudo_counts
        return weights / weights.sum(axis=1, keepdims=True)

    def log_probs(self, tokens: np.ndarray, windows: np.ndarray) -> np.ndarray:
        """Return the Bayes-optimal log-probability of the tokens of windows after `tokens`.

        No predictor that has read `tokens` and the window so far does better on average over the
        prior. As in `posterior_mean`, transitions are counted, here also those earlier in the
        window; the small amount of information that the first token of a text carries about the
        chain is ignored.

        Args:
            tokens: tokens read before, [D].
            windows: token ids [n_windows, positions + 1], each read independently.

        Returns:
            Array [n_windows, positions + 1 - order] in nats: of the tokens with `order` others
            before them, which have a closed form.

        Raises:
            ValueError: ids outside the vocabulary, or windows of no more than `order` tokens.
        """
        windows = checked_windows(windows, self.vocab_size, least=self.order + 1)
        weights = self._counts(tokens) + self.pseudo_counts
        spans = np.lib.stride_tricks.sliding_window_view(windows, self.order + 1, axis=1)
        contexts, found = digits(spans[..., :-1], self.vocab_size), spans[..., -1]
        # [n_windows, position, earlier position]: transitions from the same context before it.
        earlier = np.tri(contexts.shape[1], k=-1, dtype=bool)
        same = (contexts[:, :, None] == contexts[:, None]) & earlier
        repeats = (same & (found[:, :, None] == found[:, None])).sum(axis=2)
        numerators = weights[contexts, found] + repeats
        return np.log(numerators / (weights.sum(axis=1)[contexts] + same.sum(axis=2)))

    def _counts(self, tokens: np.ndarray) -> np.ndarray:
        """Transitions seen, [vocab_size ** order, vocab_size].

        Raises:
            ValueError: ids outside the vocabulary, or more than one dimension.
        """
        tokens = np.asarray(tokens)
        if tokens.ndim != 1:
            raise ValueError(f"tokens must be of one dimension; not of shape {tokens.shape}")
        check_ids(tokens, self.vocab_size)
        counts = np.zeros((self.vocab_size**self.order, self.vocab_size))
        if len(tokens) > self.order:
            spans = np.lib.stride_tricks.sliding_window_view(tokens, self.order + 1)
            np.add.at(counts, (digits(spans[:, :-1], self.vocab_size), spans[:, -1]), 1.0)
        return counts
