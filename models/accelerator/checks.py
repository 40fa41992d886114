"""Checks of training on a device against the CPU and against itself.

Each takes sizes and returns an `Outcome`. The path of accelerators, `side_by_side`, is used on any
device, so that all checks run on host devices too.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

from models.accelerator.outcome import Outcome
from models.accelerator.sizes import Sizes
from models.config import ModelConfig, OptimizerConfig, Precision, TrainConfig
from models.training import side_by_side
from models.training.checkpoint import load_state, save_state
from models.training.devices import free_bytes, training_bytes
from models.training.job_list import Failed, Finished, Job, Segment, train_jobs
from models.training.sharding import Mesh
from models.training.train import SEGMENT_STEPS, TrainState

FIRST_STEP = {"exact": 1e-4, "tf32": 5e-3, "bfloat16": 2e-2}
"""Largest difference of the loss of the first step from float32 on a CPU, in nats per token."""

ALL_STEPS = {"exact": 5e-3, "tf32": 2e-2, "bfloat16": 5e-2}
"""The same of the mean absolute difference over all steps; AdamW turns rounding into steps."""


@contextlib.contextmanager
def matmul_precision(name: str | None) -> Iterator[None]:
    """Set the precision of float32 matrix products in all threads, and set it back.

    Args:
        name: `highest` for float32, None for the device's default (TF32 on NVIDIA GPUs).
    """
    before = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    jax.config.update("jax_default_matmul_precision", name)
    try:
        yield
    finally:
        jax.config.update("jax_default_matmul_precision", before)


def make_job(
    name: str,
    model: ModelConfig,
    *,
    batch_size: int,
    n_steps: int,
    n_epochs: int = 1,
    seed: int = 0,
    precision: Precision = "float32",
) -> Job:
    """Return a job on a made-up text, whose tokens are drawn with frequencies 1 / rank.

    Args:
        name: its identifier.
        model: architecture.
        batch_size: windows in a step.
        n_steps: steps of an epoch.
        n_epochs: passes over the text.
        seed: random seed of its weights and order.
        precision: number format of the matrix products.
    """
    frequency = 1 / np.arange(1, model.vocab_size + 1)
    tokens = np.random.default_rng(0).choice(
        model.vocab_size, size=n_steps * batch_size * model.context, p=frequency / frequency.sum()
    )
    return Job(
        id=name,
        model=model,
        optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.1),
        train=TrainConfig(n_epochs=n_epochs, batch_size=batch_size, precision=precision),
        seed=seed,
        tokens=tokens.astype(np.int32),
        held_out={},
    )


def trained(jobs: Sequence[Job], **options: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the losses [n_steps] and final weights [n_params] of jobs, by name.

    Args:
        jobs: what to train.
        options: those of `train_jobs`.

    Raises:
        Exception: that of a job that failed.
    """
    losses: dict[str, list[np.ndarray]] = {job.id: [] for job in jobs}
    weights: dict[str, np.ndarray] = {}

    def on_event(event: Any) -> None:
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Segment):
            losses[event.job.id].append(event.losses)
        if isinstance(event, Finished):
            leaves = jax.tree.leaves(event.params)
            weights[event.job.id] = np.concatenate([np.ravel(leaf) for leaf in leaves])

    train_jobs(jobs, on_event, **options)
    return {name: (np.concatenate(parts), weights[name]) for name, parts in losses.items()}


def _on_mesh(jobs: Sequence[Job], mesh: Mesh | None = None, **options: Any) -> dict[str, Any]:
    mesh = mesh or Mesh()
    devices = jax.local_devices()[: mesh.n_devices]
    options = {"n_members": len(jobs), **options}
    return trained(jobs, layout="side_by_side", devices=devices, mesh=mesh, **options)


def _checked_jobs(sizes: Sizes, n_jobs: int, precision: Precision = "float32") -> list[Job]:
    return [
        make_job(
            f"{precision} {seed}",
            sizes.checked,
            batch_size=sizes.batch_size,
            n_steps=sizes.n_steps,
            seed=seed,
            precision=precision,
        )
        for seed in range(n_jobs)
    ]


def losses_on_cpu(sizes: Sizes) -> np.ndarray:
    """Return the losses [n_steps] of the checked model on this process's CPU, in float32."""
    (job,) = _checked_jobs(sizes, 1)
    return trained([job], layout="one_a_device", devices=jax.local_devices(backend="cpu")[:1])[
        job.id
    ][0]


def _reference(sizes: Sizes) -> np.ndarray:
    """Return `losses_on_cpu`, of another process if this one has an accelerator.

    There the network would choose its kernels for the accelerator.
    """
    if jax.default_backend() == "cpu":
        return losses_on_cpu(sizes)
    script = (
        "import json; from models.accelerator import checks, sizes\n"
        f"print(json.dumps(checks.losses_on_cpu(sizes.{sizes.name}).tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RuntimeError(f"the CPU's losses: {lines[-1]}")
    return np.array(json.loads(done.stdout.splitlines()[-1]))


def check_losses(sizes: Sizes) -> Outcome:
    """Compare the losses of the first and of all steps with those of the CPU in float32."""
    expected = _reference(sizes)
    cases: list[tuple[str, Precision, str | None]] = [
        ("exact", "float32", "highest"),
        ("bfloat16", "bfloat16", None),
    ]
    if jax.default_backend() != "cpu":
        cases.insert(1, ("tf32", "float32", None))
    figures: dict[str, float | str | None] = {"steps": len(expected)}
    passed = True
    for name, precision, matmul in cases:
        with matmul_precision(matmul):
            (job,) = _checked_jobs(sizes, 1, precision)
            gap = np.abs(_on_mesh([job])[job.id][0] - expected)
        found = {"first step": (gap[0], FIRST_STEP), "all steps": (gap.mean(), ALL_STEPS)}
        for when, (value, limits) in found.items():
            figures[f"{name}: {when}, nats"] = float(value)
            figures[f"{name}: {when}, at most"] = limits[name]
            passed &= bool(value <= limits[name])  # False for NaN
    return Outcome(passed=passed, figures=figures)


def _compared(
    found: dict[str, Any], expected: dict[str, Any]
) -> tuple[bool, dict[str, float | str | None]]:
    """Return whether losses agree as `exact` says, and the largest differences of all jobs."""
    gaps = [np.abs(found[name][0] - expected[name][0]) for name in expected]
    first, mean = max(gap[0] for gap in gaps), max(gap.mean() for gap in gaps)
    figures: dict[str, float | str | None] = {
        "first step, nats": float(first),
        "first step, at most": FIRST_STEP["exact"],
        "all steps, nats": float(mean),
        "all steps, at most": ALL_STEPS["exact"],
    }
    return bool(first <= FIRST_STEP["exact"] and mean <= ALL_STEPS["exact"]), figures


def check_members(sizes: Sizes) -> Outcome:
    """Compare the losses of members trained together with those of each trained alone."""
    jobs = _checked_jobs(sizes, sizes.n_members)
    with matmul_precision("highest"):
        together = _on_mesh(jobs)
        alone = {name: one for job in jobs for name, one in _on_mesh([job]).items()}
    passed, figures = _compared(together, alone)
    return Outcome(passed=passed, figures={"members": len(jobs), **figures})


def check_sharding(sizes: Sizes) -> Outcome:
    """Compare losses on meshes of all devices, which use each axis, with those on one device."""
    n_devices = jax.local_device_count()
    if n_devices == 1:
        return Outcome(passed=None, note="there is one device: nothing to distribute")
    jobs = _checked_jobs(sizes, sizes.n_members)
    meshes = {
        "members": Mesh(member=n_devices),
        "batch": Mesh(data=n_devices),
        "matrices": Mesh(model=n_devices),
    }
    if n_devices % 8 == 0:
        del meshes["members"], meshes["matrices"]
        meshes["members, batch and matrices"] = Mesh(member=n_devices // 4, data=2, model=2)
    with matmul_precision("highest"):
        alone = _on_mesh(jobs)
        results = {name: _compared(_on_mesh(jobs, mesh), alone) for name, mesh in meshes.items()}
    figures: dict[str, float | str | None] = {"devices": n_devices}
    for name, (_, differences) in results.items():
        figures |= {f"{name}: {what}": value for what, value in differences.items()}
    return Outcome(passed=all(passed for passed, _ in results.values()), figures=figures)


def check_resume(sizes: Sizes) -> Outcome:
    """Compare a run resumed from a file, to the last bit, with one that was never interrupted."""
    job = make_job(
        "run",
        sizes.checked,
        batch_size=sizes.batch_size,
        n_steps=sizes.n_steps,
        n_epochs=1 + 2 * SEGMENT_STEPS // sizes.n_steps,
    )
    with tempfile.TemporaryDirectory() as folder, matmul_precision("highest"):
        path = Path(folder, "state.safetensors")

        def keep(job: Job, state: TrainState) -> None:
            if int(state.step) == SEGMENT_STEPS:
                save_state(path, state)

        whole, weights = _on_mesh([job], keep=keep, keep_every=0)[job.id]
        _, again = _on_mesh([job])[job.id]
        rest, resumed = _on_mesh([job], load=lambda job: load_state(path, job.program()))[job.id]
    same = np.array_equal(whole[SEGMENT_STEPS:], rest) and np.array_equal(weights, resumed)
    repeats = float(np.abs(weights - again).max())
    return Outcome(
        passed=same,
        figures={
            "steps": job.n_steps,
            "resumed at step": SEGMENT_STEPS,
            "losses, largest difference": float(np.abs(whole[SEGMENT_STEPS:] - rest).max()),
            "weights, largest difference": float(np.abs(weights - resumed).max()),
            "weights of two uninterrupted runs": repeats,
        },
        note="two uninterrupted runs differ too: this device adds in no fixed order"
        if repeats
        else "",
    )


def check_memory(sizes: Sizes) -> Outcome:
    """Train more members than memory holds; their number must be halved and losses stay the same.

    On a CPU the error is raised by hand, because a real one would take the machine's memory first.
    """
    model, device = sizes.hungry, jax.local_devices()[0]
    is_cpu = device.platform == "cpu"
    batch_size, n_members = sizes.batch_size, 8
    while not is_cpu and n_members * training_bytes(model, batch_size=batch_size) < 3 * free_bytes(
        device
    ):
        batch_size *= 2
    n_steps = sizes.n_steps if is_cpu else 2  # on a CPU, programs of other checks serve again
    jobs = [
        make_job(str(seed), model, batch_size=batch_size, n_steps=n_steps, seed=seed)
        for seed in range(n_members)
    ]
    with matmul_precision("highest"):
        with _counted_members(sizes.n_members if is_cpu else None) as used:
            halved = _on_mesh(jobs)
        single = _on_mesh(jobs[:1])
    agrees, figures = _compared({jobs[0].id: halved[jobs[0].id]}, single)
    return Outcome(
        passed=agrees and len(halved) == n_members and min(used) < max(used),
        figures={
            "members wanted": n_members,
            "members that fitted": min(used),
            "estimate of all, GiB": n_members
            * training_bytes(model, batch_size=batch_size)
            / 2**30,
            "free, GiB": None if is_cpu else free_bytes(device) / 2**30,
            **figures,
        },
        note="on a CPU the error is raised by hand" if is_cpu else "",
    )


@contextlib.contextmanager
def _counted_members(most: int | None) -> Iterator[list[int]]:
    """Collect how many members each call of the stacked program has; more than `most` fail."""
    compiled, used = side_by_side.stacked_segment, []

    def counted(program: Any, mesh: jax.sharding.Mesh) -> Any:
        def call(states: TrainState, *rest: Any) -> Any:
            used.append(len(states.step))
            if most is not None and used[-1] > most:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: raised by hand")
            return compiled(program, mesh)(states, *rest)

        return call

    with mock.patch.object(side_by_side, "stacked_segment", counted):
        yield used
