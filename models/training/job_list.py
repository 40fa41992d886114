"""Train a list of independent jobs on all devices, most expensive first.

On a CPU, one thread per core takes the next job and calls the compiled segment until the job is
done. On accelerators, one thread drives all devices, and jobs that share a compiled program train
side by side (`models.training.side_by_side`). Both report events through a queue to the caller's
thread, which is the only one that writes files.

Jobs of one trunk, which differ only in how long they train before their learning rate falls, are
branches: a CPU trains their common steps once, and each branch continues from the state in which
the one before left them (Hu et al. 2024, arXiv 2404.06395). Results and metrics are those of
training every job by itself.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import jax
import numpy as np

from models.training.devices import worker_devices
from models.training.interrupts import interrupt_sets
from models.training.jobs import (
    Callbacks,
    Event,
    Failed,
    Finished,
    Job,
    Keep,
    Load,
    Segment,
    score,
    score_along,
)
from models.training.sharding import Mesh
from models.training.side_by_side import train_side_by_side
from models.training.train import Execution, TrainState, init_state, train_segment

__all__ = ["Event", "Failed", "Finished", "Job", "Keep", "Layout", "Load", "Segment", "train_jobs"]

Layout = Literal["one_a_device", "side_by_side"]
"""`one_a_device`: one job on each device (on CPUs, each core), fastest on CPUs; `side_by_side`:
several jobs in one program over all devices, fastest on accelerators."""


def train_jobs(
    jobs: Sequence[Job],
    on_event: Callable[[Event], None],
    *,
    load: Load = lambda job: None,
    keep: Keep = lambda job, state: None,
    keep_every: float = 30.0,
    devices: Sequence[jax.Device] | None = None,
    layout: Layout | None = None,
    execution: Execution | None = None,
    mesh: Mesh | None = None,
    n_members: int | None = None,
) -> None:
    """Train every job, most expensive first, and report events to the caller as they occur.

    An interrupt by SIGINT or SIGTERM (or an error in `on_event`) stops every device after its
    current segment, passes the unfinished states to `keep`, so that the next call resumes them
    exactly, reports the events that are still queued, and then propagates.

    A mesh may span several processes (`jax.distributed.initialize`): each process then makes this
    call with the same jobs, mesh and `devices=jax.devices()`, and receives all events; only one
    should write files. An interrupt of any process stops all of them after the same segment. Any
    other error in the devices' thread of one process leaves the others waiting for it until
    `jax.distributed` ends them: let it end the process.

    Args:
        jobs: what to train, in any order.
        on_event: called in the caller's thread with each Segment, Finished or Failed.
        load: returns the saved state of a job, or None to train it from the start.
        keep: saves the state of an unfinished job; called from trainer threads.
        keep_every: seconds between calls of `keep` for one job.
        devices: JAX devices to use (default: all of this process; on CPUs, `worker_devices`).
        layout: how jobs share the devices (default: by the kind of device).
        execution: microbatches and rematerialisation, for all jobs.
        mesh: for `side_by_side`, how devices are divided (default: all along the member axis).
        n_members: for `side_by_side`, jobs trained together (default: as many as fit in memory).

    Raises:
        KeyboardInterrupt: this process, or another that trains with it, was interrupted; states
            have been saved.
        ValueError: a mesh of another number of devices.
        MemoryError: memory ran out in this process, which is one of several.
    """
    todo = sorted(jobs, key=lambda job: job.flops, reverse=True)
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    callbacks = Callbacks(
        report=events.put,
        load=load,
        keep=keep,
        keep_every=keep_every,
        stop=threading.Event(),
        execution=execution or Execution(),
    )
    workers = list(devices or worker_devices())
    if layout is None:
        layout = "one_a_device" if workers[0].platform == "cpu" and mesh is None else "side_by_side"
    if layout == "side_by_side":
        devices = list(devices or jax.local_devices())
        tasks = [
            partial(train_side_by_side, todo, callbacks, devices, mesh=mesh, n_members=n_members)
        ]
    else:
        waiting: queue.SimpleQueue[list[Job]] = queue.SimpleQueue()
        branches: dict[str, list[Job]] = {}
        for job in todo:
            branches.setdefault(job.trunk or f"only {job.id}", []).append(job)
        for group in branches.values():
            waiting.put(sorted(group, key=lambda job: job.branch_step))
        used = workers[: len(branches)]
        tasks = [partial(_train_one_by_one, waiting, callbacks, device) for device in used]
    _run_tasks(tasks, events, on_event, callbacks.stop)


def _run_tasks(
    tasks: Sequence[Callable[[], None]],
    events: queue.SimpleQueue[Event | None],
    on_event: Callable[[Event], None],
    stop: threading.Event,
) -> None:
    """Run each task in a thread and pass their events to the caller in this thread."""
    errors: list[BaseException] = []

    def work(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            errors.append(error)
        events.put(None)

    threads = [threading.Thread(target=work, args=(task,), daemon=True) for task in tasks]
    with interrupt_sets(stop):
        for thread in threads:
            thread.start()
        n_working = len(threads)
        try:
            while n_working:
                event = events.get()
                if event is None:
                    n_working -= 1
                else:
                    on_event(event)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            while not events.empty():
                event = events.get()
                if event is not None:
                    on_event(event)
    if errors:
        raise errors[0]


class _Trunk(NamedTuple):
    """The steps that branches have in common, as one of them has trained them."""

    state: TrainState
    segments: tuple[Segment, ...]

    def reported(self, job: Job, first_step: int) -> list[Segment]:
        """Return the segments of the trunk from a step on as those of another branch."""
        found = []
        for one in self.segments:
            losses = one.losses[max(0, first_step - one.first_step) :]
            start = one.first_step + len(one.losses) - len(losses)
            if len(losses):
                found.append(replace(one, job=job, first_step=start, losses=losses, seconds=0.0))
        return found


def _train_one_by_one(
    waiting: queue.SimpleQueue[list[Job]], callbacks: Callbacks, device: jax.Device
) -> None:
    while not callbacks.stop.is_set():
        try:
            branches = waiting.get_nowait()
        except queue.Empty:
            return
        trunk: _Trunk | None = None
        for job in branches:
            if callbacks.stop.is_set():
                return
            try:
                trunk = _train(job, callbacks, device, trunk)
            except Exception as error:
                callbacks.report(Failed(job=job, error=error))


def _train(
    job: Job, callbacks: Callbacks, device: jax.Device, trunk: _Trunk | None
) -> _Trunk | None:
    """Train one job on one device, from its saved state or its trunk if there is one.

    Returns:
        The steps that a later branch has in common with it.
    """
    started = last = kept = time.monotonic()
    program = job.program(callbacks.execution)
    first_state = callbacks.load(job) or init_state(program, job.seed, job.first_params)
    shared: list[Segment] = []
    first = int(first_state.step)
    if trunk is not None and trunk.segments[0].first_step <= first < int(trunk.state.step):
        for segment in trunk.reported(job, first):
            callbacks.report(segment)
        first_state, shared = trunk.state, list(trunk.segments)
    ring = job.padded_ring
    # Copied even if already on the device: the program reuses the buffers it is given.
    state, ring = jax.tree.map(
        lambda leaf: jax.device_put(leaf, device, may_alias=False), (first_state, ring)
    )
    hyper = job.hyperparameters
    step, diverged = int(state.step), False
    while step < job.n_steps and not diverged:
        reads, n_now = job.reads(step)
        state, losses = train_segment(program, state, ring, reads, np.int32(n_now), hyper)
        losses = np.asarray(losses)[:n_now]
        held_out = score_along(job, state)
        now = time.monotonic()
        segment = Segment(
            job=job, first_step=step, losses=losses, seconds=now - last, validation_loss=held_out
        )
        callbacks.report(segment)
        last = now
        step, diverged = step + n_now, not np.isfinite(losses).all()
        if step <= job.branch_step and not diverged:
            shared.append(segment)
            reaches_back = trunk is None or shared[0].first_step <= trunk.segments[0].first_step
            if step == job.branch_step and reaches_back:
                trunk = _Trunk(jax.device_get(state), tuple(shared))
        if step < job.n_steps and not diverged:
            if callbacks.stop.is_set():
                callbacks.keep(job, state)
                return trunk
            if time.monotonic() - kept > callbacks.keep_every:
                callbacks.keep(job, state)
                kept = time.monotonic()
    seconds = time.monotonic() - started
    callbacks.report(score(job, state.result, diverged=diverged, seconds=seconds, device=device))
    return trunk
