"""Predictions of the token after each of many prompts of any lengths."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from models.config import ModelConfig
from models.evals.continuations import SHORTEST_BUCKET
from models.training.train import Params, token_log_probs

BATCH_PROMPTS = 256
"""Prompts per batch; smaller batches are padded, so that one shape is compiled per length."""


@partial(jax.jit, static_argnums=0)
def _next_log_probs(
    model: ModelConfig, params: Params, ids_BT: jax.Array, last_B: jax.Array
) -> jax.Array:
    return token_log_probs(model, params, ids_BT)[jnp.arange(len(ids_BT)), last_B]


def next_log_probs(
    model: ModelConfig, params: Params, prompts: Sequence[Sequence[int] | np.ndarray]
) -> np.ndarray:
    """Return log p(next token | prompt) in nats, float32 [n_prompts, vocab_size].

    Args:
        model: architecture.
        params: its weights.
        prompts: token ids of each prompt, 1 to context of them.

    Raises:
        ValueError: no prompts, an empty one, or one longer than the model's context.
    """
    lengths = np.array([len(prompt) for prompt in prompts])
    if not len(lengths) or lengths.min() < 1 or lengths.max() > model.context:
        raise ValueError(f"prompts must have 1 to {model.context} tokens, and there must be one")
    longest = max(SHORTEST_BUCKET, int(lengths.max()))
    width = min(1 << (longest - 1).bit_length(), model.context)
    found = []
    for first in range(0, len(prompts), BATCH_PROMPTS):
        ids_BT = np.zeros((BATCH_PROMPTS, width), np.int32)
        last_B = np.zeros(BATCH_PROMPTS, np.int32)
        batch = prompts[first : first + BATCH_PROMPTS]
        for row, prompt in enumerate(batch):
            ids_BT[row, : len(prompt)], last_B[row] = prompt, len(prompt) - 1
        found.append(np.asarray(_next_log_probs(model, params, ids_BT, last_B))[: len(batch)])
    return np.concatenate(found)
