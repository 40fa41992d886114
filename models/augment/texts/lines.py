"""Files of lines that are appended to, by one process at a time, and survive its being killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


class LockedError(RuntimeError):
    """Another process is writing into the same file."""


def lock(file: BinaryIO, path: Path) -> None:
    """Lock an open file for this process; closing the file or dying gives the lock back.

    Where the system has no such locks (Windows), nothing is locked.

    Raises:
        LockedError: another process holds it.
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
    """Yield the offset and bytes of each line; one without an end was never finished and is not."""
    file.seek(0)
    place = 0
    for line in file:
        if not line.endswith(b"\n"):
            return
        yield place, line
        place += len(line)
