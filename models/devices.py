"""Give JAX one single-threaded host device per core, before JAX starts.

Training many small models is fastest with one model per core: a single XLA program spread over
the cores of a CPU spends its time on synchronisation at these sizes.
"""

from __future__ import annotations

import os


def available_cores() -> int:
    """Count the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def configure_host_devices(n_devices: int | None = None) -> None:
    """Ask XLA for `n_devices` host devices of one thread each (default: one per core).

    Flags the user has set in XLA_FLAGS win. It has no effect once JAX has started its backend,
    and none on accelerators, whose devices are what they are.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    wanted = {
        "xla_force_host_platform_device_count": str(n_devices or available_cores()),
        "xla_cpu_multi_thread_eigen": "false",
    }
    new = [f"--{name}={value}" for name, value in wanted.items() if name not in flags]
    os.environ["XLA_FLAGS"] = " ".join([flags, *new]).strip()
