"""What each lever means, that it acts where it is used, and costs nothing where it is not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from models.config import ModelConfig, OptimizerConfig, TrainConfig, levers_in_use
from models.language.distill import distill_soft
from models.network.transformer import Dropout
from models.text.batches import unscored
from models.training.levers import batch_of, clipped, skipped_blocks, weight_decay_at
from models.training.optimizers import Hyperparameters, learning_rate_at
from models.training.train import (
    Execution,
    Program,
    TrainState,
    graph_of,
    init_params,
    init_state,
    train_step,
)

MODEL = ModelConfig.from_width(8, vocab_size=30, context=8, n_layers=1)
PLAIN = OptimizerConfig(learning_rate=0.01, weight_decay=0.1)
WINDOWS = np.random.default_rng(0).integers(30, size=(4, 9))
LEVERS = {
    "clip_norm": 0.5, "final_decay": 0.0, "z_loss": 1e-4, "replaced_share": 0.2,
    "masked_share": 0.2, "reversed_share": 0.5, "stochastic_depth": 0.2, "final_noise": 0.5,
    "future_loss": 0.3,
}  # fmt: skip
NEEDS = {"final_noise": {"masked_share": 0.2}}
"""Levers without which another has no meaning."""
AHEAD = dataclasses.replace(MODEL, future_tokens=2)
KEY = jax.random.key(0)


def settings(**levers):
    """Optimiser and training settings with some levers."""
    names = {field.name for field in dataclasses.fields(OptimizerConfig)}
    optimizer = {name: value for name, value in levers.items() if name in names}
    train = {name: value for name, value in levers.items() if name not in names}
    return dataclasses.replace(PLAIN, **optimizer), TrainConfig(n_epochs=1, batch_size=4, **train)


def hyper_of(n_steps=200, seed=0, **levers):
    optimizer, train = settings(**levers)
    return Hyperparameters.of(optimizer, n_steps, train=train, seed=seed)


def program_of(model=MODEL, execution=None, **levers):
    return Program.of(model, *settings(**levers), execution)


def traced(step, program, hyper):
    """The operations of a step, as text."""
    state = jax.eval_shape(lambda: init_state(program, 0))
    return str(jax.make_jaxpr(lambda *given: step(program, *given))(state, WINDOWS, hyper))


def step_without_levers(program, state, windows, hyper):
    """The step as it was before there were levers, written out."""

    def loss_of(params):
        inputs, targets = windows[:, :-1], windows[:, 1:]
        params = jax.tree.map(lambda leaf: leaf.astype("float32"), params)
        logits = nnx.merge(graph_of(program.model), params)(inputs)
        gold = jnp.sum(logits * jax.nn.one_hot(targets, program.model.vocab_size), axis=-1)
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - gold)

    jax.random.fold_in(jax.random.key(hyper.seed), state.step)  # for dropout, were there any
    loss, gradient = jax.value_and_grad(loss_of)(state.params)
    optimizer = optax.chain(
        optax.scale_by_adam(hyper.beta1, hyper.beta2, hyper.epsilon),
        optax.add_decayed_weights(
            hyper.weight_decay,
            mask=lambda params: jax.tree_util.tree_map_with_path(
                lambda path, _: "gain" not in {getattr(key, "key", None) for key in path}, params
            ),
        ),
        optax.scale(-learning_rate_at(state.step, hyper)),
    )
    updates, moments = optimizer.update(gradient, state.moments, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(params, moments, None, state.step + 1), loss


def test_a_step_without_levers_has_no_operation_of_theirs():
    program, hyper = program_of(), hyper_of()
    assert hyper.levers == {}
    assert traced(train_step, program, hyper) == traced(step_without_levers, program, hyper)


@pytest.mark.parametrize("name", LEVERS)
def test_every_lever_changes_the_step_that_uses_it(name):
    needed = NEEDS.get(name, {})
    lever = {name: LEVERS[name], **needed}
    model = AHEAD if name == "future_loss" else MODEL
    assert program_of(model, **lever).levers == lever.keys()
    changed = traced(train_step, program_of(model, **lever), hyper_of(**lever))
    assert len(changed) > len(traced(train_step, program_of(**needed), hyper_of(**needed))) + 100


def test_all_levers_are_tried_here():
    every = [
        field
        for settings_ in (OptimizerConfig, TrainConfig)
        for field in dataclasses.fields(settings_)
        if field.metadata.get("lever")
    ]
    assert {field.name for field in every} == LEVERS.keys()
    optimizer, train = settings(**LEVERS)
    assert levers_in_use(optimizer, train) == LEVERS
    assert all(field.metadata["since"] > 1 for field in every)  # run ids do not change


def test_other_strengths_of_a_lever_need_no_compilation():
    assert program_of(clip_norm=1.0) == program_of(clip_norm=2.0)
    assert hash(program_of(clip_norm=1.0)) == hash(program_of(clip_norm=2.0))
    assert program_of(clip_norm=1.0) != program_of()


@pytest.mark.parametrize("limit", [0.5, 5.0, 50.0])
def test_a_gradient_is_clipped_to_its_norm_over_all_weights(limit):
    gradient = {"a": np.array([3.0, 0.0], np.float32), "b": np.array([[4.0]], np.float32)}
    found = clipped(gradient, hyper_of(clip_norm=limit))
    for name, leaf in gradient.items():  # the norm is 5
        np.testing.assert_allclose(found[name], leaf * min(1, limit / 5), rtol=1e-6)


def test_weight_decay_ends_where_it_should():
    for final in (0.0, 3.0):
        hyper = hyper_of(n_steps=11, final_decay=final)
        found = [float(weight_decay_at(jnp.int32(step), hyper)) for step in range(11)]
        np.testing.assert_allclose(found, 0.1 * np.linspace(1, final, 11), rtol=1e-5)
    assert weight_decay_at(jnp.int32(5), hyper_of()) == np.float32(0.1)


def test_a_linear_schedule_equals_that_of_optax():
    optimizer = dataclasses.replace(PLAIN, schedule="linear")
    hyper = Hyperparameters.of(optimizer, 200)
    oracle = optax.join_schedules(
        [optax.linear_schedule(0, 0.01, 10), optax.linear_schedule(0.01, 0, 190)], [10]
    )
    for step in (0, 5, 9, 10, 100, 199):
        assert float(learning_rate_at(step, hyper)) == pytest.approx(
            float(oracle(step + 1)), abs=1e-8
        )


@pytest.mark.parametrize("is_marked", [pytest.param(False, marks=pytest.mark.long), True])
def test_z_loss_adds_the_mean_square_of_the_normaliser_and_is_not_reported(is_marked):
    windows = WINDOWS.copy()
    if is_marked:
        windows[:, 4:] = unscored(windows[:, 4:])
    program = dataclasses.replace(program_of(z_loss=0.1), has_unscored=is_marked)
    state = init_state(program, 0)
    scored = windows[:, 1:] >= 0
    ids = np.where(windows < 0, ~windows, windows)

    def losses(params):
        logits = nnx.merge(graph_of(MODEL), params)(ids[:, :-1])
        normaliser = jnp.log(jnp.exp(logits).sum(axis=-1))
        gold = jnp.take_along_axis(logits, ids[:, 1:, None], axis=-1)[..., 0]
        loss = jnp.mean(normaliser - gold, where=scored)
        return loss + 0.1 * jnp.mean(normaliser**2, where=scored), loss

    (_, expected), gradient = jax.jit(jax.value_and_grad(losses, has_aux=True))(state.params)
    stepped, loss = jax.jit(train_step, static_argnums=0)(
        program, state, windows, hyper_of(z_loss=0.1)
    )
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)
    moments = stepped.moments[0].mu  # (1 - beta1) of the first gradient
    for found, wanted in zip(jax.tree.leaves(moments), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(found, 0.1 * wanted, atol=1e-5)


MANY = np.random.default_rng(1).integers(30, size=(500, 41))


def test_input_tokens_are_replaced_by_others_at_their_rate_and_documents_stay():
    model = dataclasses.replace(MODEL, context=40, end_of_text_id=7)
    read = batch_of(MANY, KEY, hyper_of(replaced_share=0.3), model)
    ids, inputs = MANY[:, :-1], np.asarray(read.inputs)
    ends = ids == 7
    np.testing.assert_array_equal(inputs[ends], 7)
    assert not (inputs[~ends] == 7).any()
    # One of 29 draws is the token itself: what differs is .3 * 28 / 29 of the tokens.
    assert (inputs != ids)[~ends].mean() == pytest.approx(0.3 * 28 / 29, abs=0.01)
    drawn = np.bincount(inputs[(inputs != ids) & ~ends], minlength=30)
    np.testing.assert_allclose(np.delete(drawn, 7) / drawn.sum(), 1 / 29, atol=0.008)
    np.testing.assert_array_equal(read.windows, MANY)  # the targets are those of the text
    assert read.masked is None


def test_masked_tokens_are_not_seen_and_others_are():
    read = batch_of(MANY[:, :9], KEY, hyper_of(masked_share=0.4), MODEL)
    ends = MANY[:, :8] == MODEL.end_of_text_id
    masked = np.asarray(read.masked)
    assert not masked[ends].any()
    assert masked[~ends].mean() == pytest.approx(0.4, abs=0.02)
    np.testing.assert_array_equal(read.inputs, MANY[:, :8])
    network = nnx.merge(graph_of(MODEL), init_params(MODEL, 0))
    ids, other = MANY[:16, :8], np.where(masked[:16], 29 - MANY[:16, :8], MANY[:16, :8])
    seen = network(ids, masked_BT=masked[:16])
    np.testing.assert_array_equal(seen, network(other, masked_BT=masked[:16]))
    assert not np.allclose(seen, network(ids), atol=1e-3)


def test_noise_ends_where_it_should():
    hyper = hyper_of(n_steps=11, masked_share=0.4, replaced_share=0.2, final_noise=0.0)
    model = dataclasses.replace(MODEL, context=40)
    for step, factor in ((0, 1), (5, 0.5), (10, 0)):
        read = batch_of(MANY, KEY, hyper, model, jnp.int32(step))
        assert np.mean(read.masked) == pytest.approx(0.4 * factor * 29 / 30, abs=0.01)
        changed = np.mean(np.asarray(read.inputs) != MANY[:, :-1])
        assert changed == pytest.approx(0.2 * factor * 28 / 30, abs=0.01)


@pytest.mark.long
def test_further_tokens_are_predicted_from_where_they_are_not_seen_and_not_reported():
    program = Program.of(AHEAD, *settings(future_loss=0.3))
    state = init_state(program, 0)
    params = nnx.to_pure_dict(state.params)

    def losses(params):
        network = nnx.merge(graph_of(AHEAD), params)
        inputs, found = WINDOWS[:, :-1], []
        states = network._states(inputs)
        for ahead in (0, 1, 2):
            moved = states + states @ network.future[...][ahead - 1] if ahead else states
            log_probs = jax.nn.log_softmax(network._logits(moved).reshape(4, 8, 30))
            targets = WINDOWS[:, 1 + ahead :, None]
            gold = jnp.take_along_axis(log_probs[:, : 8 - ahead], targets, axis=-1)
            found.append(-jnp.mean(gold))
        return found[0] + 0.3 * (found[1] + found[2]) / 2, found[0]

    (_, expected), gradient = jax.jit(jax.value_and_grad(losses, has_aux=True))(state.params)
    stepped, loss = jax.jit(train_step, static_argnums=0)(
        program, state, WINDOWS, hyper_of(future_loss=0.3)
    )
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)
    for found, wanted in zip(
        jax.tree.leaves(stepped.moments[0].mu), jax.tree.leaves(gradient), strict=True
    ):
        np.testing.assert_allclose(found, 0.1 * wanted, atol=1e-5)
    assert params["future"].shape == (2, 8, 8)
    n_weights = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert n_weights == AHEAD.n_params == MODEL.n_params + 2 * 8**2
    assert AHEAD.n_params_non_embedding == MODEL.n_params_non_embedding
    per_token = AHEAD.train_flops_per_token - MODEL.train_flops_per_token
    assert per_token == 6 * 2 * (8 * 8 + 8 * 30)


@pytest.mark.long
@pytest.mark.parametrize("n_layers", [2, pytest.param(5, marks=pytest.mark.exhaustive)])
def test_looped_blocks_equal_as_many_blocks_that_share_their_weights(n_layers):
    model = ModelConfig.from_width(8, vocab_size=30, context=8, n_layers=n_layers)
    looped = dataclasses.replace(model, n_loops=2)
    deep = dataclasses.replace(model, n_layers=2 * n_layers)
    assert looped.n_params == model.n_params
    assert looped.train_flops_per_token == pytest.approx(deep.train_flops_per_token, rel=0.01)
    network = nnx.merge(graph_of(looped), init_params(looped, 0))
    other = nnx.merge(graph_of(deep), init_params(deep, 0))
    definition, blocks = nnx.split(network.blocks)
    twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), blocks)
    other.blocks, other.embedding = nnx.merge(definition, twice), network.embedding
    other.norm, other.head = network.norm, network.head
    ids = WINDOWS[:, :8]
    whole = nnx.jit(lambda net: net(ids))(network)
    np.testing.assert_allclose(whole, nnx.jit(lambda net: net(ids))(other), atol=1e-5)
    # Token by token, each loop has keys and values of its own.
    extend = nnx.jit(lambda net, *read: net.extend(*read))
    cache, logits = network.empty_cache(4), []
    for at in range(8):
        out, cache = extend(network, ids[:, at : at + 1], jnp.full((4, 1), at), at, cache)
        logits.append(out)
    np.testing.assert_allclose(jnp.concatenate(logits, axis=1), whole, atol=1e-5)
    # Every pass of a block is skipped for itself.
    skipped = nnx.jit(lambda net: net(ids, skip=Dropout(KEY, 0.999)))(network)
    bare = network._logits(network.embedding[...][ids.reshape(-1)]).reshape(4, 8, 30)
    np.testing.assert_allclose(skipped, bare, atol=1e-4)


def test_a_number_of_warmup_steps_replaces_their_share():
    optimizer = dataclasses.replace(PLAIN, warmup_steps=20)
    for n_steps in (100, 1_000):
        rates = [
            float(learning_rate_at(s, Hyperparameters.of(optimizer, n_steps))) for s in (9, 19)
        ]
        assert rates == pytest.approx([0.005, 0.01])
    with pytest.raises(ValueError, match="warmup_steps must be at most 10, after which the"):
        Hyperparameters.of(optimizer, 10)


def test_no_token_is_both_replaced_and_masked():
    hyper = hyper_of(replaced_share=0.3, masked_share=0.5)
    read = batch_of(MANY, KEY, hyper, dataclasses.replace(MODEL, context=40))
    masked = np.asarray(read.masked)
    replaced = np.asarray(read.inputs) != MANY[:, :-1]
    assert not (masked & replaced).any()
    assert masked.mean() == pytest.approx(0.5 * 29 / 30, abs=0.01)


def test_a_share_of_the_windows_is_read_from_right_to_left():
    marked = MANY.copy()
    marked[:, 3] = unscored(marked[:, 3])
    windows = np.asarray(batch_of(marked, KEY, hyper_of(reversed_share=0.25), MODEL).windows)
    turned = (windows == marked[:, ::-1]).all(axis=1)
    assert ((windows == marked).all(axis=1) | turned).all()
    assert turned.mean() == pytest.approx(0.25, abs=0.06)


@pytest.mark.long
def test_levers_draw_anew_at_every_step_and_for_every_seed_but_not_for_parts_of_a_batch():
    levers = {"replaced_share": 0.3, "reversed_share": 0.5}

    def stepped(seed=0, n_parts=1):
        program = program_of(execution=Execution(n_microbatches=n_parts), **levers)
        step = jax.jit(train_step, static_argnums=0)
        state, first = step(program, init_state(program, 0), WINDOWS, hyper_of(seed=seed, **levers))
        still = state._replace(params=init_params(MODEL, 0))
        return float(first), float(step(program, still, WINDOWS, hyper_of(seed=seed, **levers))[1])

    first, second = stepped()
    assert len({first, second, stepped(seed=1)[0]}) == 3
    assert stepped(n_parts=2) == pytest.approx((first, second), abs=1e-5)


def test_a_skipped_block_adds_nothing_and_the_others_add_more():
    x = jnp.ones((400, 3, 5))
    out = np.asarray(Dropout(KEY, 0.25).whole(x.reshape(1200, 5), 400, 0)).reshape(400, 15)
    assert (out == out[:, :1]).all()  # a sequence is dropped as a whole
    assert set(np.unique(out).round(4)) == {0.0, np.float32(1 / 0.75).round(4)}
    assert (out[:, 0] == 0).mean() == pytest.approx(0.25, abs=0.07)
    network = nnx.merge(graph_of(MODEL), init_params(MODEL, 0))
    ids = MANY[:64, :8]
    whole = np.asarray(network(ids))
    nothing = np.asarray(network(ids, skip=Dropout(KEY, 0.0)))
    np.testing.assert_allclose(nothing, whole, atol=1e-5)
    skip = skipped_blocks(KEY, 0, hyper_of(stochastic_depth=0.5))
    found = np.asarray(network(ids, skip=skip))
    bare = np.asarray(network._logits(network.embedding[...][ids.reshape(-1)])).reshape(whole.shape)
    skipped = np.isclose(found, bare, atol=1e-5).all(axis=(1, 2))
    assert 0.2 < skipped.mean() < 0.8


@pytest.mark.long
def test_normed_queries_and_keys_do_not_depend_on_their_scale():
    model = dataclasses.replace(MODEL, qk_norm=True, norm_epsilon=1e-12)
    assert model.n_params_non_embedding == MODEL.n_params_non_embedding + 2 * MODEL.head_width
    params = init_params(model, 0)
    n_weights = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert n_weights == model.n_params
    network = nnx.merge(graph_of(model), params)
    logits = network(WINDOWS[:, :-1])
    qkv = network.blocks.attention.qkv[...]
    width = model.width
    network.blocks.attention.qkv[...] = qkv.at[..., : 2 * width].multiply(7.0)
    np.testing.assert_allclose(network(WINDOWS[:, :-1]), logits, atol=1e-4)
    x = jax.random.normal(KEY, (8, width))
    at = jnp.zeros((1, 8), int)  # not rotated: the norm of a head is that of its gains
    attention = jax.tree.map(lambda leaf: leaf[0], nnx.split(network.blocks.attention)[1])
    one = nnx.merge(nnx.split(network.blocks.attention)[0], attention)
    for projected in one.project(x, at)[:2]:
        np.testing.assert_allclose(jnp.mean(projected**2, axis=-1), 1, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        *(
            (lambda name=name, value=value: settings(**{name: value}), f"{name} must be .*; not")
            for name in LEVERS
            for value in (-0.1, float("nan"), float("inf"))
        ),
        *(
            (lambda name=name: settings(**{name: 1.0}), rf"{name} must be in \[0, 1\); not 1")
            for name in LEVERS
            if name.endswith("share") or name == "stochastic_depth"
        ),
        (
            lambda: settings(replaced_share=0.6, masked_share=0.5),
            r"replaced_share \+ masked_share must be below 1; not 1.1",
        ),
        (
            lambda: program_of(
                dataclasses.replace(MODEL, attend_across_documents=False), reversed_share=0.5
            ),
            "reversed_share needs attend_across_documents: in a window",
        ),
        (
            lambda: distill_soft(
                MODEL, [(MODEL, init_params(MODEL, 0))], WINDOWS.ravel(), optimizer=PLAIN,
                train=settings(masked_share=0.1, z_loss=0.1)[1], seed=0,
            ),
            "soft targets do not support masked_share, z_loss",
        ),
        (
            lambda: settings(final_noise=0.5),
            "final_noise needs replaced_share or masked_share, which are both 0",
        ),
        (
            lambda: settings(masked_share=0.5, final_noise=2.0),
            r"final_noise \* \(replaced_share \+ masked_share\) must be below 1; not 1",
        ),
        (lambda: program_of(AHEAD), r"future_loss need each other: .*\(2\).*\(0\)"),
        (lambda: program_of(future_loss=0.1), "future_tokens and future_loss need each other"),
        (lambda: dataclasses.replace(MODEL, future_tokens=8), r"future_tokens must be .*\[0, 8\)"),
        (lambda: dataclasses.replace(MODEL, n_loops=0), "n_loops must be a whole number >= 1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_the_reason(make, said):
    with pytest.raises(ValueError, match=said):
        make()
