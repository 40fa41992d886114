"""Append-only files of lines, written by one process at a time, that survive a crash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


class LockedError(RuntimeError):
    """Another process is writing to the same file."""


def lock(file: BinaryIO, path: Path) -> None:
    """Lock an open file for this process; the lock ends when the file is closed.

    On systems without such locks (Windows), nothing is locked.

    Raises:
        LockedError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise LockedError(
            f"another command is writing into {path.parent}; wait for it or choose another folder"
        ) from error


def whole_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and bytes of each line; an unterminated last line is skipped."""
    file.seek(0)
    place = 0
    for line in file:
        if not line.endswith(b"\n"):
            return
        yield place, line
        place += len(line)
