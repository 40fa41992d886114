"""Small runs, and what their training would report."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from experiments.runs import locks
from experiments.runs.spec import DataConfig, RunSpec
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.training import job_list
from models.training.job_list import Finished, Job, Segment
from models.training.train import init_params
from tests.hold.sitecustomize import Hold


class SampleRuns:
    """Makes specs of 64 steps and the events of their training, without training."""

    @staticmethod
    def spec(seed=0, **changes) -> RunSpec:
        spec = RunSpec(
            model=ModelConfig.from_width(16, vocab_size=30, context=8),
            data=DataConfig(
                corpus="stdlib", sha256="ab" * 32, n_unique_tokens=1024, n_eval_tokens=64
            ),
            optimizer=OptimizerConfig(learning_rate=0.01, weight_decay=0.8),
            train=TrainConfig(n_epochs=2, batch_size=4),
            seed=seed,
        )
        return dataclasses.replace(spec, **changes)

    @staticmethod
    def job(spec: RunSpec) -> Job:
        return Job(
            id=spec.run_id, model=spec.model, optimizer=spec.optimizer, train=spec.train,
            seed=spec.seed, tokens=np.zeros(spec.data.n_unique_tokens, int), held_out={},
        )  # fmt: skip

    @classmethod
    def segment(cls, spec, losses, *, first_step=0, seconds=0.5) -> Segment:
        return Segment(
            job=cls.job(spec), first_step=first_step, losses=np.asarray(losses), seconds=seconds
        )

    @classmethod
    def finished(cls, spec, *, diverged=False, seconds=1.5) -> Finished:
        scores = {} if diverged else {"validation": 3.0 + spec.seed, "test": 3.5}
        return Finished(
            job=cls.job(spec), params=some_params(), scores=scores,
            diverged=diverged, seconds=seconds, device="cpu",
        )  # fmt: skip

    @classmethod
    def train(cls, store, spec, *, diverged=False) -> RunSpec:
        """Write a whole run into a store."""
        store.begin(spec)
        losses = np.ones(64)
        losses[40:] = np.nan if diverged else 1
        store.append(spec, cls.segment(spec, losses))
        store.finish(spec, cls.finished(spec, diverged=diverged))
        return spec


@cache
def some_params():
    """Weights of the sample model, whatever the spec: drawing others takes seconds to compile."""
    return init_params(SampleRuns.spec().model, 0)


@pytest.fixture(scope="session")
def sample() -> SampleRuns:
    return SampleRuns()


class Clock:
    """The monotonic clock by which locks judge others' heartbeats, advanced by tests only."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    def run_out_of_patience(self) -> None:
        self.advance(locks.PATIENCE_SECONDS)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(locks, "monotonic", lambda: clock.seconds)
    return clock


@pytest.fixture
def hold(tmp_path, monkeypatch):
    """A file: while it exists, runs of this process wait before their second segment to be stopped.

    As in processes that are started with `tests/hold`.
    """
    path = tmp_path / "hold"
    for name in ("train_segment", "interrupt_sets"):
        monkeypatch.setattr(job_list, name, getattr(job_list, name))  # as they shall be again
    Hold(path, n_free=0).patch(job_list)
    return path
