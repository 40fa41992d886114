"""When the logits of a batch are too many to hold at once."""

LARGE_LOGITS = 2**28
"""From this many logits on (1 GiB), of one batch or microbatch, they are computed in blocks."""

BLOCK_LOGITS = 2**27
"""Most logits of a block."""


def are_large(n_tokens: int, vocab_size: int) -> bool:
    """Return whether the logits of so many tokens are computed in blocks."""
    return n_tokens * vocab_size >= LARGE_LOGITS
