"""Sweeps that are killed, interrupted, starved and raced end as undisturbed ones do."""

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from experiments.runs.files import StoreError
from experiments.runs.store import CHECKPOINT, RunStore
from experiments.sweeps.executors import dask as dask_executor
from experiments.sweeps.executors.dask import DaskExecutor, SchedulerLost
from experiments.sweeps.executors.threads import ThreadExecutor
from experiments.sweeps.sweep import run_sweep
from experiments.sweeps.worker import train_runs
from models.text.data_home import CorpusError
from tests.sweep_faults import Plan, Victim, contents, holding, repeated

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Plan(executor="threads", runs=str(tmp_path_factory.mktemp("plans"))).lab()


@pytest.fixture(scope="module")
def undisturbed(lab, tmp_path_factory):
    """The runs of a plan and what an undisturbed sweep makes of them."""
    store = RunStore(tmp_path_factory.mktemp("undisturbed"))
    specs = Plan(executor="threads", runs="").specs(lab)
    run_sweep(specs, store)
    return specs, contents(store, specs)


@pytest.fixture
def start(tmp_path):
    victims = []

    def start(executor, **plan):
        victims.append(Victim.start(Plan(executor=executor, runs=str(tmp_path), **plan)))
        return victims[-1]

    yield start
    for victim in victims:
        victim.clean_up()


def n_done(store, specs):
    return sum(store.is_done(spec) for spec in specs)


@pytest.mark.parametrize(
    ("executor", "n_kills"),
    [
        pytest.param("threads", 0, marks=pytest.mark.exhaustive),
        ("local", 2),
        pytest.param("dask", 1, marks=pytest.mark.exhaustive),
    ],
)
def test_killed_workers_and_ctrl_c_lose_and_repeat_nothing(executor, n_kills, start, undisturbed):
    (specs, expected), chance = undisturbed, random.Random(executor)
    victim = start(executor)
    victim.wait_until(victim.is_training)
    for _ in range(n_kills):
        killed = victim.kill_a_worker(chance)
        assert killed
        victim.wait_until(lambda killed=killed: killed & set(victim.owners()))
    status, said, held = victim.interrupt()
    store = RunStore(victim.root)
    assert status != 0
    assert said.splitlines()[-1].startswith("KeyboardInterrupt"), said
    assert held

    unfinished = [spec for spec in specs if not store.is_done(spec)]
    assert not any(store.owner(spec) for spec in specs)
    for spec in unfinished:
        if spec.run_id in held:  # not one step is lost
            state, n_steps = store.kept_state(spec), len(store.losses(spec))
            assert n_steps == (0 if state is None else state.step)
    assert run_sweep(specs, store) == len(unfinished)  # on another executor than before
    assert contents(store, specs) == expected
    assert not repeated(store, specs, victim.interrupted)


def test_a_sweep_killed_beside_another_has_its_runs_taken_over(start, undisturbed):
    """kill -9 of the sweep's own process, whose clock has run backwards."""
    specs, expected = undisturbed
    first = start("local", clock_runs_backwards=True)
    first.wait_until(first.is_training)
    first.freeze()
    held = first.owners()
    second, store = start("threads"), RunStore(first.root)
    second.let_go()
    second.wait_until(lambda: n_done(store, specs) == len(specs) - len(held))
    assert not any(store.is_done(spec) for spec in specs if spec.run_id in held)
    first.kill(all_at_once=False)
    assert second.finish() == len(specs)
    assert contents(store, specs) == expected
    assert not repeated(store, specs, Counter(list(held)))


class Racer(RunStore):
    """A store whose sweep goes on with its first run when the other sweep has one too."""

    def __init__(self, root, start):
        super().__init__(root)
        self.start, self.is_first = start, threading.Lock()

    def claim(self, spec):
        lock = super().claim(spec)
        if self.is_first.acquire(blocking=False):
            self.start.wait(timeout=300)
        return lock


def test_of_two_sweeps_racing_each_run_is_trained_by_one(tmp_path, undisturbed):
    specs, expected = undisturbed
    start = threading.Barrier(2)
    with ThreadPoolExecutor(2) as racers:
        counts = list(racers.map(lambda _: run_sweep(specs, Racer(tmp_path, start)), range(2)))
    assert sum(counts) == len(specs)
    assert min(counts) > 0
    assert contents(RunStore(tmp_path), specs) == expected
    assert not repeated(RunStore(tmp_path), specs, Counter())


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and one worker that is held in its second run, as started by hand."""
    file = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    dask = [sys.executable, "-m", "dask"]
    shared = ["--scheduler-file", str(file), "--no-dashboard"]
    scheduler = subprocess.Popen([*dask, "scheduler", "--port", "0", *shared], **quiet)
    (hold := tmp_path / "hold").touch()
    worker = subprocess.Popen(
        [*dask, "worker", "--nthreads", "1", "--no-nanny", *shared],
        env={**os.environ, **holding(hold, n_free=1)},
        **quiet,
    )
    while not file.exists():
        assert scheduler.poll() is None
        time.sleep(0.05)
    yield scheduler, worker, json.loads(file.read_text())["address"]
    for process in (worker, scheduler):
        process.kill()
        process.wait()


def test_a_lost_scheduler_is_a_clear_error_and_the_rest_resumes(cluster, tmp_path, undisturbed):
    (specs, expected), (scheduler, worker, address) = undisturbed, cluster
    store = RunStore(tmp_path / "runs")

    killer = when(lambda: n_done(store, specs), scheduler.kill)
    said = f"scheduler at {address} was lost; finished runs"
    with DaskExecutor(address) as executor, pytest.raises(SchedulerLost, match=said):
        run_sweep(specs, store, executor=executor)
    killer.join()
    worker.wait(timeout=300)  # which keeps the state of its run before it leaves
    left = [spec for spec in specs if not store.is_done(spec)]
    assert len(left) == len(specs) - 1
    assert run_sweep(specs, store) == len(left)
    assert contents(store, specs) == expected
    assert not repeated(store, specs, Counter(spec.run_id for spec in left))


def when(ready, act):
    """Do something in a thread as soon as a condition holds."""

    def watch():
        while not ready():
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_no_scheduler_at_an_address_is_said(monkeypatch):
    monkeypatch.setattr(dask_executor, "SECONDS_TO_ANSWER", 0.5)
    with pytest.raises(RuntimeError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        DaskExecutor("tcp://127.0.0.1:9")


class Photographed(RunStore):
    """A store of which a copy is made when a run's first state is kept: as a power cut leaves it.

    Locks are left out: their owner, this process, lives on.
    """

    def __init__(self, root, copy):
        super().__init__(root)
        self.copy = copy

    def keep_state(self, spec, state):
        super().keep_state(spec, state)
        if not self.copy.exists():
            shutil.copytree(self.root, self.copy, ignore=shutil.ignore_patterns("lock*", ".*"))


@pytest.mark.parametrize(
    "damage", ["truncated", pytest.param("deleted", marks=pytest.mark.exhaustive)]
)
def test_a_damaged_checkpoint_starts_its_run_again_and_says_so(
    damage, tmp_path, undisturbed, caplog
):
    specs, expected = undisturbed
    victim, store = specs[0], RunStore(tmp_path / "copy")
    train_runs([victim], Photographed(tmp_path / "runs", store.root), print, keep_every=0.0)
    checkpoint = store.folder(victim) / CHECKPOINT
    if damage == "deleted":
        checkpoint.unlink()
    else:
        checkpoint.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
    assert not store.is_done(victim)
    run_sweep(specs[:2], store)
    assert f"run {victim.run_id} starts again" in caplog.text
    assert contents(store, specs[:2]) == expected[:2]


def test_a_truncated_result_is_no_result(tmp_path, undisturbed):
    specs, expected = undisturbed
    store = RunStore(tmp_path)
    run_sweep(specs[:2], store)
    path = store.folder(specs[0]) / "result.json"
    path.write_bytes(path.read_bytes()[:100])
    assert run_sweep(specs[:2], store) == 1
    assert contents(store, specs[:2]) == expected[:2]


def test_a_run_that_diverges_is_recorded_and_the_others_go_on(tmp_path, undisturbed, caplog):
    specs, expected = undisturbed
    store = RunStore(tmp_path)
    wild = dataclasses.replace(
        specs[0], optimizer=dataclasses.replace(specs[0].optimizer, learning_rate=1e30)
    )
    assert run_sweep([wild, specs[1]], store) == 2
    assert store.result(wild)["status"] == "diverged"
    assert store.frame([wild])["validation_loss"].isna().all()
    assert f"run {wild.run_id} diverged" in caplog.text
    assert contents(store, specs[1:2]) == expected[1:2]
    assert run_sweep([wild, specs[1]], store) == 0


def test_another_text_on_this_machine_stops_the_sweep(tmp_path, undisturbed):
    specs, _ = undisturbed
    elsewhere = dataclasses.replace(
        specs[0], data=dataclasses.replace(specs[0].data, sha256="ab" * 32)
    )
    with pytest.raises(CorpusError, match="the text 'stdlib' differs on this machine"):
        run_sweep([elsewhere], RunStore(tmp_path))


@pytest.fixture
def small_disk(tmp_path):
    """A file system that holds some runs, but not all."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=150k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this process may not mount a file system of its own")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_full_and_a_read_only_disk_stop_the_sweep_and_the_rest_resumes(small_disk, undisturbed):
    specs, expected = undisturbed
    store = RunStore(small_disk)
    with pytest.raises(StoreError, match=r"is full: .* run the same command again"):
        run_sweep(specs, store, executor=ThreadExecutor())
    done = [spec for spec in specs if store.is_done(spec)]
    assert len(done) < len(specs)
    assert contents(store, done) == [expected[specs.index(spec)] for spec in done]
    remount(small_disk, "size=16m,ro")
    with pytest.raises(StoreError, match="read-only"):
        run_sweep(specs, store)
    remount(small_disk, "rw")
    assert run_sweep(specs, store) == len(specs) - len(done)
    assert contents(store, specs) == expected
