"""How much memory training takes, estimated from its largest arrays."""

from __future__ import annotations

from models.config import ModelConfig

RUNTIME_BYTES = 800 * 2**20
"""Python, JAX and its compiler, once a process."""


def training_bytes(model: ModelConfig, *, batch_size: int) -> int:
    """Estimate what one model in training takes.

    Weights, gradients, two moments and a copy, and the activations of one batch.
    """
    per_token = model.n_layers * (8 * model.width + 4 * model.mlp_width)
    per_token += model.n_layers * model.n_heads * model.context * 3
    per_token += 4 * model.vocab_size
    return 4 * (5 * model.n_params + batch_size * model.context * per_token)
