"""Locks between real processes, killed, paused and racing."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from experiments.runs import locks as locks_module
from experiments.runs.locks import LockLost, Locks, RunLocked

CHILD = """
import json, sys, time
from pathlib import Path
from experiments.runs import locks
from experiments.runs.locks import LockLost, Locks, RunLocked
root, arguments = Path(sys.argv[1]), sys.argv[2:]
"""
HOLD = CHILD + "lock = Locks(root).acquire(root / 'run'); print('held', flush=True); time.sleep(60)"


def start(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `run`."""
    child = start(HOLD, tmp_path)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def put_owner(folder, **changes):
    """Leave a lock as a process elsewhere would have left it."""
    with Locks(folder.parent).acquire(folder) as lock:
        values = json.loads((folder / "lock").read_text())
    assert lock.owner.token == values["token"]
    (folder / "lock").write_text(json.dumps({**values, **changes}))


def test_a_lock_excludes_others_until_it_is_given_back(tmp_path):
    ours, theirs = Locks(tmp_path), Locks(tmp_path)
    with ours.acquire(tmp_path / "run") as lock:
        assert lock.still_held()
        assert json.loads((tmp_path / "run" / "lock").read_text())["schema"] == 1
        for other in (ours, theirs):
            with pytest.raises(RunLocked, match=f"process {os.getpid()} on .* since 2"):
                other.acquire(tmp_path / "run")
        with theirs.acquire(tmp_path / "another"):
            pass
    assert not lock.still_held()
    assert files_of(tmp_path / "run") == []
    assert files_of(tmp_path) == ["another", "run"]
    with theirs.acquire(tmp_path / "run"):
        assert theirs.holder(tmp_path / "run").pid == os.getpid()


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path, holder):
    locks = Locks(tmp_path)
    with pytest.raises(RunLocked) as caught:
        locks.acquire(tmp_path / "run")
    assert caught.value.owner.pid == holder.pid
    holder.kill()
    # Nobody has waited for it yet: it is a zombie, whose number is still taken.
    while psutil.Process(holder.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    with locks.acquire(tmp_path / "run") as lock:
        assert lock.still_held()
    assert files_of(tmp_path / "run") == []
    assert files_of(tmp_path) == ["run"]


def test_a_chain_of_dead_owners_is_followed_and_removed(tmp_path):
    locks, folder = Locks(tmp_path), tmp_path / "run"
    for _ in range(3):
        child = start(HOLD, tmp_path)
        assert child.stdout.readline() == "held\n"
        child.kill()
        child.wait()
    assert len(files_of(folder)) == 3
    with locks.acquire(folder):
        assert len(files_of(folder)) == 4
    assert files_of(folder) == []


def test_a_process_number_used_again_is_not_the_owner(tmp_path):
    put_owner(tmp_path / "run", started=1.0)
    with Locks(tmp_path).acquire(tmp_path / "run"):
        pass


def test_an_owner_elsewhere_is_dead_when_its_heart_stands_still(tmp_path, clock):
    put_owner(tmp_path / "run", machine="elsewhere", beats="theirs")
    locks, beats = Locks(tmp_path), tmp_path / ".beats-theirs"
    for count in range(1, 5):
        beats.write_text(str(count))
        with pytest.raises(RunLocked):
            locks.acquire(tmp_path / "run")
        clock.run_out_of_patience()
    with locks.acquire(tmp_path / "run") as lock:
        assert lock.still_held()
    assert not beats.exists()


def test_clocks_that_are_wrong_or_turned_back_change_nothing(tmp_path, monkeypatch, clock):
    """The wall clock runs backwards, and the files are from the future."""
    backwards = iter(range(2_000_000_000, 0, -100_000_000))
    monkeypatch.setattr(time, "time", lambda: next(backwards))
    put_owner(tmp_path / "run", machine="elsewhere", beats="theirs")
    locks, beats = Locks(tmp_path), tmp_path / ".beats-theirs"
    for count in range(1, 4):
        beats.write_text(str(count))
        for path in (beats, tmp_path / "run" / "lock"):
            os.utime(path, (4e9, 4e9 - 1e8 * count))
        with pytest.raises(RunLocked):
            locks.acquire(tmp_path / "run")
        clock.run_out_of_patience()
    with locks.acquire(tmp_path / "run") as lock:
        os.utime(tmp_path / "run" / "lock", (0, 0))
        assert lock.still_held()
        with pytest.raises(RunLocked):
            Locks(tmp_path).acquire(tmp_path / "run")


def test_a_lock_without_content_is_free_after_patience(tmp_path, clock):
    """As a power cut may leave it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").touch()
    locks = Locks(tmp_path)
    with pytest.raises(RunLocked, match="an unknown process"):
        locks.acquire(tmp_path / "run")
    clock.run_out_of_patience()
    with locks.acquire(tmp_path / "run") as lock:
        assert lock.still_held()
    assert files_of(tmp_path / "run") == []


def wait_for_beats(folder, n=2):
    """Wait until the one process that beats in a folder of runs has beaten again."""
    (beats,) = folder.glob(".beats-*")
    first = int(beats.read_text())
    while int(beats.read_text()) < first + n:
        time.sleep(0.005)


def test_a_paused_owner_notices_that_its_lock_was_taken(tmp_path, clock):
    """SIGSTOP of a process that we know only by its heartbeats, as if on another machine."""
    script = CHILD + (
        "locks.this_machine, locks.BEAT_SECONDS = lambda: 'elsewhere', 0.02\n"
        "lock = Locks(root).acquire(root / 'run'); print('held', flush=True)\n"
        "sys.stdin.readline()\n"
        "try: lock.check(); print('still held')\n"
        "except LockLost as error: print(error)\n"
        "lock.release()\n"
    )
    child, ours = start(script, tmp_path), Locks(tmp_path)
    assert child.stdout.readline() == "held\n"
    for _ in range(3):
        with pytest.raises(RunLocked):
            ours.acquire(tmp_path / "run")
        wait_for_beats(tmp_path)
        clock.run_out_of_patience()
    child.send_signal(signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)  # until all its threads stand still
    with pytest.raises(RunLocked):
        ours.acquire(tmp_path / "run")
    clock.run_out_of_patience()
    with ours.acquire(tmp_path / "run") as lock:
        child.send_signal(signal.SIGCONT)
        said, _ = child.communicate("\n")
        assert "lock of run run was taken over" in said
        assert lock.still_held()


def test_of_two_processes_racing_one_is_inside_at_a_time(tmp_path):
    script = CHILD + (
        "inside, entered = root / 'inside', 0\n"
        "mine = Locks(root)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "while entered < 50:\n"
        "    try:\n"
        "        with mine.acquire(root / 'run'):\n"
        "            inside.touch(exist_ok=False); entered += 1; inside.unlink()\n"
        "    except RunLocked: pass\n"
    )
    children = [start(script, tmp_path) for _ in range(2)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert [child.wait() for child in children] == [0, 0]
    assert files_of(tmp_path / "run") == []


def test_of_two_takers_racing_one_takes_over_each_dead_lock(tmp_path):
    names = [f"run{i}" for i in range(100)]
    for name in names:
        put_owner(tmp_path / name, started=1.0)
    script = CHILD + (
        "mine, won = Locks(root), []\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for name in arguments:\n"
        "    try: won.append(mine.acquire(root / name))\n"
        "    except RunLocked: pass\n"
        "print(json.dumps([l.run_id for l in won if l.still_held()])); sys.stdout.flush()\n"
        "sys.stdin.readline()\n"
    )
    children = [start(script, tmp_path, *names) for _ in range(2)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    won = [json.loads(child.stdout.readline()) for child in children]
    assert sorted(won[0] + won[1]) == sorted(names)
    for child in children:
        child.communicate("\n")


@pytest.mark.parametrize("released", [False, True])
def test_a_taker_that_read_long_ago_disturbs_nobody(tmp_path, monkeypatch, released):
    """Between the slow taker's look at a dead owner and its taking over, others come and go."""
    folder = tmp_path / "run"
    put_owner(folder, started=1.0)
    create, in_between = locks_module._create, []

    def slow(path, owner):
        if not in_between:
            in_between.append(None)
            lock = Locks(tmp_path).acquire(folder)
            if released:
                lock.release()
                lock = Locks(tmp_path).acquire(folder)
            in_between[:] = [lock]
        return create(path, owner)

    monkeypatch.setattr(locks_module, "_create", slow)
    with pytest.raises(RunLocked):
        Locks(tmp_path).acquire(folder)
    assert in_between[0].still_held()
    in_between[0].release()
    assert files_of(folder) == []


def test_a_forked_child_neither_holds_nor_gives_back_its_parents_locks(tmp_path):
    script = CHILD + (
        "import os\n"
        "mine = Locks(root); lock = mine.acquire(root / 'run')\n"
        "if not (child := os.fork()):\n"
        "    assert mine.held('run') is None\n"
        "    try: mine.acquire(root / 'run')\n"
        "    except RunLocked: os._exit(0)\n"
        "    os._exit(1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert lock.still_held(); lock.release()\n"
    )
    child = start(script, tmp_path)
    child.communicate()
    assert child.returncode == 0
    assert files_of(tmp_path / "run") == []


def test_what_goes_between_processes_keeps_its_owner(tmp_path):
    import pickle

    with Locks(tmp_path).acquire(tmp_path / "run") as lock:
        error = pickle.loads(pickle.dumps(RunLocked("run", lock.owner)))
    assert error.owner == lock.owner
    assert str(error) == str(RunLocked("run", lock.owner))
    assert isinstance(LockLost(), RuntimeError)


def test_a_process_of_another_container_is_known_by_its_heartbeats(tmp_path, clock):
    """Its process number means nothing here: it is 1, which always lives."""
    beating = HOLD.replace("lock =", "locks.BEAT_SECONDS = 0.02; lock =")
    contained = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*contained, sys.executable, "-c", beating, str(tmp_path)]
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if child.stdout.readline() != "held\n":
        pytest.skip(f"this process may not start a container: {child.communicate()[1]}")
    locks = Locks(tmp_path)
    for _ in range(3):
        with pytest.raises(RunLocked, match="process 1 on "):
            locks.acquire(tmp_path / "run")
        wait_for_beats(tmp_path)
        clock.run_out_of_patience()
    child.kill()
    child.communicate()  # until the process in the container has closed its end too
    locks.holder(tmp_path / "run")
    clock.run_out_of_patience()
    with locks.acquire(tmp_path / "run") as lock:
        assert lock.still_held()
