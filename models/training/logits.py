"""When the logits of a batch are too many to hold at once."""

from __future__ import annotations

from models.config import ModelConfig

LARGE_LOGITS = 2**28
"""From this many logits on (1 GiB), of one batch or microbatch, they are computed in blocks."""

BLOCK_LOGITS = 2**27
"""Most logits of a block."""


def are_large(n_tokens: int, vocab_size: int) -> bool:
    """Return whether the logits of so many tokens are computed in blocks."""
    return n_tokens * vocab_size >= LARGE_LOGITS


def in_blocks(model: ModelConfig, n_tokens: int) -> bool:
    """Return whether a training step on so many tokens computes its logits in blocks."""
    is_plain = not (model.is_diffusion or model.future_tokens)
    return is_plain and are_large(n_tokens, model.vocab_size)
