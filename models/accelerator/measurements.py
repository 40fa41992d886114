"""Speeds and memory of training on a device, each beside what the machine itself can do.

The rate of matrix products and the bandwidth are measured in the same process just before. All
times are wall-clock, after compilation and a first call; the best of `ROUNDS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from models.accelerator.checks import make_job, matmul_precision
from models.accelerator.outcome import Outcome
from models.accelerator.sizes import Sizes, Workload
from models.language.generate import generate
from models.network.attention import keeps_pairs
from models.training.devices import USABLE, free_bytes, training_bytes
from models.training.job_list import Job
from models.training.sharding import Mesh
from models.training.side_by_side import stacked_segment
from models.training.train import init_params, init_state, train_segment

ROUNDS = 3
GIB = 2**30


def best_seconds(call: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Return the least time in seconds of a call whose result is waited for, after a first one."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def matmul_rate(sizes: Sizes, dtype: str, precision: str | None = None) -> float:
    """Return operations per second of products of large square matrices on the first device.

    Args:
        sizes: side of the matrices, number of products.
        dtype: `float32` or `bfloat16`.
        precision: `highest` for float32 products, None for the device's default.
    """
    side, n = sizes.matmul_side, sizes.n_repeats
    # Random numbers: products of zeros are faster on some devices.
    drawn = np.random.default_rng(0).standard_normal((side, side), np.float32) / side**0.5
    with matmul_precision(precision):
        multiply = jax.jit(lambda x: jax.lax.fori_loop(0, n, lambda _, y: y @ x, x))
        matrix = jnp.asarray(drawn, dtype)
        seconds = best_seconds(lambda: multiply(matrix))
    return n * 2 * side**3 / seconds


def bandwidth(sizes: Sizes) -> float:
    """Return bytes per second, read and written, of a pass over a large array on the device."""
    n = sizes.n_repeats
    array = jnp.ones(sizes.copied_bytes // 4, jnp.float32)
    add = jax.jit(lambda x: jax.lax.fori_loop(0, n, lambda i, y: y + i, x))
    return n * 2 * array.nbytes / best_seconds(lambda: add(array))


def measure_machine(sizes: Sizes) -> Outcome:
    """Measure the rates of matrix products and the bandwidth."""
    return Outcome(
        passed=None,
        figures={
            "bfloat16 products, TFLOP/s": matmul_rate(sizes, "bfloat16") / 1e12,
            "float32 products as the device has them, TFLOP/s": matmul_rate(sizes, "float32")
            / 1e12,
            "float32 products, TFLOP/s": matmul_rate(sizes, "float32", "highest") / 1e12,
            "bandwidth, GB/s": bandwidth(sizes) / 1e9,
        },
    )


def _fitting(workload: Workload) -> int:
    """Return the largest batch size, halved from that of the workload, that memory allows.

    Raises:
        MemoryError: not even one window fits.
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return workload.batch_size
    free, batch_size = free_bytes(device), workload.batch_size
    while (needed := _estimate(workload, batch_size)) > USABLE * free:
        if batch_size == 1:
            raise MemoryError(
                f"a model of {workload.model.n_params / 1e6:.0f}M weights needs about "
                f"{needed / GIB:.1f} GiB with one window; {free / GIB:.1f} GiB are free, which is "
                f"enough for about {workload.model.n_params * free / needed / 1e6:.0f}M"
            )
        batch_size //= 2
    return batch_size


def _estimate(workload: Workload, batch_size: int) -> int:
    train = _job(workload, batch_size).train
    flash = not keeps_pairs(workload.model, "bfloat16")
    return training_bytes(workload.model, batch_size=batch_size, train=train, flash=flash)


def _job(workload: Workload, batch_size: int, seed: int = 0) -> Job:
    return make_job(
        str(seed),
        workload.model,
        batch_size=batch_size,
        n_steps=workload.n_steps,
        seed=seed,
        precision="bfloat16",
    )


def measure_speed(sizes: Sizes, name: str) -> Outcome:
    """Measure training of one model in bfloat16: speed, share of the matmul rate, memory.

    Args:
        sizes: the models.
        name: which of them.
    """
    workload = sizes.speeds[name]
    batch_size = _fitting(workload)
    job = _job(workload, batch_size)
    rate = matmul_rate(sizes, "bfloat16")
    program = job.program()
    state = init_state(program, 0)
    arguments = (jnp.asarray(job.ring), jnp.asarray(job.reads(0)[0]))
    begun = time.perf_counter()
    compiled = train_segment.lower(
        program, state, *arguments, np.int32(1), job.hyperparameters
    ).compile()
    compiling = time.perf_counter() - begun

    def steps(n: int) -> np.ndarray:
        nonlocal state
        state, losses = compiled(state, *arguments, np.int32(n), job.hyperparameters)
        return np.asarray(losses)

    steps(1)
    n_steps = min(workload.n_steps, job.reads(0)[1])
    seconds = best_seconds(lambda: steps(n_steps), rounds=2)
    per_second = n_steps * job.tokens_per_step / seconds
    flops = per_second * job.model.train_flops_per_token
    return Outcome(
        passed=None,
        figures={
            "weights, millions": job.model.n_params / 1e6,
            "tokens in a step": job.tokens_per_step,
            "tokens/s": per_second,
            "TFLOP/s": flops / 1e12,
            "matmul rate of the machine, TFLOP/s": rate / 1e12,
            "share of the matmul rate": flops / rate,
            "compilation, s": compiling,
            **_memory(compiled, _estimate(workload, batch_size)),
        },
        note=""
        if batch_size == workload.batch_size
        else f"batch of {batch_size} instead of {workload.batch_size} windows, so that it fits",
    )


def _memory(compiled: Any, estimate: int) -> dict[str, float | str | None]:
    """Return memory by the estimate, the compiler and the device, in GiB."""
    asked = compiled.memory_analysis()
    stats = jax.local_devices()[0].memory_stats() or {}
    peak = stats.get("peak_bytes_in_use")
    return {
        "memory by our estimate, GiB": estimate / GIB,
        "memory by the compiler, GiB": (asked.temp_size_in_bytes + asked.argument_size_in_bytes)
        / GIB
        if asked
        else None,
        "peak of the process, GiB": peak / GIB if peak else None,
    }


def measure_members(sizes: Sizes) -> Outcome:
    """Measure many members trained together against one after another."""
    workload, n = sizes.member, sizes.n_together
    jobs = [_job(workload, workload.batch_size, seed) for seed in range(n)]
    rate = matmul_rate(sizes, "bfloat16")
    per_second = {many: _together(jobs[:many]) for many in (1, n)}
    gain = per_second[n] / per_second[1]
    flops = per_second[n] * workload.model.train_flops_per_token
    return Outcome(
        passed=None,
        figures={
            "weights of a member, millions": workload.model.n_params / 1e6,
            "members": n,
            "tokens/s, together": per_second[n],
            "tokens/s, one after another": per_second[1],
            "together over one after another": gain,
            "matmul rate of the machine, TFLOP/s": rate / 1e12,
            "share of the matmul rate, together": flops / rate,
        },
    )


def _together(jobs: list[Job]) -> float:
    """Return tokens per second of jobs in one stacked program on the first device."""
    program, mesh = jobs[0].program(), Mesh().over(jax.local_devices()[:1])
    compiled = stacked_segment(program, mesh)
    states = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *[init_state(program, job.seed) for job in jobs]
    )
    ring = jnp.asarray(jobs[0].ring)  # the text of all
    reads, n_steps = jnp.stack([job.reads(0)[0] for job in jobs]), jobs[0].reads(0)[1]
    hyper = jax.tree.map(lambda *n: np.stack(n), *[job.hyperparameters for job in jobs])
    n_now = np.full(len(jobs), n_steps, np.int32)

    def steps() -> jax.Array:
        nonlocal states
        states, losses = compiled(states, ring, reads, n_now, hyper)
        return losses

    return len(jobs) * n_steps * jobs[0].tokens_per_step / best_seconds(steps)


def measure_sampling(sizes: Sizes) -> Outcome:
    """Measure sampling with the cache of keys and values, beside the bandwidth."""
    model = sizes.speeds[sizes.compared].model
    params = init_params(model, 0)
    per_pass = bandwidth(sizes)

    def draw() -> np.ndarray:
        n_samples, n_tokens = sizes.n_samples, sizes.n_sampled_tokens
        return generate([(model, params)], n_samples=n_samples, n_tokens=n_tokens).ids

    seconds = best_seconds(draw, rounds=2)
    read = sizes.n_sampled_tokens * sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    return Outcome(
        passed=None,
        figures={
            "weights, millions": model.n_params / 1e6,
            "texts together": sizes.n_samples,
            "tokens/s": sizes.n_samples * sizes.n_sampled_tokens / seconds,
            "bandwidth of the machine, GB/s": per_pass / 1e9,
            "share of the bandwidth, weights only": read / seconds / per_pass,
        },
    )


def measure_torch(sizes: Sizes) -> Outcome:
    """Measure the same model, batch and optimiser in PyTorch with torch.compile."""
    try:
        from models.accelerator.torch_loop import torch_trainer
    except ModuleNotFoundError:
        return Outcome(passed=None, note="torch is not installed")
    import torch

    workload = sizes.speeds[sizes.compared]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokens = make_job("torch", workload.model, batch_size=1, n_steps=64).tokens
    run = torch_trainer(
        workload.model, tokens, batch_size=workload.batch_size, device=device, compiled=True
    )
    run(2)
    best = max(run(workload.n_steps) for _ in range(2))
    return Outcome(
        passed=None,
        figures={
            "weights, millions": workload.model.n_params / 1e6,
            "tokens in a step": workload.batch_size * workload.model.context,
            "tokens/s": best,
            "torch": f"{torch.__version__} on {device}",
        },
    )
