"""Scheduling of runs on workers in other processes, and again when a worker dies.

A worker keeps getting runs of one shape while there are any, so that it compiles once; the most
expensive runs start first. A worker with host devices gets one run a device at a time, one with
accelerators its share of all runs of a shape at once, to train them as one batch.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import psutil

from experiments.runs.locks import RunLocked
from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore
from experiments.sweeps.worker import Outcome, Report, RunEvent
from models.training.devices import RUNTIME_BYTES, accelerators, available_cores, training_bytes

MOST_DEATHS = 3
"""A run fails after so many workers have died while training it: it may be the cause."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process that trains runs.

    Attributes:
        name: unique, also among workers that died.
        platform: JAX's name of the platform of its devices.
        n_devices: number of its devices.
    """

    name: str
    platform: str
    n_devices: int


def platform_and_devices() -> tuple[str, int]:
    """Return JAX's platform and number of devices of this process."""
    import jax

    return jax.default_backend(), jax.local_device_count()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A worker has stopped training its runs; those without an outcome are not finished."""

    worker: str
    outcomes: dict[str, Outcome]


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A worker has died."""

    worker: str
    why: str


Message = RunEvent | Ended | Lost


class Slots:
    """Number of workers for this machine: one a GPU, else one a core, as far as memory allows.

    Args:
        n_wanted: number chosen by the user, used even if it does not fit.

    Attributes:
        n_accelerators: GPUs, each seen by some of the workers only; 0 if every worker sees all
            devices.
    """

    def __init__(self, n_wanted: int | None = None) -> None:
        self._n_wanted = n_wanted
        self._platform, n_found = accelerators()
        # The cores of a TPU belong to one process.
        self.n_accelerators = n_found if self._platform == "gpu" else 0
        self._n_most = available_cores() if self._platform == "cpu" else max(1, self.n_accelerators)
        self._n_given = 0
        if n_found:
            # Several processes share a device's memory: none may allocate all of it at its start.
            os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    def useful_for(self, specs: Sequence[RunSpec]) -> int:
        """Return the number of workers for these runs, including those that are running."""
        n_slots = self._n_wanted or self._n_fitting(specs)
        self._n_given = max(self._n_given, min(n_slots, len(specs)))
        return min(n_slots, len(specs))

    def _n_fitting(self, specs: Sequence[RunSpec]) -> int:
        if self._platform != "cpu":
            return self._n_most
        largest = max(training_bytes(s.model, batch_size=s.train.batch_size) for s in specs)
        n_more = psutil.virtual_memory().available // (RUNTIME_BYTES + largest)
        return max(1, min(self._n_most, self._n_given + n_more))


class Pool(Protocol):
    """The workers of an executor, as seen by the process that schedules the runs."""

    def idle(self) -> Sequence[Worker]:
        """Return the workers without runs."""

    def send(self, worker: Worker, specs: Sequence[RunSpec]) -> None:
        """Start runs on a worker."""

    def wait(self) -> Sequence[Message]:
        """Return new messages, after a second at the latest.

        Raises:
            Exception: an error in a worker other than the failure of a run.
        """

    def stop(self) -> None:
        """Interrupt all workers, and wait until they have saved the states of their runs."""


def train_on(
    pool: Pool, specs: Sequence[RunSpec], store: RunStore, report: Report
) -> dict[str, Outcome]:
    """Return how each run ended after training it on the workers of a pool.

    Args:
        pool: the workers.
        specs: the runs.
        store: where they are recorded.
        report: called with the events of the runs.
    """
    try:
        return _Schedule(pool, specs, store, report).run()
    except BaseException:
        pool.stop()
        raise


class _Schedule:
    """Which worker trains which runs, and which runs wait."""

    def __init__(
        self, pool: Pool, specs: Sequence[RunSpec], store: RunStore, report: Report
    ) -> None:
        self._pool, self._store, self._report = pool, store, report
        self._waiting = RunQueue(specs)
        self._sent: dict[str, list[RunSpec]] = {}
        self._deaths = Counter[str]()
        self._outcomes: dict[str, Outcome] = {}

    def run(self) -> dict[str, Outcome]:
        while self._waiting or self._sent:
            idle = self._pool.idle()
            for worker in idle:
                n_workers = len(self._sent) + len(idle)
                if specs := self._waiting.take(worker, n_workers=n_workers):
                    self._sent[worker.name] = specs
                    self._pool.send(worker, specs)
            for message in self._pool.wait():
                self._on(message)
        return self._outcomes

    def _on(self, message: Message) -> None:
        if isinstance(message, RunEvent):
            self._report(message)
        elif isinstance(message, Ended):
            for spec in self._sent.pop(message.worker, []):
                self._settle(spec, message.outcomes.get(spec.run_id))
        else:
            for spec in self._sent.pop(message.worker, []):
                self._deaths[spec.run_id] += not self._store.is_done(spec)
                self._settle(spec, None, why=message.why)

    def _settle(self, spec: RunSpec, outcome: Outcome | None, why: str = "") -> None:
        """Record how a run ended; one that did not end is queued again."""
        if outcome is None and self._store.is_done(spec):
            outcome = "trained"
        if outcome is None and self._deaths[spec.run_id] >= MOST_DEATHS:
            outcome = self._give_up(spec, why)
        if outcome is None:
            self._waiting.put(spec)
        else:
            self._outcomes[spec.run_id] = outcome
        # The worker's own event may have been lost with it, or be late.
        self._report(RunEvent(kind=outcome or "lost", run_id=spec.run_id))

    def _give_up(self, spec: RunSpec, why: str) -> Outcome:
        outcome: Outcome = "held"
        with contextlib.suppress(RunLocked), self._store.claim(spec):
            self._store.fail(spec, f"the worker that trained it died {MOST_DEATHS} times ({why})")
            outcome = "failed"
        return outcome


class RunQueue:
    """Waiting runs, by shape, the most expensive first."""

    def __init__(self, specs: Sequence[RunSpec]) -> None:
        self._by_shape: dict[Hashable, list[RunSpec]] = defaultdict(list)
        self._last: dict[str, Hashable] = {}
        for spec in specs:
            self.put(spec)

    def __bool__(self) -> bool:
        return any(self._by_shape.values())

    def put(self, spec: RunSpec) -> None:
        """Add a run."""
        runs = self._by_shape[_shape(spec)]
        runs.append(spec)
        runs.sort(key=lambda spec: spec.train_flops)

    def take(self, worker: Worker, *, n_workers: int) -> list[RunSpec]:
        """Remove and return the next runs of a worker, an empty list if no runs wait."""
        shapes = [shape for shape, runs in self._by_shape.items() if runs]
        if not shapes:
            return []
        shape = self._last.get(worker.name)
        if shape not in shapes:
            shape = max(shapes, key=lambda shape: self._by_shape[shape][-1].train_flops)
        self._last[worker.name] = shape
        runs = self._by_shape[shape]
        share = worker.n_devices
        if worker.platform != "cpu":
            share = max(share, -(-len(runs) // n_workers))
        return [runs.pop() for _ in range(min(share, len(runs)))]


def _shape(spec: RunSpec) -> Hashable:
    """Return the settings that determine which programs a run compiles."""
    data = spec.data
    n_synthetic = spec.synthetic.n_tokens if spec.synthetic else 0
    return spec.model, spec.train.batch_size, data.n_unique_tokens, n_synthetic, data.n_eval_tokens
