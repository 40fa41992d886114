"""One of several processes that train the same jobs together; run by test_side_by_side.py."""

import json
import sys


def main(process: int, n_processes: int, port: int) -> None:
    """Train two jobs on the devices of all processes; the first process prints the losses."""
    from models.training.devices import configure_host_devices

    configure_host_devices(8 // n_processes)
    import jax

    jax.distributed.initialize(f"127.0.0.1:{port}", n_processes, process)
    from models.training.sharding import Mesh
    from tests.models.training.test_side_by_side import make_job, run

    assert jax.device_count() == 8
    assert jax.local_device_count() == 8 // n_processes
    jobs = [make_job("a", n_tokens=640), make_job("b", seed=1, n_tokens=640)]
    mesh = Mesh(member=2, data=2, model=2)
    done, losses = run(jobs, layout="side_by_side", devices=jax.devices(), mesh=mesh)
    if process == 0:
        scores = [done[job.id].scores["validation"] for job in jobs]
        print(json.dumps({"losses": [losses[j.id][:20].tolist() for j in jobs], "scores": scores}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
