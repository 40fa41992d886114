"""Locks of runs, so that several sweeps may share one store, on one machine or on many.

    RUN_ID/lock           the owner: machine, process, token; created exclusively
    RUN_ID/lock.TOKEN     the successor of the owner TOKEN, who died; created exclusively
    .beats-NAME           how often the heart of a process that holds locks has beaten

The owner is the last of the chain that begins with `lock`. To take over from a dead owner is to
create the one file that can follow its token: of two takers one succeeds, and a taker that read the
chain long ago cannot disturb whoever holds the lock by now.

An owner on this machine is dead when its process has gone. Of an owner on another machine only the
heartbeats are seen: it is dead when their count stands still for `PATIENCE_SECONDS` of the
observer's monotonic clock. No two clocks are compared, and none is read that can be set.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import threading
import uuid
from collections.abc import Callable
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
"""Many beats: a process that is paused or starved for a while is not taken for dead."""
MOST_ATTEMPTS = 8


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a lock.

    Attributes:
        host: name of the machine, for people.
        machine: equal only for processes whose numbers can be compared: the same machine since the
            same boot, in the same container.
        pid: number of the process.
        started: when it started, so that a number used again is not mistaken for it.
        beats: name of its heartbeats in the store.
        token: drawn at random each time a lock is taken.
        since: when the lock was taken, for people.
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
        owner: who holds it, or None where the lock cannot be read (yet).
    """

    def __init__(self, run_id: str, owner: Owner | None) -> None:
        self.run_id, self.owner = run_id, owner
        who = (
            f"process {owner.pid} on {owner.host} since {owner.since}"
            if owner
            else "a process that left no name"
        )
        super().__init__(f"run {run_id} is locked by {who}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.run_id, self.owner)


class LockLost(RuntimeError):
    """A lock was taken over while its owner seemed dead; the run is another's now."""


class RunLock:
    """A lock that is held, until its `with` block ends or `release` gives it back."""

    def __init__(self, folder: Path, owner: Owner, forget: Callable[[RunLock], None]) -> None:
        self.folder, self.owner, self._forget = folder, owner, forget

    @property
    def run_id(self) -> str:
        """The run that is locked."""
        return self.folder.name

    def still_held(self) -> bool:
        """Tell whether nobody took the lock over; looks at the disk."""
        return _holds(_chain(self.folder), self.owner)

    def check(self) -> None:
        """Raise LockLost unless this process still holds the lock.

        Raises:
            LockLost: somebody took it over.
        """
        if not self.still_held():
            raise LockLost(
                f"the lock of run {self.run_id} was taken over while this process stood still; "
                "its new owner finishes the run"
            )

    def release(self) -> None:
        """Give the lock back; one that was lost stays with its new owner."""
        if self.still_held():
            # Without its first link a chain is no more, and the lock is free; the other links, also
            # those that somebody died over, mean nothing then.
            others = list(self.folder.glob("lock.*"))
            for path in (self.folder / "lock", *others):
                with contextlib.suppress(OSError):
                    path.unlink()
        self._forget(self)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Locks:
    """The locks of one store, as this process sees and takes them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._observed: dict[str, tuple[int | None, float]] = {}
        self._forget_everything()

    def _forget_everything(self) -> None:
        self._guard = threading.RLock()
        self._pid = os.getpid()
        self._beats = uuid.uuid4().hex
        self._count = 0
        self._held: dict[str, RunLock] = {}

    def acquire(self, folder: Path) -> RunLock:
        """Take the lock of a run's folder, at once or not at all.

        Raises:
            RunLocked: another live owner holds it.
            StoreError: the store cannot be written.
        """
        if self._pid != os.getpid():
            # A forked child holds none of its parent's locks.
            self._forget_everything()
        with self._guard, storing(self.root):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                if not self._held:
                    self._beat()
                lock = self._take(folder)
                self._held[lock.owner.token] = lock
            finally:
                self._rest_if_idle()
        _heart.beat_for(self)
        return lock

    def held(self, run_id: str) -> RunLock | None:
        """Return the lock of a run that this process took here, lost or not."""
        found = [lock for lock in list(self._held.values()) if lock.run_id == run_id]
        return found[-1] if found and self._pid == os.getpid() else None

    def holder(self, folder: Path) -> Owner | None:
        """Return who holds the lock of a run's folder and is alive as far as can be told."""
        chain = _chain(folder)
        return None if not chain or self._is_dead(chain[-1]) else chain[-1].owner

    def beat(self) -> None:
        """Tell observers on other machines that this process lives, while it holds a lock."""
        with self._guard:
            if not self.is_idle:
                self._beat()

    def _beat(self) -> None:
        self._count += 1
        handle = os.open(self._beats_path(self._beats), os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(handle, b"%020d\n" % self._count)
        finally:
            os.close(handle)

    @property
    def is_idle(self) -> bool:
        """Tell whether this process holds no lock here."""
        return not self._held or self._pid != os.getpid()

    def _rest_if_idle(self) -> None:
        if not self._held:
            self._beats_path(self._beats).unlink(missing_ok=True)

    def _forget(self, lock: RunLock) -> None:
        with self._guard:
            self._held.pop(lock.owner.token, None)
            with contextlib.suppress(OSError):
                self._rest_if_idle()

    def _take(self, folder: Path) -> RunLock:
        for _ in range(MOST_ATTEMPTS):
            before = _chain(folder)
            if before and not self._is_dead(before[-1]):
                raise RunLocked(folder.name, before[-1].owner)
            path = folder / (f"lock.{before[-1].token}" if before else "lock")
            owner = _this_process(self._beats)
            if not _create(path, owner):
                continue
            # What was read before may have been released since, and the chain begun anew.
            if _holds(_chain(folder), owner):
                for link in before:
                    if link.owner:
                        self._beats_path(link.owner.beats).unlink(missing_ok=True)
                return RunLock(folder, owner, self._forget)
            path.unlink(missing_ok=True)
        raise RunLocked(folder.name, None)

    def _is_dead(self, link: _Link) -> bool:
        owner = link.owner
        if owner is not None and owner.machine == this_machine():
            alive = _is_alive(owner.pid, owner.started)
            if alive is not None:
                return not alive
        return self._stands_still(link)

    def _stands_still(self, link: _Link) -> bool:
        """Tell whether a count of heartbeats has not changed for as long as patience lasts."""
        name = link.owner.beats if link.owner else link.token
        count, now = self._beats_of(name), monotonic()
        before, since = self._observed.get(name, (None, now))
        # A count that has gone was taken away with another lock of the same owner.
        if name not in self._observed or (count is not None and count != before):
            self._observed[name] = (count, now)
            return False
        return now - since >= PATIENCE_SECONDS

    def _beats_of(self, name: str) -> int | None:
        try:
            return int(self._beats_path(name).read_bytes())
        except (OSError, ValueError):
            return None

    def _beats_path(self, name: str) -> Path:
        return self.root / f".beats-{name}"


class _Heart:
    """The one thread of this process that beats for all the locks it holds."""

    def __init__(self) -> None:
        self.forget_everything()

    def forget_everything(self) -> None:
        """Begin anew, in a forked child: it has no thread, and another may hold the guard."""
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._beaten_for: set[Locks] = set()

    def beat_for(self, locks: Locks) -> None:
        with self._guard:
            self._beaten_for.add(locks)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            sleep(BEAT_SECONDS)
            with self._guard:
                self._beaten_for = {locks for locks in self._beaten_for if not locks.is_idle}
                if not self._beaten_for:
                    self._thread = None
                    return
                beaten_for = list(self._beaten_for)
            for locks in beaten_for:
                # A beat that the disk refuses is no reason to stop: the next may pass.
                with contextlib.suppress(OSError):
                    locks.beat()


_heart = _Heart()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_heart.forget_everything)


@dataclass(frozen=True, kw_only=True)
class _Link:
    """One file of a chain; a file that cannot be read has no owner and goes by its inode."""

    path: Path
    token: str
    owner: Owner | None


def _chain(folder: Path) -> list[_Link]:
    """Read who holds the lock of a folder, and who held it before and died."""
    chain: list[_Link] = []
    path = folder / "lock"
    while (link := _read(path)) is not None:
        chain.append(link)
        path = folder / f"lock.{link.token}"
    return chain


def _holds(chain: list[_Link], owner: Owner) -> bool:
    return bool(chain) and chain[-1].token == owner.token


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
    # Its writer is just writing it, or lost power before the disk had it.
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
    """Name the machine, its boot and the process space, wherever the system tells them."""
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
    """Tell whether a process of this machine runs; None where the system does not say."""
    try:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return False
        now = _started(pid)
    except psutil.NoSuchProcess:
        # Some systems hide other users' processes, but not that their numbers are taken.
        return None if psutil.pid_exists(pid) else False
    except psutil.AccessDenied:
        return None
    return None if now is None or started is None else now == started


def _started(pid: int) -> float | None:
    """Return when a process started, in a measure that setting the clock does not change."""
    try:
        # Ticks since boot; psutil adds the time of the boot, which moves when the clock is set.
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except FileNotFoundError:
        if platform.system() == "Linux":
            return None
        return psutil.Process(pid).create_time()
    except OSError:
        return None
