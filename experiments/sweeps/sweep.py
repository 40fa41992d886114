"""Training of all runs of a list that are not in the store yet, with progress."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from time import sleep
from types import TracebackType

from experiments.display.progress import WorkProgress
from experiments.runs.locks import RunLocked
from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore
from experiments.sweeps.executors import Executor
from experiments.sweeps.executors.threads import ThreadExecutor
from experiments.sweeps.worker import Report, RunEvent

SHOWN = {"started": "running", "failed": "failed", "held": "elsewhere"}
"""Words for runs in these states; the bar counts the others."""
FINISHED = ("trained", "found")

ATTEMPTS = 2
"""A run that raised an error is repeated once, after all the others."""
MOST_NAMED = 5
POLL_SECONDS = 1.0


class SweepError(RuntimeError):
    """Some runs of a sweep failed; the others are finished and in the store."""


def run_sweep(
    specs: Sequence[RunSpec],
    store: RunStore,
    *,
    executor: Executor | None = None,
    title: str = "training",
) -> int:
    """Return the number of runs trained; finished runs are skipped, interrupted ones resumed.

    Runs that another sweep is training are waited for at the end, and taken over if that sweep
    dies. A run that fails is recorded in the store with its traceback and repeated once. A run
    starts after those that it builds on; if one of them fails, it is not started.

    Args:
        specs: runs wanted; duplicates are trained once.
        store: where they are recorded.
        executor: where they are trained (default: in this process).
        title: title of the progress bar.

    Raises:
        ValueError: a run builds on one that is neither finished nor among the runs wanted.
        SweepError: runs failed (after all the others have been trained).
        StoreError: the store cannot be written; the sweep stops at once.
        CorpusError: the text of the runs is missing where they are trained, or differs.
    """
    wanted = list({spec.run_id: spec for spec in specs}.values())
    missing = []
    for spec in wanted:
        if store.is_done(spec):
            _revisit(spec, store)
        else:
            missing.append(spec)
    if not missing:
        return 0
    waves = _in_waves(missing, store)
    executor = executor or ThreadExecutor()
    n_trained, lost = 0, dict[str, RunSpec]()
    with SweepProgress(title, missing) as progress:
        for wave in waves:
            ready = [spec for spec in wave if lost.keys().isdisjoint(spec.parents)]
            lost |= {spec.run_id: spec for spec in wave if spec not in ready}
            n_now, failed = _train(ready, store, executor, progress.on_event)
            n_trained += n_now
            lost |= {spec.run_id: spec for spec in failed}
    if lost:
        raise SweepError(_sentence(lost, len(missing), store))
    return n_trained


def _in_waves(specs: list[RunSpec], store: RunStore) -> list[list[RunSpec]]:
    """Return groups of runs, each of which builds only on runs of earlier groups."""
    planned = {spec.run_id for spec in specs}
    for spec in specs:
        for parent in spec.parents:
            known = store.spec(parent) if parent not in planned else None
            if parent not in planned and not (known and store.is_done(known)):
                raise ValueError(
                    f"run {spec.run_id} builds on run {parent}, which is neither finished in "
                    f"{store.root} nor among the runs to train"
                )
    waves: list[list[RunSpec]] = []
    # An id is a hash that includes the ids a run builds on, so there are no cycles: this ends.
    while specs:
        waves.append([spec for spec in specs if planned.isdisjoint(spec.parents)])
        planned -= {spec.run_id for spec in waves[-1]}
        specs = [spec for spec in specs if spec.run_id in planned]
    return waves


def _revisit(spec: RunSpec, store: RunStore) -> None:
    """Add new labels to a finished run, and remove files that a killed process left with it."""
    store.begin(spec)
    with contextlib.suppress(RunLocked):
        store.tidy(spec)


def _train(
    todo: list[RunSpec], store: RunStore, executor: Executor, report: Report
) -> tuple[int, list[RunSpec]]:
    """Train runs that can all start; return the number trained, and the runs that failed."""
    by_id = {spec.run_id: spec for spec in todo}
    n_trained, failures = 0, Counter[str]()
    while todo:
        outcomes = executor.train(todo, store, report)
        n_trained += sum(outcome == "trained" for outcome in outcomes.values())
        failed = [run_id for run_id, outcome in outcomes.items() if outcome == "failed"]
        failures.update(failed)
        todo = [by_id[run_id] for run_id in failed if failures[run_id] < ATTEMPTS]
        held = [by_id[run_id] for run_id, outcome in outcomes.items() if outcome == "held"]
        if held and not todo:
            _wait_for_any(held, store, report)
        todo += held
    return n_trained, [by_id[run_id] for run_id in by_id if failures[run_id] >= ATTEMPTS]


def _wait_for_any(held: list[RunSpec], store: RunStore, report: Report) -> None:
    """Wait until one of the runs of other sweeps is finished, or has lost its owner."""
    owner = store.owner(held[0])
    whose = f"process {owner.pid} on {owner.host}" if owner else "another sweep"
    report(RunEvent(kind="said", text=f"waiting for {len(held)} runs of {whose}"))
    while True:
        sleep(POLL_SECONDS)
        # New workers have not observed the heartbeats of owners on other machines.
        if any(store.is_done(spec) or _is_free(spec, store) for spec in held):
            return


def _is_free(spec: RunSpec, store: RunStore) -> bool:
    return store.owner(spec) is None and store.set_free(spec)


def _sentence(lost: dict[str, RunSpec], n_runs: int, store: RunStore) -> str:
    failed = [run_id for run_id, spec in lost.items() if lost.keys().isdisjoint(spec.parents)]
    named = ", ".join(failed[:MOST_NAMED]) + (", ..." if len(failed) > MOST_NAMED else "")
    failure = store.failure(lost[failed[0]]) or {}
    n_children = len(lost) - len(failed)
    children = f"; {n_children} that build on them were not started" if n_children else ""
    return (
        f"{len(failed)} of {n_runs} runs failed twice ({named}){children}; the first: "
        f"{failure.get('error', 'unknown')} (traceback in "
        f"{store.folder(lost[failed[0]]) / 'failure.json'})"
    )


class SweepProgress:
    """Shows the events of a sweep's runs as a bar, or as lines."""

    def __init__(self, title: str, specs: Iterable[RunSpec]) -> None:
        self._specs = {spec.run_id: spec for spec in specs}
        self._states: dict[str, str] = {}
        self._steps: dict[str, int] = {}
        self._left: dict[str, int] = {}
        work = sum(spec.train_flops for spec in self._specs.values())
        self._shown = WorkProgress(title, n_jobs=len(self._specs), work=work)

    def __enter__(self) -> SweepProgress:
        self._shown.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._shown.__exit__(kind, error, traceback)

    def on_event(self, event: RunEvent) -> None:
        """Show an event."""
        if event.text:
            self._shown.say(event.text)
        spec = self._specs.get(event.run_id)
        if spec is None or self._states.get(spec.run_id) in FINISHED:
            return
        if event.kind == "advanced":
            self._move(spec, event.step)
        else:
            self._states[event.run_id] = event.kind
        if event.kind == "started":
            self._start(spec, event.step)
        elif event.kind in FINISHED:
            self._leave(spec)
            self._shown.finish_job()
        elif event.kind == "failed":
            self._leave(spec)
        self._shown.note = self._note()
        self._shown.show()

    def _start(self, spec: RunSpec, step: int) -> None:
        self._shown.skip(-_work(spec, self._left.pop(spec.run_id, 0)))
        if spec.run_id in self._steps:
            self._move(spec, step)
        else:
            self._steps[spec.run_id] = step
            self._shown.skip(_work(spec, step))

    def _leave(self, spec: RunSpec) -> None:
        """Take the remaining work of a run that has ended off the total."""
        n_left = spec.n_steps - self._steps.get(spec.run_id, 0) - self._left.get(spec.run_id, 0)
        self._left[spec.run_id] = self._left.get(spec.run_id, 0) + n_left
        self._shown.skip(_work(spec, n_left))

    def _move(self, spec: RunSpec, step: int) -> None:
        n_steps = step - self._steps.get(spec.run_id, 0)
        self._steps[spec.run_id] = step
        self._shown.advance(_work(spec, n_steps), other=max(n_steps, 0) * spec.tokens_per_step)

    def _note(self) -> str:
        states = list(self._states.values())  # copied at once: runs report from other threads
        counts = Counter(map(SHOWN.get, states))
        parts = [f"{counts[what]} {what}" for what in SHOWN.values() if counts[what]]
        if speed := self._shown.speed:
            parts.append(f"{speed / 1000:.0f}k tokens/s")
        return ", ".join(parts)


def _work(spec: RunSpec, n_steps: int) -> float:
    return spec.train_flops * n_steps / spec.n_steps
