"""Where the runs of a sweep are trained.

- `threads`: in this process, one thread a device.
- `local`: in processes on this machine, one a core, or one a GPU.
- `dask`: in Dask workers, started on this machine or anywhere a scheduler knows of.

The same sweep leaves the same store on each of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from experiments.runs.spec import RunSpec
    from experiments.runs.store import RunStore
    from experiments.sweeps.worker import Outcome, Report

ExecutorName = Literal["threads", "local", "dask"]


class Executor(Protocol):
    """Trains runs; the processes it starts live until its `with` block ends.

    Attributes:
        keep_every: seconds between saved states of a run.
    """

    keep_every: float

    def train(
        self, specs: Sequence[RunSpec], store: RunStore, report: Report
    ) -> dict[str, Outcome]:
        """Return how each run ended after training it once, see `worker.train_runs`.

        Args:
            specs: the runs.
            store: where they are recorded.
            report: called with the events of the runs.
        """

    def __enter__(self) -> Executor: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def open_executor(
    name: ExecutorName, *, workers: int | None = None, scheduler: str | None = None
) -> Executor:
    """Return an executor by name.

    Args:
        name: one of `ExecutorName`.
        workers: number of runs trained at once (default: as many as cores, GPUs and memory allow).
        scheduler: address of a running Dask scheduler (default: a cluster on this machine).

    Raises:
        ValueError: an unknown name, an address without a port, or options of another executor.
        RuntimeError: a package that the executor needs is not installed, or the scheduler does not
            answer.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1; not {workers}")
    if scheduler is not None and name != "dask":
        raise ValueError(f"scheduler is an option of the executor dask; not of {name}")
    if scheduler is not None and not re.search(r"^inproc://|:\d+$", scheduler):
        raise ValueError(
            "scheduler must be an address with a port, such as tcp://10.0.0.1:8786; not "
            f"{scheduler!r}"
        )
    if scheduler is not None and workers is not None:
        raise ValueError("the workers of a scheduler are started beside it: leave out workers")
    if name == "threads":
        from experiments.sweeps.executors.threads import ThreadExecutor

        return ThreadExecutor(workers)
    if name == "local":
        from experiments.sweeps.executors.local import LocalExecutor

        return LocalExecutor(workers)
    if name == "dask":
        try:
            from experiments.sweeps.executors.dask import DaskExecutor
        except ImportError as error:
            raise RuntimeError(
                f"the executor dask needs Dask: pip install 'datawall[dask]' ({error})"
            ) from error
        return DaskExecutor(scheduler, workers)
    allowed = ", ".join(get_args(ExecutorName))
    raise ValueError(f"executor must be one of {allowed}; not {name!r}")
