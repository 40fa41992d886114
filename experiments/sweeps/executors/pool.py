"""Hand runs out to workers in other processes, and again when a worker dies.

Runs of one shape go to the same worker as long as there are some, so that it compiles once; the
most expensive go first. A worker on host devices gets one run a device at a time, one on
accelerators its share of the shape at once, so that it can train them as one batch.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from experiments.runs.locks import RunLocked
from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore
from experiments.sweeps.worker import Outcome, Report, RunEvent

MOST_DEATHS = 3
"""A run whose worker has died so often has failed: it may be what kills it."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process that trains runs.

    Attributes:
        name: tells it from all others, also from those that died.
        platform: what JAX calls its devices.
        n_devices: how many it has.
    """

    name: str
    platform: str
    n_devices: int


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A worker is through with its runs; those without an outcome it did not finish."""

    worker: str
    outcomes: dict[str, Outcome]


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A worker has died."""

    worker: str
    why: str


Message = RunEvent | Ended | Lost


class Pool(Protocol):
    """The workers of an executor, seen from the process that hands out the runs."""

    def idle(self) -> Sequence[Worker]:
        """Return the workers that could begin now."""

    def send(self, worker: Worker, specs: Sequence[RunSpec]) -> None:
        """Have a worker train runs."""

    def wait(self) -> Sequence[Message]:
        """Return what happened, after a second at the latest.

        Raises:
            Exception: what a worker raised, other than the failure of a run.
        """

    def stop(self) -> None:
        """Have all workers keep the states of their runs, and wait for it."""


def train_on(
    pool: Pool, specs: Sequence[RunSpec], store: RunStore, report: Report
) -> dict[str, Outcome]:
    """Train runs on the workers of a pool, see `experiments.sweeps.worker.train_runs`."""
    hand_out = _HandOut(pool, specs, store, report)
    try:
        return hand_out.run()
    except BaseException:
        pool.stop()
        raise


class _HandOut:
    """Who has which runs, and which wait."""

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
        """Note how a run ended; one that did not goes back to the others."""
        if outcome is None and self._store.is_done(spec):
            outcome = "trained"
        if outcome is None and self._deaths[spec.run_id] >= MOST_DEATHS:
            outcome = self._give_up(spec, why)
        if outcome is None:
            self._waiting.put(spec)
        else:
            self._outcomes[spec.run_id] = outcome
        # The worker's own word may have been lost with it, or be late.
        self._report(RunEvent(kind=outcome or "lost", run_id=spec.run_id))

    def _give_up(self, spec: RunSpec, why: str) -> Outcome:
        outcome: Outcome = "held"
        with contextlib.suppress(RunLocked), self._store.claim(spec):
            self._store.fail(spec, f"the worker that trained it died {MOST_DEATHS} times ({why})")
            outcome = "failed"
        return outcome


class RunQueue:
    """Runs that wait, by shape, the most expensive first."""

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
        """Remove and return the runs that a worker gets next; none when there are none."""
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
    """Return what decides which programs a run needs compiled."""
    data = spec.data
    n_synthetic = spec.synthetic.n_tokens if spec.synthetic else 0
    return spec.model, spec.train.batch_size, data.n_unique_tokens, n_synthetic, data.n_eval_tokens
