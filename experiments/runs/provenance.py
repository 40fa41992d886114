"""Where a result comes from: code, versions, machine."""

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
    """Describe the code and the machine, once a process."""
    # Installed into somebody's repository, this file is not part of what git knows there.
    known = bool(_git("ls-files", Path(__file__).name))
    changes = _git("status", "--porcelain", "--untracked-files=no") if known else None
    return {
        "git_revision": _git("rev-parse", "HEAD") if known else None,
        "git_dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }
