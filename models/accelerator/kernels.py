"""Check of the attention of a device against its formula."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from models.accelerator.checks import matmul_precision
from models.accelerator.outcome import Outcome
from models.accelerator.sizes import Sizes
from models.network.attention import attend

RELATIVE = {"float32": (1e-5, 1e-5), "bfloat16": (1e-2, 2e-2)}
"""Largest norm of the error of attention, and of its gradients, over the norm of the reference."""


def _by_document(
    q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array, bounds: Sequence[int]
) -> jax.Array:
    """Return attention [B, T, H, K] of each document by itself, so that no mask separates them."""
    n_shared = q_BTHK.shape[2] // k_BSGK.shape[2]
    parts = []
    for first, last in itertools.pairwise(bounds):
        q, k, v = (x[:, first:last].astype(jnp.float32) for x in (q_BTHK, k_BSGK, v_BSGK))
        k, v = (jnp.repeat(x, n_shared, axis=2) for x in (k, v))
        scores = jnp.einsum("bthk,bshk->bhts", q, k) / np.sqrt(q.shape[-1])
        earlier = np.arange(last - first)
        scores = jnp.where(earlier[:, None] >= earlier[None], scores, -np.inf)
        parts.append(jnp.einsum("bhts,bshk->bthk", jax.nn.softmax(scores), v))
    return jnp.concatenate(parts, axis=1)


def check_attention(sizes: Sizes) -> Outcome:
    """Compare attention and its gradients with the formula, with and without packed documents."""
    n, length, heads, groups, channels = sizes.attention
    rng = np.random.default_rng(0)
    shapes = [(n, length, heads, channels), *2 * [(n, length, groups, channels)]]
    drawn = [rng.standard_normal(shape, np.float32) for shape in shapes]
    cotangent = rng.standard_normal(shapes[0], np.float32)
    figures: dict[str, float | str | None] = {}
    passed = True
    for packed in (False, True):
        bounds = [0, length // 3, length // 2, length] if packed else [0, length]
        numbers = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        documents = jnp.asarray(np.tile(numbers, (n, 1))) if packed else None

        def ours(q: jax.Array, k: jax.Array, v: jax.Array, documents: Any = documents) -> jax.Array:
            return attend(q, k, v, documents_BT=documents)

        def formula(q: jax.Array, k: jax.Array, v: jax.Array, bounds: Any = bounds) -> jax.Array:
            return _by_document(q, k, v, bounds)

        for precision, limits in RELATIVE.items():
            inputs = [jnp.asarray(x, precision) for x in drawn]
            with matmul_precision("highest"):
                found, expected = (
                    _value_and_gradients(function, inputs, cotangent)
                    for function in (ours, formula)
                )
            errors = [_relative(x, y) for x, y in zip(found, expected, strict=True)]
            name = f"{precision}{', packed' if packed else ''}"
            figures[f"{name}: error"], figures[f"{name}: gradients"] = errors[0], max(errors[1:])
            figures[f"{name}: at most"] = f"{limits[0]}, {limits[1]}"
            passed &= errors[0] <= limits[0] and max(errors[1:]) <= limits[1]
    return Outcome(passed=bool(passed), figures=figures)


def _value_and_gradients(
    function: Any, inputs: Sequence[jax.Array], cotangent: np.ndarray
) -> list[np.ndarray]:
    """Return outputs and the gradients of their product with `cotangent`, as float32 arrays of
    their shapes.
    """

    @jax.jit
    def both(*arguments: jax.Array) -> tuple[jax.Array, ...]:
        value, pull = jax.vjp(function, *arguments)
        return value, *pull(jnp.asarray(cotangent, value.dtype))

    return [np.asarray(x, np.float32) for x in both(*inputs)]


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
