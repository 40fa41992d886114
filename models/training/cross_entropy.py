"""Cross-entropy of next tokens in blocks of positions, without the logits of all of them at once.

Shapes in names: B sequences, T positions, C positions of a block, D width, V vocabulary. Blocks are
cut along the positions, so that a batch may be distributed over devices by sequences.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from models.training.logits import BLOCK_LOGITS


def _blocks(n_blocks: int, *arrays_BT: jax.Array) -> list[jax.Array]:
    """Return arrays [B, T, ...] as [n_blocks, B, C, ...], padded with zeros at their ends."""
    cut = []
    for array in arrays_BT:
        n_positions = array.shape[1]
        size = -(-n_positions // n_blocks)
        pad = [(0, 0), (0, n_blocks * size - n_positions), *[(0, 0)] * (array.ndim - 2)]
        shape = (array.shape[0], n_blocks, size, *array.shape[2:])
        cut.append(jnp.moveaxis(jnp.pad(array, pad).reshape(shape), 1, 0))
    return cut


def _joined(blocks: jax.Array, n_positions: int) -> jax.Array:
    """Return [B, T, ...] from blocks of it [n_blocks, B, C, ...]."""
    array = jnp.moveaxis(blocks, 0, 1)
    return array.reshape(array.shape[0], -1, *array.shape[3:])[:, :n_positions]


def _n_blocks(x_BTD: jax.Array, head_DV: jax.Array, block_logits: int) -> int:
    n_sequences, n_positions = x_BTD.shape[:2]
    wanted = -(-n_sequences * n_positions * head_DV.shape[1] // block_logits)
    return min(n_positions, wanted)


def _logits(
    x_BCD: jax.Array, head_DV: jax.Array, targets_BC: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Return logits [B, C, V], whether each is of the target, their normaliser and the target's."""
    logits_BCV = jnp.matmul(x_BCD, head_DV, preferred_element_type=jnp.float32)
    is_gold_BCV = jnp.arange(head_DV.shape[1]) == targets_BC[..., None]
    gold_BC = jnp.sum(jnp.where(is_gold_BCV, logits_BCV, 0), axis=-1)
    return logits_BCV, is_gold_BCV, jax.nn.logsumexp(logits_BCV, axis=-1), gold_BC


def gold_log_probs_in_blocks(
    x_BTD: jax.Array, head_DV: jax.Array, targets_BT: jax.Array, *, block_logits: int = BLOCK_LOGITS
) -> jax.Array:
    """Return the log-probability of each target [B, T], in nats.

    Args:
        x_BTD: final states, see `Transformer.hidden_states`.
        head_DV: output matrix.
        targets_BT: token ids.
        block_logits: most logits at once.
    """

    def block(part: tuple[jax.Array, jax.Array]) -> jax.Array:
        _, _, normaliser_BC, gold_BC = _logits(part[0], head_DV, part[1])
        return gold_BC - normaliser_BC

    n_blocks = _n_blocks(x_BTD, head_DV, block_logits)
    x, targets = _blocks(n_blocks, x_BTD, targets_BT)
    return _joined(jax.lax.map(block, (x, targets)), x_BTD.shape[1])


def cross_entropy_in_blocks(
    x_BTD: jax.Array,
    head_DV: jax.Array,
    targets_BT: jax.Array,
    weights_BT: jax.Array,
    z_loss: Any = 0.0,
    *,
    block_logits: int = BLOCK_LOGITS,
) -> tuple[jax.Array, jax.Array]:
    """Return the weighted sums, scalars, of the cross-entropy with z-loss and of that without.

    The gradient of the first is computed in the forward pass, where a block's logits are at hand:
    nothing is recomputed, and only gradients are kept. It is that with respect to states and output
    matrix; weights, factor and the second sum are constants to it. As usual in half precision, its
    matrix products have operands of the states' type, and it is summed over blocks in float32.

    Args:
        x_BTD: final states, see `Transformer.hidden_states`.
        head_DV: output matrix.
        targets_BT: token ids.
        weights_BT: weight of each position in the sums, float32.
        z_loss: factor of the squared log of the normaliser.
        block_logits: most logits at once.

    Source:
        Hsu et al. 2024, arXiv 2410.10989 (gradients in the forward pass).
    """
    n_blocks = _n_blocks(x_BTD, head_DV, block_logits)
    n_positions = x_BTD.shape[1]

    @jax.custom_vjp
    def summed(x_BTD: jax.Array, head_DV: jax.Array) -> tuple[jax.Array, jax.Array]:
        def block(sums: Any, part: Any) -> tuple[Any, None]:
            x_BCD, targets_BC, weights_BC = part
            _, _, normaliser_BC, gold_BC = _logits(x_BCD, head_DV, targets_BC)
            return _added(sums, weights_BC, normaliser_BC, gold_BC), None

        zeros = (jnp.float32(0), jnp.float32(0))
        parts = tuple(_blocks(n_blocks, x_BTD, targets_BT, weights_BT))
        return jax.lax.scan(block, zeros, parts)[0]

    def _added(sums: Any, weights_BC: jax.Array, normaliser_BC: jax.Array, gold_BC: jax.Array):
        loss_BC = normaliser_BC - gold_BC
        whole_BC = loss_BC + z_loss * jnp.square(normaliser_BC)
        return (
            sums[0] + jnp.sum(weights_BC * whole_BC),
            sums[1] + jnp.sum(weights_BC * loss_BC),
        )

    def forward(x_BTD: jax.Array, head_DV: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        def block(carry: Any, part: Any) -> tuple[Any, jax.Array]:
            sums, head_gradient_DV = carry
            x_BCD, targets_BC, weights_BC = part
            logits_BCV, is_gold_BCV, normaliser_BC, gold_BC = _logits(x_BCD, head_DV, targets_BC)
            slope_BC = 1 + 2 * z_loss * normaliser_BC
            gradient_BCV = jnp.exp(logits_BCV - normaliser_BC[..., None]) * slope_BC[..., None]
            gradient_BCV = ((gradient_BCV - is_gold_BCV) * weights_BC[..., None]).astype(
                x_BCD.dtype
            )
            head_gradient_DV += jnp.einsum(
                "bcd,bcv->dv", x_BCD, gradient_BCV, preferred_element_type=jnp.float32
            )
            x_gradient_BCD = jnp.matmul(gradient_BCV, head_DV.T)
            sums = _added(sums, weights_BC, normaliser_BC, gold_BC)
            return (sums, head_gradient_DV), x_gradient_BCD

        zeros = ((jnp.float32(0), jnp.float32(0)), jnp.zeros(head_DV.shape, jnp.float32))
        parts = tuple(_blocks(n_blocks, x_BTD, targets_BT, weights_BT))
        (sums, head_gradient_DV), x_gradient = jax.lax.scan(block, zeros, parts)
        return sums, (_joined(x_gradient, n_positions), head_gradient_DV.astype(head_DV.dtype))

    def backward(gradients: Any, cotangents: Any) -> tuple[jax.Array, jax.Array]:
        return tuple((cotangents[0] * one).astype(one.dtype) for one in gradients)  # type: ignore[return-value]

    summed.defvjp(forward, backward)
    whole, loss = summed(x_BTD, head_DV)
    return whole, jax.lax.stop_gradient(loss)
