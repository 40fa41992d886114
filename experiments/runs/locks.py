"""Locks of runs, so that several sweeps may share one store, on one machine or on many.

    RUN_ID/lock           the owner: machine, process, token; created exclusively
    RUN_ID/lock.TOKEN     the successor of a dead owner TOKEN; created exclusively
    .beats-NAME           number of heartbeats of a process that holds locks

The owner is the last of the chain that begins with `lock`. To take over from a dead owner, a
process creates the one file that can follow its token: of two processes only one succeeds, and one
that has read the chain long ago cannot disturb the present owner.

An owner on this machine is dead if its process has ended. A remote owner is known by its heartbeats
only: it is dead if their number has not changed for `PATIENCE_SECONDS` of the observer's monotonic
clock. No two clocks are compared, and no clock that can be set is read.

Libraries such as filelock notice a dead owner by locks of the operating system, which not every
shared file system supports, and they do not name the owner.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import threading
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil

from experiments.runs.files import read_json, storing

LOCK_SCHEMA = 1
BEAT_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
"""Many heartbeats: a process that is paused or slow for a while does not count as dead."""
MOST_ATTEMPTS = 8


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The owner of a lock.

    Attributes:
        host: name of the machine, for messages.
        machine: id of the machine, its boot and container; process ids are comparable if it is
            equal.
        pid: process id.
        started: start time of the process, which distinguishes it from others with the same id.
        beats: name of its heartbeats in the store.
        token: random, new for each lock.
        since: time when the lock was acquired, for messages.
    """

    host: str
    machine: str
    pid: int
    started: float | None
    beats: str
    token: str
    since: str


class RunLocked(RuntimeError):
    """Another live process holds the lock of a run.

    Attributes:
        run_id: the run.
        owner: the owner, or None if the lock cannot be read (yet).
    """

    def __init__(self, run_id: str, owner: Owner | None) -> None:
        self.run_id, self.owner = run_id, owner
        who = (
            f"process {owner.pid} on {owner.host} since {owner.since}"
            if owner
            else "an unknown process"
        )
        super().__init__(f"run {run_id} is locked by {who}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.run_id, self.owner)


class LockLost(RuntimeError):
    """A lock was taken over while its owner seemed dead; another process owns the run now."""


class RunLock:
    """A lock that is held until its `with` block ends, or until `release`."""

    def __init__(self, locks: Locks, folder: Path, owner: Owner) -> None:
        self.locks, self.folder, self.owner = locks, folder, owner

    @property
    def run_id(self) -> str:
        """The run that is locked."""
        return self.folder.name

    def still_held(self) -> bool:
        """Return whether no other process has taken the lock over; reads the disk."""
        chain = _chain(self.folder)
        return bool(chain) and chain[-1].token == self.owner.token

    def check(self) -> None:
        """Raise LockLost unless this process still holds the lock.

        Raises:
            LockLost: another process has taken it over.
        """
        if not self.still_held():
            raise LockLost(
                f"the lock of run {self.run_id} was taken over while this process was paused; "
                "its new owner finishes the run"
            )

    def release(self) -> None:
        """Release the lock; one that was lost stays with its new owner."""
        if self.still_held():
            # Without its first file a chain is empty and the lock is free: the first goes first.
            for path in (self.folder / "lock", *self.folder.glob("lock.*")):
                with contextlib.suppress(OSError):
                    path.unlink()
        self.locks.forget(self)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Locks:
    """The locks of one store that this process holds or observes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._observed: dict[str, tuple[int | None, float]] = {}
        self._reset()

    def _reset(self) -> None:
        self._guard = threading.RLock()
        self._pid = os.getpid()
        self._beats = uuid.uuid4().hex
        self._n_beats = 0
        self._held: dict[str, RunLock] = {}
        self._heart: threading.Thread | None = None

    def acquire(self, folder: Path) -> RunLock:
        """Return the lock of a run's folder, without waiting.

        Raises:
            RunLocked: another live owner holds it.
            StoreError: the store cannot be written.
        """
        if self._pid != os.getpid():
            # A forked child holds none of its parent's locks, and has none of its threads.
            self._reset()
        with self._guard, storing(self.root):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                if not self._held:
                    self._beat()
                lock = self._take(folder)
                self._held[lock.owner.token] = lock
            finally:
                self._stop_beating_if_idle()
            if self._heart is None:
                self._heart = threading.Thread(target=self._keep_beating, daemon=True)
                self._heart.start()
        return lock

    def held(self, run_id: str) -> RunLock | None:
        """Return the lock of a run that this process has acquired here, lost or not."""
        found = [lock for lock in list(self._held.values()) if lock.run_id == run_id]
        return found[-1] if found and self._pid == os.getpid() else None

    def holder(self, folder: Path) -> Owner | None:
        """Return the live owner of the lock of a run's folder, or None."""
        chain = _chain(folder)
        return None if not chain or self._is_dead(chain[-1]) else chain[-1].owner

    def forget(self, lock: RunLock) -> None:
        """Remove a lock that was released from those that are held."""
        with self._guard:
            self._held.pop(lock.owner.token, None)
            with contextlib.suppress(OSError):
                self._stop_beating_if_idle()

    def _keep_beating(self) -> None:
        """Show observers on other machines that this process lives, while it holds a lock."""
        while True:
            sleep(BEAT_SECONDS)
            with self._guard:
                if not self._held:
                    self._heart = None
                    return
                # If the disk refuses one heartbeat, the next may succeed.
                with contextlib.suppress(OSError):
                    self._beat()

    def _beat(self) -> None:
        self._n_beats += 1
        handle = os.open(self._beats_path(self._beats), os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(handle, b"%020d\n" % self._n_beats)
        finally:
            os.close(handle)

    def _stop_beating_if_idle(self) -> None:
        if not self._held:
            self._beats_path(self._beats).unlink(missing_ok=True)

    def _take(self, folder: Path) -> RunLock:
        for _ in range(MOST_ATTEMPTS):
            before = _chain(folder)
            if before and not self._is_dead(before[-1]):
                raise RunLocked(folder.name, before[-1].owner)
            path = folder / (f"lock.{before[-1].token}" if before else "lock")
            lock = RunLock(self, folder, _this_process(self._beats))
            if not _create(path, lock.owner):
                continue
            # The chain that was read may have been released since, and a new one begun.
            if lock.still_held():
                for link in before:
                    if link.owner:
                        self._beats_path(link.owner.beats).unlink(missing_ok=True)
                return lock
            path.unlink(missing_ok=True)
        raise RunLocked(folder.name, None)

    def _is_dead(self, link: _Link) -> bool:
        owner = link.owner
        if owner is not None and owner.machine == this_machine():
            alive = _is_alive(owner.pid, owner.started)
            if alive is not None:
                return not alive
        return self._has_stopped(link.owner.beats if link.owner else link.token)

    def _has_stopped(self, name: str) -> bool:
        """Return whether a number of heartbeats has not changed for `PATIENCE_SECONDS`."""
        count, now = self._count_of(name), monotonic()
        before, since = self._observed.get(name, (None, now))
        # A missing count was removed with another lock of the same owner.
        if name not in self._observed or (count is not None and count != before):
            self._observed[name] = (count, now)
            return False
        return now - since >= PATIENCE_SECONDS

    def _count_of(self, name: str) -> int | None:
        try:
            return int(self._beats_path(name).read_bytes())
        except (OSError, ValueError):
            return None

    def _beats_path(self, name: str) -> Path:
        return self.root / f".beats-{name}"


@dataclass(frozen=True, kw_only=True)
class _Link:
    """One file of a chain; a file that cannot be read has no owner, and its inode as token."""

    path: Path
    token: str
    owner: Owner | None


def _chain(folder: Path) -> list[_Link]:
    """Return the owner of the lock of a folder, the last, after those that have died."""
    chain: list[_Link] = []
    path = folder / "lock"
    while (link := _read(path)) is not None:
        chain.append(link)
        path = folder / f"lock.{link.token}"
    return chain


def _read(path: Path) -> _Link | None:
    values: Any = read_json(path)
    try:
        owner = Owner(**{name: values[name] for name in Owner.__dataclass_fields__})
        return _Link(path=path, token=owner.token, owner=owner)
    except (TypeError, KeyError):
        pass
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    # It is being written, or a power cut has left it empty.
    return _Link(path=path, token=f"{status.st_ino}-{status.st_mtime_ns}", owner=None)


def _create(path: Path, owner: Owner) -> bool:
    """Create a lock file; return False if it exists already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    try:
        content = json.dumps({"schema": LOCK_SCHEMA, **asdict(owner)}).encode()
        if os.write(handle, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    return True


def _this_process(beats: str) -> Owner:
    pid = os.getpid()
    return Owner(
        host=platform.node(),
        machine=this_machine(),
        pid=pid,
        started=_started(pid),
        beats=beats,
        token=uuid.uuid4().hex,
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@cache
def this_machine() -> str:
    """Return an id of the machine, its boot and process namespace, as far as they are known."""
    parts = [platform.node()]
    # Where no hardware address is found, a random one is returned, which has this bit set.
    if not (address := uuid.getnode()) >> 40 & 1:
        parts.append(f"{address:x}")
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _is_alive(pid: int, started: float | None) -> bool | None:
    """Return whether a process of this machine runs; None if the system does not show it."""
    try:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return False
        now = _started(pid)
    except psutil.NoSuchProcess:
        # Some systems hide other users' processes, but not that their ids are in use.
        return None if psutil.pid_exists(pid) else False
    except psutil.AccessDenied:
        return None
    return None if now is None or started is None else now == started


def _started(pid: int) -> float | None:
    """Return the start time of a process, independent of changes of the clock."""
    try:
        # Ticks since boot; psutil adds the time of the boot, which moves when the clock is set.
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        if platform.system() == "Linux":
            return None
        return psutil.Process(pid).create_time()
    except OSError:
        return None
