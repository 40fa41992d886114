"""Training in processes on this machine: one a core, or one a GPU.

A worker is a new interpreter with one device, which receives its runs through a pipe. The pipe
closes when either side dies: a worker whose sweep was killed saves the states of its runs and ends;
the runs of a worker that was killed are queued again.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore
from experiments.sweeps.executors.pool import (
    Ended,
    Lost,
    Message,
    Slots,
    Worker,
    platform_and_devices,
    train_on,
)
from experiments.sweeps.worker import (
    KEEP_SECONDS,
    Outcome,
    Report,
    RunEvent,
    logging_to,
    portable,
    train_runs,
)
from models.training.devices import configure_host_devices

SECONDS_TO_STOP = 120.0
"""Time a worker has to save its states before it is killed; a compilation may be running."""
SECONDS_TO_DIE = 10.0
MOST_FAILED_STARTS = 3
STOP = "stop"


@dataclass(kw_only=True, eq=False)
class _Member:
    """A worker process, as seen by its parent."""

    name: str
    slot: int
    process: Any
    pipe: Connection
    worker: Worker | None = None
    is_busy: bool = False


@dataclass(frozen=True, kw_only=True)
class _Raised:
    """An error in a worker that is not the failure of a run."""

    error: Exception


class LocalExecutor:
    """Trains in worker processes that persist between sweeps.

    Args:
        n_workers: number of workers (default: see `Slots`).
        keep_every: seconds between saved states of a run.
    """

    def __init__(self, n_workers: int | None = None, *, keep_every: float = KEEP_SECONDS) -> None:
        configure_host_devices()
        self._slots, self.keep_every = Slots(n_workers), keep_every
        self._members: list[_Member] = []
        self._names = map(str, itertools.count())
        self._n_failed_starts = 0
        self._n_useful = 0
        self._root = ""

    def train(
        self, specs: Sequence[RunSpec], store: RunStore, report: Report
    ) -> dict[str, Outcome]:
        """See `Executor.train`."""
        self._root = str(store.root.absolute())
        self._n_useful = self._slots.useful_for(specs)
        return train_on(self, specs, store, report)

    def idle(self) -> Sequence[Worker]:
        """Return the workers without runs, after starting those that are missing."""
        taken = {member.slot for member in self._members}
        for slot in range(self._n_useful):
            if slot not in taken:
                self._start(slot)
        return [
            member.worker
            for member in self._members
            if member.worker and not member.is_busy and member.slot < self._n_useful
        ]

    def _start(self, slot: int) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        variables = {}
        if n_accelerators := self._slots.n_accelerators:
            device = str(slot % n_accelerators)
            variables = {"JAX_CUDA_VISIBLE_DEVICES": device, "JAX_ROCM_VISIBLE_DEVICES": device}
        process = context.Process(
            target=_serve, args=(theirs, variables), name=f"datawall-{slot}", daemon=True
        )
        process.start()
        theirs.close()
        member = _Member(name=next(self._names), slot=slot, process=process, pipe=ours)
        self._members.append(member)

    def send(self, worker: Worker, specs: Sequence[RunSpec]) -> None:
        """Start runs on a worker."""
        member = next(member for member in self._members if member.worker is worker)
        member.is_busy = True
        # `wait` notices a worker that has just died.
        with contextlib.suppress(OSError):
            member.pipe.send((list(specs), self._root, self.keep_every))

    def wait(self) -> Sequence[Message]:
        """Return new messages, after a second at the latest."""
        messages: list[Message] = []
        for member in self._ready():
            try:
                received = member.pipe.recv()
            except (EOFError, OSError):
                messages.append(self._remove(member))
            else:
                messages += self._messages_of(member, received)
        return messages

    def _ready(self) -> list[_Member]:
        """Return the workers that send a message or die within a second."""
        ready = wait([member.pipe for member in self._members], timeout=1.0)
        return [member for member in self._members if member.pipe in ready]

    def _messages_of(self, member: _Member, received: Any) -> list[Message]:
        if isinstance(received, RunEvent):
            return [received]
        member.is_busy = False
        if isinstance(received, _Raised):
            raise received.error
        if isinstance(received, dict):
            return [Ended(worker=member.name, outcomes=received)]
        platform, n_devices = received
        self._n_failed_starts = 0
        member.worker = Worker(name=member.name, platform=platform, n_devices=n_devices)
        return []

    def _remove(self, member: _Member) -> Lost:
        self._members.remove(member)
        member.pipe.close()
        # The pipe closes a moment before the process ends, and with it its locks.
        member.process.join(SECONDS_TO_DIE)
        member.process.kill()
        member.process.join()
        why = f"exit code {member.process.exitcode}"
        if member.worker is None:
            self._n_failed_starts += 1
            if self._n_failed_starts == MOST_FAILED_STARTS:
                raise RuntimeError(f"worker processes die before they have started ({why})")
        return Lost(worker=member.name, why=why)

    def stop(self) -> None:
        """Interrupt all workers, and wait until they have saved the states of their runs."""
        for member in self._members:
            if member.is_busy:
                with contextlib.suppress(OSError):
                    member.pipe.send(STOP)
        deadline = time.monotonic() + SECONDS_TO_STOP
        while any(member.is_busy for member in self._members) and time.monotonic() < deadline:
            with contextlib.suppress(Exception):  # the first error was raised before
                self.wait()

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self._members:
            member.pipe.close()
        deadline = time.monotonic() + SECONDS_TO_DIE
        for member in self._members:
            member.process.join(max(0.0, deadline - time.monotonic()))
            member.process.kill()
            member.process.join()
        self._members.clear()


def _serve(pipe: Connection, variables: dict[str, str]) -> None:
    """Be a worker until the other end of the pipe is closed."""
    # Ctrl-C on a terminal reaches every process; this one is stopped by its parent. In a thread,
    # training does not install its own handler.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(variables)
    configure_host_devices(1)
    working = threading.Thread(target=_work, args=(pipe,))
    working.start()
    working.join()


def _work(pipe: Connection) -> None:
    """Train the runs that come through the pipe."""
    sending = threading.Lock()

    def report(message: object) -> None:
        # If the parent has died, reading from the pipe raises.
        with sending, contextlib.suppress(OSError):
            pipe.send(message)

    with logging_to(report):
        report(platform_and_devices())
        while (order := _next_order(pipe)) is not None:
            if order == STOP:  # its runs have ended meanwhile
                continue
            specs, root, keep_every = order
            try:
                outcomes = train_runs(
                    specs, RunStore(root), report, should_stop=pipe.poll, keep_every=keep_every
                )
            except KeyboardInterrupt:
                report({})
            except Exception as error:
                report(_Raised(error=portable(error)))
            else:
                report(outcomes)


def _next_order(pipe: Connection) -> Any | None:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None
