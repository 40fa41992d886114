"""Held-out loss of an architecture with its weights, on windows of token ids.

Texts and tasks, of one model or an ensemble, are scored by `perplexity`, `choices`, `minimal_pairs`
and `lambada`.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.config import ModelConfig
from models.network.transformer import check_next_token
from models.text.batches import has_unscored
from models.training.cross_entropy import gold_log_probs_in_blocks
from models.training.diffusion import BATCH_WINDOWS, N_DRAWS, masked_bound, token_bounds
from models.training.logits import are_large
from models.training.train import Params, graph_of, token_log_probs


@jax.jit(static_argnums=0)
def _gold_log_probs(model: ModelConfig, params: Params, windows: jax.Array) -> jax.Array:
    check_next_token(model)
    if are_large(windows[:, 1:].size, model.vocab_size):
        network = nnx.merge(graph_of(model), params)
        states = network.hidden_states(windows[:, :-1])
        return gold_log_probs_in_blocks(states, network.output_matrix, windows[:, 1:])
    log_probs = token_log_probs(model, params, windows[:, :-1])
    return jnp.take_along_axis(log_probs, windows[:, 1:, None], axis=-1)[..., 0]


all_log_probs = jax.jit(
    lambda model, params, windows: token_log_probs(model, params, windows[:, :-1]),
    static_argnums=0,
)
"""(model, params, windows [B, context + 1]) -> log-probabilities [B, context, vocab_size]."""


def batches_of(windows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield windows [n_windows, T + 1] as int32 batches of at most BATCH_WINDOWS rows."""
    for first in range(0, len(windows), BATCH_WINDOWS):
        yield windows[first : first + BATCH_WINDOWS].astype(np.int32)


def gold_log_probs(model: ModelConfig, params: Params, windows: np.ndarray) -> np.ndarray:
    """Return the log-probability of every true next token.

    Args:
        model: architecture.
        params: its weights.
        windows: held-out windows [n_windows, context + 1], see `batches.evaluation_windows`.

    Returns:
        float32 array [n_windows, context], in nats.
    """
    parts = [np.asarray(_gold_log_probs(model, params, batch)) for batch in batches_of(windows)]
    return np.concatenate(parts)


def held_out_loss(
    model: ModelConfig, params: Params, windows: np.ndarray, *, n_draws: int = N_DRAWS
) -> float:
    """Return the cross-entropy on held-out windows, in nats per scored token.

    Args:
        model: architecture.
        params: its weights.
        windows: held-out windows [n_windows, context + 1]; tokens marked as `batches.unscored` are
            read but not scored.
        n_draws: of masks, for a masked diffusion model, whose `diffusion.masked_bound` it is.
    """
    if model.is_diffusion:
        return masked_bound(model, params, windows, n_draws=n_draws).value
    if not has_unscored(windows):
        return -float(gold_log_probs(model, params, windows).mean(dtype=np.float64))
    log_probs = gold_log_probs(model, params, np.where(windows < 0, ~windows, windows))
    return -float(log_probs.mean(dtype=np.float64, where=windows[:, 1:] >= 0))


def document_losses(
    model: ModelConfig, params: Params, windows: np.ndarray, documents: np.ndarray
) -> np.ndarray:
    """Return the cross-entropy on each document of held-out windows, in nats per scored token.

    Args:
        model: architecture.
        params: its weights.
        windows: held-out windows [n_windows, context + 1], all tokens of which are scored.
        documents: document of each scored token [n_windows, context], see `held_out.HeldOut`.

    Returns:
        float64 array of shape (n_documents,): the documents with scored tokens, by ascending
        number.
    """
    if model.is_diffusion:
        losses = token_bounds(model, params, windows).mean(axis=0)
    else:
        losses = -gold_log_probs(model, params, windows).astype(np.float64)
    _, document = np.unique(documents, return_inverse=True)
    document = document.ravel()
    return np.bincount(document, weights=losses.ravel()) / np.bincount(document)
