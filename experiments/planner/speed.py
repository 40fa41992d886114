"""How fast this machine trains, for estimates of how long a world takes."""

from __future__ import annotations

import json
import time
from pathlib import Path

from experiments.worlds.world import World
from models.training.devices import accelerators, available_cores

USUAL_TFLOPS = 30.0
"""Assumed of an accelerator on which nothing was measured."""
TIMED_FLOPS = 1e11
"""Timed on each core: a few seconds."""


def training_tflops(world: World) -> tuple[float, str]:
    """Return the TFLOP/s of training on this machine, and where the number comes from.

    It is that of `datawall doctor --accelerator` where this was run. Otherwise CPUs are timed, and
    accelerators assumed to be usual ones.
    """
    if (rate := measured_tflops()) is not None:
        return rate, "as measured"
    if accelerators()[1]:
        return USUAL_TFLOPS, "assumed"
    return timed_tflops(world), f"as timed on {available_cores()} cores"


def measured_tflops(folder: Path = Path("out", "accelerator")) -> float | None:
    """Return TFLOP/s of members trained together as `datawall doctor --accelerator` measured it.

    Args:
        folder: of its results.

    Returns:
        The rate of the latest measurement, or None if nothing was measured.
    """
    for path in sorted(folder.glob("*-full.json"), key=lambda one: -one.stat().st_mtime):
        figures = json.loads(path.read_text(encoding="utf-8"))["results"].get("together", {})
        figures = figures.get("figures", {})
        rate = figures.get("matmul rate of the machine, TFLOP/s")
        share = figures.get("share of the matmul rate, together")
        if rate and share:
            return float(rate * share)
    return None


def timed_tflops(world: World, flops: float = TIMED_FLOPS) -> float:
    """Return TFLOP/s of one model on each core, trained on a made-up text.

    Args:
        world: its batches are trained, of the largest model of which `flops` are a step: the
            largest takes most of the time, and the smallest trains at a lower rate.
        flops: floating-point operations of each model, at least those of a step.
    """
    from models.accelerator.checks import make_job, trained

    models = [world.model(width) for width in sorted(world.widths, reverse=True)]
    steps = [model.train_flops_per_token * model.context * world.batch_size for model in models]
    model, step = next(
        (one for one in zip(models, steps, strict=True) if one[1] <= flops), (models[-1], steps[-1])
    )
    jobs = [
        make_job(
            str(seed), model, batch_size=world.batch_size, n_steps=max(1, round(flops / step)),
            seed=seed,
        )
        for seed in range(available_cores())
    ]  # fmt: skip
    trained(jobs)  # compiles
    started = time.perf_counter()
    trained(jobs)
    return sum(job.flops for job in jobs) / (time.perf_counter() - started) / 1e12
