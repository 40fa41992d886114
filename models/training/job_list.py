"""Train a list of independent jobs on all devices, most expensive first.

On a CPU, one thread per core takes the next job and calls the compiled segment until the job is
done. On accelerators, one thread drives all devices, and jobs that share a compiled program train
side by side (`models.training.side_by_side`). Both report events through a queue to the caller's
thread, which is the only one that writes files.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

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
from models.training.train import Execution, init_state, train_segment

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

    An interrupt (or an error in `on_event`) stops every device after its current segment, passes
    the unfinished states to `keep`, so that the next call resumes them exactly, reports the events
    that are still queued, and then propagates.

    A mesh may span several processes (`jax.distributed.initialize`): each process then makes this
    call with the same jobs, mesh and `devices=jax.devices()`, and receives all events; only one
    should write files.

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
        KeyboardInterrupt: the user pressed Ctrl-C; states have been saved.
        ValueError: a mesh of another number of devices.
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
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for job in todo:
            waiting.put(job)
        used = workers[: len(todo)]
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


def _train_one_by_one(
    waiting: queue.SimpleQueue[Job], callbacks: Callbacks, device: jax.Device
) -> None:
    while not callbacks.stop.is_set():
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            _train(job, callbacks, device)
        except Exception as error:
            callbacks.report(Failed(job=job, error=error))


def _train(job: Job, callbacks: Callbacks, device: jax.Device) -> None:
    """Train one job on one device, from its saved state if there is one."""
    started = last = kept = time.monotonic()
    program = job.program(callbacks.execution)
    first_state = callbacks.load(job) or init_state(program, job.seed, job.first_params)
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
        callbacks.report(
            Segment(
                job=job,
                first_step=step,
                losses=losses,
                seconds=now - last,
                validation_loss=held_out,
            )
        )
        last = now
        step, diverged = step + n_now, not np.isfinite(losses).all()
        if step < job.n_steps and not diverged:
            if callbacks.stop.is_set():
                callbacks.keep(job, state)
                return
            if time.monotonic() - kept > callbacks.keep_every:
                callbacks.keep(job, state)
                kept = time.monotonic()
    seconds = time.monotonic() - started
    callbacks.report(score(job, state.result, diverged=diverged, seconds=seconds, device=device))
