"""The options that every command on a world shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.cli.options import readable
from experiments.sweeps.executors import ExecutorName

if TYPE_CHECKING:
    from experiments.sweeps.executors import Executor


@readable
@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """Which world, on which text, kept where, trained where."""

    world: str = "quick"
    """How large: tiny (a try), quick (minutes), small (hours) or h200 (a GPU)."""
    corpus: str | None = None
    """Text to train on instead of the world's: stdlib, novels, files:PATH or hf:DATASET."""
    runs: Path = Path("runs")
    """Folder of the trained runs, one subfolder a world."""
    executor: ExecutorName = "threads"
    """Where runs are trained: in threads of this process, in local processes, or in Dask
    workers."""
    scheduler: str | None = None
    """Address of a running Dask scheduler, such as tcp://10.0.0.1:8786; without one, the executor
    dask starts workers on this machine."""
    workers: int | None = None
    """How many runs are trained at once on this machine; by default one a core or GPU, as far as
    memory goes."""

    def open_executor(self) -> Executor:
        """Return where runs are trained, to be used in a `with` block."""
        from experiments.sweeps.executors import open_executor

        return open_executor(self.executor, workers=self.workers, scheduler=self.scheduler)
