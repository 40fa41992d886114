import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.network.transformer import (
    NEVER,
    Attention,
    Positions,
    rope_frequencies,
    rotate,
)
from models.training.train import graph_of, init_params, token_log_probs

MODEL = ModelConfig.from_width(64, vocab_size=50, context=12)


def random_ids(n_sequences: int, n_positions: int) -> np.ndarray:
    return np.random.default_rng(0).integers(MODEL.vocab_size, size=(n_sequences, n_positions))


@pytest.mark.parametrize("width", [16, 32, 64, 128])
@pytest.mark.parametrize("tied", [False, True])
def test_parameter_counts_equal_the_weights_there_are(width, tied):
    base = ModelConfig.from_width(width, vocab_size=50, context=12)
    config = ModelConfig(**{**vars(base), "tied_embeddings": tied})
    params = jax.eval_shape(lambda: init_params(config, seed=0))
    n_weights = sum(leaf.size for leaf in jax.tree.leaves(params))
    tables = (1 if tied else 2) * config.vocab_size * width
    assert n_weights == config.n_params
    assert n_weights - tables == config.n_params_non_embedding


def test_no_position_sees_a_later_one():
    """The gradient of position i's output with respect to the inputs after i is exactly zero."""
    graph, params = graph_of(MODEL), init_params(MODEL, seed=0)
    ids = random_ids(1, MODEL.context)

    def outputs(table):
        model = nnx.merge(graph, params)
        model.embedding = nnx.Param(table)
        return model(jnp.arange(MODEL.context)[None]).sum(-1)[0]

    # Each position has a row of the table to itself, so a row's gradient is that position's.
    table = params["embedding"][...][ids[0]]
    jacobian = jax.jit(jax.jacobian(outputs))(
        jnp.pad(table, ((0, MODEL.vocab_size - len(table)), (0, 0)))
    )
    reach = np.abs(np.asarray(jacobian)[:, : MODEL.context]).max(-1)
    assert (reach[np.triu_indices(MODEL.context, 1)] == 0).all()
    assert (reach[np.tril_indices(MODEL.context)] > 0).all()


def test_rotary_products_depend_on_distance_alone():
    rng = np.random.default_rng(1)
    query, key = rng.normal(size=(2, 8)).astype(np.float32)
    n = 10
    at, frequency = jnp.arange(n)[None], 10_000.0 ** (-np.arange(4) / 4)
    rotated_q = np.asarray(rotate(jnp.tile(query, (1, n, 1, 1)), at, frequency))[0, :, 0]
    rotated_k = np.asarray(rotate(jnp.tile(key, (1, n, 1, 1)), at, frequency))[0, :, 0]
    products = rotated_q @ rotated_k.T
    for distance in range(n):
        along = np.diagonal(products, distance)
        np.testing.assert_allclose(along, along[0], atol=1e-5)


@pytest.mark.parametrize("n_kv_heads", [None, 2, 1])
@pytest.mark.parametrize("across", [True, False])
def test_attention_equals_the_textbook_formula(n_kv_heads, across):
    config = ModelConfig(
        vocab_size=50, width=32, n_layers=1, n_heads=4, mlp_width=16, context=12,
        n_kv_heads=n_kv_heads, attend_across_documents=across,
    )  # fmt: skip
    heads, groups, n = config.n_heads, config.kv_heads, config.context
    attention = Attention(config, nnx.Rngs(3))
    x_ND = np.random.default_rng(2).normal(size=(n, config.width)).astype(np.float32)
    documents = np.repeat([0, 1, 2], [5, 3, 4])
    at, frequency = jnp.arange(n)[None], rope_frequencies(config)
    qkv = (x_ND @ np.asarray(attention.qkv[...])).reshape(n, heads + 2 * groups, -1)
    rotated = np.asarray(rotate(qkv[None, :, : heads + groups], at, frequency))[0]
    expected = np.zeros((n, heads, config.head_width))
    for head in range(heads):
        group = head // (heads // groups)
        q, k, v = rotated[:, head], rotated[:, heads + group], qkv[:, heads + groups + group]
        for i in range(n):
            first = 0 if across else int(np.argmax(documents == documents[i]))
            scores = k[first : i + 1] @ q[i] / np.sqrt(config.head_width)
            weights = np.exp(scores - scores.max())
            expected[i, head] = weights / weights.sum() @ v[first : i + 1]
    expected = expected.reshape(x_ND.shape) @ np.asarray(attention.out[...])
    positions = Positions(at, None if across else jnp.asarray(documents)[None])
    np.testing.assert_allclose(attention(x_ND, positions), expected, atol=1e-5)


@pytest.mark.parametrize("across", [True, False])
def test_reading_on_from_a_cache_equals_reading_the_whole(across):
    """Prompts of unequal length, padded at the right, each continued from its own end."""
    config = ModelConfig(
        vocab_size=50, width=32, n_layers=2, n_heads=4, mlp_width=16, context=12,
        n_kv_heads=2, attend_across_documents=across,
    )  # fmt: skip
    graph, params = graph_of(config), init_params(config, seed=0)
    read = jax.jit(lambda ids: nnx.merge(graph, params)(ids))
    extend = jax.jit(lambda *given: nnx.merge(graph, params).extend(*given))
    ids = np.random.default_rng(0).integers(1, 50, size=(3, 12))
    ids[0, 3] = ids[1, 0] = ids[1, 6] = ids[2, 8] = config.end_of_text_id
    whole = read(ids)
    lengths = np.array([7, 4, 6])
    given = np.arange(7) < lengths[:, None]
    prompts, at = np.where(given, ids[:, :7], 0), np.where(given, np.arange(7), NEVER)
    cache = nnx.merge(graph, params).empty_cache(3)
    logits, cache = extend(prompts, at, 0, cache)
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(logits[row, :length], whole[row, :length], atol=1e-5)
    rows = np.arange(3)
    for step in range(5):
        at = lengths + step
        logits, cache = extend(ids[rows, at][:, None], at[:, None], 7 + step, cache)
        np.testing.assert_allclose(logits[:, 0], whole[rows, lengths + step], atol=1e-5)


def test_scanned_and_rematerialised_blocks_equal_unrolled_ones(monkeypatch):
    config = ModelConfig.from_width(16, vocab_size=30, context=8, n_layers=2)
    params, ids = init_params(config, 0), random_ids(2, 8) % 30

    def loss(params, **options):
        return nnx.merge(graph_of(config), params)(ids, **options).var()

    expected = jax.jit(jax.value_and_grad(loss))(params)
    monkeypatch.setattr("models.network.transformer.UNROLLED_LAYERS", 1)
    for options in ({}, {"remat": True}):
        found = jax.jit(jax.value_and_grad(lambda p, options=options: loss(p, **options)))(params)
        for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_predictions_are_normalised():
    log_probs = token_log_probs(MODEL, init_params(MODEL, seed=0), random_ids(3, 7))
    assert log_probs.shape == (3, 7, MODEL.vocab_size)
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1, atol=1e-5)


def test_more_positions_than_the_context_are_refused():
    with pytest.raises(ValueError, match="13 positions are more than the model's context 12"):
        nnx.merge(graph_of(MODEL), init_params(MODEL, seed=0))(random_ids(1, 13))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ModelConfig.from_width(48, vocab_size=50, context=12), None),
        (lambda: ModelConfig.from_width(130, vocab_size=50, context=12), "width / n_heads"),
        (lambda: ModelConfig.from_width(33, vocab_size=50, context=12), "even number"),
        (lambda: ModelConfig.from_width(64, vocab_size=0, context=12), "vocab_size must be"),
        (lambda: OptimizerConfig(learning_rate=0, weight_decay=0.1), "learning_rate must be > 0"),
        (lambda: OptimizerConfig(learning_rate=1, weight_decay=-1), "weight_decay must be >= 0"),
        (lambda: TrainConfig(n_epochs=0), "n_epochs must be a whole number >= 1; not 0"),
        (lambda: TrainConfig(n_epochs=1, data_order="sorted"), "data_order must be one of"),
    ],
)
def test_bad_settings_are_refused_with_what_is_allowed(make, said):
    if said is None:
        assert make().n_heads == 1
    else:
        with pytest.raises(ValueError, match=said):
            make()
