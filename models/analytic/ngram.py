"""Modified interpolated Kneser-Ney n-grams over token ids: the classical member of a mixture.

Chen and Goodman (1998, TR-10-98, section 3): the highest order counts occurrences c(h w), lower
orders count distinct left neighbours N1+(. h w), and each order gives

    p(w | h) = (c(h w) - D(c(h w))) / c(h .) + gamma(h) p(w | h without its first token),

with three discounts D1, D2, D3+ an order, gamma(h) the share of the mass that they free, and the
uniform distribution below the unigrams. A context that was never followed leaves the word to the
order below. End-of-text ids are tokens like any other.

All is sorted arrays: an n-gram is the integer `context * vocab_size + token`, where `context` is
the index of its first n - 1 tokens among the sorted n-grams of the order below. So keys stay far
from overflow at any order, and memory is linear in the number of distinct n-grams.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from models.text.data_home import replacing

LARGEST_ORDER = 8
"""Most tokens in an n-gram; beyond five little is gained (Chen and Goodman 1998, figure 5)."""

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""D1, D2, D3+ of an order whose counts of counts do not determine them."""

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class _Level:
    """The n-grams of one order.

    Attributes:
        keys: sorted int64 [n_grams], context * vocab_size + token.
        probs: p(token | context), interpolated with all orders below [n_grams].
        backoffs: gamma of each context [n_grams of the order below]; 1 where nothing followed it.
        discounts: D1, D2, D3+.
    """

    keys: np.ndarray
    probs: np.ndarray
    backoffs: np.ndarray
    discounts: np.ndarray

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return the index of each key, or -1."""
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, at, -1)


@dataclass(frozen=True, kw_only=True, eq=False)
class NgramModel:
    """A fitted n-gram model; every token has a positive probability after every context."""

    vocab_size: int
    levels: tuple[_Level, ...]

    @property
    def order(self) -> int:
        """Tokens in the longest n-grams."""
        return len(self.levels)

    @property
    def n_grams(self) -> tuple[int, ...]:
        """Distinct n-grams of each order, unigrams first."""
        return tuple(len(level.keys) for level in self.levels)

    @property
    def discounts(self) -> np.ndarray:
        """D1, D2, D3+ of each order [order, 3], unigrams first."""
        return np.stack([level.discounts for level in self.levels])

    @classmethod
    def fit(cls, tokens: ArrayLike, *, vocab_size: int, order: int = 5) -> NgramModel:
        """Return a model of the n-grams of a text, smoothed by modified Kneser-Ney.

        Args:
            tokens: token ids [n_tokens], documents one after another.
            vocab_size: number of token ids V.
            order: tokens in the longest n-grams, the predicted one included.

        Raises:
            ValueError: an order outside 1..LARGEST_ORDER, fewer tokens than the order, or ids
                outside the vocabulary.

        Source:
            Chen and Goodman 1998, TR-10-98, section 3.
        """
        if order not in range(1, LARGEST_ORDER + 1):
            raise ValueError(f"order must be one of 1 to {LARGEST_ORDER}; not {order!r}")
        text = _checked(tokens, vocab_size)
        if text.ndim != 1 or len(text) < order:
            raise ValueError(
                f"an n-gram model of order {order} needs one sequence of at least {order} tokens; "
                f"not of shape {text.shape}"
            )
        levels: list[_Level] = []
        below = np.array([1 / vocab_size])
        for counted in _adjusted(_count(text, vocab_size, order)):
            levels.append(_smooth(counted, below, vocab_size))
            below = levels[-1].probs
        return cls(vocab_size=vocab_size, levels=tuple(levels))

    def log_probs(self, tokens: ArrayLike) -> np.ndarray:
        """Return the log-probability of every token but the first, given those before it.

        Args:
            tokens: ids [..., T]; each row is scored separately. Windows [n_windows, context + 1]
                are scored like a neural model's, without tokens before the window; a whole text [T]
                with its running context.

        Returns:
            float64 [..., T - 1] in nats.

        Raises:
            ValueError: ids outside the vocabulary, or rows of fewer than two tokens.
        """
        rows = _checked(tokens, self.vocab_size)
        if rows.ndim < 1 or rows.shape[-1] < 2:
            raise ValueError(f"there is no next token in tokens of shape {rows.shape}")
        probs = np.full(rows.shape, 1 / self.vocab_size)
        context = np.zeros(rows.shape, np.int64)
        for level in self.levels:
            known = context >= 0
            found = np.full(rows.shape, -1)
            found[known] = level.find(context[known] * self.vocab_size + rows[known])
            probs[known] *= level.backoffs[context[known]]
            probs[found >= 0] = level.probs[found[found >= 0]]
            context = np.roll(found, 1, axis=-1)
            context[..., 0] = -1
        return np.log(probs[..., 1:])

    def next_log_probs(self, context: ArrayLike) -> np.ndarray:
        """Return the whole distribution of the token after `context`.

        Args:
            context: ids [any number], of which the last order - 1 are used.

        Returns:
            float64 [vocab_size] in nats; its exponentials sum to one.

        Raises:
            ValueError: ids outside the vocabulary.
        """
        history = _checked(context, self.vocab_size)
        probs = np.full(self.vocab_size, 1 / self.vocab_size)
        for n_before, level in enumerate(self.levels[: len(history) + 1]):
            at = self._index(history[len(history) - n_before :])
            if at < 0:
                break
            first, last = np.searchsorted(
                level.keys, at * self.vocab_size + np.array([0, self.vocab_size])
            )
            probs *= level.backoffs[at]
            probs[level.keys[first:last] - at * self.vocab_size] = level.probs[first:last]
        return np.log(probs)

    def _index(self, ids: np.ndarray) -> int:
        """Return the index of an n-gram among those of its order, or -1."""
        at = 0
        for level, token in zip(self.levels, ids, strict=False):
            at = int(level.find(np.array([at * self.vocab_size + token]))[0])
            if at < 0:
                break
        return at

    def save(self, path: Path) -> None:
        """Write the model to an npz file, renamed into place when complete."""
        arrays = {
            f"{name}_{order}": values
            for order, level in enumerate(self.levels, 1)
            for name, values in vars(level).items()
        }
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez(file, format=_FORMAT, vocab_size=self.vocab_size, order=self.order, **arrays)

    @classmethod
    def load(cls, path: Path) -> NgramModel:
        """Return a model that `save` has written.

        Raises:
            ValueError: the file is missing, damaged or of another version.
        """
        try:
            with np.load(path) as file:
                if int(file["format"]) != _FORMAT:
                    raise ValueError(f"its format is {file['format']}, not {_FORMAT}")
                levels = tuple(
                    _Level(**{name: file[f"{name}_{k}"] for name in _Level.__annotations__})
                    for k in range(1, int(file["order"]) + 1)
                )
                return cls(vocab_size=int(file["vocab_size"]), levels=levels)
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} cannot be read as an n-gram model: {error}") from error


def _checked(tokens: ArrayLike, vocab_size: int) -> np.ndarray:
    ids = np.asarray(tokens)
    if ids.size and not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"token ids must be whole numbers; these are {ids.dtype}")
    wrong = (ids < 0) | (ids >= vocab_size)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(
            f"token ids must lie in the vocabulary, 0 to {vocab_size - 1}; "
            f"number {at} is {ids.flat[at]}"
        )
    return ids.astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Counted:
    """Distinct n-grams of one order: sorted keys, index without the first token, count of each."""

    keys: np.ndarray
    suffixes: np.ndarray
    counts: np.ndarray


def _count(text: np.ndarray, vocab_size: int, order: int) -> list[_Counted]:
    """Count the occurrences of all n-grams up to `order`."""
    counted = []
    # Index, among the n-grams of the order below, of the one that ends at each token.
    ending = np.zeros(len(text) + 1, np.int64)
    for n in range(1, order + 1):
        keys, first, inverse, counts = np.unique(
            ending[:-1] * vocab_size + text[n - 1 :],
            return_index=True, return_inverse=True, return_counts=True,
        )  # fmt: skip
        counted.append(_Counted(keys=keys, suffixes=ending[1:][first], counts=counts))
        ending = inverse
    return counted


def _adjusted(counted: list[_Counted]) -> list[_Counted]:
    """Count distinct left neighbours instead of occurrences below the highest order.

    The n-gram that begins the text has no neighbour there, so its count can be zero.
    """
    return [
        _Counted(
            keys=here.keys,
            suffixes=here.suffixes,
            counts=np.bincount(above.suffixes, minlength=len(here.keys)),
        )
        for here, above in pairwise(counted)
    ] + counted[-1:]


def _discounts(counts: np.ndarray) -> np.ndarray:
    """Return D1, D2, D3+ estimated from the counts of counts (Chen and Goodman 1998, equation 26).

    They are FALLBACK_DISCOUNTS if no n-gram has count 1, 2 or 3, as in small texts and among
    unigrams of small vocabularies, or if a discount is not positive, which would leave some token
    without probability.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)
    if (n[:3] == 0).any():
        return np.array(FALLBACK_DISCOUNTS)
    y = n[0] / (n[0] + 2 * n[1])
    discounts = np.array([k - (k + 1) * y * n[k] / n[k - 1] for k in (1, 2, 3)])
    return discounts if (discounts > 0).all() else np.array(FALLBACK_DISCOUNTS)


def _smooth(counted: _Counted, below: np.ndarray, vocab_size: int) -> _Level:
    """Interpolate one order with the probabilities of the order below [n_grams below]."""
    context = counted.keys // vocab_size
    discounts = _discounts(counted.counts)
    freed = np.append(0.0, discounts)[np.minimum(counted.counts, 3)]
    total = np.bincount(context, counted.counts, minlength=len(below))
    followed = total > 0
    total[~followed] = 1.0
    backoffs = np.where(followed, np.bincount(context, freed, minlength=len(below)) / total, 1.0)
    lower = below[counted.suffixes]
    probs = (counted.counts - freed) / total[context] + backoffs[context] * lower
    return _Level(keys=counted.keys, probs=probs, backoffs=backoffs, discounts=discounts)
