"""Cross-entropy in blocks equals the plain one, in a fraction of its memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.config import ModelConfig, TrainConfig
from models.training import evaluate, logits, train
from models.training.cross_entropy import cross_entropy_in_blocks, gold_log_probs_in_blocks
from models.training.train import (
    Execution,
    Hyperparameters,
    Program,
    init_params,
    init_state,
    train_step,
)


def plain(x, head, targets, weights, z_loss):
    logits = jnp.matmul(x, head, preferred_element_type=jnp.float32)
    normaliser = jax.nn.logsumexp(logits, axis=-1)
    loss = normaliser - jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jnp.sum(weights * (loss + z_loss * normaliser**2)), jnp.sum(weights * loss)


def drawn(n=3, length=7, width=16, vocabulary=50, dtype=np.float32):
    """Length 7 is cut into 2, 4 or 7 blocks: with padding, and without."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, length, width)).astype(np.float32)
    head = rng.standard_normal((width, vocabulary)).astype(np.float32)
    targets = rng.integers(vocabulary, size=(n, length))
    weights = rng.random((n, length), np.float32) * (rng.random((n, length)) > 0.2)
    return jnp.asarray(x, dtype), jnp.asarray(head, dtype), targets, weights


@pytest.mark.parametrize(
    ("block_logits", "z_loss"), [(10_000, 0.1), (3 * 4 * 50, 0.1), (3 * 2 * 50, 0.0), (1, 0.1)]
)
def test_sums_and_gradients_equal_the_plain_ones(block_logits, z_loss):
    x, head, targets, weights = drawn()
    found, expected = (
        jax.jit(jax.value_and_grad(function, argnums=(0, 1), has_aux=True))(x, head)
        for function in (
            lambda x, head: cross_entropy_in_blocks(
                x, head, targets, weights, z_loss, block_logits=block_logits
            ),
            lambda x, head: plain(x, head, targets, weights, z_loss),
        )
    )
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
    log_probs = gold_log_probs_in_blocks(x, head, targets, block_logits=block_logits)
    each = np.take_along_axis(jax.nn.log_softmax(x @ head), targets[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(log_probs, each, atol=2e-5)


def test_in_half_precision_gradients_are_as_near_to_the_true_ones_as_the_plain_ones():
    x, head, targets, weights = drawn(dtype=jnp.bfloat16)

    def gradients(function, dtype):
        gradient = jax.jit(jax.grad(lambda x, head: function(x, head)[0], argnums=(0, 1)))
        return gradient(x.astype(dtype), head.astype(dtype))

    def in_blocks(x, head):
        return cross_entropy_in_blocks(x, head, targets, weights, block_logits=300)

    true = gradients(lambda x, head: plain(x, head, targets, weights, 0.0), jnp.float32)
    for ours, exact in zip(gradients(in_blocks, jnp.bfloat16), true, strict=True):
        assert ours.dtype == jnp.bfloat16
        # bfloat16 rounds by 2^-9 of a number at most; two roundings, of logits' gradient and result
        error = np.linalg.norm(np.asarray(ours, np.float32) - exact) / np.linalg.norm(exact)
        assert error < 2 * 2**-8


@pytest.mark.long
@pytest.mark.parametrize("tied", [False, True])
def test_a_training_step_and_an_evaluation_in_blocks_equal_the_plain_ones(monkeypatch, tied):
    """Members side by side, microbatches, unscored tokens and z-loss included."""
    model = ModelConfig(
        vocab_size=30, width=16, n_layers=1, n_heads=1, mlp_width=16, context=6,
        tied_embeddings=tied,
    )  # fmt: skip
    settings = TrainConfig(n_epochs=1, batch_size=4, z_loss=0.01)
    optimizer = train.OptimizerConfig(learning_rate=0.01, weight_decay=0.1)
    program = Program.of(model, optimizer, settings, Execution(n_microbatches=2), has_unscored=True)
    hyper = Hyperparameters.of(optimizer, 9, train=settings)
    windows = np.random.default_rng(0).integers(30, size=(2, 4, 7))
    windows[:, 1, 3:] = ~windows[:, 1, 3:]
    state = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), init_state(program, 0))

    def step():
        both = jax.vmap(lambda state, windows: train_step(program, state, windows, hyper))
        after, losses = jax.jit(both)(state, windows)
        params = jax.tree.map(lambda leaf: leaf[0], after.params)
        evaluate._gold_log_probs.clear_cache()
        scored = evaluate.gold_log_probs(model, params, np.abs(windows[0]) % 30)
        return [*jax.tree.leaves(after.params), losses, scored]

    expected = step()
    monkeypatch.setattr(logits, "LARGE_LOGITS", 1)
    monkeypatch.setattr(train.cross_entropy_in_blocks, "__kwdefaults__", {"block_logits": 100})
    for ours, theirs in zip(step(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.long
def test_the_mean_loss_has_its_gradient_in_blocks_too(monkeypatch):
    model = ModelConfig(vocab_size=30, width=8, n_layers=1, n_heads=1, mlp_width=8, context=4)
    windows = jnp.asarray(np.random.default_rng(0).integers(30, size=(2, 5)))
    params = init_params(model, 0)

    def loss_and_gradient():
        found = jax.value_and_grad(lambda params: train.mean_loss(model, params, windows))(params)
        return jax.tree.leaves(found)

    expected = loss_and_gradient()
    monkeypatch.setattr(logits, "LARGE_LOGITS", 1)
    for ours, theirs in zip(loss_and_gradient(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_memory_of_a_large_vocabulary_is_at_most_an_eighth_of_the_plain():
    """Compiled, not run: 64 x 1,024 tokens, 131,072 words."""
    width, vocabulary = 128, 131_072
    shapes = [
        jax.ShapeDtypeStruct((64, 1024, width), jnp.float32),
        jax.ShapeDtypeStruct((width, vocabulary), jnp.float32),
        jax.ShapeDtypeStruct((64, 1024), jnp.int32),
        jax.ShapeDtypeStruct((64, 1024), jnp.float32),
    ]

    def memory(function):
        gradient = jax.grad(lambda *given: function(*given, 0.0)[0], argnums=(0, 1))
        asked = jax.jit(gradient).lower(*shapes).compile().memory_analysis()
        return asked.temp_size_in_bytes

    in_blocks, whole = memory(cross_entropy_in_blocks), memory(plain)
    assert whole > 4 * 64 * 1024 * vocabulary
    assert in_blocks <= whole / 8, (in_blocks / 2**30, whole / 2**30)
