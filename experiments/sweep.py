"""Train the runs of a list that are not in the store yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.progress import WorkProgress
from experiments.spec import RunSpec
from experiments.store import RunStore

if TYPE_CHECKING:
    from experiments.text import WorldText
    from models.job_list import Event, Job
    from models.train import TrainState


class SweepError(RuntimeError):
    """Some runs of a sweep raised an error; the finished ones are in the store."""


def run_sweep(
    specs: Sequence[RunSpec], store: RunStore, text: WorldText, *, title: str = "training"
) -> int:
    """Train what is missing; a finished run is skipped, an interrupted one resumed.

    Args:
        specs: runs wanted; one named twice is trained once.
        store: where they go.
        text: the tokens they read.
        title: what the progress bar calls them.

    Returns:
        How many runs were trained.

    Raises:
        SweepError: a run failed (after all the others had their turn).
    """
    from models.job_list import Failed, Finished, Job, Segment, train_jobs

    wanted = {spec.run_id: spec for spec in specs}
    missing = {run_id: spec for run_id, spec in wanted.items() if not store.is_done(spec)}
    if not missing:
        return 0
    jobs = [
        Job(
            id=run_id,
            model=spec.model,
            optimizer=spec.optimizer,
            train=spec.train,
            seed=spec.seed,
            tokens=text.unique_tokens(spec.data),
            held_out=text.held_out(spec.data, spec.model.context),
        )
        for run_id, spec in missing.items()
    ]
    for spec in missing.values():
        store.begin(spec)
    failures: list[Failed] = []

    def load(job: Job) -> TrainState | None:
        return store.kept_state(missing[job.id])

    def keep(job: Job, state: TrainState) -> None:
        store.keep_state(missing[job.id], state)

    with WorkProgress(title, n_jobs=len(jobs), work=sum(job.flops for job in jobs)) as progress:

        def on_event(event: Event) -> None:
            spec = missing[event.job.id]
            if isinstance(event, Segment):
                store.append(spec, event)
                n_tokens = len(event.losses) * event.job.tokens_per_step
                progress.advance(
                    n_tokens * event.job.model.train_flops_per_token, n_tokens=n_tokens
                )
            elif isinstance(event, Finished):
                store.finish(spec, event)
                progress.finish_job()
            else:
                failures.append(event)

        train_jobs(jobs, on_event, load=load, keep=keep)
    if failures:
        first = failures[0]
        raise SweepError(
            f"{len(failures)} of {len(jobs)} runs failed; the first, {first.job.id}: {first.error}"
        ) from first.error
    return len(jobs)
