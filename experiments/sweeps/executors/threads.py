"""Training in this process, one thread a device."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore
from experiments.sweeps.worker import KEEP_SECONDS, Outcome, Report, train_runs
from models.training.devices import configure_host_devices


class ThreadExecutor:
    """Trains in this process on every device that JAX finds.

    Args:
        workers: number of host devices (default: one a core); no effect once JAX has started.
        keep_every: seconds between saved states of a run.
    """

    def __init__(self, workers: int | None = None, *, keep_every: float = KEEP_SECONDS) -> None:
        self.keep_every = keep_every
        configure_host_devices(workers)

    def train(
        self, specs: Sequence[RunSpec], store: RunStore, report: Report
    ) -> dict[str, Outcome]:
        """See `Executor.train`."""
        return train_runs(specs, store, report, keep_every=self.keep_every)

    def __enter__(self) -> ThreadExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        """No resources to release."""
