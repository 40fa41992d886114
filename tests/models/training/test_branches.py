"""Runs of one trunk train their common steps once, and end as if each had trained by itself."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.runs.spec import DataConfig, RunSpec
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.training import job_list
from models.training.job_list import Finished, Job, Segment, train_jobs

MODEL = ModelConfig.from_width(8, vocab_size=30, context=8, n_layers=1)
TOKENS = np.random.default_rng(0).integers(30, size=1_024)
HELD_OUT = {"validation": np.random.default_rng(1).integers(30, size=(16, 9))}
OPTIMIZER = OptimizerConfig(
    learning_rate=0.01, weight_decay=0.8, schedule="wsd", warmup_steps=20, cooldown_fraction=0.25
)
EPOCHS = (2, 5, 12)  # of 32 steps each; the rate falls from step 48, 120 and 288 on


def spec_of(n_epochs, **changes):
    settings = {
        "model": MODEL, "optimizer": OPTIMIZER, "seed": 3,
        "data": DataConfig(
            corpus="stdlib", sha256="ab" * 32, n_unique_tokens=1_024, n_eval_tokens=64
        ),
        "train": TrainConfig(n_epochs=n_epochs, batch_size=4, masked_share=0.2),
    }  # fmt: skip
    return RunSpec(**settings | changes)


def job_of(spec, *, trunk=True):
    return Job(
        id=f"{spec.train.n_epochs}", model=spec.model, optimizer=spec.optimizer, train=spec.train,
        seed=spec.seed, tokens=TOKENS, held_out=HELD_OUT, score_every=1.0,
        trunk=spec.trunk_id if trunk else None,
    )  # fmt: skip


@pytest.fixture
def n_trained(monkeypatch):
    """The number of steps of every call of the compiled segment."""
    counts, segment = [], job_list.train_segment

    def counted(program, state, ring, reads, n_steps, hyper):
        counts.append(int(n_steps))
        return segment(program, state, ring, reads, n_steps, hyper)

    monkeypatch.setattr(job_list, "train_segment", counted)
    return counts


def trained(jobs, **options):
    """Weights, and losses by step with held-out losses, of each job."""
    events = []
    train_jobs(jobs, events.append, devices=jax.devices()[:1], layout="one_a_device", **options)
    ends = {event.job.id: event for event in events if isinstance(event, Finished)}
    losses, scores = {}, {}
    for event in events:
        if isinstance(event, Segment):
            of = losses.setdefault(event.job.id, {})
            of |= dict(enumerate(event.losses.tolist(), start=event.first_step))
            if event.validation_loss is not None:
                scores[event.job.id, event.first_step + len(event.losses)] = event.validation_loss
    return ends, losses, scores


def assert_same(found, alone):
    for id, end in alone[0].items():
        for a, b in zip(
            jax.tree.leaves(found[0][id].params), jax.tree.leaves(end.params), strict=True
        ):
            np.testing.assert_array_equal(a, b)
        assert found[0][id].scores == end.scores
    assert found[1:] == alone[1:]


@pytest.mark.long
def test_branches_are_the_runs_that_they_would_be_alone_and_cost_one_trunk(n_trained):
    jobs = [job_of(spec_of(n_epochs)) for n_epochs in EPOCHS]
    assert len({job.trunk for job in jobs}) == 1
    assert [job.branch_step for job in jobs] == [48, 120, 288]
    found = trained(jobs)
    assert sum(n_trained) == 288 + (64 - 48) + (160 - 120) + (384 - 288)
    n_trained.clear()
    alone = trained([job_of(spec_of(n_epochs), trunk=False) for n_epochs in EPOCHS])
    assert sum(n_trained) == 64 + 160 + 384
    assert_same(found, alone)


@pytest.mark.long
def test_a_branch_resumes_from_its_own_state_or_the_trunk_whichever_is_further(n_trained):
    alone = trained([job_of(spec_of(n_epochs), trunk=False) for n_epochs in EPOCHS[:2]])
    n_trained.clear()
    for saved_at in (32, 96):  # before and after the first branch
        long = job_of(spec_of(EPOCHS[1]))
        program = long.program()
        state, step = job_list.init_state(program, long.seed), 0
        while step < saved_at:
            reads, n_now = long.reads(step)
            n_now = min(n_now, saved_at - step)
            state, _ = job_list.train_segment(
                program, state, long.padded_ring, reads, np.int32(n_now), long.hyperparameters
            )
            step += n_now
        kept = {long.id: jax.device_get(state)}
        n_trained.clear()
        found = trained(
            [job_of(spec_of(EPOCHS[0])), long], load=lambda job, kept=kept: kept.get(job.id)
        )
        assert sum(n_trained) == 64 + (160 - max(saved_at, 48))
        assert min(found[1][long.id]) == saved_at
        for a, b in zip(
            jax.tree.leaves(found[0][long.id].params),
            jax.tree.leaves(alone[0][long.id].params),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_only_what_agrees_until_the_rate_falls_has_one_trunk():
    trunk = spec_of(2).trunk_id
    same = dataclasses.replace(OPTIMIZER, cooldown_fraction=0.5)
    assert spec_of(9).trunk_id == spec_of(2, optimizer=same).trunk_id == trunk
    assert spec_of(9).run_id != spec_of(2).run_id
    for changes in (
        {"seed": 4}, {"init_from": "ab" * 8},
        {"optimizer": dataclasses.replace(OPTIMIZER, weight_decay=0.4)},
        {"optimizer": dataclasses.replace(OPTIMIZER, warmup_steps=10)},
        {"train": TrainConfig(n_epochs=2, batch_size=4)},
        {"model": dataclasses.replace(MODEL, n_loops=2)},
    ):  # fmt: skip
        assert spec_of(2, **changes).trunk_id not in (trunk, None)
    for changes in (
        {"optimizer": dataclasses.replace(OPTIMIZER, schedule="linear")},
        {"optimizer": dataclasses.replace(OPTIMIZER, warmup_steps=0)},
        {"optimizer": dataclasses.replace(OPTIMIZER, final_decay=0.5)},
        {"train": TrainConfig(n_epochs=2, masked_share=0.2, final_noise=0.5)},
        {"train": TrainConfig(n_epochs=2, weight_average="snapshots")},
    ):
        assert spec_of(2, **changes).trunk_id is None
    with pytest.raises(ValueError, match="warmup_steps must be at most 48, after which the"):
        spec_of(2, optimizer=dataclasses.replace(OPTIMIZER, warmup_steps=49))
