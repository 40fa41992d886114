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

    Only keys and offsets are held in memory. A line left unfinished by a killed process is cut off;
    one that holds no reply is as good as none, so that its request is asked again. A writer locks
    the file until it is closed or its process ends.

    Args:
        path: the file; created if missing unless `read_only`.
        read_only: for lookups only; takes no lock.

    Attributes:
        n_unreadable: lines that hold no reply.
        n_prompt_tokens: tokens read for all recorded replies together.
        n_reply_tokens: tokens written for them.

    Raises:
        LockedError: another process is writing to it.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.n_unreadable = self.n_prompt_tokens = self.n_reply_tokens = 0
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
            end = place + len(line)
            entry = _entry(line)
            if entry is None:
                self.n_unreadable += 1
            else:
                self._count(entry[1])
                self._places[entry[0]] = place
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
        entry = _entry(self._file.readline())
        return entry[1] if entry else None

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
        self._count(reply)

    def _count(self, reply: Reply) -> None:
        self.n_prompt_tokens += reply.n_prompt_tokens
        self.n_reply_tokens += reply.n_reply_tokens


def _entry(line: bytes) -> tuple[str, Reply] | None:
    """Return the key and reply of a line, or None if it holds none."""
    try:
        values = json.loads(line)
        return str(values.pop("key")), Reply(**values)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
