"""Masked diffusion: what it minimises, and the bound on a text's loss that it gives.

A masked diffusion model predicts masked tokens from all others. Averaged over the number k of
masked tokens, uniform on 1 to T, and over which k they are, its mean cross-entropy on the masked
ones bounds the negative log-likelihood per token of the window from above (Sahoo et al. 2024, arXiv
2406.07524; Ou et al. 2024, arXiv 2406.03736):

    -log p(x) / T  <=  E_k E_S [ 1 / k sum_{i in S} -log p(x_i | x without S) ],    |S| = k.

It is the expectation over masking rates t, uniform on [0, 1], with weights 1 / t, integrated over
the number of masked tokens at each rate, which removes the weights' variance; and it is the
mean loss of the autoregressive models of all T! orders of the tokens (Uria et al. 2014, arXiv
1310.1757). A window's first token is given and not predicted, so that the bound is on exactly the
tokens that next-token prediction is scored on, given the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.config import ModelConfig
from models.training.masks import masks_of
from models.training.train import Params, graph_of

N_DRAWS = 16
"""Masks drawn for each window in the evaluation of a trained model."""
BATCH_WINDOWS = 64
"""Windows evaluated together: enough to keep a core busy, few enough to limit memory."""


class Bound(NamedTuple):
    """An estimate of the bound in nats per token, with the standard error of its draws of masks."""

    value: float
    standard_error: float


def masked_bound(
    model: ModelConfig,
    params: Params,
    windows: np.ndarray,
    *,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Bound:
    """Return the bound on the loss of held-out windows.

    Every draw masks all windows, with numbers of masked tokens that are stratified over them; draws
    are independent, so that their scatter gives the standard error. It is that of the bound on
    these windows, not of the loss on others like them.

    Args:
        model: a masked diffusion model.
        params: its weights.
        windows: held-out windows [n_windows, context + 1].
        n_draws: masks drawn for each window.
        seed: random seed of the masks.

    Raises:
        ValueError: see `token_bounds`.
    """
    draws = token_bounds(model, params, windows, n_draws=n_draws, seed=seed).mean(axis=(1, 2))
    error = float(draws.std(ddof=1)) / n_draws**0.5 if n_draws > 1 else float("nan")
    return Bound(float(draws.mean()), error)


def token_bounds(
    model: ModelConfig,
    params: Params,
    windows: np.ndarray,
    *,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """Return the terms of the bound of each draw and token, float64 [n_draws, n_windows, context].

    The term of a masked token is T / k times its cross-entropy, that of others zero; the mean over
    draws estimates what a token contributes, and the mean over all is the bound.

    Args:
        model: a masked diffusion model.
        params: its weights.
        windows: as for `masked_bound`.
        n_draws: as for `masked_bound`.
        seed: as for `masked_bound`.

    Raises:
        ValueError: a model of another objective, or windows with unscored tokens.
    """
    (found,) = _terms([(model, params)], windows, np.ones((1, 1)), n_draws, seed)["logit"]
    return found


def subset_bounds(
    members: Sequence[tuple[ModelConfig, Params]],
    windows: np.ndarray,
    subsets: np.ndarray,
    *,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Mapping[str, np.ndarray]:
    """Return the bound of every subset of members, whose predictions are averaged at each token.

    All subsets see the same masks, so that their differences have less noise than their bounds.

    Args:
        members: masked diffusion models with their weights, of one vocabulary and context.
        windows: as for `masked_bound`.
        subsets: bool [n_subsets, n_members].
        n_draws: as for `masked_bound`.
        seed: as for `masked_bound`.

    Returns:
        For the averages "logit" and "probability", the bound of each subset [n_subsets] in nats
        per token.

    Raises:
        ValueError: see `token_bounds`.
    """
    weights = subsets / subsets.sum(axis=1, keepdims=True)
    terms = _terms(members, windows, weights, n_draws, seed)
    return {how: found.mean(axis=(1, 2, 3)) for how, found in terms.items()}


def _terms(
    members: Sequence[tuple[ModelConfig, Params]],
    windows: np.ndarray,
    weights: np.ndarray,
    n_draws: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the terms of both averages, each [n_averages, n_draws, n_windows, context]."""
    if not all(model.is_diffusion for model, _ in members):
        raise ValueError("the bound is that of masked diffusion; a model predicts next tokens")
    if np.min(windows, initial=0) < 0:
        raise ValueError("masked diffusion needs every token to be scored; windows hold others")
    found: dict[str, list[np.ndarray]] = {"logit": [], "probability": []}
    for draw in range(n_draws):
        key = jax.random.fold_in(jax.random.key(seed), draw)
        masked = np.asarray(_masks(key, *windows.shape))
        for first in range(0, len(windows), BATCH_WINDOWS):
            now = slice(first, first + BATCH_WINDOWS)
            ids, hidden = windows[now].astype(np.int32), masked[now]
            log_probs = jnp.stack(
                [_log_probs(model, params, ids, hidden) for model, params in members]
            )
            scale = (ids.shape[1] - 1) / hidden.sum(axis=1, keepdims=True) * hidden[:, 1:]
            averaged = _averaged(log_probs, ids[:, 1:], jnp.asarray(weights, jnp.float32))
            for how, gold in averaged.items():
                found[how].append(-np.asarray(gold, np.float64) * scale)
    return {
        how: np.concatenate(parts, axis=1).reshape(len(weights), n_draws, len(windows), -1)
        for how, parts in found.items()
    }


_masks = jax.jit(masks_of, static_argnums=(1, 2))


@jax.jit(static_argnums=0)
def _log_probs(model: ModelConfig, params: Params, ids: jax.Array, masked: jax.Array) -> jax.Array:
    """Return the log-probabilities [B, T, V] of all tokens but the first."""
    logits = nnx.merge(graph_of(model), params)(ids, masked_BT=masked)
    return jax.nn.log_softmax(logits[:, 1:], axis=-1)


@jax.jit
def _averaged(log_probs: jax.Array, targets: jax.Array, weights: jax.Array) -> dict[str, jax.Array]:
    """Return the log-probabilities of targets [R, B, T] under averages with weights [R, M]."""
    gold = jnp.take_along_axis(log_probs, targets[None, ..., None], axis=-1)[..., 0]

    def logit(weight: jax.Array) -> jax.Array:
        mixed = jnp.tensordot(weight, log_probs, axes=1)
        return jnp.tensordot(weight, gold, axes=1) - jax.nn.logsumexp(mixed, axis=-1)

    def probability(weight: jax.Array) -> jax.Array:
        return jax.nn.logsumexp(gold, axis=0, b=weight[:, None, None])

    return {"logit": jax.lax.map(logit, weights), "probability": jax.lax.map(probability, weights)}
