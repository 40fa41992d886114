"""A file of all paid answers, one line each, looked up by the hash of the request."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from models.augment.writing.requests import Reply


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


class Ledger:
    """Replies by key, appended to a file of JSON lines as they arrive.

    Only keys and offsets are held in memory. A line left unfinished by a killed process is cut off.
    A writer locks the file until it is closed or its process ends.

    Args:
        path: the file; created if missing unless `read_only`.
        read_only: for lookups only; takes no lock.

    Raises:
        LockedError: another process is writing to it.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        self._file: BinaryIO | None = None
        if read_only:
            if not path.is_file():
                return
            self._file = path.open("rb")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            lock(self._file, path)
        end = 0
        for place, line in whole_lines(self._file):
            self._places[json.loads(line)["key"]] = place
            end = place + len(line)
        if not read_only:
            self._file.truncate(end)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> Reply | None:
        """Return the reply to a request, or None if it is not recorded."""
        if key not in self._places or self._file is None:
            return None
        self._file.seek(self._places[key])
        values = json.loads(self._file.readline())
        del values["key"]
        return Reply(**values)

    def add(self, key: str, reply: Reply) -> None:
        """Append a reply; once this returns, a killed process does not lose it.

        Raises:
            ValueError: the file is not open for writing.
        """
        if self._file is None:
            raise ValueError(f"{self.path} is not open for writing")
        self._file.seek(0, os.SEEK_END)
        self._places[key] = self._file.tell()
        self._file.write(json.dumps({"key": key, **asdict(reply)}).encode() + b"\n")
        self._file.flush()
