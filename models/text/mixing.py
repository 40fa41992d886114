"""Which windows of real and synthetic text each step reads: a pure function of seed and step.

Both texts lie in one array: the ring of the real tokens, as `batches.as_ring` makes it, then the
synthetic windows one after another, as `generate.sample_windows` draws them. A window of either is
a slice of context + 1 tokens, so that a training program needs the starts alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.config import TrainConfig
from models.text.batches import as_ring, steps_per_epoch, window_starts


def mixed_ring(tokens: np.ndarray, synthetic: np.ndarray, *, context: int) -> np.ndarray:
    """Return real tokens and synthetic windows in one array, the text of a mixed training run.

    Args:
        tokens: real tokens [D].
        synthetic: synthetic windows [n_windows, context + 1].
        context: tokens in a window.

    Returns:
        Tokens [n], n = D + (n_windows + 1) * (context + 1).

    Raises:
        ValueError: synthetic windows of another length.
    """
    if synthetic.ndim != 2 or synthetic.shape[1] != context + 1 or not len(synthetic):
        raise ValueError(
            f"synthetic text must be windows [n_windows, {context + 1}]; "
            f"not of shape {synthetic.shape}"
        )
    return np.concatenate([as_ring(tokens, context=context), synthetic.ravel()])


def synthetic_per_batch(batch_size: int, share: float) -> int:
    """Return the number of synthetic windows in every batch: the share, rounded.

    Raises:
        ValueError: a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"synthetic_share must lie in [0, 1]; not {share!r}")
    return round(share * batch_size)


def mixed_steps_per_epoch(n_tokens: int, *, context: int, train: TrainConfig, share: float) -> int:
    """Return the number of steps in which the real text is read once.

    If batches have no real windows, the number is that of the real text alone.

    Args:
        n_tokens: real tokens D.
        context: tokens in a window.
        train: batch size.
        share: synthetic share of the windows.
    """
    n_real = train.batch_size - synthetic_per_batch(train.batch_size, share)
    batch_size = n_real or train.batch_size
    return steps_per_epoch(n_tokens, context=context, batch_size=batch_size)


def mixed_starts(
    n_tokens: int,
    n_synthetic: int,
    *,
    context: int,
    train: TrainConfig,
    share: float,
    seed: int,
    first_step: int,
    last_step: int,
) -> np.ndarray:
    """Return the first token of every window of the steps `first_step` to `last_step` - 1.

    Every batch has the same number of synthetic windows, see `synthetic_per_batch`; its other
    windows are those that `batches.window_starts` draws for a batch of their number. Synthetic
    windows are read as they were sampled: all of them in a shuffled order, then again in another
    order.

    Args:
        n_tokens: real tokens D.
        n_synthetic: synthetic windows.
        context: tokens in a window.
        train: batch size, data order and window jitter.
        share: synthetic share of the windows.
        seed: seed of the run.
        first_step: first step wanted.
        last_step: one past the last step wanted.

    Returns:
        int32 [last_step - first_step, batch_size] positions in `mixed_ring`.
    """
    per_batch = synthetic_per_batch(train.batch_size, share)
    n_real = train.batch_size - per_batch
    parts = []
    if n_real:
        parts.append(
            window_starts(
                n_tokens,
                context=context,
                train=replace(train, batch_size=n_real),
                seed=seed,
                first_step=first_step,
                last_step=last_step,
            )
        )
    if per_batch:
        places = np.arange(first_step * per_batch, last_step * per_batch)
        chosen = np.empty(len(places), np.int64)
        for turn in np.unique(places // n_synthetic):
            order = np.random.default_rng((seed, 2, int(turn))).permutation(n_synthetic)
            now = places // n_synthetic == turn
            chosen[now] = order[places[now] % n_synthetic]
        starts = n_tokens + context + 1 + chosen * (context + 1)
        parts.append(starts.reshape(-1, per_batch))
    return np.concatenate(parts, axis=1).astype(np.int32)
