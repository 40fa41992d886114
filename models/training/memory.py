"""Memory needed for training, estimated from its largest arrays, and how many models fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.config import ModelConfig, TrainConfig

if TYPE_CHECKING:
    import jax

    from models.training.train import Execution

RUNTIME_BYTES = 800 * 2**20
"""Memory of Python, JAX and its compiler, once per process."""

USABLE = 0.85
"""Share of a device's free memory to use; the compiler's own buffers need the rest."""


def training_bytes(
    model: ModelConfig,
    *,
    batch_size: int,
    train: TrainConfig | None = None,
    execution: Execution | None = None,
) -> int:
    """Return an estimate of the bytes that training one model takes, without its text.

    Weights, gradients, two moments, the updates and an average if one is kept, in float32; the
    activations of one microbatch, kept for the backward pass unless recomputed; the logits.

    Args:
        model: architecture.
        batch_size: windows in a batch.
        train: precision and weight average (default: float32, none).
        execution: microbatches and rematerialisation.
    """
    train = train or TrainConfig(n_epochs=1)
    n_parts = execution.n_microbatches if execution else 1
    remat = execution.remat if execution else False
    number = 2 if train.precision == "bfloat16" else 4
    copies = 5 + (train.weight_average != "none") + (train.precision == "bfloat16")
    block = 8 * model.width + 4 * model.mlp_width + 3 * model.n_heads * model.context
    kept = model.n_layers * model.width + block if remat else model.n_layers * block
    per_token = number * kept + 4 * 4 * model.vocab_size
    return 4 * copies * model.n_params + batch_size // n_parts * model.context * per_token


def free_bytes(device: jax.Device) -> int:
    """Return the free memory of a device in bytes; for a host device, that of the machine."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    import psutil

    return int(psutil.virtual_memory().available)


def members_that_fit(n_wanted: int, bytes_each: int, bytes_free: int) -> int:
    """Return how many models to train side by side on one device, at least one.

    Args:
        n_wanted: most models wanted.
        bytes_each: memory of one model.
        bytes_free: free memory of the device.
    """
    return max(1, min(n_wanted, int(USABLE * bytes_free) // bytes_each))
