"""Training of runs in one process: lock, resume, train, record.

The runs may come from this process, another one, or a remote scheduler.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from experiments.runs.files import StoreError
from experiments.runs.locks import LockLost, RunLock, RunLocked
from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore
from experiments.runs.texts import documents_of, text_of
from experiments.sweeps.parents import first_params, synthetic_windows
from models.text.data_home import CorpusError
from models.training.devices import keep_compiled_programs

if TYPE_CHECKING:
    from models.training.job_list import Event, Finished, Job
    from models.training.train import TrainState

Outcome = Literal["trained", "found", "failed", "held"]
"""How a run ended: trained here, found finished, failed (see the store), or held by another."""

KEEP_SECONDS = 30.0
"""How often the state of an unfinished run is saved."""

logger = logging.getLogger("datawall")


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """An event of a run, or a message.

    Attributes:
        kind: the run has started, advanced, ended with an `Outcome` or lost its worker; "said" is a
            message that belongs to no run.
        run_id: the run.
        step: steps done, for "started" and "advanced".
        text: the message.
    """

    kind: Outcome | Literal["started", "advanced", "lost", "said"]
    run_id: str = ""
    step: int = 0
    text: str = ""


Report = Callable[[RunEvent], None]


class _Found(Exception):
    """Another process has finished the run in the meantime."""


def train_runs(
    specs: Sequence[RunSpec],
    store: RunStore,
    report: Report,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    keep_every: float = KEEP_SECONDS,
) -> dict[str, Outcome]:
    """Return how each run ended after training all on the devices of this process.

    A run is locked before it starts. Runs locked by another process are skipped; a run that raises
    an error is recorded as failed, and the others continue.

    Args:
        specs: the runs, in any order.
        store: where they are recorded.
        report: called with every event, from several threads.
        should_stop: called at the start and after every segment of training; if true, training is
            interrupted as by Ctrl-C.
        keep_every: seconds between saved states of a run.

    Raises:
        KeyboardInterrupt: interrupted; the states of unfinished runs are saved.
        StoreError: the store cannot be written; training stops.
        CorpusError: the text of a run is missing on this machine, or differs.
    """
    keep_compiled_programs()
    from models.training.job_list import train_jobs

    session = _Session(specs, store, report, should_stop)
    try:
        jobs = [job for spec in specs if (job := session.job_of(spec))]
        if should_stop():  # before any run is locked
            raise KeyboardInterrupt
        train_jobs(
            jobs, session.on_event, load=session.load, keep=session.keep, keep_every=keep_every
        )
    finally:
        session.release_all()
    return session.outcomes


class _Session:
    """The runs of one call of `train_runs`, their locks, and how they ended."""

    def __init__(
        self,
        specs: Sequence[RunSpec],
        store: RunStore,
        report: Report,
        should_stop: Callable[[], bool],
    ) -> None:
        self.specs = {spec.run_id: spec for spec in specs}
        self.store, self.report, self.should_stop = store, report, should_stop
        self.outcomes: dict[str, Outcome] = {}
        self.locks: dict[str, RunLock] = {}
        self.stopping = False

    def job_of(self, spec: RunSpec) -> Job | None:
        """Return the training job of a run with its text, which is sampled if it is synthetic.

        Returns:
            None if the run cannot be trained; it is recorded as failed.
        """
        from models.training.job_list import Job

        try:
            tokens, held_out = text_of(spec, self.store.root)
            return Job(
                id=spec.run_id,
                model=spec.model,
                optimizer=spec.optimizer,
                train=spec.train,
                seed=spec.seed,
                tokens=tokens,
                held_out=held_out,
                documents=documents_of(spec),
                synthetic=synthetic_windows(spec, self.store),
                synthetic_share=spec.synthetic.share if spec.synthetic else 0.0,
                score_every=spec.score_every,
                trunk=spec.trunk_id,
            )
        except CorpusError:
            raise  # concerns this machine, not this run
        except ValueError as error:
            self.store.begin(spec)
            self._fail(spec.run_id, error)
            return None

    def load(self, job: Job) -> TrainState | None:
        """Lock a run and return the state to resume from; called in a device's thread."""
        spec = self.specs[job.id]
        self.locks[job.id] = self.store.claim(spec)
        if self.store.is_done(spec):
            raise _Found
        self.store.begin(spec)
        state = self.store.kept_state(spec)
        if state is None and spec.init_from is not None:
            from models.training.train import init_state

            state = init_state(job.program(), spec.seed, first_params(spec, self.store))
        step = int(state.step) if state is not None else 0
        self.report(RunEvent(kind="started", run_id=job.id, step=step))
        return state

    def keep(self, job: Job, state: TrainState) -> None:
        """Save the state of a run whose lock is still held; called in a device's thread."""
        self.locks[job.id].check()
        self.store.keep_state(self.specs[job.id], state)

    def on_event(self, event: Event) -> None:
        """Record an event; called in the caller's thread."""
        from models.training.job_list import Failed, Finished

        try:
            if isinstance(event, Finished):
                self._finish(event)
            elif isinstance(event, Failed):
                self._fail(event.job.id, event.error)
            else:
                self.store.append(self.specs[event.job.id], event)
                step = event.first_step + len(event.losses)
                self.report(RunEvent(kind="advanced", run_id=event.job.id, step=step))
        except StoreError:
            if not self.stopping:  # otherwise raised before, and other states can still be saved
                self.stopping = True
                raise
        if not self.stopping and self.should_stop():
            self.stopping = True
            raise KeyboardInterrupt

    def _finish(self, event: Finished) -> None:
        run_id = event.job.id
        try:
            self.store.finish(self.specs[run_id], event)
        except LockLost:
            self._end(run_id, "held")
            return
        if event.diverged:
            logger.warning("run %s diverged; it is recorded without losses", run_id)
        self._end(run_id, "trained")

    def _fail(self, run_id: str, error: Exception) -> None:
        if isinstance(error, StoreError):
            raise error
        if isinstance(error, _Found):
            self._end(run_id, "found")
        elif isinstance(error, (RunLocked, LockLost)):
            self._end(run_id, "held")
        else:
            with contextlib.suppress(LockLost):
                self.store.fail(self.specs[run_id], error)
            self._end(run_id, "failed")

    def _end(self, run_id: str, outcome: Outcome) -> None:
        self.outcomes[run_id] = outcome
        if lock := self.locks.pop(run_id, None):
            lock.release()
        self.report(RunEvent(kind=outcome, run_id=run_id))

    def release_all(self) -> None:
        for lock in self.locks.values():
            lock.release()


def portable(error: Exception) -> Exception:
    """Return an error that can be sent to another process, its traceback in its notes."""
    if not isinstance(error, (OSError, ValueError)):
        error = RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
    error.add_note("".join(traceback.format_exception(error)))
    return error


@contextlib.contextmanager
def logging_to(report: Report) -> Iterator[None]:
    """Report log messages of this process instead of printing them."""
    handler = _Reporting(report)
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


class _Reporting(logging.Handler):
    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report(RunEvent(kind="said", text=record.getMessage()))
