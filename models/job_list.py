"""Train a list of independent jobs on every device at once, longest first.

One thread drives one device: it takes the next job, calls the compiled segment until the job is
done, and reports what happened through a queue to the caller's thread, which alone writes files.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from models.batches import as_ring, steps_per_epoch, window_starts
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.evaluate import held_out_loss
from models.train import (
    SEGMENT_STEPS,
    Hyperparameters,
    Params,
    TrainState,
    init_state,
    train_segment,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One model to train.

    Attributes:
        id: the caller's name for it.
        model: architecture.
        optimizer: learning rate and decay.
        train: epochs, batches, order.
        seed: draws the weights and the order of the data.
        tokens: the unique tokens [D] it may see.
        held_out: windows [n_windows, context + 1] to score the trained model on, by name.
    """

    id: str
    model: ModelConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    seed: int
    tokens: np.ndarray
    held_out: Mapping[str, np.ndarray]

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the unique tokens."""
        return steps_per_epoch(
            len(self.tokens), context=self.model.context, batch_size=self.train.batch_size
        )

    @property
    def n_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.train.n_epochs * self.steps_per_epoch

    @property
    def tokens_per_step(self) -> int:
        """Tokens read in one step."""
        return self.train.batch_size * self.model.context

    @property
    def flops(self) -> float:
        """Training floating-point operations of the whole run."""
        return self.n_steps * self.tokens_per_step * self.model.train_flops_per_token


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """Steps `first_step` to `first_step + len(losses) - 1` of a job are done.

    `seconds` have passed since the segment before, or since this call of `train_jobs` took the job.
    """

    job: Job
    first_step: int
    losses: np.ndarray
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """A job has ended; `diverged` when its loss stopped being a number, with no scores then.

    `seconds` are those of this call of `train_jobs`, from taking the job to its scores.
    """

    job: Job
    params: Params
    scores: Mapping[str, float]
    diverged: bool
    seconds: float
    device: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Failed:
    """A job has raised an error; the others go on."""

    job: Job
    error: Exception


Event = Segment | Finished | Failed
Load = Callable[[Job], TrainState | None]
Keep = Callable[[Job, TrainState], None]


def train_jobs(
    jobs: Sequence[Job],
    on_event: Callable[[Event], None],
    *,
    load: Load = lambda job: None,
    keep: Keep = lambda job, state: None,
    keep_every: float = 30.0,
    devices: Sequence[jax.Device] | None = None,
) -> None:
    """Train every job, most expensive first, and tell the caller what happens as it happens.

    An interrupt (or an error in `on_event`) stops every device after its present segment, hands
    the unfinished states to `keep`, so that the next call resumes them exactly, and reports what
    had been finished meanwhile before it goes on up.

    Args:
        jobs: what to train, in any order.
        on_event: called in the caller's thread with each Segment, Finished or Failed.
        load: the kept state of a job, or None to start it afresh.
        keep: saves the state of an unfinished job; called from the devices' threads.
        keep_every: seconds between calls of `keep` for one job.
        devices: JAX devices to use (default: all).
    """
    todo = sorted(jobs, key=lambda job: job.flops, reverse=True)
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in todo:
        waiting.put(job)
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    stop = threading.Event()

    def work(device: jax.Device) -> None:
        while not stop.is_set():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                break
            try:
                _run(job, device, events.put, stop, load, keep, keep_every)
            except Exception as error:
                events.put(Failed(job=job, error=error))
        events.put(None)

    used = list(devices or jax.local_devices())[: len(todo)]
    threads = [threading.Thread(target=work, args=(device,), daemon=True) for device in used]
    with _interrupt_sets(stop):
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


@contextlib.contextmanager
def _interrupt_sets(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C set `stop` instead of breaking in anywhere; raise KeyboardInterrupt at the end.

    So an event that has been taken off the queue is always seen to its end. Outside the main
    thread, where Python delivers no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts: list[int] = []

    def on_interrupt(number: int, frame: object) -> None:
        interrupts.append(number)
        stop.set()

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt


def _run(
    job: Job,
    device: jax.Device,
    report: Callable[[Event], None],
    stop: threading.Event,
    load: Load,
    keep: Keep,
    keep_every: float,
) -> None:
    """Train one job on one device, from its kept state if there is one."""
    started = kept = last = time.monotonic()
    first_state = load(job) or init_state(job.model, job.seed)
    ring = as_ring(job.tokens, context=job.model.context)
    state, ring = jax.device_put((first_state, ring), device)
    hyper = Hyperparameters.of(job.optimizer, job.n_steps)
    step, diverged = int(state.step), False
    while step < job.n_steps and not diverged:
        n_now = min(SEGMENT_STEPS, job.n_steps - step)
        starts = np.zeros((SEGMENT_STEPS, job.train.batch_size), np.int32)
        starts[:n_now] = window_starts(
            len(job.tokens),
            context=job.model.context,
            train=job.train,
            seed=job.seed,
            first_step=step,
            last_step=step + n_now,
        )
        state, losses = train_segment(job.model, state, ring, starts, np.int32(n_now), hyper)
        losses = np.asarray(losses)[:n_now]
        now = time.monotonic()
        report(Segment(job=job, first_step=step, losses=losses, seconds=now - last))
        last = now
        step, diverged = step + n_now, not np.isfinite(losses).all()
        if step < job.n_steps and not diverged:
            if stop.is_set():
                keep(job, state)
                return
            if time.monotonic() - kept > keep_every:
                keep(job, state)
                kept = time.monotonic()
    scores = {
        name: held_out_loss(job.model, state.params, windows)
        for name, windows in job.held_out.items()
        if not diverged
    }
    report(
        Finished(
            job=job,
            params=jax.device_get(state.params),
            scores=scores,
            diverged=diverged or not np.isfinite(list(scores.values())).all(),
            seconds=time.monotonic() - started,
            device=device.device_kind,
        )
    )
