"""A campaign of faults: a sweep of the quick world, killed with kill -9 at twenty random moments.

On each executor workers and sweeps are killed and the sweep is started again, until it ends by
itself; its store must then equal that of an undisturbed sweep, and no run may have been begun again
that was not interrupted. Run with `make benchmark`, or alone (ten minutes on two free cores):

    pytest tests/benchmarks/test_bench_faults.py -m benchmark -s
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from experiments.runs.store import RunStore
from experiments.sweeps.sweep import run_sweep
from experiments.sweeps.worker import KEEP_SECONDS
from models.training.train import Program, init_state
from tests.sweep_faults import Plan, Victim, contents, repeated

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

N_FAULTS = int(os.environ.get("DATAWALL_N_FAULTS", "20"))
N_SEEDS = int(os.environ.get("DATAWALL_N_SEEDS", "10"))
QUICK = {
    "world": "quick",
    "settings": {},
    "widths": (16, 32, 64, 128),
    "n_epochs": 8,
    "n_seeds": N_SEEDS,
}


def report(what: str, goal: str, measured: str) -> None:
    print(f"{what:46s} goal {goal:18s} measured {measured}", flush=True)


class TimedStore(RunStore):
    """A store that knows how long its callers wait for it."""

    seconds = 0.0


def _timed(name: str):
    method = getattr(RunStore, name)

    def timed(store, *arguments):
        started = time.perf_counter()
        try:
            return method(store, *arguments)
        finally:
            store.seconds += time.perf_counter() - started

    return timed


for _name in ("is_done", "claim", "begin", "kept_state", "append", "finish"):
    setattr(TimedStore, _name, _timed(_name))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The runs of the campaign, what they come to, and how long they take here."""
    plan = Plan(executor="threads", runs=str(tmp_path_factory.mktemp("undisturbed")), **QUICK)
    specs = plan.specs(plan.lab())
    store = TimedStore(Path(plan.runs) / "store")
    started = time.monotonic()
    run_sweep(specs, store, title="undisturbed")
    seconds = time.monotonic() - started
    print(f"\n{len(specs)} runs, undisturbed: {seconds:.0f} s in threads")
    report("store, a run", "<= 20 ms", f"{1000 * store.seconds / len(specs):.1f} ms")
    return specs, contents(store, specs), seconds


def test_time_taken_by_checkpoints(undisturbed, tmp_path):
    specs, store = undisturbed[0], RunStore(tmp_path)
    spec = max(specs, key=lambda spec: spec.model.n_params)
    store.begin(spec)
    state = init_state(Program.of(spec.model, spec.optimizer, spec.train), 0)
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        store.keep_state(spec, state)
        seconds.append(time.perf_counter() - started)
    median = sorted(seconds)[5]
    report(
        f"checkpoints of {spec.model.n_params:,} weights",
        "<= 5 % of training",
        f"{median / KEEP_SECONDS:.2%} ({1000 * median:.0f} ms every {KEEP_SECONDS:.0f} s)",
    )
    assert median / KEEP_SECONDS <= 0.05


@pytest.mark.parametrize("executor", ["local", "dask"])
def test_a_sweep_killed_at_random_moments_loses_nothing(executor, undisturbed, tmp_path):
    specs, expected, seconds = undisturbed
    campaign = Campaign(Plan(executor=executor, runs=str(tmp_path), keep_every=1.0, **QUICK))
    started = time.monotonic()
    campaign.run(pause=seconds / N_FAULTS)
    store = campaign.store
    lost = sum(not store.is_done(spec) for spec in specs)
    again = repeated(store, specs, campaign.interrupted)
    print(f"\n{executor}: {time.monotonic() - started:.0f} s with {campaign.n_starts} starts")
    report("faults injected", str(N_FAULTS), f"{dict(campaign.faults)}")
    report("runs interrupted", "-", str(len(campaign.interrupted)))
    report("runs lost", "0", str(lost))
    report("runs begun again without being interrupted", "0", str(len(again)))
    report("finished runs trained again", "0", str(campaign.n_rewritten()))
    same = contents(store, specs) == expected
    report("store equal to the undisturbed one", "to the last bit", "yes" if same else "NO")
    assert same
    assert not lost
    assert not again
    assert not campaign.n_rewritten()


class Campaign:
    """Faults at random moments, and the sweep started again after each that ends it."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.chance = plan, random.Random(plan.executor)
        self.store = RunStore(Path(plan.runs) / plan.world)
        self.interrupted: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.finished: dict[Path, int] = {}
        self.n_starts = 0

    def run(self, pause: float) -> None:
        """Inject faults, about `pause` seconds of training apart, until the sweep is through."""
        victim = self._start()
        try:
            while victim.process.poll() is None:
                moment = time.monotonic() + self.chance.uniform(0, 2 * pause)
                victim.wait_until(lambda moment=moment: time.monotonic() > moment)
                if self.faults.total() < N_FAULTS:
                    victim = self._injure(victim)
                else:
                    victim.process.wait()
            assert victim.process.returncode == 0
        finally:
            victim.clean_up()
            self.interrupted += victim.interrupted

    def _start(self) -> Victim:
        self.n_starts += 1
        return Victim.start(self.plan, stdout=None, stderr=None)

    def _injure(self, victim: Victim) -> Victim:
        """Do one fault; return the sweep that goes on."""
        if not victim.wait_until(victim.is_training):
            return victim
        self._note_finished()
        fault = self.chance.choice(["worker", "worker", "sweep", "sweep with its workers"])
        if fault == "worker":
            self.faults[fault] += bool(victim.kill_a_worker(self.chance))
            return victim
        self.faults[fault] += 1
        victim.kill(all_at_once=fault != "sweep")
        self.interrupted += victim.interrupted
        return self._start()

    def _note_finished(self) -> None:
        for path in self.store.root.glob("*/result.json"):
            self.finished.setdefault(path, path.stat().st_mtime_ns)

    def n_rewritten(self) -> int:
        """Count the results that have changed since they were first seen."""
        return sum(path.stat().st_mtime_ns != since for path, since in self.finished.items())
