"""Hidden Markov models, whose entropy rate is bounded by the forward algorithm.

The rate lies between two conditional entropies, with and without knowledge of the first state
(Cover and Thomas 2006, theorem 4.5.1), whose gap closes exponentially. All losses in nats.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.analytic.discrete import checked_windows, entropies, probabilities, require_count, zipf
from models.analytic.known_entropy import MarkovSource


@dataclass(frozen=True, kw_only=True)
class RateBounds:
    """Bounds of an entropy rate, each a mean over sampled sequences, in nats per token.

    Attributes:
        low: entropy of the last token given those before it and the first state.
        high: the same without the first state.
        stderr: standard error of either bound, the larger.
    """

    low: float
    high: float
    stderr: float

    @property
    def value(self) -> float:
        """Midpoint of the bounds."""
        return 0.5 * (self.low + self.high)

    @property
    def error(self) -> float:
        """Half the gap plus two standard errors: an error bound of the value."""
        return 0.5 * (self.high - self.low) + 2.0 * self.stderr


@dataclass(frozen=True, eq=False)
class HiddenMarkovSource:
    """A hidden Markov model: a Markov chain of states, each of which emits a token.

    Attributes:
        transitions: probabilities [n_states, n_states] of the next state.
        emissions: probabilities [n_states, vocab_size] of the token of a state.

    Raises:
        ValueError: rows that are not probabilities, or numbers of states that differ.
    """

    transitions: np.ndarray
    emissions: np.ndarray

    def __post_init__(self) -> None:
        states = probabilities("transitions", self.transitions)
        tokens = probabilities("emissions", self.emissions)
        if states.shape[0] != states.shape[1] or states.shape[0] != tokens.shape[0]:
            raise ValueError(
                f"transitions must be square with a row of emissions each; not {states.shape} and "
                f"{tokens.shape}"
            )
        object.__setattr__(self, "transitions", states)
        object.__setattr__(self, "emissions", tokens)

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
        """Return a model whose states prefer some successors and some Zipfian tokens.

        Args:
            n_states: hidden states.
            vocab_size: tokens.
            seed: random seed.
            concentration: of the Dirichlet draws; smaller values give more distinct states.
            exponent: of Zipf's law.

        Raises:
            ValueError: no state, fewer than two tokens, a concentration that is not positive, or a
                negative exponent.
        """
        if n_states < 1:
            raise ValueError(f"n_states must be at least 1; not {n_states!r}")
        if not concentration > 0:
            raise ValueError(f"concentration must be above 0; not {concentration!r}")
        rng = np.random.default_rng(seed)
        states = rng.dirichlet(np.full(n_states, concentration), size=n_states)
        tokens = rng.dirichlet(
            concentration * vocab_size * zipf(vocab_size, exponent), size=n_states
        )
        return cls(states, tokens)

    @cached_property
    def stationary(self) -> np.ndarray:
        """Stationary probability of each state, [n_states]."""
        return MarkovSource(self.transitions).stationary

    @property
    def vocab_size(self) -> int:
        """Number of tokens of the language."""
        return self.emissions.shape[1]

    def sample(self, n_tokens: int, *, seed: int) -> np.ndarray:
        """Return tokens int32 [n_tokens] sampled from the stationary model.

        Raises:
            ValueError: a negative number of tokens.
        """
        require_count("n_tokens", n_tokens)
        rng = np.random.default_rng(seed)
        state = int(rng.choice(len(self.transitions), size=1, p=self.stationary)[0])
        next_state, emitted = (
            np.cumsum(rows, axis=1) for rows in (self.transitions, self.emissions)
        )
        # One sequence has nothing to vectorise over: plain lists are ten times faster.
        uniforms = rng.random((n_tokens, 2))
        tokens = np.empty(n_tokens, np.int32)
        states, words = next_state.tolist(), emitted.tolist()
        for at, (of_word, of_state) in enumerate(uniforms.tolist()):
            row = words[state]
            tokens[at] = bisect_right(row, of_word * row[-1])
            row = states[state]
            state = bisect_right(row, of_state * row[-1])
        return tokens

    def entropy_rate(
        self, *, n_tokens: int = 200, n_sequences: int = 2_000, seed: int = 0
    ) -> RateBounds:
        """Return bounds of the entropy rate by the forward algorithm.

        Args:
            n_tokens: length of a sequence; the bounds are those of its last token, whose entropy is
                computed exactly for each sequence instead of sampled.
            n_sequences: sequences averaged over.
            seed: random seed of the sequences.

        Raises:
            ValueError: sequences of less than one token, or fewer than two of them.

        Source:
            Cover and Thomas 2006, Elements of Information Theory, theorem 4.5.1.
        """
        require_count("n_tokens", n_tokens, least=1)
        require_count("n_sequences", n_sequences, least=2)
        rng = np.random.default_rng(seed)
        first, tokens = self._sample(n_sequences, n_tokens - 1, rng)
        known = np.eye(len(self.transitions))[first]
        unknown = np.broadcast_to(self.stationary, known.shape)
        low, high = (entropies(self._predict(start, tokens)) for start in (known, unknown))
        errors = [found.std(ddof=1) / np.sqrt(n_sequences) for found in (low, high)]
        return RateBounds(low=float(low.mean()), high=float(high.mean()), stderr=float(max(errors)))

    def window_entropy(
        self, context: int, *, n_sequences: int = 2_000, seed: int = 0
    ) -> RateBounds:
        """Return the mean entropy of the tokens 2 to `context` + 1 given those before them.

        The two bounds coincide: each entropy is computed exactly by the forward algorithm, and only
        the tokens before it are sampled.

        Args:
            context: tokens of a window that are read.
            n_sequences: sequences averaged over, two or more.
            seed: random seed of the sequences.

        Raises:
            ValueError: a context of less than one token, or fewer than two sequences.
        """
        require_count("context", context, least=1)
        require_count("n_sequences", n_sequences, least=2)
        tokens = self._sample(n_sequences, context, np.random.default_rng(seed))[1]
        found = np.mean([entropies(p) for p in self._filtered(tokens)], axis=0)
        mean, error = float(found.mean()), found.std(ddof=1) / np.sqrt(n_sequences)
        return RateBounds(low=mean, high=mean, stderr=float(error))

    def log_probs(self, windows: np.ndarray) -> np.ndarray:
        """Return the log-probability of each token given those before it in its window.

        By filtering; NaN after a token that the model never emits there.

        Args:
            windows: token ids [n_windows, positions + 1].

        Returns:
            Array [n_windows, positions] in nats; the first token of a window is not scored.

        Raises:
            ValueError: windows of fewer than two tokens, or ids outside the vocabulary.
        """
        windows = checked_windows(windows, self.vocab_size)
        rows = np.arange(len(windows))
        predicted = self._filtered(windows[:, :-1])
        with np.errstate(divide="ignore"):
            logs = [np.log(p[rows, windows[:, at]]) for at, p in enumerate(predicted, start=1)]
        return np.stack(logs, axis=1)

    def _filtered(self, tokens: np.ndarray) -> Iterator[np.ndarray]:
        """Predict, after each of the tokens [n, length], the next one [n, vocab_size]."""
        belief = np.broadcast_to(self.stationary, (len(tokens), len(self.stationary)))
        for seen in tokens.T:
            weights = belief * self.emissions[:, seen].T
            belief = (weights / weights.sum(axis=1, keepdims=True)) @ self.transitions
            yield belief @ self.emissions

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
