"""Sweeps in processes of their own, and the faults done to them.

Run as a program it is the victim: `python tests/sweep_faults.py PLAN.json`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil

HOUSE = Path(__file__).parent.parent


def holding(path: Path, *, n_free: int = 0) -> dict[str, str]:
    """Return the environment in which runs are held while a file exists, see `tests/hold`."""
    folders = [str(HOUSE / "tests" / "hold"), str(HOUSE), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(folders),
        "DATAWALL_TEST_HOLD": str(path),
        "DATAWALL_TEST_HOLD_AFTER": str(n_free),
    }


SMALL_STEPS = {"context": 8, "batch_size": 2, "n_unique_tokens": 128}
"""Settings of a world with as many steps an epoch as the tiny one, each of 16 tokens for 512."""


@dataclass(kw_only=True)
class Plan:
    """A sweep: every width with every seed; each run has at least four segments."""

    executor: str
    runs: str
    world: str = "tiny"
    settings: dict[str, int] = field(default_factory=SMALL_STEPS.copy)
    widths: tuple[int, ...] = (8,)
    n_epochs: int = 64
    n_seeds: int = 4
    keep_every: float = 0.2
    scheduler: str | None = None
    clock_runs_backwards: bool = False

    def lab(self, executor=None):
        from experiments.lab.lab import Lab
        from experiments.runs.store import RunStore
        from experiments.worlds.registry import get_world

        world = replace(get_world(self.world), **self.settings)
        return Lab(world, RunStore(Path(self.runs) / self.world), executor)

    def specs(self, lab):
        return [
            lab.spec(width=width, weight_decay=0.1, n_epochs=self.n_epochs, seed=seed)
            for seed in range(self.n_seeds)
            for width in self.widths
        ]


def be_the_victim(plan: Plan) -> None:
    from experiments.sweeps.executors import open_executor

    if plan.clock_runs_backwards:
        started, time_of_start = time.monotonic(), time.time()
        time.time = lambda: time_of_start - 3600 * (time.monotonic() - started)
    with open_executor(plan.executor, scheduler=plan.scheduler) as executor:
        executor.keep_every = plan.keep_every
        lab = plan.lab(executor)
        lab.train(plan.specs(lab), title=f"victim on {plan.executor}")
        print(json.dumps(lab.account.n_trained))


@dataclass(kw_only=True)
class Victim:
    """A sweep in a session of its own, so that all it starts can be found."""

    plan: Plan
    process: subprocess.Popen
    hold: Path
    interrupted: Counter[str] = field(default_factory=Counter)

    @classmethod
    def start(cls, plan: Plan, **options) -> Victim:
        """Start a sweep whose runs are held where some of their steps are done."""
        command = [sys.executable, __file__, json.dumps(asdict(plan))]
        hold = Path(plan.runs) / f"hold-{plan.executor}"
        hold.touch()
        environment = {**os.environ, **holding(hold)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen(
            command, env=environment, start_new_session=True, text=True, **pipes
        )
        return cls(plan=plan, process=process, hold=hold)

    @property
    def root(self) -> Path:
        return Path(self.plan.runs) / self.plan.world

    def owners(self) -> dict[str, int]:
        """The runs that are locked by live processes of this sweep, and their processes."""
        found = {}
        members = self.members()
        for path in self.root.glob("*/lock*"):
            try:
                pid = json.loads(path.read_text())["pid"]
            except (OSError, ValueError):
                continue
            if pid in members:
                found[path.parent.name] = pid
        return found

    def members(self) -> set[int]:
        """The processes of the victim's session that are alive."""
        found = set()
        for process in psutil.process_iter(["pid", "status"]):
            try:
                if os.getsid(process.pid) == self.process.pid:
                    found.add(process.pid)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return {pid for pid in found if not _is_zombie(pid)}

    def wait_until(self, ready, seconds: float = 300.0) -> None:
        """Wait for a condition, which must come before the sweep's end."""
        deadline = time.monotonic() + seconds
        while not ready():
            assert self.process.poll() is None, "the sweep has ended"
            assert time.monotonic() < deadline, "the sweep does not get on"
            time.sleep(0.02)

    def is_training(self) -> bool:
        """Whether a run that is held has some steps behind it and some before it."""
        return any(
            (self.root / run_id / "metrics.jsonl").exists()
            and not (self.root / run_id / "result.json").exists()
            for run_id in self.owners()
        )

    def kill_a_worker(self, chance: random.Random) -> set[str]:
        """kill -9 a process other than the sweep's own that holds runs; return these."""
        workers = sorted(set(self.owners().values()) - {self.process.pid})
        if not workers:
            return set()
        pid = chance.choice(workers)
        try:
            os.kill(pid, signal.SIGSTOP)  # so that what it holds is known for certain
            held = {run_id for run_id, owner in self.owners().items() if owner == pid}
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return set()
        while pid in self.members():
            time.sleep(0.01)
        self.interrupted.update(held)
        return held

    def freeze(self) -> None:
        """Stop all its processes, so that they go on holding what they hold."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def kill(self, *, all_at_once: bool) -> None:
        """kill -9 the sweep, alone or with all its workers."""
        for pid in self.members() if all_at_once else {self.process.pid}:
            _signal(pid, signal.SIGKILL)
        for pid in self.members():
            _signal(pid, signal.SIGCONT)
        self.process.wait()
        self._has_ended()

    def interrupt(self) -> tuple[int, str, set[str]]:
        """Ctrl-C, as a terminal sends it: to every process.

        Return the status, what was said and the runs that were held.
        """
        held = set(self.owners())  # which stays as it is: all runs are held where they are
        os.killpg(self.process.pid, signal.SIGINT)
        said = self.process.communicate(timeout=300)[1]
        self._has_ended()
        return self.process.returncode, said, held

    def _has_ended(self) -> None:
        """Note that whatever has been begun and not finished was interrupted by the sweep's end."""
        self.gone()
        begun = {path.parent for path in self.root.glob("*/metrics.jsonl")}
        self.interrupted.update(
            folder.name for folder in begun if not (folder / "result.json").exists()
        )

    def let_go(self) -> None:
        """Hold its runs no longer."""
        self.hold.unlink()

    def finish(self) -> int:
        """Let it end; return how many runs it trained."""
        out, err = self.process.communicate(timeout=600)
        assert self.process.returncode == 0, err
        self.gone()
        return json.loads(out)

    def gone(self, seconds: float = 60.0) -> None:
        """Make sure that it leaves no process behind."""
        deadline = time.monotonic() + seconds
        while left := self.members():
            assert time.monotonic() < deadline, f"processes are left: {left}"
            time.sleep(0.05)

    def clean_up(self) -> None:
        for pid in self.members():
            _signal(pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def contents(store, specs) -> list[dict]:
    """Everything that training decides, to the last bit."""
    return [
        {
            "scores": store.result(spec)["scores"],
            "train_loss": store.result(spec)["train_loss"],
            "losses": np.asarray(store.losses(spec)).tobytes(),
            "params": (store.folder(spec) / "params.safetensors").read_bytes(),
            "files": sorted(path.name for path in store.folder(spec).iterdir()),
        }
        for spec in specs
    ]


def repeated(store, specs, interrupted: Counter[str]) -> list[str]:
    """Runs that were begun more often than they were interrupted."""
    return [
        spec.run_id
        for spec in specs
        if store.result(spec)["n_sessions"] > 1 + interrupted[spec.run_id]
    ]


if __name__ == "__main__":
    be_the_victim(Plan(**json.loads(sys.argv[1])))
