"""Files that are written atomically, and errors of the file system in plain words."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.text.data_home import replacing


class StoreError(OSError):
    """A store of runs cannot be read or written; the message is one sentence for the user."""


REFUSALS = {
    errno.ENOSPC: "the disk of {root} is full: free some space and run the same command again",
    errno.EDQUOT: "the quota of {root} is used up: free some space and run the same command again",
    errno.EFBIG: "{root} may not hold a file this large: raise the limit or choose another folder",
    errno.EROFS: "{root} lies on a read-only file system: give a folder that can be written",
    errno.EACCES: "there is no permission to use {root}: give it, or choose another folder",
    errno.EPERM: "there is no permission to use {root}: give it, or choose another folder",
    errno.ENOTDIR: "{root} is not a folder of runs: a file is in the way",
    errno.EEXIST: "{root} is not a folder of runs: a file is in the way",
    errno.EIO: "the disk of {root} fails: choose another folder, and look after what is on it",
}


@contextlib.contextmanager
def storing(root: Path) -> Iterator[None]:
    """Raise errors of the file system below `root` as a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise StoreError(REFUSALS[error.errno].format(root=root)) from error


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write UTF-8 text atomically.

    Args:
        path: the file.
        text: its content.
        durable: see `replacing`.
    """
    with replacing(path, durable=durable) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Any, *, durable: bool = False) -> None:
    """Write indented JSON atomically.

    Args:
        path: the file.
        values: what JSON can represent.
        durable: see `replacing`.
    """
    write_text(path, json.dumps(values, indent=1, sort_keys=True) + "\n", durable=durable)


def read_json(path: Path) -> Any | None:
    """Return the JSON of a file, or None if it is missing or truncated."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
