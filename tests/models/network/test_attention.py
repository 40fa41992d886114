"""Attention within documents, in blocks of queries, equals the formula in less memory."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.config import ModelConfig
from models.network import attention
from models.network.attention import attend

LENGTH = 13
DOCUMENTS = np.array([[0] * 13, [0] * 5 + [1] * 2 + [2] * 6, np.arange(13)])


def by_document(q, k, v):
    """Each document by itself, so that no mask separates them."""
    k, v = (jnp.repeat(x, 2, axis=2) for x in (k, v))
    rows = []
    for row, numbers in enumerate(DOCUMENTS):
        bounds = [*np.flatnonzero(np.diff(numbers, prepend=-1)), LENGTH]
        parts = []
        for first, last in itertools.pairwise(bounds):
            qs, ks, vs = (x[row, first:last] for x in (q, k, v))
            scores = jnp.einsum("thk,shk->hts", qs, ks) / np.sqrt(q.shape[-1])
            seen = np.tri(last - first, dtype=bool)
            weights = jax.nn.softmax(jnp.where(seen, scores, -np.inf))
            parts.append(jnp.einsum("hts,shk->thk", weights, vs))
        rows.append(jnp.concatenate(parts))
    return jnp.stack(rows)


@pytest.mark.parametrize("block", [4, LENGTH])
def test_outputs_and_gradients_equal_the_formula(monkeypatch, block):
    """With shared keys and values, and blocks that do and do not divide the length."""
    monkeypatch.setattr(attention, "DOCUMENT_BLOCK", block)
    rng = np.random.default_rng(0)
    shapes = [(3, LENGTH, 4, 8), *2 * [(3, LENGTH, 2, 8)]]
    inputs = [rng.standard_normal(shape, np.float32) for shape in shapes]
    cotangent = rng.standard_normal(shapes[0], np.float32)

    def found(function):
        value, pull = jax.vjp(function, *inputs)
        return [value, *pull(cotangent)]

    ours = jax.jit(lambda: found(lambda *x: attend(*x, documents_BT=jnp.asarray(DOCUMENTS))))()
    for one, other in zip(ours, jax.jit(lambda: found(by_document))(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_long_windows_of_documents_take_a_fraction_of_the_memory(monkeypatch):
    """Compiled, not run: 2 sequences of 2,048 positions, outputs and gradients."""
    shape = jax.ShapeDtypeStruct((2, 2048, 4, 32), jnp.float32)
    documents = jax.ShapeDtypeStruct((2, 2048), jnp.int32)

    def memory():
        def gradient(q, k, v, documents):
            return jax.grad(lambda *x: attend(*x, documents_BT=documents).sum(), (0, 1, 2))(q, k, v)

        compiled = jax.jit(gradient).lower(shape, shape, shape, documents).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    in_blocks = memory()
    monkeypatch.setattr(attention, "DOCUMENT_BLOCK", 2048)
    whole = memory()
    assert whole > 4 * 2 * 4 * 2048**2  # float32 weights of all pairs of positions
    assert in_blocks < whole / 4, (in_blocks, whole)


def test_short_windows_of_documents_and_windows_without_a_fused_kernel_keep_all_pairs():
    def keeps(**settings):
        model = ModelConfig.from_width(64, vocab_size=9, context=settings.pop("context", 1024))
        return attention.keeps_pairs(ModelConfig(**{**vars(model), **settings}), "bfloat16")

    assert keeps()  # this is a CPU
    assert keeps(context=256, attend_across_documents=False)
    assert not keeps(attend_across_documents=False)
