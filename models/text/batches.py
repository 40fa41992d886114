"""Which windows of the text each training step reads: a pure function of seed and step."""

from __future__ import annotations

import numpy as np

from models.config import TrainConfig


def steps_per_epoch(n_tokens: int, *, context: int, batch_size: int) -> int:
    """Return the number of whole batches of windows in one pass over the tokens.

    Args:
        n_tokens: unique tokens D.
        context: tokens in a window.
        batch_size: windows in a batch.

    Raises:
        ValueError: the tokens do not fill one batch.
    """
    steps = n_tokens // (context * batch_size)
    if steps < 1:
        raise ValueError(
            f"one batch needs {batch_size} windows of {context} tokens = "
            f"{batch_size * context} tokens; there are only {n_tokens}"
        )
    return steps


def window_starts(
    n_tokens: int, *, context: int, train: TrainConfig, seed: int, first_step: int, last_step: int
) -> np.ndarray:
    """Return the first token of every window of the steps `first_step` to `last_step` - 1.

    The text is read as a ring: a window that passes the end continues at the beginning, so every
    epoch has the same number of windows whatever the phase.

    Args:
        n_tokens: unique tokens D.
        context: tokens in a window (its targets are the same tokens shifted by one).
        train: batch size, data order and window jitter.
        seed: seed of the run.
        first_step: first step wanted, counted from the beginning of training.
        last_step: one past the last step wanted.

    Returns:
        int32 array [last_step - first_step, batch_size] of positions in [0, n_tokens).
    """
    per_epoch = steps_per_epoch(n_tokens, context=context, batch_size=train.batch_size)
    rows = []
    for epoch in range(first_step // per_epoch, -(-last_step // per_epoch)):
        order_epoch = 0 if train.data_order == "fixed" else epoch
        order = np.random.default_rng((seed, 0, order_epoch)).permutation(n_tokens // context)
        phase = np.random.default_rng((seed, 1, epoch)).integers(context)
        starts = order[: per_epoch * train.batch_size] * context
        if train.window_jitter:
            starts = (starts + phase) % n_tokens
        low = max(first_step - epoch * per_epoch, 0)
        high = min(last_step - epoch * per_epoch, per_epoch)
        rows.append(starts.reshape(per_epoch, train.batch_size)[low:high])
    return np.concatenate(rows).astype(np.int32)


def document_order(tokens: np.ndarray, *, end_of_text_id: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order in which an epoch reads tokens if it shuffles their documents.

    Args:
        tokens: unique tokens [D], `unscored` ones included; the last document may lack its end.
        end_of_text_id: the token that ends a document.
        seed: seed of the run.
        epoch: the epoch, from 0.

    Returns:
        Positions int [D] in the tokens, those of a document one after another.
    """
    bounds = document_bounds(tokens, end_of_text_id)
    order = np.random.default_rng((seed, 3, epoch)).permutation(len(bounds) - 1)
    starts, lengths = bounds[order], np.diff(bounds)[order]
    # From where each document is read to where it stands.
    shifts = starts - (np.cumsum(lengths) - lengths)
    return np.arange(len(tokens)) + np.repeat(shifts, lengths)


def document_bounds(tokens: np.ndarray, end_of_text_id: int) -> np.ndarray:
    """Return the first position of each document, and the end of the last, int [n_documents + 1].

    The end of text belongs to the document before it.
    """
    ends = np.flatnonzero((tokens == end_of_text_id) | (tokens == ~end_of_text_id)) + 1
    return np.concatenate([[0], ends[ends < len(tokens)], [len(tokens)]])


def unscored(ids: np.ndarray) -> np.ndarray:
    """Return token ids [...] marked as read but not predicted: their complement ~id, negative.

    Windows of a `jobs.Job` may hold such tokens: they contribute no loss, and the loss of a step is
    the mean over the other tokens of its batch. The text thus carries its own mask, whatever the
    order in which its windows are read.
    """
    return ~np.asarray(ids, np.int32)


def has_unscored(ids: np.ndarray) -> bool:
    """Return whether some token of [...] is marked as `unscored`."""
    return np.issubdtype(ids.dtype, np.signedinteger) and bool(np.min(ids, initial=0) < 0)


def as_ring(tokens: np.ndarray, *, context: int) -> np.ndarray:
    """Return tokens [D] with the first `context` + 1 appended, so that each window is a slice."""
    return np.concatenate([tokens, tokens[: context + 1]])


def evaluation_windows(tokens: np.ndarray, *, context: int) -> np.ndarray:
    """Return held-out tokens cut into windows whose targets do not overlap.

    Args:
        tokens: held-out token ids [n_tokens].
        context: targets in a window.

    Returns:
        Array [n_windows, context + 1]; tokens at the end that do not fill a window are left out.

    Raises:
        ValueError: the tokens do not fill one window.
    """
    n_windows = (len(tokens) - 1) // context
    if n_windows < 1:
        raise ValueError(f"evaluation needs {context + 1} tokens; there are only {len(tokens)}")
    starts = context * np.arange(n_windows)
    return np.asarray(tokens)[starts[:, None] + np.arange(context + 1)]
