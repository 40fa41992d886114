"""Where data lives on this machine: the cache that is written and the texts that are read."""

import os
from pathlib import Path


def cache_home() -> Path:
    """Folder for what can be made again: $DATAWALL_CACHE, else ~/.cache/datawall."""
    return Path(os.environ.get("DATAWALL_CACHE") or "~/.cache/datawall").expanduser()


def data_home() -> Path:
    """Folder of texts kept beside the project: $DATAWALL_DATA, else shared/data next to it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("DATAWALL_DATA") or beside).expanduser()
