"""Training in Dask workers: on this machine, or those of a running scheduler.

Workers may join and leave: one that joins gets runs, the runs of one that leaves are queued again.
A worker that is shut down, as by a batch system at the end of its time, saves the states of its
runs first. This package must be installed for scheduler and workers, and the workers must see the
folder of the store under the same path.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import signal
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from distributed import Client, Future, KilledWorker, LocalCluster, WorkerPlugin, get_worker

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

SECONDS_TO_ANSWER = 20.0
SECONDS_TO_STOP = 120.0
SECONDS_BETWEEN_UPDATES = 0.5
"""How often the scheduler is asked for its workers."""


class SchedulerLost(RuntimeError):
    """The connection to the scheduler broke; its workers save the states of their runs and end."""


class DaskExecutor:
    """Trains in the workers of a Dask cluster.

    Args:
        scheduler: its address, such as tcp://10.0.0.1:8786; by default a cluster is started on
            this machine and lives as long as this object.
        n_workers: number of workers of a cluster on this machine, see `Slots`.
        keep_every: seconds between saved states of a run.

    Raises:
        RuntimeError: no scheduler answers at the address.
    """

    def __init__(
        self,
        scheduler: str | None = None,
        n_workers: int | None = None,
        *,
        keep_every: float = KEEP_SECONDS,
    ) -> None:
        configure_host_devices()
        self.keep_every = keep_every
        self._cluster: LocalCluster | None = None
        self._slots = Slots(n_workers) if scheduler is None else None
        self._client = _connect(scheduler) if scheduler is not None else None

    def train(
        self, specs: Sequence[RunSpec], store: RunStore, report: Report
    ) -> dict[str, Outcome]:
        """See `Executor.train`."""
        if self._slots is not None:
            self._scale(self._slots.useful_for(specs))
        assert self._client is not None
        pool = _Workers(self._client, self._slots, store, self.keep_every)
        try:
            return train_on(pool, specs, store, report)
        finally:
            pool.close()

    def _scale(self, n_workers: int) -> None:
        if self._cluster is None:
            self._cluster = LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                memory_limit=None,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            self._client = Client(self._cluster, set_as_default=False)
        elif n_workers > len(self._cluster.workers):
            self._cluster.scale(n_workers)

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (self._client, self._cluster):
            if opened is not None:
                opened.close(timeout=SECONDS_TO_ANSWER)


def _connect(address: str) -> Client:
    try:
        return Client(address, timeout=SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"no Dask scheduler answers at {address}: {error}") from error


class _Workers:
    """The workers of a cluster during one call of `train`."""

    def __init__(
        self, client: Client, slots: Slots | None, store: RunStore, keep_every: float
    ) -> None:
        self._client, self._slots = client, slots
        self._root, self._keep_every = str(store.root.absolute()), keep_every
        self._topic = f"datawall-{uuid.uuid4().hex}"
        self._messages: queue.SimpleQueue[RunEvent | Future] = queue.SimpleQueue()
        self._workers: dict[str, Worker | None] = {}
        self._tasks: dict[str, Future] = {}
        self._last_update = -SECONDS_BETWEEN_UPDATES
        self._has_none = False
        client.subscribe_topic(self._topic, self._on_event)

    def _on_event(self, event: tuple[float, dict[str, Any]]) -> None:
        self._messages.put(RunEvent(**event[1]["event"]))

    def idle(self) -> Sequence[Worker]:
        """Return the workers without runs."""
        return [
            worker
            for worker in self._workers.values()
            if worker is not None and worker.name not in self._tasks
        ]

    def send(self, worker: Worker, specs: Sequence[RunSpec]) -> None:
        """Start runs on a worker."""
        self._submit(worker.name, _train, list(specs), self._root, self._topic, self._keep_every)

    def _submit(self, address: str, function: Any, *arguments: Any) -> None:
        # Tied to this worker: Dask must not move a lost run to a worker that is busy.
        task = self._client.submit(
            function, *arguments, key=f"datawall-{uuid.uuid4().hex}", workers=[address], retries=0
        )
        self._tasks[address] = task
        task.add_done_callback(self._messages.put)

    def wait(self) -> Sequence[Message]:
        """Return new messages, after a second at the latest."""
        messages = self._update_workers()
        with contextlib.suppress(queue.Empty):
            message = self._messages.get(timeout=0 if messages else SECONDS_BETWEEN_UPDATES)
            while True:
                is_event = isinstance(message, RunEvent)
                messages += [message] if is_event else self._messages_of(message)
                message = self._messages.get_nowait()
        return messages

    def _update_workers(self) -> list[Message]:
        """Return messages about workers that have joined or left."""
        if time.monotonic() - self._last_update < SECONDS_BETWEEN_UPDATES:
            return []
        self._last_update = time.monotonic()
        there = set(self._ask(self._client.nthreads))
        gone = [address for address in self._workers if address not in there]
        for address in gone:
            del self._workers[address]
            if task := self._tasks.pop(address, None):
                task.cancel()
        new = [address for address in there if address not in self._workers]
        if new:
            self._prepare(new)
        had_none, self._has_none = self._has_none, not there
        said = "waiting for workers to join the scheduler"
        asked = [RunEvent(kind="said", text=said)] if self._has_none and not had_none else []
        return [*(Lost(worker=address, why="it left the cluster") for address in gone), *asked]

    def _ask(self, question: Any) -> Any:
        if self._client.status == "running":
            try:
                return question()
            except (OSError, TimeoutError) as error:
                raise self._lost() from error
        raise self._lost()

    def _lost(self) -> SchedulerLost:
        address = self._client.scheduler.address if self._client.scheduler else "unknown"
        return SchedulerLost(
            f"the Dask scheduler at {address} was lost; finished runs are kept, and the same "
            "command with another scheduler or executor trains the rest"
        )

    def _prepare(self, addresses: list[str]) -> None:
        answers = self._ask(
            partial(
                self._client.run,
                _prepare,
                is_ours=self._slots is not None,
                n_accelerators=self._slots.n_accelerators if self._slots else 0,
                workers=addresses,
                on_error="return",
            )
        )
        for address, answer in answers.items():
            if isinstance(answer, (ImportError, AttributeError)):
                raise RuntimeError(f"the Dask worker {address} cannot train: {answer}")
            if not isinstance(answer, Exception):  # otherwise it has left meanwhile
                self._workers[address] = None
                self._submit(address, platform_and_devices)

    def _messages_of(self, task: Future) -> list[Message]:
        """Return the messages that the end of a task gives rise to."""
        address = next((at for at, found in self._tasks.items() if found is task), None)
        if address is None:
            return []
        del self._tasks[address]
        if task.status == "error" and not isinstance(error := task.exception(), KilledWorker):
            raise error
        try:
            result = task.result(timeout=SECONDS_TO_ANSWER)
        except Exception:
            return [Ended(worker=address, outcomes={})]
        if isinstance(result, dict):
            return [Ended(worker=address, outcomes=result)]
        platform, n_devices = result
        self._workers[address] = Worker(name=address, platform=platform, n_devices=n_devices)
        return []

    def stop(self) -> None:
        """Interrupt all workers, and wait until they have saved the states of their runs."""
        deadline = time.monotonic() + SECONDS_TO_STOP
        with contextlib.suppress(SchedulerLost):
            while time.monotonic() < deadline and (busy := self._busy()):
                # Repeatedly: a worker may have been interrupted before it began.
                self._ask(
                    partial(self._client.run, _stop, self._topic, workers=busy, on_error="ignore")
                )
                time.sleep(0.1)

    def _busy(self) -> list[str]:
        there = self._ask(self._client.nthreads)
        return [at for at, task in self._tasks.items() if at in there and not task.done()]

    def close(self) -> None:
        """Unsubscribe from worker events."""
        if self._client.status == "running":
            self._client.unsubscribe_topic(self._topic)


# --- what runs in a worker

_stopped: set[str] = set()
_leaving = threading.Event()
_training = threading.Lock()


class _KeepStates(WorkerPlugin):
    """Delays the end of a worker until the states of its runs are saved."""

    name = "datawall-keep-states"

    async def teardown(self, worker: Any) -> None:
        _leaving.set()
        while _training.locked():
            await asyncio.sleep(0.05)


async def _prepare(dask_worker: Any, *, is_ours: bool, n_accelerators: int) -> None:
    """Prepare a worker before it starts JAX; called in its event loop."""
    configure_host_devices(dask_worker.state.nthreads)
    if n_accelerators:
        device = str(int(dask_worker.name) % n_accelerators)
        os.environ["JAX_CUDA_VISIBLE_DEVICES"] = os.environ["JAX_ROCM_VISIBLE_DEVICES"] = device
    if is_ours and threading.current_thread() is threading.main_thread():
        # Ctrl-C on a terminal reaches every process; this one is stopped by its parent.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _KeepStates.name not in dask_worker.plugins:
        await dask_worker.plugin_add(_KeepStates(), name=_KeepStates.name)


def _train(specs: list[RunSpec], root: str, topic: str, keep_every: float) -> dict[str, Outcome]:
    worker = get_worker()

    def report(event: RunEvent) -> None:
        worker.log_event(topic, {"event": asdict(event)})

    def should_stop() -> bool:
        return topic in _stopped or _leaving.is_set()

    with _training, logging_to(report):
        try:
            return train_runs(
                specs, RunStore(root), report, should_stop=should_stop, keep_every=keep_every
            )
        except KeyboardInterrupt:
            return {}
        except Exception as error:
            raise portable(error) from None


def _stop(topic: str) -> None:
    _stopped.add(topic)
