"""Train jobs side by side: as many as memory holds, one vmapped program, over a mesh of devices.

A job sits in a slot until it is done; then the next one takes its place, whatever its length.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from models.training.jobs import Desk, Failed, Job, Segment, score
from models.training.memory import free_bytes, members_that_fit, training_bytes
from models.training.sharding import (
    Mesh,
    member_sharding,
    replicated,
    state_shardings,
    window_sharding,
)
from models.training.train import SEGMENT_STEPS, Program, TrainState, init_state, segment

logger = logging.getLogger("datawall")


def train_side_by_side(
    jobs: Sequence[Job],
    desk: Desk,
    devices: Sequence[jax.Device],
    *,
    mesh: Mesh | None = None,
    n_members: int | None = None,
) -> None:
    """Train jobs that compile alike side by side, one such group after another.

    Args:
        jobs: in the order in which to begin them.
        desk: the caller's functions.
        devices: all of them are used at once.
        mesh: how they are shared; by default they are shared among the members, and where there
            are fewer jobs than devices, what is left over is shared among the parts of a batch.
        n_members: jobs side by side on all devices together; by default as many as memory holds.
            Out of memory, it is halved.

    Raises:
        ValueError: a mesh of another number of devices.
    """
    groups: dict[tuple[Program, int], list[Job]] = {}
    for job in jobs:
        try:
            program = job.program(desk.execution)
        except ValueError as error:
            desk.report(Failed(job=job, error=error))
            continue
        groups.setdefault((program, job.train.batch_size), []).append(job)
    for (program, batch_size), group in groups.items():
        shape = mesh or _mesh_for(len(group), batch_size, len(devices))
        fits = _largest(group, desk, devices[0], shape) if n_members is None else n_members
        # Longest first, so that those side by side end together.
        waiting = deque(sorted(group, key=lambda job: job.n_steps, reverse=True))
        begun: dict[str, TrainState] = {}
        while waiting and not desk.stop.is_set():
            bench = _Bench(program, waiting, begun, desk, shape.over(devices), fits)
            try:
                bench.train()
            except jax.errors.JaxRuntimeError as error:
                bench.clear()
                if "RESOURCE_EXHAUSTED" not in str(error) or fits <= shape.member:
                    for job in waiting:
                        desk.report(Failed(job=job, error=error))
                    break
                fits = max(shape.member, fits // 2)
                logger.warning("out of memory; going on with %d models side by side", fits)


def _mesh_for(n_jobs: int, batch_size: int, n_devices: int) -> Mesh:
    member = max(n for n in range(1, n_devices + 1) if n_devices % n == 0 and n <= n_jobs)
    data = n_devices // member
    return (
        Mesh(member=member, data=data) if batch_size % data == 0 else Mesh(data=1, member=n_devices)
    )


def _largest(jobs: Sequence[Job], desk: Desk, device: jax.Device, mesh: Mesh) -> int:
    """Return how many of these jobs fit side by side on all devices."""
    first = jobs[0]
    each = training_bytes(
        first.model,
        batch_size=-(-first.train.batch_size // mesh.data),
        train=first.train,
        execution=desk.execution,
    )
    n_wanted = -(-len(jobs) // mesh.member)
    return mesh.member * members_that_fit(n_wanted, each, free_bytes(device))


@dataclass(kw_only=True, eq=False)
class _Slot:
    """A place for one job; empty when there is none."""

    job: Job | None = None
    step: int = 0
    started: float = 0.0
    last: float = 0.0
    diverged: bool = False


@cache
def _compiled(program: Program, mesh: jax.sharding.Mesh) -> Any:
    """Return `segment` for stacked jobs of one program, spread over the mesh."""
    one = jax.eval_shape(lambda: init_state(program, 0))
    stacked = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), one)
    return jax.jit(
        jax.vmap(partial(segment, program)),
        donate_argnums=0,
        out_shardings=(state_shardings(mesh, stacked), replicated(mesh)),
    )


class _Bench:
    """Slots side by side, and the stacked state of the jobs in them.

    Args:
        program: what all of them compile to.
        waiting: jobs to seat, taken from the left.
        begun: states of jobs that have been loaded, by id, to begin them again from.
        desk: the caller's functions.
        mesh: the devices.
        n_slots: slots wanted; a multiple of the mesh's members is made.
    """

    def __init__(
        self,
        program: Program,
        waiting: deque[Job],
        begun: dict[str, TrainState],
        desk: Desk,
        mesh: jax.sharding.Mesh,
        n_slots: int,
    ) -> None:
        self.program, self.waiting, self.begun = program, waiting, begun
        self.desk, self.mesh, self.device = desk, mesh, mesh.local_devices[0]
        n_slots, n_shares = min(n_slots, len(waiting)), mesh.shape["member"]
        self.slots = [_Slot() for _ in range(n_shares * -(-n_slots // n_shares))]
        self.kept = time.monotonic()
        shapes = {(len(ring), ring.dtype) for ring in (job.ring for job in waiting)}
        n_ring = max(length for length, _ in shapes)
        self.rings = np.zeros((len(self.slots), n_ring), np.result_type(*(d for _, d in shapes)))
        self._placed_rings: jax.Array | None = None
        stacked = jax.tree.map(
            lambda leaf: np.broadcast_to(np.asarray(leaf), (len(self.slots), *np.shape(leaf))),
            init_state(program, 0),
        )
        self.states = jax.device_put(stacked, state_shardings(mesh, stacked))

    def clear(self) -> None:
        """Put the jobs that are not done back to those that wait."""
        self.waiting.extendleft(slot.job for slot in self.slots if slot.job is not None)

    def train(self) -> None:
        """Train until all jobs are done or the desk says stop."""
        before: list[tuple[int, _Slot, int, int]] = []
        losses: jax.Array | None = None
        while True:
            for at, slot in enumerate(self.slots):
                if slot.job is None and not self.desk.stop.is_set():
                    self._seat(at, slot)
            if all(slot.job is None for slot in self.slots):
                return
            now, new_losses = self._step()
            # The segment before is read while the devices work on this one.
            self._tell(before, losses)
            before, losses = now, new_losses
            is_last = any(slot.job and slot.step >= slot.job.n_steps for slot in self.slots)
            is_due = time.monotonic() - self.kept > self.desk.keep_every
            if is_last or is_due or self.desk.stop.is_set() or any(s.diverged for s in self.slots):
                self._tell(before, losses)
                before = []
                self._finish()
            if self.desk.stop.is_set() or is_due:
                self._keep()
            if self.desk.stop.is_set():
                return

    def _seat(self, at: int, slot: _Slot) -> None:
        """Put the next job that can be begun into a slot."""
        while self.waiting:
            job = self.waiting.popleft()
            try:
                if job.id not in self.begun:
                    first = self.desk.load(job)
                    first = first or init_state(self.program, job.seed, job.first_params)
                    self.begun[job.id] = jax.device_get(first)
            except Exception as error:
                self.desk.report(Failed(job=job, error=error))
                continue
            ring = job.ring
            self.rings[at, : len(ring)] = ring
            self._placed_rings = None
            state = self.begun[job.id]
            self.states = _replaced(self.states, np.int32(at), state)
            slot.job, slot.step, slot.diverged = job, int(state.step), False
            slot.started = slot.last = time.monotonic()
            return

    def _step(self) -> tuple[list[tuple[int, _Slot, int, int]], jax.Array]:
        """Start one segment of every slot; return which steps of which jobs, and their losses."""
        if self._placed_rings is None:
            self._placed_rings = jax.device_put(self.rings, member_sharding(self.mesh))
        jobs = [slot.job for slot in self.slots]
        spare = next(job for job in jobs if job is not None)
        idle = (np.zeros((SEGMENT_STEPS, spare.train.batch_size), np.int32), 0)
        segments = [s.job.starts(s.step) if s.job else idle for s in self.slots]
        hyper = jax.tree.map(lambda *n: np.stack(n), *[(j or spare).hyperparameters for j in jobs])
        n_now = np.array([n for _, n in segments], np.int32)
        starts = np.stack([starts for starts, _ in segments])
        members = member_sharding(self.mesh)
        self.states, losses = _compiled(self.program, self.mesh)(
            self.states,
            self._placed_rings,
            jax.device_put(starts, window_sharding(self.mesh)),
            *jax.device_put((n_now, hyper), members),
        )
        now = []
        for at, (slot, n) in enumerate(zip(self.slots, n_now.tolist(), strict=True)):
            if slot.job is not None:
                now.append((at, slot, slot.step, n))
                slot.step += n
        return now, losses

    def _tell(self, steps: list[tuple[int, _Slot, int, int]], losses: jax.Array | None) -> None:
        if not steps or losses is None:
            return
        all_losses = np.asarray(losses)
        for at, slot, first_step, n in steps:
            if slot.job is None or slot.diverged or n == 0:
                continue
            own = all_losses[at, :n]
            slot.diverged = not np.isfinite(own).all()
            now, last = time.monotonic(), slot.last
            slot.last = now
            self.desk.report(
                Segment(job=slot.job, first_step=first_step, losses=own, seconds=now - last)
            )

    def _finish(self) -> None:
        """Score the jobs that are done and free their slots."""
        for at, slot in enumerate(self.slots):
            job = slot.job
            if job is None or not (slot.diverged or slot.step >= job.n_steps):
                continue
            slot.job = None
            del self.begun[job.id]
            try:
                params = jax.device_put(self._fetched(self.states.result, at), self.device)
                seconds = time.monotonic() - slot.started
                self.desk.report(
                    score(job, params, diverged=slot.diverged, seconds=seconds, device=self.device)
                )
            except Exception as error:
                self.desk.report(Failed(job=job, error=error))

    def _keep(self) -> None:
        self.kept = time.monotonic()
        for at, slot in enumerate(self.slots):
            if slot.job is not None:
                self.desk.keep(slot.job, self._fetched(self.states, at))

    def _fetched(self, stacked: Any, at: int) -> Any:
        """Return one job's arrays on the host."""
        one = jax.tree.map(lambda leaf: leaf[at], stacked)
        if jax.process_count() > 1:  # other processes hold parts of it
            one = jax.device_put(one, replicated(self.mesh))
        return jax.device_get(one)


@partial(jax.jit, donate_argnums=0)
def _replaced(states: TrainState, at: jax.Array, state: TrainState) -> TrainState:
    return jax.tree.map(lambda all_, one: all_.at[at].set(jnp.asarray(one)), states, state)
