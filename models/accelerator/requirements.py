"""What a machine needs before its accelerator can be examined, found without importing it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys

PACKAGES = ("jax", "flax", "optax", "numpy", "safetensors")
"""Packages that the checks import."""


LEAST_DRIVER = {"cuda12": 525, "cuda13": 580}
"""Oldest NVIDIA driver of each plugin, see docs/accelerators.md."""


class AcceleratorError(RuntimeError):
    """The machine cannot be examined; the message says what is missing or does not fit."""


def require_packages() -> None:
    """Raise unless all packages are installed.

    Raises:
        AcceleratorError: some are not; the message says how to carry them to a machine without
            network.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        version = "{}.{}".format(*sys.version_info)
        names = " ".join(missing)
        raise AcceleratorError(
            f"not installed in {sys.executable}: {', '.join(missing)}. Run python -m pip install "
            f"{names}; for a machine without network, run elsewhere python -m pip download "
            f"--only-binary=:all: --python-version {version} --platform manylinux_2_28_x86_64 "
            f"--platform manylinux2014_x86_64 --dest wheels {names}, copy the folder wheels, and "
            f"run python -m pip install --no-index --find-links wheels {names}"
            + ". For an NVIDIA GPU, put jax[cuda12] or jax[cuda13] for jax"
            * ("jax" in missing)
        )


def looked_for() -> str:
    """Return in a sentence where accelerators were looked for, and what was found there."""
    plugins, driver = _plugins(), nvidia_driver()
    return (
        f"JAX {importlib.metadata.version('jax')}, its plugins ({', '.join(plugins) or 'none'}), "
        f"the NVIDIA driver ({driver or 'none'}), "
        f"JAX_PLATFORMS ({os.environ.get('JAX_PLATFORMS') or 'not set'}){_misfit(plugins, driver)}"
    )


def _plugins() -> list[str]:
    """Return names and versions of the installed plugins of JAX."""
    return sorted(
        f"{one.metadata['Name']} {one.version}"
        for one in importlib.metadata.distributions()
        if re.match(r"jax[-_]cuda|jax[-_]rocm|libtpu|jax[-_]metal", one.metadata["Name"] or "")
    )


def _misfit(plugins: list[str], driver: str | None) -> str:
    """Return what does not fit, after a colon; nothing if a plugin suits the driver."""
    found = re.search(r"(\d+)\.[\d.]+(;|$)", driver or "")
    cuda = [one for one in LEAST_DRIVER if any(one in plugin for plugin in plugins)]
    if driver and not cuda:
        return ": there is a GPU, but no plugin for it; install jax[cuda12] or jax[cuda13]"
    if found and all(int(found[1]) < LEAST_DRIVER[one] for one in cuda):
        needs = " and ".join(f"{one} needs {LEAST_DRIVER[one]} or newer" for one in cuda)
        return f": the driver is too old for the plugin: {needs}"
    return ""


def nvidia_driver() -> str | None:
    """Return names, memory and driver version of the NVIDIA GPUs; None without a driver."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    asked = subprocess.run(query, capture_output=True, text=True)
    found = "; ".join((asked.stdout if asked.returncode == 0 else asked.stderr).split("\n"))
    return found.strip("; ") or f"nvidia-smi ended with {asked.returncode}"
