"""JAX's devices and its cache of compiled programs, configured before JAX starts."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pkgutil
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from models.text.data_home import cache_home

if TYPE_CHECKING:
    import jax

COUNT_FLAG = "xla_force_host_platform_device_count"


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
