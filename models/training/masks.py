"""Which tokens of a window are masked, in training by masked diffusion and in its evaluation."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def masks_of(key: jax.Array, n_windows: int, n_positions: int) -> jax.Array:
    """Return which positions of windows are masked, bool [n_windows, n_positions].

    The first position never is: it is given, as in next-token prediction. Of the T others, k of
    each window are masked, any k with the same chance. Over the windows, k is stratified: it is
    uniform on 1 to T for each, and their k are spread evenly over that range.

    Args:
        key: random key.
        n_windows: number of windows.
        n_positions: tokens of a window, T + 1.
    """
    order, offset, chance = jax.random.split(key, 3)
    place = jax.random.permutation(order, n_windows) + jax.random.uniform(offset)
    n_maskable = n_positions - 1
    count = 1 + jnp.floor(place / n_windows * n_maskable).astype(jnp.int32)
    count = jnp.minimum(count, n_maskable)  # rounding may reach the end of the last stratum
    noise = jax.random.uniform(chance, (n_windows, n_maskable))
    rank = jnp.argsort(jnp.argsort(noise, axis=1), axis=1)
    return jnp.pad(rank < count[:, None], ((0, 0), (1, 0)))
