"""Softmax attention, by the fastest kernel for the device.

Shapes in names: B sequences, T query positions, S key positions, H query heads, G heads of keys and
values, K channels of a head.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from models.config import ModelConfig

FLASH_HEAD_WIDTHS = range(8, 129, 8)
"""Head widths supported by cuDNN's fused kernel."""

DOCUMENT_BLOCK = 256
"""Query positions of a block where attention is confined to documents."""


def attend(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    *,
    documents_BT: jax.Array | None = None,
    seen_BTS: jax.Array | None = None,
    is_causal: bool = True,
) -> jax.Array:
    """Return attention outputs: values averaged with weights softmax(q.k / sqrt(K)).

    Args:
        q_BTHK: queries.
        k_BSGK: keys; each key head serves H / G query heads.
        v_BSGK: values.
        documents_BT: document numbers; a position then attends to its own document only, and to
            none after it (S = T).
        seen_BTS: mask of visible positions; by default each position and those before it (S = T).
        is_causal: without a mask or documents, whether later positions are hidden.

    Returns:
        [B, T, H, K].
    """
    if documents_BT is not None:
        return _in_documents(q_BTHK, k_BSGK, v_BSGK, documents_BT)
    return _attend(q_BTHK, k_BSGK, v_BSGK, seen_BTS, is_causal and seen_BTS is None)


def _in_documents(
    q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array, documents_BT: jax.Array
) -> jax.Array:
    """Return causal attention within documents, in blocks of queries without a T x T mask.

    One block after another sees all keys, and its weights are computed again in the backward pass,
    so that those of one block are held at a time. JAX's interface to cuDNN's kernel takes no
    document numbers (0.10), so this is for every device.
    """
    n_positions = q_BTHK.shape[1]

    def block(first: jax.Array | int, q_BCHK: jax.Array, documents_BC: jax.Array) -> jax.Array:
        at_C = first + jnp.arange(q_BCHK.shape[1])
        earlier_CS = at_C[:, None] >= jnp.arange(n_positions)
        same_BCS = documents_BC[:, :, None] == documents_BT[:, None, :]
        return _attend(q_BCHK, k_BSGK, v_BSGK, same_BCS & earlier_CS, is_causal=False)

    if n_positions <= DOCUMENT_BLOCK:
        return block(0, q_BTHK, documents_BT)
    n_blocks = -(-n_positions // DOCUMENT_BLOCK)
    # Blocks of equal length; the last query is repeated, and what it reads left out.
    pad = n_blocks * DOCUMENT_BLOCK - n_positions

    def cut(x_BT: jax.Array) -> jax.Array:
        padded = jnp.pad(x_BT, [(0, 0), (0, pad), *[(0, 0)] * (x_BT.ndim - 2)], "edge")
        return jnp.moveaxis(
            padded.reshape(len(x_BT), n_blocks, DOCUMENT_BLOCK, *x_BT.shape[2:]), 1, 0
        )

    firsts = DOCUMENT_BLOCK * jnp.arange(n_blocks)
    again = jax.checkpoint(block)
    blocks = jax.lax.map(lambda one: again(*one), (firsts, cut(q_BTHK), cut(documents_BT)))
    return jnp.moveaxis(blocks, 0, 1).reshape(len(q_BTHK), -1, *q_BTHK.shape[2:])[:, :n_positions]


def _attend(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    seen_BTS: jax.Array | None,
    is_causal: bool,
) -> jax.Array:
    """Return attention to visible positions, or to all that are not later, by a fast kernel."""
    if jax.default_backend() == "cpu":
        return _plain(q_BTHK, k_BSGK, v_BSGK, seen_BTS, is_causal)
    flash = seen_BTS is None and uses_flash(q_BTHK.shape[-1], str(q_BTHK.dtype))
    return jax.nn.dot_product_attention(
        q_BTHK,
        k_BSGK,
        v_BSGK,
        mask=None if seen_BTS is None else seen_BTS[:, None],
        is_causal=is_causal,
        implementation="cudnn" if flash else "xla",
    )


def uses_flash(head_width: int, precision: str) -> bool:
    """Return whether cuDNN's flash attention applies: half precision on an NVIDIA GPU, no mask.

    (A mask becomes a bias there, whose gradient the kernel would compute for nothing.)

    Args:
        head_width: channels of a head.
        precision: number format of queries, keys and values.
    """
    fits = precision == "bfloat16" and head_width in FLASH_HEAD_WIDTHS
    return fits and jax.default_backend() == "gpu"


def keeps_pairs(model: ModelConfig, precision: str) -> bool:
    """Return whether training keeps the attention weights of all pairs of positions.

    Args:
        model: architecture.
        precision: number format of the matrix products.
    """
    if not model.attend_across_documents:
        return model.context <= DOCUMENT_BLOCK
    return not uses_flash(model.head_width, precision)


def _plain(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    seen_BTS: jax.Array | None,
    is_causal: bool,
) -> jax.Array:
    """Return attention by explicit products: at small sizes a tenth faster on a CPU than XLA's."""
    n_queries, n_keys, n_shared = q_BTHK.shape[1], k_BSGK.shape[1], q_BTHK.shape[2]
    n_shared //= k_BSGK.shape[2]
    if n_shared > 1:
        k_BSGK, v_BSGK = (jnp.repeat(x, n_shared, axis=2) for x in (k_BSGK, v_BSGK))
    scores_BHTS = jnp.einsum("bthk,bshk->bhts", q_BTHK, k_BSGK) * q_BTHK.shape[3] ** -0.5
    seen = jnp.tril(jnp.ones((n_queries, n_keys), bool)) if is_causal else True
    if seen_BTS is not None:
        seen = seen & seen_BTS[:, None]
    weights_BHTS = jax.nn.softmax(jnp.where(seen, scores_BHTS, -jnp.inf), axis=-1)
    return jnp.einsum("bhts,bshk->bthk", weights_BHTS, v_BSGK)
