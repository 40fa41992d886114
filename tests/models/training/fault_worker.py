"""One of two processes that train together; faults meet the second. Run by test_side_by_side.py."""

import json
import os
import signal
import sys
from pathlib import Path


def main(process: int, port: int, folder: Path) -> None:
    """Print what training in this process came to under each fault; the last one ends both."""
    from models.training.devices import configure_host_devices

    configure_host_devices(1)
    import jax
    import numpy as np

    jax.distributed.initialize(f"127.0.0.1:{port}", 2, process, shutdown_timeout_seconds=5)
    from models.training import job_list, side_by_side
    from models.training.checkpoint import load_state, save_state
    from models.training.job_list import Failed, train_jobs
    from models.training.sharding import Mesh
    from tests.models.training.test_side_by_side import make_job, run, weights

    jobs = [make_job(name, n_epochs=12, seed=at, n_tokens=1024) for at, name in enumerate("abcd")]
    options = {"layout": "side_by_side", "devices": jax.devices(), "mesh": Mesh(member=2)}
    seen, faults, stops, n_slots = [], {}, [], []
    compiled, interrupt_sets = side_by_side.stacked_segment, job_list.interrupt_sets

    def faulty(program, mesh):
        def call(*given):
            seen.append(process)
            faults.get((process, len(seen)), lambda: None)()
            return compiled(program, mesh)(*given)

        return call

    def noticed(stop):
        stops.append(stop)
        return interrupt_sets(stop)

    class Stacked(side_by_side._StackedJobs):
        def __init__(self, *given):
            super().__init__(*given)
            n_slots.append(len(self.slots))

    side_by_side.stacked_segment, job_list.interrupt_sets = faulty, noticed
    side_by_side._StackedJobs = Stacked

    def state_of(job):
        return folder / f"{job.id}.state"

    def interrupt():
        os.kill(os.getpid(), signal.SIGTERM)
        stops[-1].wait()

    def keep(job, state):
        kept.append(int(state.step))
        if process == 0:
            save_state(state_of(job), state)

    def load(job):
        return load_state(state_of(job), job.program())

    def failures(load):
        events = []
        train_jobs(jobs, events.append, load=load, **options)
        return [str(event.error) for event in events if isinstance(event, Failed)]

    def report(**found):
        print(json.dumps(found), flush=True)

    whole, _ = run(jobs, **options)
    # SIGTERM in the second process during its second segment of 128 steps.
    kept, faults[1, len(seen) + 2] = [], interrupt
    try:
        train_jobs(jobs, lambda event: None, keep=keep, **options)
        ended = "finished"
    except KeyboardInterrupt:
        ended = "interrupted"
    resumed, losses = run(jobs, load=load, **options)
    report(
        ended=ended,
        kept=kept,
        resumed_steps=[len(losses[job.id]) for job in jobs],
        largest_gap=max(
            float(np.abs(weights(resumed[job.id].params) - weights(whole[job.id].params)).max())
            for job in jobs
        ),
    )
    # The second process cannot see the states, then cannot read them; it has less memory.
    free_bytes = side_by_side.free_bytes
    side_by_side.free_bytes = lambda device: 1 if process == 1 else free_bytes(device)
    n_slots.clear()

    def unreadable(job):
        raise OSError("unreadable")

    report(
        other=failures(load if process == 0 else lambda job: None),
        unread=failures(load if process == 0 else unreadable),
        n_slots=n_slots,
    )
    side_by_side.free_bytes = free_bytes

    def run_out():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    faults[1, len(seen) + 2] = run_out
    train_jobs(jobs, lambda event: None, **options)
    report(after="finished")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
