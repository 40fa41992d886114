import logging

import jax
import numpy as np
import optax
import pytest

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.text.batches import as_ring, evaluation_windows
from models.training.checkpoint import (
    CheckpointError,
    load_params,
    load_state,
    save_params,
    save_state,
)
from models.training.evaluate import held_out_loss
from models.training.job_list import Failed, Finished, Job, Segment, train_jobs
from models.training.train import (
    SEGMENT_STEPS,
    Hyperparameters,
    Program,
    init_params,
    init_state,
    learning_rate_at,
    mean_loss,
    train_segment,
)
from models.training.train import train_step as plain_step

MODEL = ModelConfig.from_width(16, vocab_size=30, context=8)
train_step = jax.jit(plain_step, static_argnums=0)
PROGRAM = Program(model=MODEL)
ADAMW = OptimizerConfig(learning_rate=0.01, weight_decay=0.8)
GOLDEN = (3.66506, 3.91879, 3.68317)


def markov_tokens(n: int, seed: int = 0) -> np.ndarray:
    """A text with structure to learn: each token follows from the one before, with noise."""
    rng = np.random.default_rng(seed)
    noise = rng.random(n) < 0.3
    tokens = rng.integers(30, size=n)
    for i in range(1, n):
        if not noise[i]:
            tokens[i] = (7 * tokens[i - 1] + 3) % 30
    return tokens


def make_job(name="job", *, seed=0, n_epochs=3, weight_decay=0.8, width=16, n_tokens=4096, lr=0.01):
    return Job(
        id=name,
        model=ModelConfig.from_width(width, vocab_size=30, context=8),
        optimizer=OptimizerConfig(learning_rate=lr, weight_decay=weight_decay),
        train=TrainConfig(n_epochs=n_epochs, batch_size=4),
        seed=seed,
        tokens=markov_tokens(n_tokens),
        held_out={"validation": evaluation_windows(markov_tokens(500, seed=1), context=8)},
    )


def run_jobs(jobs, **options):
    events = []
    train_jobs(jobs, events.append, **options)
    return {event.job.id: event for event in events if isinstance(event, Finished)}, events


def weights(params):
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(params)])


def test_learning_rate_equals_optax_schedule():
    hyper = Hyperparameters.of(ADAMW, 200)
    oracle = optax.warmup_cosine_decay_schedule(0.0, 0.01, 10, 200)
    for step in (0, 4, 9, 10, 57, 198, 199):
        assert float(learning_rate_at(step, hyper)) == pytest.approx(
            float(oracle(step + 1)), abs=1e-8
        )


def test_a_step_equals_optax_adamw():
    windows = evaluation_windows(markov_tokens(100), context=8)[:4]
    hyper = Hyperparameters.of(ADAMW, 200)
    state = init_state(PROGRAM, 0)
    stepped, loss = train_step(PROGRAM, state, windows, hyper)
    loss_of = jax.jit(jax.value_and_grad(lambda p: mean_loss(MODEL, p, windows)))
    expected_loss, grads = loss_of(state.params)
    oracle = optax.adamw(
        float(learning_rate_at(0, hyper)), 0.9, 0.95, 1e-8, weight_decay=0.8,
        mask=jax.tree.map(lambda p: not (p == 1).all(), state.params),  # gains start at one
    )  # fmt: skip
    update = jax.jit(lambda g, p: optax.apply_updates(p, oracle.update(g, oracle.init(p), p)[0]))
    expected = update(grads, state.params)
    np.testing.assert_allclose(weights(stepped.params), weights(expected), atol=1e-7)
    assert float(loss) == pytest.approx(float(expected_loss), abs=1e-6)
    assert int(stepped.step) == 1


def test_decay_takes_lr_times_decay_off_matrices_and_leaves_gains_alone():
    """With and without decay, one step differs by lr * decay * weight: decoupled (AdamW)."""
    windows = evaluation_windows(markov_tokens(100), context=8)[:4]
    state = init_state(PROGRAM, 0)
    stepped = {
        decay: train_step(
            PROGRAM, state, windows,
            Hyperparameters.of(OptimizerConfig(learning_rate=0.01, weight_decay=decay), 200),
        )[0].params
        for decay in (0.0, 3.2)
    }  # fmt: skip
    lr = 0.01 / 10  # the first of ten warm-up steps
    leaves = (jax.tree.leaves(tree) for tree in (state.params, stepped[0.0], stepped[3.2]))
    for before, without, with_decay in zip(*leaves, strict=True):
        is_gain = (np.asarray(before) == 1).all()
        expected = 0 * np.asarray(before) if is_gain else lr * 3.2 * np.asarray(before)
        np.testing.assert_allclose(without - with_decay, expected, atol=1e-6)


def test_golden_first_steps():
    """Values of this code on 2026-11-23 (jax 0.10.2, CPU); change them only with the recipe.

    The first loss is near ln 30 = 3.401, as it must be for an untrained model.
    """
    starts = np.zeros((SEGMENT_STEPS, 4), np.int32)
    starts[:3] = np.arange(12).reshape(3, 4) * 8
    ring = as_ring(markov_tokens(4096), context=8).astype(np.int32)
    hyper = Hyperparameters.of(ADAMW, 200)
    _, losses = train_segment(PROGRAM, init_state(PROGRAM, 0), ring, starts, np.int32(3), hyper)
    assert float(losses[0]) == pytest.approx(np.log(30), abs=0.6)
    np.testing.assert_allclose(losses[:3], GOLDEN, atol=2e-4)
    assert not losses[3:].any()


@pytest.mark.long
def test_jobs_trained_together_equal_jobs_trained_alone():
    jobs = [
        make_job("a"),
        make_job("b", seed=1, n_epochs=2),
        make_job("c", weight_decay=0.0),
        make_job("wide", width=32, n_epochs=1),
    ]
    together, _ = run_jobs(jobs)
    for job in jobs:
        alone, _ = run_jobs([job], devices=jax.local_devices()[:1])
        np.testing.assert_allclose(
            weights(together[job.id].params), weights(alone[job.id].params), atol=1e-6
        )
        assert together[job.id].scores == pytest.approx(alone[job.id].scores, abs=1e-6)


@pytest.mark.long
def test_the_threads_of_a_cpu_share_what_is_compiled(caplog):
    jobs = [make_job(str(seed), seed=seed, width=24, n_epochs=1) for seed in range(4)]
    jax.config.update("jax_log_compiles", True)
    try:
        with caplog.at_level(logging.WARNING):
            done, _ = run_jobs(jobs)
    finally:
        jax.config.update("jax_log_compiles", False)
    assert len(done) == 4
    segment = "Finished XLA compilation of jit(segment)"
    assert sum(segment in message for message in caplog.messages) == 1


def test_training_learns_and_reports_every_step():
    done, events = run_jobs([make_job(n_epochs=8)])
    segments = [event for event in events if isinstance(event, Segment)]
    losses = np.concatenate([segment.losses for segment in segments])
    assert len(losses) == make_job(n_epochs=8).n_steps
    assert losses[-20:].mean() < losses[:20].mean() - 0.5
    event = done["job"]
    assert event.scores["validation"] == pytest.approx(
        held_out_loss(event.job.model, event.params, event.job.held_out["validation"])
    )


def test_an_interrupted_run_resumed_equals_an_uninterrupted_one():
    job = make_job(n_epochs=6)
    assert job.n_steps > 3 * SEGMENT_STEPS
    kept, seen = {}, []

    def interrupt_after_two(event):
        seen.append(event)
        if len([e for e in seen if isinstance(e, Segment)]) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_jobs(
            [job], interrupt_after_two,
            keep=lambda job, state: kept.update({job.id: jax.device_get(state)}),
        )  # fmt: skip
    assert 0 < kept["job"].step < job.n_steps
    resumed, events = run_jobs([job], load=lambda job: kept.get(job.id))
    whole, _ = run_jobs([job])
    assert events[0].first_step == kept["job"].step
    np.testing.assert_array_equal(weights(resumed["job"].params), weights(whole["job"].params))
    # What was seen before the interrupt and after it is the whole run, nothing twice.
    steps = [
        event.first_step + i
        for event in (*seen, *events)
        if isinstance(event, Segment)
        for i in range(len(event.losses))
    ]
    assert steps == list(range(job.n_steps))


def test_a_job_that_diverges_stops_and_the_others_go_on():
    done, _ = run_jobs([make_job("wild", lr=1e30), make_job("tame")])
    assert done["wild"].diverged
    assert not done["wild"].scores
    assert not done["tame"].diverged


def test_a_job_that_fails_is_reported_and_the_others_go_on():
    done, events = run_jobs([make_job("short", n_tokens=4096), make_job("fine", seed=1)],
        load=lambda job: 1 / 0 if job.id == "short" else None)  # fmt: skip
    failed = [event for event in events if isinstance(event, Failed)]
    assert [event.job.id for event in failed] == ["short"]
    assert list(done) == ["fine"]


def test_states_and_weights_survive_the_disk(tmp_path):
    state = init_state(PROGRAM, 3)
    save_state(tmp_path / "checkpoint.safetensors", state)
    save_state(tmp_path / "checkpoint.safetensors", state)
    found = load_state(tmp_path / "checkpoint.safetensors", PROGRAM)
    np.testing.assert_array_equal(weights(found), weights(state))
    assert jax.tree.structure(found) == jax.tree.structure(state)
    save_params(tmp_path / "params.safetensors", MODEL, state.params)
    params = load_params(tmp_path / "params.safetensors", MODEL)
    np.testing.assert_array_equal(weights(params), weights(state.params))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.safetensors",
        "params.safetensors",
    ]


def test_unreadable_weights_say_what_is_wrong(tmp_path):
    path = tmp_path / "params.safetensors"
    assert load_state(tmp_path / "checkpoint.safetensors", PROGRAM) is None
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_params(path, MODEL)
    path.write_bytes(b"\x00\x01garbage")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_params(path, MODEL)
    wide = ModelConfig.from_width(32, vocab_size=30, context=8)
    save_params(path, wide, init_params(wide, 0))
    with pytest.raises(CheckpointError, match="another architecture: width 32 not 16"):
        load_params(path, MODEL)
