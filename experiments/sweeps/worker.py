"""What one process does with the runs it is handed: claim, resume, train, record.

Nothing here knows who hands the runs out: this process, another one, or a scheduler far away.
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
from experiments.runs.streams import documents_of, text_of
from experiments.sweeps.parents import first_params, synthetic_windows
from models.text.data_home import CorpusError
from models.training.devices import keep_compiled_programs

if TYPE_CHECKING:
    from models.training.job_list import Event, Finished, Job
    from models.training.train import TrainState

Outcome = Literal["trained", "found", "failed", "held"]
"""How a run ended: trained here, found finished, failed (see the store), or another's."""

KEEP_SECONDS = 30.0
"""How often the state of an unfinished run is saved."""

logger = logging.getLogger("datawall")


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """What happened to a run.

    Attributes:
        kind: it has begun, has got to a step, ended in one of the ways of `Outcome`, lost its
            worker; or, of no run, a sentence for people.
        run_id: the run.
        step: steps done, of a run that has begun or advanced.
        text: the sentence.
    """

    kind: Outcome | Literal["started", "advanced", "lost", "said"]
    run_id: str = ""
    step: int = 0
    text: str = ""


Report = Callable[[RunEvent], None]


class _Found(Exception):
    """The run was finished by somebody else in the meantime."""


def train_runs(
    specs: Sequence[RunSpec],
    store: RunStore,
    report: Report,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    keep_every: float = KEEP_SECONDS,
) -> dict[str, Outcome]:
    """Train runs on every device of this process, and write them to the store.

    A run is claimed when its turn comes. One that another process holds is left to it; one that
    raises an error is recorded as failed, and the others go on.

    Args:
        specs: the runs, in any order.
        store: where they go.
        report: told what happens, from several threads.
        should_stop: asked at the start and after every segment of training; a yes interrupts like
            Ctrl-C.
        keep_every: seconds between saved states of a run.

    Returns:
        How each run ended.

    Raises:
        KeyboardInterrupt: interrupted; unfinished runs have their states kept.
        StoreError: the store cannot be written; nothing more is trained.
        CorpusError: the text of a run is not on this machine, or differs.
    """
    keep_compiled_programs()
    from models.training.job_list import train_jobs

    crew = _Crew(specs, store, report, should_stop)
    try:
        jobs = [job for spec in specs if (job := crew.job_of(spec))]
        if should_stop():  # before anything is claimed
            raise KeyboardInterrupt
        train_jobs(jobs, crew.on_event, load=crew.load, keep=crew.keep, keep_every=keep_every)
    finally:
        crew.release_all()
    return crew.outcomes


class _Crew:
    """The runs in hand, their locks, and how they ended."""

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
        """Find the text of a run, sampling what of it nobody has sampled yet.

        Returns:
            None where it cannot be, and the run has failed.
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
            )
        except CorpusError:
            raise  # of this machine, not of this run
        except ValueError as error:
            self.store.begin(spec)
            self._fail(spec.run_id, error)
            return None

    def load(self, job: Job) -> TrainState | None:
        """Claim a run whose turn has come and return where it stands; in a device's thread."""
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
        """Save the state of an unfinished run that is still ours; in a device's thread."""
        self.locks[job.id].check()
        self.store.keep_state(self.specs[job.id], state)

    def on_event(self, event: Event) -> None:
        """Record what happened, in the caller's thread."""
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
            if not self.stopping:  # else it has been raised before, and the rest may yet be saved
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
    """Report what this process logs, instead of printing it."""
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
