"""JAX's devices, their memory, and the cache of compiled programs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pkgutil
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from models.config import ModelConfig, TrainConfig
from models.text.data_home import cache_home
from models.training.logits import BLOCK_LOGITS, in_blocks

if TYPE_CHECKING:
    import jax

    from models.training.train import Execution

COUNT_FLAG = "xla_force_host_platform_device_count"
RUNTIME_BYTES = 800 * 2**20
"""Memory of Python, JAX and its compiler, once per process."""

USABLE = 0.85
"""Share of a device's free memory to use; the compiler's own buffers need the rest."""


def available_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def configure_host_devices(n_devices: int | None = None) -> None:
    """Configure XLA to use host devices of one thread each, and JAX to cache compiled programs.

    Training many small models is fastest with one model per core: at these sizes, a single XLA
    program spread over the cores of a CPU spends its time on synchronisation.

    Flags that the user has set in XLA_FLAGS take precedence, except over a number given here. There
    is no effect on devices once JAX has started its backend, and none on accelerators.

    Args:
        n_devices: number of host devices (default: one per core).
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if n_devices is not None:
        flags = re.sub(rf"--{COUNT_FLAG}=\d+", "", flags)
    wanted = {
        COUNT_FLAG: str(n_devices or available_cores()),
        "xla_cpu_multi_thread_eigen": "false",
    }
    new = [f"--{name}={value}" for name, value in wanted.items() if name not in flags]
    os.environ["XLA_FLAGS"] = " ".join([*flags.split(), *new])
    keep_compiled_programs()


def keep_compiled_programs() -> None:
    """Share compiled programs between all processes of this user.

    The programs are kept under `models.text.data_home.cache_home()`, in JAX's own cache, which
    distinguishes versions, flags and devices; JAX_COMPILATION_CACHE_DIR overrides the folder.
    """
    folder = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_home() / "compiled"))
    seconds = os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    if "jax" in sys.modules:  # which has read its variables already
        import jax

        if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
            jax.config.update("jax_compilation_cache_dir", folder)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", float(seconds))


def worker_devices() -> list[jax.Device]:
    """Return the device of each independent worker thread in this process.

    On accelerators, every device once. On CPUs, the first host device as often as there are host
    devices: it runs one program on each calling thread, and a program compiled for it serves all
    threads, while separate devices would each need their own compilation.
    """
    import jax

    devices = jax.local_devices()
    return devices if devices[0].platform != "cpu" else devices[:1] * len(devices)


def accelerators() -> tuple[str, int]:
    """Return the platform and number of accelerators of this machine, ("cpu", 0) if none.

    JAX is queried in a separate process, so that this one claims no device, and only if a plugin
    for accelerators is installed.

    Raises:
        RuntimeError: JAX does not start.
    """
    if os.environ.get("JAX_PLATFORMS") == "cpu" or not _has_plugin():
        return "cpu", 0
    question = "import jax; print(jax.default_backend(), jax.local_device_count())"
    asked = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True)
    if asked.returncode:
        raise RuntimeError(f"JAX does not start: {asked.stderr.strip().splitlines()[-1]}")
    platform, count = asked.stdout.split()
    return (platform, int(count)) if platform != "cpu" else ("cpu", 0)


def _has_plugin() -> bool:
    if importlib.util.find_spec("libtpu") or importlib.metadata.entry_points(group="jax_plugins"):
        return True
    found = importlib.util.find_spec("jax_plugins")
    places = found.submodule_search_locations if found else None
    return bool(places and next(iter(pkgutil.iter_modules(places)), None))


def training_bytes(
    model: ModelConfig,
    *,
    batch_size: int,
    train: TrainConfig | None = None,
    execution: Execution | None = None,
    flash: bool = False,
    n_parts: int = 1,
) -> int:
    """Return an estimate of the bytes that training one model takes, without its text.

    Weights, gradients, two moments, the updates and an average if one is kept, in float32; the
    activations of one microbatch, kept for the backward pass unless recomputed; the logits.

    Args:
        model: architecture.
        batch_size: windows in a batch.
        train: precision and weight average (default: float32, none).
        execution: microbatches and rematerialisation.
        flash: attention keeps no weights of pairs of positions, see `attention.keeps_pairs`.
        n_parts: devices that weights, gradients and moments are cut over, see `sharding`; weights
            are counted once more then, as each device gathers what it computes with.
    """
    train = train or TrainConfig(n_epochs=1)
    n_microbatches = execution.n_microbatches if execution else 1
    remat = execution.remat if execution else False
    number = 2 if train.precision == "bfloat16" else 4
    copies = 5 + (train.weight_average != "none") + (train.precision == "bfloat16")
    block = 8 * model.width + 4 * model.mlp_width
    block += 0 if flash else 3 * model.n_heads * model.context
    kept = model.depth * model.width + block if remat else model.depth * block
    n_tokens = batch_size // n_microbatches * model.context
    logits = n_tokens * model.vocab_size * (1 + model.future_tokens)
    if in_blocks(model, n_tokens):  # one block, and the sum of the matrix's gradient
        logits = BLOCK_LOGITS + model.vocab_size * model.width // 4
    weights = 4 * model.n_params * copies // n_parts
    weights += 4 * model.n_params if n_parts > 1 else 0
    return weights + n_tokens * number * kept + 4 * 4 * logits


def free_bytes(device: jax.Device) -> int:
    """Return the free memory of a device in bytes; for a host device, that of the machine."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    import psutil

    return int(psutil.virtual_memory().available)


def members_that_fit(n_wanted: int, bytes_each: int, bytes_free: int) -> int:
    """Return how many models to train side by side on one device, at least one.

    Args:
        n_wanted: most models wanted.
        bytes_each: memory of one model.
        bytes_free: free memory of the device.
    """
    return max(1, min(n_wanted, int(USABLE * bytes_free) // bytes_each))
