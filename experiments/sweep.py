"""Train the runs of a list that are not in the store yet."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Sequence

from experiments.executors import Executor
from experiments.executors.threads import ThreadExecutor
from experiments.locks import RunLocked
from experiments.spec import RunSpec
from experiments.store import RunStore
from experiments.sweep_progress import SweepProgress
from experiments.worker import Report, RunEvent

ATTEMPTS = 2
"""A run that raised an error is tried once more, after all the others."""
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
    """Train what is missing; a finished run is skipped, an interrupted one resumed.

    A run that another sweep is training is waited for at the end, and taken over if that sweep
    dies. A run that fails is recorded in the store with its traceback and tried once more.

    Args:
        specs: runs wanted; one named twice is trained once.
        store: where they go.
        executor: where they are trained (default: in this process).
        title: what the progress bar calls them.

    Returns:
        How many runs were trained.

    Raises:
        SweepError: runs failed (after all the others had their turn).
        StoreError: the store cannot be written; the sweep stops at once.
        CorpusError: the text of the runs is not to be had, or differs, where they are trained.
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
    executor = executor or ThreadExecutor()
    with SweepProgress(title, missing) as progress:
        return _train(missing, store, executor, progress.on_event)


def _revisit(spec: RunSpec, store: RunStore) -> None:
    """Label a finished run with its new recipes, and finish the tidying of one killed late."""
    store.begin(spec)
    with contextlib.suppress(RunLocked):
        store.tidy(spec)


def _train(todo: list[RunSpec], store: RunStore, executor: Executor, report: Report) -> int:
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
    lost = [run_id for run_id in by_id if failures[run_id] >= ATTEMPTS]
    if lost:
        raise SweepError(_sentence(lost, by_id, store))
    return n_trained


def _wait_for_any(held: list[RunSpec], store: RunStore, report: Report) -> None:
    """Wait until one of the runs of other sweeps is finished, or has lost its owner."""
    owner = store.owner(held[0])
    whose = f"process {owner.pid} on {owner.host}" if owner else "another sweep"
    report(RunEvent(kind="said", text=f"waiting for {len(held)} runs of {whose}"))
    while True:
        time.sleep(POLL_SECONDS)
        # The workers of the next round may be new, and know nothing of who died on other machines.
        if any(store.is_done(spec) or _is_free(spec, store) for spec in held):
            return


def _is_free(spec: RunSpec, store: RunStore) -> bool:
    return store.owner(spec) is None and store.set_free(spec)


def _sentence(lost: list[str], by_id: dict[str, RunSpec], store: RunStore) -> str:
    failure = store.failure(by_id[lost[0]]) or {}
    named = ", ".join(lost[:MOST_NAMED]) + (", ..." if len(lost) > MOST_NAMED else "")
    return (
        f"{len(lost)} of {len(by_id)} runs failed twice ({named}); the first: "
        f"{failure.get('error', 'unknown')} (traceback in "
        f"{store.folder(by_id[lost[0]]) / 'failure.json'})"
    )
