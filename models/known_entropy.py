"""Languages whose entropy rate is known, to check whether a fitted asymptote can be believed.

- `MarkovSource`: a Markov chain of any order; its entropy rate is a finite sum, exact.
- `HiddenMarkovSource`: a hidden Markov model; its rate lies between two conditional entropies, with
  and without knowledge of the first state (Cover and Thomas 2006, theorem 4.5.1), which the forward
  algorithm estimates and whose gap closes exponentially.
- `DirichletPrior`: a distribution over Markov chains. Given D tokens of a chain drawn from it, the
  posterior mean is the best predictor there is, on average over the prior: its loss is a floor for
  every recipe at that D.

Tokens are drawn so that common ones are common as words are (Zipf 1949). All losses in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_TOLERANCE = 1e-12
_MOST_STEPS = 100_000


def zipf(vocab_size: int, exponent: float = 1.0) -> np.ndarray:
    """Zipf's law: probabilities [vocab_size] that fall as rank to minus the exponent.

    Raises:
        ValueError: fewer than two tokens, or a negative exponent.
    """
    if vocab_size < 2:
        raise ValueError(f"vocab_size must be at least 2; not {vocab_size!r}")
    if not exponent >= 0:
        raise ValueError(f"exponent must be at least 0; not {exponent!r}")
    weights = np.arange(1, vocab_size + 1, dtype=float) ** -exponent
    return weights / weights.sum()


@dataclass(frozen=True, eq=False)
class MarkovSource:
    """A Markov chain whose next token depends on the last `order` tokens.

    Attributes:
        transitions: probabilities [vocab_size ** order, vocab_size]; the row of a context is its
            tokens read as digits, the latest last.

    Raises:
        ValueError: rows that are not probabilities, or whose number is not a power of the tokens'.
    """

    transitions: np.ndarray

    def __post_init__(self) -> None:
        table = _probabilities("transitions", self.transitions)
        n_contexts, vocab_size = table.shape
        if vocab_size**self.order != n_contexts:
            raise ValueError(
                f"transitions must have vocab_size ** order rows; not {n_contexts} of {vocab_size}"
            )

    @property
    def vocab_size(self) -> int:
        """Tokens of the language."""
        return self.transitions.shape[1]

    @property
    def order(self) -> int:
        """Tokens that the next one depends on."""
        n_contexts, vocab_size = self.transitions.shape
        return max(1, round(np.log(n_contexts) / np.log(vocab_size)))

    @cached_property
    def stationary(self) -> np.ndarray:
        """How often each context occurs in the long run, [vocab_size ** order].

        Raises:
            ValueError: the chain does not settle.
        """
        n_contexts = len(self.transitions)
        share = np.full(n_contexts, 1.0 / n_contexts)
        for _ in range(_MOST_STEPS):
            after = self._step(share)
            if np.abs(after - share).sum() < _TOLERANCE:
                return after
            share = after
        raise ValueError("the chain does not settle: it is periodic or nearly falls apart")

    def _step(self, share: np.ndarray) -> np.ndarray:
        """One step of the distribution over contexts: the oldest token falls off."""
        moved = (share[:, None] * self.transitions).reshape(self.vocab_size, -1)
        return moved.sum(axis=0)

    @cached_property
    def entropy_rate(self) -> float:
        """Nats per token that no predictor can go below, exact."""
        return self.loss(self.transitions)

    def loss(self, predicted: np.ndarray) -> float:
        """Expected loss, in nats per token, of predictions [vocab_size ** order, vocab_size]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(self.transitions > 0, self.transitions * np.log(predicted), 0.0)
        return float(-self.stationary @ terms.sum(axis=1))

    def sample(self, n_tokens: int, *, seed: int) -> np.ndarray:
        """Draw int32 [n_tokens] from the chain in its long run."""
        rng = np.random.default_rng(seed)
        cumulative = np.cumsum(self.transitions, axis=1)
        cumulative[:, -1] = 1.0  # rounding must not leave a gap above the last token
        context = int(rng.choice(len(self.transitions), p=self.stationary))
        n_contexts = len(self.transitions)
        tokens = np.empty(n_tokens, np.int32)
        for at, uniform in enumerate(rng.random(n_tokens)):
            token = int(cumulative[context].searchsorted(uniform, side="right"))
            tokens[at] = token
            context = (context * self.vocab_size + token) % n_contexts
        return tokens


@dataclass(frozen=True, kw_only=True)
class DirichletPrior:
    """Markov chains whose rows are independent Dirichlet(concentration x Zipf) draws.

    Attributes:
        vocab_size: tokens.
        order: tokens that the next one depends on.
        concentration: how alike the rows are; small values give a chain of low entropy.
        exponent: of Zipf's law.
    """

    vocab_size: int
    order: int = 1
    concentration: float = 8.0
    exponent: float = 1.0

    def __post_init__(self) -> None:
        if self.order < 1:
            raise ValueError(f"order must be at least 1; not {self.order!r}")
        if not self.concentration > 0:
            raise ValueError(f"concentration must be above 0; not {self.concentration!r}")

    @property
    def pseudo_counts(self) -> np.ndarray:
        """The Dirichlet parameters [vocab_size] of every row."""
        return self.concentration * zipf(self.vocab_size, self.exponent)

    def draw(self, *, seed: int) -> MarkovSource:
        """Draw a chain."""
        rng = np.random.default_rng(seed)
        rows = rng.dirichlet(self.pseudo_counts, size=self.vocab_size**self.order)
        return MarkovSource(rows)

    def posterior_mean(self, tokens: np.ndarray) -> np.ndarray:
        """The Bayes-optimal prediction after `tokens`, [vocab_size ** order, vocab_size].

        Each row is (counts + pseudo-counts) / their sum, since the Dirichlet is conjugate.
        """
        tokens = np.asarray(tokens, np.int64)
        n_contexts = self.vocab_size**self.order
        context = np.zeros(max(0, len(tokens) - self.order), np.int64)
        for back in range(self.order, 0, -1):
            context = context * self.vocab_size + tokens[self.order - back : len(tokens) - back]
        counts = np.zeros((n_contexts, self.vocab_size))
        np.add.at(counts, (context, tokens[self.order :]), 1.0)
        weights = counts + self.pseudo_counts
        return weights / weights.sum(axis=1, keepdims=True)


@dataclass(frozen=True, kw_only=True)
class RateBounds:
    """An entropy rate between two bounds, each a mean over sampled sequences.

    Attributes:
        low: entropy of the last token given those before it and the first state.
        high: the same without the first state.
        stderr: standard error of either, the larger.
    """

    low: float
    high: float
    stderr: float

    @property
    def value(self) -> float:
        """The middle."""
        return 0.5 * (self.low + self.high)

    @property
    def error(self) -> float:
        """Half the gap and two standard errors: how far the value may be off."""
        return 0.5 * (self.high - self.low) + 2.0 * self.stderr


@dataclass(frozen=True, eq=False)
class HiddenMarkovSource:
    """A hidden Markov model: states follow a chain, and each emits a token.

    Attributes:
        transitions: probabilities [n_states, n_states] of the next state.
        emissions: probabilities [n_states, vocab_size] of the token of a state.

    Raises:
        ValueError: rows that are not probabilities, or numbers of states that differ.
    """

    transitions: np.ndarray
    emissions: np.ndarray

    def __post_init__(self) -> None:
        states = _probabilities("transitions", self.transitions)
        tokens = _probabilities("emissions", self.emissions)
        if states.shape[0] != states.shape[1] or states.shape[0] != tokens.shape[0]:
            raise ValueError(
                f"transitions must be square with a row of emissions each; not {states.shape} and "
                f"{tokens.shape}"
            )

    @classmethod
    def draw(
        cls,
        n_states: int,
        vocab_size: int,
        *,
        seed: int,
        concentration: float = 1.0,
        exponent: float = 1.0,
    ) -> HiddenMarkovSource:
        """Draw a model whose states prefer some successors and some Zipfian tokens."""
        rng = np.random.default_rng(seed)
        states = rng.dirichlet(np.full(n_states, concentration), size=n_states)
        tokens = rng.dirichlet(
            concentration * vocab_size * zipf(vocab_size, exponent), size=n_states
        )
        return cls(states, tokens)

    @cached_property
    def stationary(self) -> np.ndarray:
        """How often each state occurs in the long run, [n_states]."""
        return MarkovSource(self.transitions).stationary

    def sample(self, n_tokens: int, *, seed: int) -> np.ndarray:
        """Draw int32 [n_tokens] from the model in its long run."""
        return self._sample(1, n_tokens, np.random.default_rng(seed))[1][0]

    def entropy_rate(
        self, *, n_tokens: int = 200, n_sequences: int = 2_000, seed: int = 0
    ) -> RateBounds:
        """Bound the entropy rate by the forward algorithm.

        Args:
            n_tokens: length of a sequence; the bounds are of its last token, whose entropy is
                computed in full at each sequence rather than sampled.
            n_sequences: sequences that are averaged over.
            seed: of the sequences.
        """
        rng = np.random.default_rng(seed)
        first, tokens = self._sample(n_sequences, n_tokens - 1, rng)
        known = np.eye(len(self.transitions))[first]
        unknown = np.broadcast_to(self.stationary, known.shape)
        low, high = (_entropies(self._predict(start, tokens)) for start in (known, unknown))
        errors = [found.std(ddof=1) / np.sqrt(n_sequences) for found in (low, high)]
        return RateBounds(low=float(low.mean()), high=float(high.mean()), stderr=float(max(errors)))

    def _predict(self, belief: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Predict the next token [n, vocab_size] after tokens [n, length], by filtering.

        `belief` [n, n_states] is the distribution of the state that emits the first of them.
        """
        for seen in tokens.T:
            weights = belief * self.emissions[:, seen].T
            belief = (weights / weights.sum(axis=1, keepdims=True)) @ self.transitions
        return belief @ self.emissions

    def _sample(
        self, n_sequences: int, n_tokens: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the first states [n_sequences] and tokens int32 [n_sequences, n_tokens]."""
        next_state, emitted = (
            np.cumsum(rows, axis=1) for rows in (self.transitions, self.emissions)
        )
        first = rng.choice(len(self.transitions), size=n_sequences, p=self.stationary)
        state, tokens = first, np.empty((n_sequences, n_tokens), np.int32)
        for at in range(n_tokens):
            tokens[:, at] = _choose(emitted[state], rng)
            state = _choose(next_state[state], rng)
        return first, tokens


def _choose(cumulative: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a column in each row of cumulative probabilities [n, k]."""
    uniform = rng.random((len(cumulative), 1)) * cumulative[:, -1:]
    return (uniform >= cumulative).sum(axis=1)


def _entropies(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of each row, in nats."""
    logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
    return -(probabilities * logs).sum(axis=1)


def _probabilities(name: str, table: np.ndarray) -> np.ndarray:
    """Check a table of probabilities.

    Raises:
        ValueError: it is none.
    """
    table = np.asarray(table, float)
    good = table.ndim == 2 and bool(np.all(table >= 0))
    if not (good and np.allclose(table.sum(axis=1), 1.0, atol=1e-9)):
        raise ValueError(f"{name} must be rows of probabilities that each sum to 1")
    return table
