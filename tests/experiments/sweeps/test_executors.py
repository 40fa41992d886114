"""The same sweep leaves the same store on every executor; the order in which runs start."""

import dataclasses

import pytest

from experiments.lab.lab import Lab
from experiments.runs.files import StoreError
from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore
from experiments.sweeps import sweep
from experiments.sweeps.executors import open_executor
from experiments.sweeps.executors.pool import (
    MOST_DEATHS,
    Ended,
    Lost,
    RunQueue,
    Slots,
    Worker,
    train_on,
)
from experiments.sweeps.sweep import SweepError, run_sweep
from experiments.worlds.registry import get_world
from models.config import TrainConfig
from models.training.devices import available_cores
from tests.sweep_faults import contents, holding


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(get_world("tiny"), RunStore(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def hold(tmp_path_factory):
    """A file that holds the runs of all workers while it exists, see `tests/hold`."""
    path = tmp_path_factory.mktemp("hold") / "hold"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in holding(path).items():
            patch.setenv(name, value)
        yield path


@pytest.fixture(scope="module", params=["local", "dask"])
def executor(request, hold):
    with open_executor(request.param, workers=2) as executor:
        yield executor


def spec_of(lab, *, width=8, n_epochs=2, seed=0, n_unique_tokens=None) -> RunSpec:
    spec = lab.spec(width=width, weight_decay=0.1, n_epochs=n_epochs, seed=seed)
    if n_unique_tokens is not None:
        data = dataclasses.replace(spec.data, n_unique_tokens=n_unique_tokens)
        spec = dataclasses.replace(spec, data=data)
    return spec


@pytest.mark.long
def test_workers_leave_the_same_store_as_threads(executor, lab, tmp_path, capsys):
    good = [spec_of(lab, seed=seed) for seed in range(3)]
    wild = dataclasses.replace(
        good[0], optimizer=dataclasses.replace(good[0].optimizer, learning_rate=1e30)
    )
    bad = spec_of(lab, n_unique_tokens=10**9)
    threads, workers = RunStore(tmp_path / "threads"), RunStore(tmp_path / "workers")
    run_sweep([*good, wild], threads)
    with pytest.raises(SweepError, match=rf"1 of 5 runs failed twice \({bad.run_id}\).*1,000,000"):
        run_sweep([*good, wild, bad], workers, executor=executor)
    assert contents(workers, [*good, wild]) == contents(threads, [*good, wild])
    assert f"run {wild.run_id} diverged" in capsys.readouterr().err
    assert workers.failure(bad)["attempts"] == 2
    assert "draw_unique_tokens" in workers.failure(bad)["traceback"]
    assert run_sweep([*good, wild], workers, executor=executor) == 0


@pytest.mark.long
def test_what_a_worker_cannot_write_stops_the_sweep(executor, lab, tmp_path):
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(StoreError, match="is not a folder of runs"):
        run_sweep([spec_of(lab)], RunStore(tmp_path / "runs"), executor=executor)


@pytest.mark.long
@pytest.mark.exhaustive  # as the killed sweeps do
def test_workers_resume_after_an_interrupt_of_the_scheduling_process(
    executor, hold, lab, tmp_path, monkeypatch
):
    """An error anywhere in that process makes the workers save their states."""
    store = RunStore(tmp_path)
    specs = [spec_of(lab, n_epochs=80, seed=seed) for seed in range(2)]

    def interrupt(progress, event):
        if event.kind == "advanced":
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep.SweepProgress, "on_event", interrupt)
    hold.touch()
    with pytest.raises(KeyboardInterrupt):
        run_sweep(specs, store, executor=executor)
    hold.unlink()
    monkeypatch.undo()
    assert [path.parent.name for path in store.root.glob("*/checkpoint.safetensors")]
    assert not list(store.root.glob("*/lock*"))
    assert run_sweep(specs, store, executor=executor) == 2
    assert max(store.result(spec)["n_sessions"] for spec in specs) == 2


# --- scheduling, without processes


def cpu(name="a", n_devices=1):
    return Worker(name=name, platform="cpu", n_devices=n_devices)


def gpu(name="a"):
    return Worker(name=name, platform="gpu", n_devices=1)


def test_a_worker_keeps_its_shape_and_the_longest_runs_go_first(lab):
    short, long = (spec_of(lab, width=8, n_epochs=n) for n in (2, 4))
    large = [spec_of(lab, width=16, n_epochs=8, seed=seed) for seed in range(2)]
    queue = RunQueue([short, *large, long])
    assert queue.take(cpu("a"), n_workers=2)[0] in large
    assert queue.take(cpu("b"), n_workers=2)[0] in large
    assert queue.take(cpu("b"), n_workers=2) == [long]
    queue.put(large[0])
    assert queue.take(cpu("b"), n_workers=2) == [short]
    assert queue.take(cpu("b"), n_workers=2) == [large[0]]
    assert not queue
    assert queue.take(cpu("b"), n_workers=2) == []


def test_accelerators_get_their_share_of_a_shape_at_once(lab):
    specs = [spec_of(lab, seed=seed) for seed in range(7)]
    queue = RunQueue([*specs, spec_of(lab, width=16)])
    queue.take(gpu("a"), n_workers=2)
    assert [len(queue.take(gpu("b"), n_workers=2)) for _ in range(3)] == [4, 2, 1]
    assert len(RunQueue(specs).take(cpu(n_devices=3), n_workers=2)) == 3


class MortalPool:
    """One worker at a time, which dies of some runs."""

    def __init__(self, store, deadly):
        self.store, self.deadly, self.messages, self.n_started = store, deadly, [], 0

    def idle(self):
        self.n_started += 1
        return [cpu(str(self.n_started))]

    def send(self, worker, specs):
        (spec,) = specs
        if spec in self.deadly:
            self.messages.append(Lost(worker=worker.name, why="exit code -9"))
        else:
            self.messages.append(Ended(worker=worker.name, outcomes={spec.run_id: "trained"}))

    def wait(self):
        messages, self.messages = self.messages, []
        return messages

    def stop(self):
        """Nothing to stop."""


def test_a_run_that_kills_its_workers_fails_after_a_few(lab, tmp_path):
    store = RunStore(tmp_path)
    specs = [spec_of(lab, seed=seed) for seed in range(3)]
    pool, events = MortalPool(store, deadly=specs[1:2]), []
    outcomes = train_on(pool, specs, store, events.append)
    assert [outcomes[spec.run_id] for spec in specs] == ["trained", "failed", "trained"]
    failure = store.failure(specs[1])
    assert failure["error"] == f"the worker that trained it died {MOST_DEATHS} times (exit code -9)"
    assert sum(event.kind == "lost" for event in events) == MOST_DEATHS - 1


# --- how many


def test_workers_are_as_many_as_cores_runs_and_memory_allow(lab, monkeypatch):
    specs = [spec_of(lab, seed=seed) for seed in range(1000)]
    assert Slots(3).useful_for(specs) == 3
    assert Slots(3).useful_for(specs[:2]) == 2
    assert 1 <= Slots().useful_for(specs) <= available_cores()
    vast = dataclasses.replace(specs[0], train=TrainConfig(n_epochs=1, batch_size=10**6))
    vast = dataclasses.replace(vast, data=dataclasses.replace(vast.data, n_unique_tokens=10**9))
    assert Slots().useful_for([vast, *specs]) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "cloud"}, "executor must be one of threads, local, dask; not 'cloud'"),
        ({"name": "local", "workers": 0}, "workers must be at least 1; not 0"),
        ({"name": "local", "scheduler": "tcp://a:1"}, "is an option of the executor dask"),
        ({"name": "dask", "scheduler": "tcp://a:1", "workers": 2}, "leave out workers"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        open_executor(**options)
