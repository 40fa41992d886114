"""Held-out losses along a run: when they are taken, of what, at what cost, and what they change."""

import dataclasses

import jax
import numpy as np
import pytest

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.text.batches import evaluation_windows
from models.training.evaluate import BATCH_WINDOWS, held_out_loss
from models.training.job_list import Finished, Job, Segment, train_jobs
from models.training.jobs import MOST_SCORING
from models.training.train import init_state, train_segment

MODEL = ModelConfig.from_width(8, vocab_size=30, context=8, n_layers=1)
RNG = np.random.default_rng(0)
TOKENS, HELD_OUT = RNG.integers(30, size=1024), RNG.integers(30, size=4096)


def make_job(*, n_epochs=5, n_held_out=90, score_every=1.0, batch_size=4, seed=0, **train):
    return Job(
        id=f"job {seed}", model=MODEL,
        optimizer=OptimizerConfig(learning_rate=0.01, weight_decay=0.1),
        train=TrainConfig(n_epochs=n_epochs, batch_size=batch_size, **train), seed=seed,
        tokens=TOKENS,
        held_out={"validation": evaluation_windows(HELD_OUT[:n_held_out], context=8)},
        score_every=score_every,
    )  # fmt: skip


def trained(jobs, **options):
    """The curve and the weights of each job, by its id."""
    events = []
    train_jobs(jobs, events.append, **options)
    curves = {job.id: {} for job in jobs}
    for event in events:
        if isinstance(event, Segment) and event.validation_loss is not None:
            curves[event.job.id][event.first_step + len(event.losses)] = event.validation_loss
    done = [event for event in events if isinstance(event, Finished)]
    return curves, {event.job.id: jax.tree.leaves(event.params) for event in done}


@pytest.mark.long
@pytest.mark.parametrize("train", [{}, {"weight_average": "ema"}])
def test_scores_are_those_of_the_weights_at_their_steps_and_change_nothing(train):
    job = make_job(**train)
    every, windows = job.scores_along
    curves, weights = trained([job])
    assert sorted(curves[job.id]) == [*range(every, job.n_steps, every), job.n_steps]
    silent = dataclasses.replace(job, score_every=0.0)
    none, expected = trained([silent])
    assert none == {job.id: {}}
    for one, other in zip(weights[job.id], expected[job.id], strict=True):
        np.testing.assert_array_equal(one, other)
    starts, _ = silent.reads(0)  # the steps before the first score, without a job list
    program = job.program()
    state, _ = train_segment(
        program, init_state(program, 0), job.padded_ring, starts, np.int32(every),
        job.hyperparameters,
    )  # fmt: skip
    assert curves[job.id][every] == held_out_loss(MODEL, state.result, windows)


@pytest.mark.parametrize("score_every", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("n_held_out", [90, 600, 4096])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_scoring_takes_a_bounded_share_of_the_operations(score_every, n_held_out, batch_size):
    job = make_job(score_every=score_every, n_held_out=n_held_out, batch_size=batch_size)
    every, windows = job.scores_along
    # A forward pass over the windows, against forward and backward ones (three times as much).
    assert windows[:, 1:].size / (3 * every * job.tokens_per_step) <= MOST_SCORING
    assert every % round(score_every * job.steps_per_epoch) == 0
    everything = job.held_out["validation"]
    assert len(windows) in (len(everything), *range(BATCH_WINDOWS, 4096, BATCH_WINDOWS))
    assert len({row.tobytes() for row in windows}) == len(windows)
    assert {row.tobytes() for row in windows} <= {row.tobytes() for row in everything}


def test_nothing_is_scored_that_was_not_asked_for_or_has_no_validation_part():
    assert make_job(score_every=0.0).scores_along is None
    assert dataclasses.replace(make_job(), held_out={}).scores_along is None


@pytest.mark.long
def test_models_trained_side_by_side_are_scored_like_those_trained_alone():
    jobs = [make_job(seed=0), make_job(seed=1, n_epochs=3)]
    alone, _ = trained(jobs)
    together, _ = trained(jobs, layout="side_by_side")
    for job in jobs:
        assert together[job.id] == pytest.approx(alone[job.id], abs=1e-5)
