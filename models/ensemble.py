"""Average the predictions of several models, and score every subset of them in one pass.

Two averages of K members (all in nats):

- `logit`: log p = mean_i log p_i - log Z, the normalised geometric mean. Up to a constant per
  position this is the average of the logits (Kim et al. 2025, arXiv 2509.14786).
- `probability`: p = mean_i p_i, the mixture.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from models.config import ModelConfig
from models.evaluate import all_log_probs, batches_of
from models.train import Params

Average = Literal["logit", "probability"]
AVERAGES: tuple[Average, ...] = get_args(Average)


def average_log_probs(log_probs: jax.Array, how: Average = "logit") -> jax.Array:
    """Combine members' log-probabilities [K, ..., vocab] into one prediction [..., vocab].

    Raises:
        ValueError: `how` is not one of AVERAGES.
    """
    weights = jnp.full(log_probs.shape[0], 1 / log_probs.shape[0])
    return _weighted(log_probs, weights, how)


def _weighted(log_probs: jax.Array, weights: jax.Array, how: Average) -> jax.Array:
    if how == "logit":
        return jax.nn.log_softmax(jnp.tensordot(weights, log_probs, axes=1), axis=-1)
    if how == "probability":
        shape = (-1,) + (1,) * (log_probs.ndim - 1)
        return jax.nn.logsumexp(log_probs, axis=0, b=weights.reshape(shape))
    raise ValueError(f"how must be one of {AVERAGES}; not {how!r}")


def member_subsets(n_members: int, *, most_per_size: int = 20, seed: int = 0) -> np.ndarray:
    """Choose subsets of the members: every size from 1 to `n_members`.

    All subsets of a size are taken where there are at most `most_per_size`, else that many drawn
    without replacement.

    Returns:
        bool array [n_subsets, n_members], sizes ascending.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for size in range(1, n_members + 1):
        subsets = list(itertools.combinations(range(n_members), size))
        if len(subsets) > most_per_size:
            chosen = rng.choice(len(subsets), most_per_size, replace=False)
            subsets = [subsets[i] for i in sorted(chosen)]
        rows += [np.isin(np.arange(n_members), subset) for subset in subsets]
    return np.array(rows)


@jax.jit
def _subset_nats(
    log_probs: jax.Array, targets: jax.Array, subsets: jax.Array
) -> dict[Average, jax.Array]:
    """Sum the losses of one batch [M, B, T, V] for each subset [S, M]; a dict of [S].

    The mixture needs the members' gold probabilities only; the geometric mean also needs its
    normaliser, which is a sum over the vocabulary for each subset.
    """
    gold = jnp.take_along_axis(log_probs, targets[None, ..., None], axis=-1)[..., 0]
    weights = subsets / subsets.sum(axis=1, keepdims=True)

    def log_mixture(weight: jax.Array) -> jax.Array:
        # Not the logarithm of a mean of probabilities: an overfitted member's can underflow.
        return jax.nn.logsumexp(gold, axis=0, b=weight[:, None, None]).sum()

    def log_normaliser(weight: jax.Array) -> jax.Array:
        return jax.nn.logsumexp(jnp.tensordot(weight, log_probs, axes=1), axis=-1).sum()

    geometric = jnp.tensordot(weights, gold, axes=1).sum(axis=(1, 2))
    return {
        "logit": jax.lax.map(log_normaliser, weights) - geometric,
        "probability": -jax.lax.map(log_mixture, weights),
    }


def subset_losses(
    members: Sequence[tuple[ModelConfig, Params]], windows: np.ndarray, subsets: np.ndarray
) -> Mapping[Average, np.ndarray]:
    """Score every subset of the members on held-out windows.

    The windows are streamed: only one batch of every member's predictions is in memory.

    Args:
        members: architecture and weights of each of the M members, of one vocabulary and context.
        windows: held-out windows [n_windows, context + 1].
        subsets: bool [S, M], see `member_subsets`.

    Returns:
        For each average, the loss of each subset [S] in nats per token.

    Raises:
        ValueError: members of different vocabularies or contexts, or subsets of another shape.
    """
    kinds = {(model.vocab_size, model.context) for model, _ in members}
    if len(kinds) != 1:
        raise ValueError(
            f"members must share one vocabulary size and context; these have {sorted(kinds)}"
        )
    if subsets.ndim != 2 or subsets.shape[1] != len(members) or not subsets.any(axis=1).all():
        raise ValueError(
            f"subsets must be bool [n_subsets, {len(members)}] with a member in each; "
            f"not of shape {subsets.shape}"
        )
    totals = {how: np.zeros(len(subsets)) for how in AVERAGES}
    chosen = jnp.asarray(subsets, jnp.float32)
    for batch in batches_of(windows):
        log_probs = jnp.stack([all_log_probs(model, params, batch) for model, params in members])
        for how, nats in _subset_nats(log_probs, batch[:, 1:], chosen).items():
            totals[how] += np.asarray(nats, np.float64)
    n_tokens = windows.shape[0] * (windows.shape[1] - 1)
    return {how: total / n_tokens for how, total in totals.items()}
