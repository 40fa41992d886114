"""Train jobs side by side: as many as fit in memory, in one vmapped program over a device mesh.

Each job occupies a slot of the batch until it is done; the next job then takes that slot.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from models.network.attention import keeps_pairs
from models.training.devices import free_bytes, members_that_fit, training_bytes
from models.training.jobs import Callbacks, Failed, Job, Segment, score, score_along
from models.training.sharding import (
    Mesh,
    member_sharding,
    replicated,
    state_shardings,
    window_sharding,
)
from models.training.train import Program, TrainState, init_state, segment

logger = logging.getLogger("datawall")


def train_side_by_side(
    jobs: Sequence[Job],
    callbacks: Callbacks,
    devices: Sequence[jax.Device],
    *,
    mesh: Mesh | None = None,
    n_members: int | None = None,
) -> None:
    """Train jobs that share a compiled program side by side, one such group after another.

    Args:
        jobs: in the order in which to start them.
        callbacks: the caller's functions.
        devices: JAX devices, all used at once.
        mesh: how devices are divided; by default along the member axis, and along the batch axis
            if there are fewer jobs than devices.
        n_members: jobs trained together on all devices; by default as many as fit in the memory of
            every process. It is halved when memory runs out in the only process.

    Raises:
        ValueError: a mesh of another number of devices.
        KeyboardInterrupt: another process was interrupted; states have been saved.
        MemoryError: memory ran out in this process, which is one of several.
    """
    groups: dict[tuple[Program, tuple[int, ...]], list[Job]] = {}
    for job in jobs:
        try:
            program = job.program(callbacks.execution)
        except ValueError as error:
            callbacks.report(Failed(job=job, error=error))
            continue
        groups.setdefault((program, job.reads_shape), []).append(job)
    # Only the free memory of a process's own devices can be read.
    here = next(one for one in devices if one.process_index == jax.process_index())
    for (program, reads_shape), group in groups.items():
        shape = mesh or _mesh_for(len(group), reads_shape[1], len(devices))
        fits = n_members or int(_of_all(_largest(group, callbacks, here, shape)).min())
        # Longest first, so that jobs trained together end at similar times.
        waiting = deque(sorted(group, key=lambda job: job.n_steps, reverse=True))
        begun: dict[str, TrainState] = {}
        while waiting and not _any(callbacks.stop.is_set())[0]:
            over = shape.over(devices)
            try:
                # Not named: after an error, its memory is free before the next is made.
                _StackedJobs(program, waiting, begun, callbacks, over, fits).train()
            except jax.errors.JaxRuntimeError as error:
                is_memory = "RESOURCE_EXHAUSTED" in str(error)
                said = _too_large(group[0], fits, callbacks, here, shape) if is_memory else error
                if jax.process_count() > 1:
                    # Others may wait for this process inside a step, so that no agreement is
                    # possible. They end when it does, see docs/accelerators.md.
                    raise said from (error if is_memory else None)
                if not is_memory or fits <= shape.member:
                    for job in waiting:
                        callbacks.report(Failed(job=job, error=said))
                    break
                fits = max(shape.member, fits // 2)
                logger.warning("out of memory; continuing with %d models side by side", fits)
    if _any(callbacks.stop.is_set())[0] and not callbacks.stop.is_set():
        raise KeyboardInterrupt("another process was interrupted")


def _mesh_for(n_jobs: int, batch_size: int, n_devices: int) -> Mesh:
    member = max(n for n in range(1, n_devices + 1) if n_devices % n == 0 and n <= n_jobs)
    data = n_devices // member
    return (
        Mesh(member=member, data=data) if batch_size % data == 0 else Mesh(data=1, member=n_devices)
    )


def _largest(jobs: Sequence[Job], callbacks: Callbacks, device: jax.Device, mesh: Mesh) -> int:
    """Return how many of these jobs fit side by side on all devices."""
    each = _bytes_of(jobs[0], callbacks, mesh)
    n_wanted = -(-len(jobs) // mesh.member)
    return mesh.member * members_that_fit(n_wanted, each, free_bytes(device))


def _bytes_of(job: Job, callbacks: Callbacks, mesh: Mesh) -> int:
    """Return an estimate of the memory that a job takes on each of the devices that it is on."""
    return training_bytes(
        job.model,
        batch_size=-(-job.train.batch_size // mesh.data),
        train=job.train,
        execution=callbacks.execution,
        flash=not keeps_pairs(job.model, job.train.precision),
        n_parts=mesh.data * mesh.model,
    )


def _too_large(
    job: Job, n_members: int, callbacks: Callbacks, device: jax.Device, mesh: Mesh
) -> MemoryError:
    needed, free = _bytes_of(job, callbacks, mesh), free_bytes(device)
    said, less = "", "Microbatches"
    if jax.process_count() > 1:
        said = f"process {jax.process_index()} of {jax.process_count()} ran out of memory: "
    if n_members > mesh.member:
        less = f"n_members={max(mesh.member, n_members // 2)} in train_jobs, microbatches"
    return MemoryError(
        f"{said}one model of {job.model.n_params:,} parameters with {job.train.batch_size} windows "
        f"of {job.model.context} tokens takes about {needed / 2**30:.3g} GiB on a device, and "
        f"{n_members} are trained together; {free / 2**30:.3g} GiB are free. {less}, "
        "rematerialisation (models.training.train.Execution) or more devices along the axes data "
        "and model of the mesh take less"
    )


@dataclass(kw_only=True, eq=False)
class _Slot:
    """One position of the batch of jobs: `job` is None if it is free; `text` is a row of texts."""

    job: Job | None = None
    text: int = 0
    step: int = 0
    started: float = 0.0
    last: float = 0.0
    diverged: bool = False


class _Stretch(NamedTuple):
    """Steps of one slot in a segment, and the held-out loss after them where the job is scored."""

    at: int
    slot: _Slot
    first_step: int
    n_steps: int
    validation_loss: float | None = None


@cache
def stacked_segment(program: Program, mesh: jax.sharding.Mesh) -> Any:
    """Return `segment` for stacked jobs of one program, compiled and spread over the mesh."""
    one = jax.eval_shape(lambda: init_state(program, 0))
    stacked = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), one)
    if mesh.shape["data"] > 1:
        program = replace(program, mesh=mesh)
    return jax.jit(
        # One store of tokens for all members: each reads at positions of its own.
        jax.vmap(partial(segment, program), in_axes=(0, None, 0, 0, 0), spmd_axis_name="member"),
        donate_argnums=0,
        out_shardings=(state_shardings(mesh, stacked), replicated(mesh)),
    )


class _TextStore:
    """The different texts of jobs trained together, one after another in one array.

    Each device holds it once, whatever the number of members; jobs with the same text share it.

    Args:
        waiting: all jobs that will need a text.
        n_slots: most jobs trained at the same time.
        mesh: the devices.

    Raises:
        ValueError: the texts are longer than an int32 counts.
    """

    def __init__(self, waiting: Sequence[Job], n_slots: int, mesh: jax.sharding.Mesh) -> None:
        rings = {job.text_digest: job.ring for job in waiting}.values()
        n_rows, self.length = min(n_slots, len(rings)), max(map(len, rings))
        if n_rows * self.length > np.iinfo(np.int32).max:
            raise ValueError(
                f"{n_rows} texts of up to {self.length:,} tokens together are more than "
                f"{np.iinfo(np.int32).max:,} tokens; train fewer models together"
            )
        self.rows = np.zeros((n_rows, self.length), np.result_type(*(r.dtype for r in rings)))
        self.digests = [""] * n_rows
        self.sharding = replicated(mesh)
        self._placed: jax.Array | None = None

    def row_of(self, job: Job, in_use: Set[int]) -> int:
        """Return the row of a job's text; it is written over one that is not in use if need be."""
        if job.text_digest not in self.digests:
            row = next(at for at in range(len(self.rows)) if at not in in_use)
            self.digests[row], ring = job.text_digest, job.ring
            self.rows[row, : len(ring)] = ring
            self._placed = None
        return self.digests.index(job.text_digest)

    def first(self, row: int) -> int:
        """Return the position of the first token of a row."""
        return row * self.length

    @property
    def placed(self) -> jax.Array:
        """The tokens [n_rows * length] on the devices."""
        if self._placed is None:
            self._placed = jax.device_put(self.rows.reshape(-1), self.sharding)
        return self._placed


class _StackedJobs:
    """The jobs trained together, with their stacked states and texts.

    Args:
        program: program that all of them share.
        waiting: jobs to start, taken from the left.
        begun: first states of jobs already loaded, by id, to restart them after running out of
            memory.
        callbacks: the caller's functions.
        mesh: the devices.
        n_slots: slots wanted; rounded up to a multiple of the mesh's member axis.
    """

    def __init__(
        self,
        program: Program,
        waiting: deque[Job],
        begun: dict[str, TrainState],
        callbacks: Callbacks,
        mesh: jax.sharding.Mesh,
        n_slots: int,
    ) -> None:
        self.program, self.waiting, self.begun = program, waiting, begun
        self.callbacks, self.mesh, self.device = callbacks, mesh, mesh.local_devices[0]
        n_slots, n_shares = min(n_slots, len(waiting)), mesh.shape["member"]
        self.slots = [_Slot() for _ in range(n_shares * -(-n_slots // n_shares))]
        self.kept = time.monotonic()
        self.store = _TextStore(waiting, len(self.slots), mesh)
        one = jax.eval_shape(lambda: init_state(program, 0))

        def zeros() -> TrainState:
            shape = (len(self.slots),)
            return jax.tree.map(lambda leaf: jnp.zeros(shape + leaf.shape, leaf.dtype), one)

        shardings = state_shardings(mesh, jax.eval_shape(zeros))
        self.states = jax.jit(zeros, out_shardings=shardings)()
        self.sharding_of_one = jax.tree.map(
            lambda found: NamedSharding(mesh, PartitionSpec(*found.spec[1:])), shardings
        )

    def train(self) -> None:
        """Train until all jobs are done or `callbacks.stop` is set in any process.

        Raises:
            jax.errors.JaxRuntimeError: memory ran out, say; unfinished jobs wait again.
        """
        try:
            self._train()
        except jax.errors.JaxRuntimeError:
            self.waiting.extendleft(slot.job for slot in self.slots if slot.job is not None)
            raise

    def _train(self) -> None:
        before: list[_Stretch] = []
        losses: jax.Array | None = None
        is_stopped = False
        while True:
            for at, slot in enumerate(self.slots):
                if slot.job is None and not is_stopped:
                    self._fill(at, slot)
            if all(slot.job is None for slot in self.slots):
                return
            now, new_losses = self._step()
            # Read the losses of the previous segment while the devices compute this one.
            self._report(before, losses)
            before, losses = now, new_losses
            is_last = any(slot.job and slot.step >= slot.job.n_steps for slot in self.slots)
            is_due = time.monotonic() - self.kept > self.callbacks.keep_every
            is_stopped, is_due = _any(self.callbacks.stop.is_set(), is_due)
            if is_last or is_due or is_stopped or any(s.diverged for s in self.slots):
                self._report(before, losses)
                before = []
                self._finish()
                (is_stopped,) = _any(self.callbacks.stop.is_set())  # on what was reported
            if is_stopped or is_due:
                self._keep()
            if is_stopped:
                return

    def _fill(self, at: int, slot: _Slot) -> None:
        """Start the next waiting job in a slot; jobs whose state cannot be loaded are reported."""
        while self.waiting:
            job = self.waiting.popleft()
            try:
                self._load(job)
            except Exception as error:
                self.callbacks.report(Failed(job=job, error=error))
                continue
            slot.text = self.store.row_of(job, {one.text for one in self.slots if one.job})
            state = self.begun[job.id]
            placed = jax.device_put(state, self.sharding_of_one)
            self.states = _replaced(self.states, np.int32(at), placed)
            slot.job, slot.step, slot.diverged = job, int(state.step), False
            slot.started = slot.last = time.monotonic()
            return

    def _load(self, job: Job) -> None:
        """Put the first state of a job into `begun`; it fails in all processes or in none.

        Raises:
            ValueError: processes loaded states of different steps, or some could not load one.
            Exception: that of `callbacks.load` in this process.
        """
        if job.id in self.begun:
            return
        failed: Exception | None = None
        try:
            first = self.callbacks.load(job)
            first = first or init_state(self.program, job.seed, job.first_params)
            self.begun[job.id] = jax.device_get(first)
        except Exception as error:
            failed = error
        steps = _of_all(-1 if failed else int(self.begun[job.id].step))[:, 0]
        if failed or (steps != steps[0]).any():
            self.begun.pop(job.id, None)
            raise failed or ValueError(
                f"processes loaded states of {job.id} after different steps: "
                f"{', '.join('none' if n < 0 else str(n) for n in steps)}; all must read the same"
            )

    def _step(self) -> tuple[list[_Stretch], jax.Array]:
        """Start one segment of every slot; return its steps and their losses [slots, steps]."""
        jobs = [slot.job for slot in self.slots]
        spare = next(job for job in jobs if job is not None)
        idle = (np.zeros(spare.reads_shape, np.int32), 0)
        segments = [s.job.reads(s.step) if s.job else idle for s in self.slots]
        starts = [self.store.first(slot.text) for slot in self.slots]
        hyper = jax.tree.map(lambda *n: np.stack(n), *[(j or spare).hyperparameters for j in jobs])
        n_now = np.array([n for _, n in segments], np.int32)
        reads = np.stack([start + r for start, (r, _) in zip(starts, segments, strict=True)])
        members = member_sharding(self.mesh)
        self.states, losses = stacked_segment(self.program, self.mesh)(
            self.states,
            self.store.placed,
            jax.device_put(reads, window_sharding(self.mesh)),
            *jax.device_put((n_now, hyper), members),
        )
        now = []
        for at, (slot, n) in enumerate(zip(self.slots, n_now.tolist(), strict=True)):
            if slot.job is not None:
                first, slot.step = slot.step, slot.step + n
                now.append(_Stretch(at, slot, first, n, self._scored(at, slot.job, slot.step)))
        return now, losses

    def _scored(self, at: int, job: Job, step: int) -> float | None:
        if not job.is_scored_at(step):
            return None
        return score_along(job, jax.device_put(self._fetched(self.states, at), self.device))

    def _report(self, steps: list[_Stretch], losses: jax.Array | None) -> None:
        if not steps or losses is None:
            return
        all_losses = np.asarray(losses)
        for at, slot, first_step, n, validation_loss in steps:
            if slot.job is None or slot.diverged or n == 0:
                continue
            own = all_losses[at, :n]
            slot.diverged = not np.isfinite(own).all()
            now, last = time.monotonic(), slot.last
            slot.last = now
            self.callbacks.report(
                Segment(
                    job=slot.job,
                    first_step=first_step,
                    losses=own,
                    seconds=now - last,
                    validation_loss=validation_loss,
                )
            )

    def _finish(self) -> None:
        """Score finished jobs and free their slots."""
        for at, slot in enumerate(self.slots):
            job = slot.job
            if job is None or not (slot.diverged or slot.step >= job.n_steps):
                continue
            slot.job = None
            del self.begun[job.id]
            try:
                params = jax.device_put(self._fetched(self.states.result, at), self.device)
                seconds = time.monotonic() - slot.started
                self.callbacks.report(
                    score(job, params, diverged=slot.diverged, seconds=seconds, device=self.device)
                )
            except Exception as error:
                self.callbacks.report(Failed(job=job, error=error))

    def _keep(self) -> None:
        self.kept = time.monotonic()
        for at, slot in enumerate(self.slots):
            if slot.job is not None:
                self.callbacks.keep(slot.job, self._fetched(self.states, at))

    def _fetched(self, stacked: Any, at: int) -> Any:
        """Return one job's arrays on the host."""
        if jax.process_count() == 1:
            return jax.device_get(jax.tree.map(lambda leaf: leaf[at], stacked))
        # Other processes hold parts of it. One array at a time: all may not fit on a device.
        whole = replicated(self.mesh)
        return jax.tree.map(lambda leaf: jax.device_get(jax.device_put(leaf[at], whole)), stacked)


def _of_all(*numbers: int) -> np.ndarray:
    """Return the numbers [n_processes, n_numbers] of all processes, which wait for each other."""
    if jax.process_count() == 1:
        return np.array([numbers])
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(np.array(numbers, np.int32))


def _any(*flags: bool) -> list[bool]:
    """Return which flags any process has set, so that all processes take the same steps."""
    return [bool(flag.any()) for flag in _of_all(*flags).T]


@partial(jax.jit, donate_argnums=0)
def _replaced(states: TrainState, at: jax.Array, state: TrainState) -> TrainState:
    return jax.tree.map(lambda all_, one: all_.at[at].set(jnp.asarray(one)), states, state)
