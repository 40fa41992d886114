"""Tables of probabilities and windows of token ids: laws, checks, readings."""

from __future__ import annotations

import numpy as np


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


def digits(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """Read tokens [..., length] as digits, the latest last; [...]."""
    places = vocab_size ** np.arange(tokens.shape[-1] - 1, -1, -1, dtype=np.int64)
    return tokens.astype(np.int64) @ places


def require_count(name: str, count: int, *, least: int = 0) -> None:
    """Refuse a count below the least with a ValueError that names it."""
    if count < least:
        raise ValueError(f"{name} must be at least {least}; not {count!r}")


def check_ids(tokens: np.ndarray, vocab_size: int) -> None:
    """Refuse token ids outside the vocabulary with a ValueError that names them."""
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < vocab_size):
        raise ValueError(
            f"token ids must lie in 0 to {vocab_size - 1}; not {tokens.min()} to {tokens.max()}"
        )


def checked_windows(windows: np.ndarray, vocab_size: int, *, least: int = 2) -> np.ndarray:
    """Return windows [n_windows, length] of token ids as int64.

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
    """Entropy of each row of probabilities [n, k], in nats [n]."""
    logs = np.log(np.where(table > 0, table, 1.0))
    return -(table * logs).sum(axis=1)


def probabilities(name: str, table: np.ndarray) -> np.ndarray:
    """Return a table of probabilities [n, k], whose rows each sum to 1, as float64.

    Raises:
        ValueError: it is none; the sentence calls it `name`.
    """
    table = np.asarray(table, float)
    good = table.ndim == 2 and bool(np.all(table >= 0))
    if not (good and np.allclose(table.sum(axis=1), 1.0, atol=1e-9)):
        raise ValueError(f"{name} must be rows of probabilities that each sum to 1")
    return table
