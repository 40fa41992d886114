"""Speed of the run store, each goal printed beside the measured figure.

Run with `make benchmark`.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time

import numpy as np
import pytest

from experiments.runs.rows import provenance
from experiments.runs.spec import DataConfig, RunSpec
from experiments.runs.store import RunStore
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.training.job_list import Finished, Job, Segment
from models.training.train import init_params

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200)]

N_RUNS = 10_000
N_TIMED = 100


def report(what: str, goal: str, measured: str) -> None:
    print(f"\n{what:58s} goal {goal:24s} measured {measured}", flush=True)


def make_spec(seed: int) -> RunSpec:
    return RunSpec(
        model=ModelConfig.from_width(64, vocab_size=512, context=64),
        data=DataConfig(
            corpus="stdlib", sha256="ab" * 32, n_unique_tokens=16_384, n_eval_tokens=64
        ),
        optimizer=OptimizerConfig(learning_rate=0.005, weight_decay=3.2),
        train=TrainConfig(n_epochs=16),
        seed=seed,
    )


def make_job(spec: RunSpec) -> Job:
    return Job(
        id=spec.run_id,
        model=spec.model,
        optimizer=spec.optimizer,
        train=spec.train,
        seed=spec.seed,
        tokens=np.zeros(spec.data.n_unique_tokens, int),
        held_out={},
    )


@pytest.fixture(scope="module")
def params():
    return init_params(make_spec(0).model, 0)


def write_run(store: RunStore, spec: RunSpec, params) -> None:
    """What a sweep asks of the store for one run of 512 steps, four segments."""
    job = make_job(spec)
    with store.claim(spec):
        assert not store.is_done(spec)
        store.begin(spec)
        for first in range(0, job.n_steps, 128):
            losses = np.linspace(6, 4, 128)
            store.append(spec, Segment(job=job, first_step=first, losses=losses, seconds=0.5))
        scores = {"validation": 4.2, "test": 4.3}
        store.finish(
            spec,
            Finished(
                job=job, params=params, scores=scores, diverged=False, seconds=2.0, device="cpu"
            ),
        )


@pytest.fixture(scope="module")
def ten_thousand(tmp_path_factory, params):
    """10,000 finished runs: one written by the store, the others after its example."""
    store = RunStore(tmp_path_factory.mktemp("runs"))
    first = make_spec(0)
    write_run(store, first, params)
    result = store.result(first)
    for seed in range(1, N_RUNS):
        spec = make_spec(seed)
        folder = store.folder(spec)
        folder.mkdir()
        (folder / "spec.json").write_text(json.dumps(spec.to_dict(), indent=1))
        (folder / "result.json").write_text(json.dumps({**result, "run_id": spec.run_id}, indent=1))
    yield store
    shutil.rmtree(store.root)


def seconds(work) -> float:
    begun = time.perf_counter()
    assert len(work()) == N_RUNS
    return time.perf_counter() - begun


def test_loading_ten_thousand_runs(ten_thousand, benchmark):
    index = ten_thousand.root / "index.json"
    cold = []
    for _ in range(3):
        index.unlink(missing_ok=True)
        cold.append(seconds(ten_thousand.frame))
    benchmark.pedantic(ten_thousand.frame, rounds=5)
    warm = benchmark.stats.stats.median if benchmark.stats else seconds(ten_thousand.frame)

    def plainly():
        """The peer: every result read, nothing else done with it."""
        return [json.loads(path.read_bytes()) for path in ten_thousand.root.glob("*/result.json")]

    peer = min(seconds(plainly) for _ in range(3))
    report(
        "10,000 runs with their index", "<= 3 s", f"{warm:.2f} s ({peer / warm:.1f}x plain json)"
    )
    report("10,000 runs without an index", "(reported)", f"{min(cold):.2f} s")
    spec = make_spec(5)
    result = ten_thousand.folder(spec) / "result.json"
    result.write_text(result.read_text().replace('"done"', '"diverged"'))
    one = seconds(ten_thousand.frame)
    report("10,000 runs, one of them changed", "<= 3 s", f"{one:.2f} s")
    assert (ten_thousand.frame()["status"] == "diverged").sum() == 1


def test_overhead_of_the_store_for_a_run(tmp_path, params, benchmark):
    store = RunStore(tmp_path)
    provenance()  # once a process
    write_run(store, make_spec(0), params)
    specs = (dataclasses.replace(make_spec(0), seed=seed) for seed in range(1, 10**6))
    benchmark.pedantic(lambda: write_run(store, next(specs), params), rounds=N_TIMED)
    if benchmark.stats:
        stats = benchmark.stats.stats
        report(
            "store, per run of 512 steps and 166k weights",
            "<= 20 ms",
            f"{1e3 * stats.median:.1f} ms median, {1e3 * stats.mean:.1f} mean, "
            f"{1e3 * stats.max:.0f} most",
        )
