"""Training on a SLURM cluster: Dask workers as batch jobs, one device each.

On a node from which jobs can be submitted (`pip install dask-jobqueue` first), start the scheduler
and its workers, and keep it running (in tmux, say); it prints the scheduler's address:

    python -m experiments.sweeps.executors.slurm --jobs 8 --queue gpu --gres gpu:1

Beside it, with the store and the environment on a file system that the jobs see:

    datawall run ensembles --executor dask --scheduler tcp://10.0.0.1:40001 --runs /shared/runs

Runs start with the first job. A job at the end of its time saves the states of its runs and is
replaced by another; a sweep or a scheduler that has ended can be started again and resumes.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import tyro

SECONDS_BETWEEN_CHECKS = 60.0


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """SLURM options of a worker's job, see the documentation of dask_jobqueue.SLURMCluster."""

    jobs: int
    """Number of jobs to keep in the queue, each with one worker."""
    queue: str | None = None
    """Partition."""
    account: str | None = None
    """Account to charge."""
    walltime: str = "04:00:00"
    """Time after which a job ends."""
    memory: str = "16GB"
    """Memory of a job."""
    gres: str | None = None
    """Device of a job, such as gpu:1 (default: one core)."""
    interface: str | None = None
    """Network interface that the jobs can reach, such as ib0."""


def main() -> None:
    """Keep a scheduler and its workers until interrupted."""
    from dask_jobqueue import SLURMCluster

    options = tyro.cli(Slurm)
    with (
        contextlib.suppress(KeyboardInterrupt),
        SLURMCluster(
            cores=1,
            processes=1,
            memory=options.memory,
            queue=options.queue,
            account=options.account,
            walltime=options.walltime,
            interface=options.interface,
            job_extra_directives=[f"--gres={options.gres}"] if options.gres else [],
        ) as cluster,
    ):
        print(cluster.scheduler_address, flush=True)
        while True:
            # Repeatedly: a job that has ended is not replaced automatically. (Adaptive scaling
            # would see no pending work: a sweep submits no more tasks than there are workers.)
            cluster.scale(jobs=options.jobs)
            time.sleep(SECONDS_BETWEEN_CHECKS)


if __name__ == "__main__":
    main()
