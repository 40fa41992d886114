"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


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
    """Turn what the file system refuses below `root` into a `StoreError` that says what to do."""
    try:
        yield
    except (OSError, ValueError) as error:
        # Orbax reports a full disk as a ValueError that quotes the system's words.
        quoted = (code for code in REFUSALS if os.strerror(code) in str(error))
        code = error.errno if isinstance(error, OSError) else next(quoted, None)
        if code not in REFUSALS:
            raise
        raise StoreError(REFUSALS[code].format(root=root)) from error


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it into place when the block succeeds.

    Args:
        path: the file to write.
        durable: have the disk hold the content before the rename, so that a power cut cannot
            leave a name without content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    except OSError as error:  # which would name a file that nobody has asked for
        raise OSError(error.errno, error.strerror, str(path)) from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o644)
        if durable:
            flush_to_disk(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Have the disk hold the content of a file before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path, durable=durable) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, values: Any, *, durable: bool = False) -> None:
    """Write JSON for people and machines, whole or not at all."""
    write_text(path, json.dumps(values, indent=1, sort_keys=True) + "\n", durable=durable)


def read_json(path: Path) -> Any | None:
    """Read JSON, or None when the file is missing or torn."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
