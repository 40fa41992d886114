"""Probability tables and windows of token ids: Zipf's law, validation, entropies."""

from __future__ import annotations

import numpy as np


def zipf(vocab_size: int, exponent: float = 1.0) -> np.ndarray:
    """Return Zipf's law: probabilities [vocab_size] proportional to rank ** -exponent.

    Raises:
        ValueError: fewer than two tokens, or a negative exponent.

    Source:
        Zipf 1949, Human Behavior and the Principle of Least Effort.
    """
    if vocab_size < 2:
        raise ValueError(f"vocab_size must be at least 2; not {vocab_size!r}")
    if not exponent >= 0:
        raise ValueError(f"exponent must be at least 0; not {exponent!r}")
    weights = np.arange(1, vocab_size + 1, dtype=float) ** -exponent
    return weights / weights.sum()


def digits(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """Return tokens [..., length] as base-`vocab_size` numbers [...], latest digit last."""
    places = vocab_size ** np.arange(tokens.shape[-1] - 1, -1, -1, dtype=np.int64)
    return tokens.astype(np.int64) @ places


def require_count(name: str, count: int, *, least: int = 0) -> None:
    """Check that a count is not too small.

    Args:
        name: what the error message calls it.
        count: the value to check.
        least: smallest value allowed.

    Raises:
        ValueError: the count is below `least`.
    """
    if count < least:
        raise ValueError(f"{name} must be at least {least}; not {count!r}")


def check_ids(tokens: np.ndarray, vocab_size: int) -> None:
    """Check that token ids [...] lie in the vocabulary.

    Raises:
        ValueError: some id is outside 0 to vocab_size - 1.
    """
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < vocab_size):
        raise ValueError(
            f"token ids must lie in 0 to {vocab_size - 1}; not {tokens.min()} to {tokens.max()}"
        )


def checked_windows(windows: np.ndarray, vocab_size: int, *, least: int = 2) -> np.ndarray:
    """Return windows of token ids as int64 [n_windows, length].

    Args:
        windows: token ids [n_windows, length].
        vocab_size: ids must be below it.
        least: smallest length allowed.

    Raises:
        ValueError: fewer than `least` tokens in each, or ids outside the vocabulary.
    """
    windows = np.asarray(windows)
    if windows.ndim != 2 or windows.shape[1] < least:
        raise ValueError(
            f"windows must be [n_windows, {least} tokens or more]; not of shape {windows.shape}"
        )
    check_ids(windows, vocab_size)
    return windows.astype(np.int64)


def entropies(table: np.ndarray) -> np.ndarray:
    """Return the entropy of each row of probabilities [n, k], in nats [n]."""
    logs = np.log(np.where(table > 0, table, 1.0))
    return -(table * logs).sum(axis=1)


def probabilities(name: str, table: np.ndarray) -> np.ndarray:
    """Return a table of probabilities [n, k], whose rows each sum to 1, as float64.

    Raises:
        ValueError: the rows are not probabilities; the message calls the table `name`.
    """
    table = np.asarray(table, float)
    good = table.ndim == 2 and bool(np.all(table >= 0))
    if not (good and np.allclose(table.sum(axis=1), 1.0, atol=1e-9)):
        raise ValueError(f"{name} must be rows of probabilities that each sum to 1")
    return table
