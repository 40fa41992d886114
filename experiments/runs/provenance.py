"""Provenance of a result: code, versions, machine."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = ("datawall", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "tokenizers")


def _git(*arguments: str) -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def provenance() -> dict[str, object]:
    """Return revision, versions and machine; computed once a process."""
    # Installed inside another repository, this file is not tracked there.
    tracked = bool(_git("ls-files", Path(__file__).name))
    changes = _git("status", "--porcelain", "--untracked-files=no") if tracked else None
    return {
        "git_revision": _git("rev-parse", "HEAD") if tracked else None,
        "git_dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }
