"""What each knob of a recipe means."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.network.transformer import Dropout
from models.training.optimizers import (
    Hyperparameters,
    average_weight_at,
    learning_rate_at,
    optimizer_of,
)
from models.training.train import Program, init_params, init_state, mean_loss
from models.training.train import train_step as plain_step

MODEL = ModelConfig.from_width(16, vocab_size=30, context=8)
train_step = jax.jit(plain_step, static_argnums=0)
WINDOWS = np.random.default_rng(0).integers(30, size=(4, 9))


def stepped(optimizer, *, n_steps=1, **train):
    """Weights before and after some steps of a run of 200, by name."""
    train = TrainConfig(n_epochs=1, **train)
    program, hyper = Program.of(MODEL, optimizer, train), Hyperparameters.of(optimizer, 200)
    state = first = init_state(program, 0)
    for _ in range(n_steps):
        state, _ = train_step(program, state, WINDOWS, hyper)
    return named(first.params), named(state.params)


def named(params):
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return {
        ".".join(str(k.key) for k in path if hasattr(k, "key")): np.asarray(x) for path, x in leaves
    }


def test_wsd_stays_at_its_peak_and_falls_linearly_to_zero():
    hyper = Hyperparameters.of(
        OptimizerConfig(learning_rate=0.01, weight_decay=0, schedule="wsd", cooldown_fraction=0.2),
        200,
    )
    oracle = optax.join_schedules(
        [
            optax.linear_schedule(0, 0.01, 10),
            optax.constant_schedule(0.01),
            optax.linear_schedule(0.01, 0, 40),
        ],
        [10, 160],
    )
    for step in (0, 5, 9, 10, 100, 159, 160, 180, 199):
        assert float(learning_rate_at(step, hyper)) == pytest.approx(
            float(oracle(step + 1)), abs=1e-8
        )


@pytest.mark.parametrize(
    ("decayed", "which"),
    [
        ("matrices", lambda name: "gain" not in name and "norm" not in name),
        ("hidden", lambda name: name.startswith("blocks") and "norm" not in name),
        ("all", lambda name: True),
    ],
)
def test_what_decays_is_what_is_said(decayed, which):
    lr = 0.01 / 10  # the first of ten warm-up steps
    after = {
        decay: stepped(OptimizerConfig(learning_rate=0.01, weight_decay=decay, decayed=decayed))
        for decay in (0.0, 3.2)
    }
    for name, before in after[0.0][0].items():
        taken = after[0.0][1][name] - after[3.2][1][name]
        np.testing.assert_allclose(taken, lr * 3.2 * before * which(name), atol=1e-6)


@pytest.mark.long
def test_muon_is_that_of_optax_for_every_matrix_and_head_and_leaves_the_rest_to_adam():
    """Three steps, on gradients drawn at random, of a model with shared keys and values."""
    model = ModelConfig(
        vocab_size=30, width=16, n_layers=2, n_heads=2, n_kv_heads=1, mlp_width=24, context=8
    )
    n_parts = {"qkv": 2 + 2 * 1, "gate_and_up": 2}
    settings = OptimizerConfig(learning_rate=1, weight_decay=0, name="muon", decayed="hidden")
    hyper, rate, decay = Hyperparameters.of(settings, 9), np.float32(0.02), np.float32(0.4)
    rng, first = np.random.default_rng(0), init_params(model, 0)
    gradients = [
        jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), first)
        for _ in range(3)
    ]

    def stepped(optimizer, params, gradients):
        state, update = optimizer.init(params), jax.jit(optimizer.update)
        for gradient in gradients:
            updates, state = update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        return params

    def parts(params):
        """The matrices of the blocks, those of all layers, and of their parts, stacked."""
        return {
            name: np.concatenate(np.split(leaf, n_parts.get(name.rpartition(".")[2], 1), axis=2))
            for name, leaf in named(params).items()
            if name.startswith("blocks") and "norm" not in name
        }

    ours = stepped(optimizer_of("muon", "hidden", model, hyper, rate, decay), first, gradients)
    each = jax.tree.map(lambda _: contrib.MuonDimensionNumbers(1, 2), parts(first))
    muon = contrib.muon(
        rate, beta=0.95, nesterov=True, consistent_rms=0.2, weight_decay=decay,
        muon_weight_dimension_numbers=each,
    )  # fmt: skip
    theirs = stepped(muon, parts(first), [parts(gradient) for gradient in gradients])
    counts = {name.rpartition(".")[2]: len(leaf) for name, leaf in theirs.items()}
    assert counts == {"qkv": 2 * 4, "out": 2, "gate_and_up": 2 * 2, "down": 2}
    for name, found in parts(ours).items():
        np.testing.assert_allclose(found, theirs[name], atol=2e-5, err_msg=name)
    adam = optimizer_of("adamw", "hidden", model, hyper, rate, decay)
    by_adam, found = named(stepped(adam, first, gradients)), named(ours)
    for name in ("head", "embedding", "norm.gain", "blocks.mlp_norm.gain"):
        np.testing.assert_allclose(found[name], by_adam[name], atol=1e-6)


def test_dropout_zeroes_a_share_and_keeps_the_mean():
    x = jnp.ones((200, 50))
    drop = Dropout(jax.random.key(0), 0.3)
    out = np.asarray(drop(x, 1, 0))
    assert set(np.unique(out).round(4)) == {0.0, np.float32(1 / 0.7).round(4)}
    assert (out == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert (np.asarray(drop(x, 1, 1)) != out).any()
    np.testing.assert_array_equal(drop(x, 1, 0), out)


@pytest.mark.long
def test_dropout_acts_in_training_only_and_anew_at_every_step():
    optimizer = OptimizerConfig(learning_rate=1e-9, weight_decay=0.0)
    train = TrainConfig(n_epochs=1, dropout=0.3)
    program = Program.of(MODEL, optimizer, train)
    hyper = Hyperparameters.of(optimizer, 200, train=train, seed=1)
    state = init_state(program, 0)
    losses = []
    for _ in range(3):
        state, loss = train_step(program, state, WINDOWS, hyper)
        losses.append(float(loss))
    clean = float(mean_loss(MODEL, state.params, WINDOWS))
    assert len({*losses, clean}) == 4
    # The draw depends on seed and step alone, so a resumed run repeats it.
    again = train_step(program, init_state(program, 0), WINDOWS, hyper)[1]
    assert float(again) == losses[0]
    other = Hyperparameters.of(optimizer, 200, train=train, seed=2)
    assert float(train_step(program, init_state(program, 0), WINDOWS, other)[1]) != losses[0]


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        # Epochs of 3 steps; the weights after steps 3, 6, 9, 12 end an epoch.
        ({"weight_average": "snapshots", "n_snapshots": 2}, [0] * 8 + [9, 9, 9, 10.5]),
        (
            {"weight_average": "snapshots", "n_snapshots": 9},
            [0, 0, 3, 3, 3, 4.5, 4.5, 4.5, 6, 6, 6, 7.5],
        ),
        ({"weight_average": "ema", "ema_decay": 0.75}, None),
    ],
)
def test_averages_are_what_they_are_called(train, expected):
    """The weight after step k is k; the average before the first weight counts as 0."""
    train = TrainConfig(n_epochs=4, **train)
    hyper = Hyperparameters.of(OptimizerConfig(learning_rate=1, weight_decay=0), 12, train=train)
    if expected is None:
        expected, mean = [], 0.0
        for k in range(1, 13):  # a plain mean of the first four, then decay .75
            mean += max(0.25, 1 / k) * (k - mean)
            expected.append(mean)
        assert expected[:4] == [1, 1.5, 2, 2.5]
    average, found = 0.0, []
    for step in range(12):
        average += float(average_weight_at(step, hyper)) * (step + 1 - average)
        found.append(average)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_average_is_what_is_kept_and_the_run_itself_does_not_change():
    optimizer = OptimizerConfig(learning_rate=0.01, weight_decay=0.1)
    train = TrainConfig(n_epochs=1, weight_average="ema", ema_decay=0.5)
    program = Program.of(MODEL, optimizer, train)
    hyper = Hyperparameters.of(optimizer, 200, train=train)
    plain, state = init_state(Program(model=MODEL), 0), init_state(program, 0)
    seen = []
    for _ in range(3):
        state, _ = train_step(program, state, WINDOWS, hyper)
        plain, _ = train_step(Program(model=MODEL), plain, WINDOWS, hyper)
        seen.append(named(state.params)["head"])
    # Of two programs, which need not round alike.
    np.testing.assert_allclose(named(state.params)["head"], named(plain.params)["head"], atol=1e-6)
    expected = ((seen[0] + seen[1]) / 2 + seen[2]) / 2
    np.testing.assert_allclose(named(state.result)["head"], expected, atol=1e-6)
    assert plain.result is plain.params


@pytest.mark.long
def test_bfloat16_computes_in_half_precision_and_keeps_the_weights_whole():
    optimizer = OptimizerConfig(learning_rate=0.01, weight_decay=0.1)
    train = TrainConfig(n_epochs=1, precision="bfloat16")
    program = Program.of(MODEL, optimizer, train)
    hyper = Hyperparameters.of(optimizer, 200)
    state, loss = train_step(program, init_state(program, 0), WINDOWS, hyper)
    whole = float(mean_loss(MODEL, init_params(MODEL, 0), WINDOWS))
    assert 0 < abs(float(loss) - whole) < 0.02
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: OptimizerConfig(learning_rate=1, weight_decay=0, name="sgd"),
            "name must be one of",
        ),
        (lambda: OptimizerConfig(learning_rate=1, weight_decay=0, decayed="gains"), "decayed must"),
        (
            lambda: OptimizerConfig(learning_rate=1, weight_decay=0, cooldown_fraction=0.99),
            "cooldown_fraction must be positive, and at most 1 - warmup_fraction; not 0.99",
        ),
        (lambda: TrainConfig(n_epochs=1, dropout=1.0), r"dropout must be in \[0, 1\); not 1.0"),
        (lambda: TrainConfig(n_epochs=1, precision="float8"), "precision must be one of"),
        (lambda: TrainConfig(n_epochs=1, weight_average="swa"), "weight_average must be one of"),
    ],
)
def test_bad_knobs_are_refused_with_what_is_allowed(make, said):
    with pytest.raises(ValueError, match=said):
        make()
