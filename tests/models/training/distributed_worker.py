"""One of several processes that train the same jobs together; run by test_side_by_side.py."""

import json
import sys


def main(process: int, n_processes: int, port: int) -> None:
    """Train two jobs on the devices of all processes; the first process prints the losses."""
    from models.training.devices import configure_host_devices

    configure_host_devices(8 // n_processes)
    import jax

    jax.distributed.initialize(f"127.0.0.1:{port}", n_processes, process)
    from models.training import side_by_side
    from models.training.sharding import Mesh
    from tests.models.training.test_side_by_side import make_job, run

    assert jax.device_count() == 8
    assert jax.local_device_count() == 8 // n_processes
    free_bytes = side_by_side.free_bytes

    def of_own_devices(device):
        assert device.process_index == process  # JAX refuses to read the memory of others
        return free_bytes(device)

    side_by_side.free_bytes = of_own_devices
    jobs = [make_job(name, n_epochs=7, seed=at, n_tokens=640) for at, name in enumerate("ab")]
    kept = []
    done, losses = run(
        jobs,
        layout="side_by_side",
        devices=jax.devices(),
        mesh=Mesh(member=2, data=2, model=2),
        keep=lambda job, state: kept.append(int(state.step)),
        keep_every=0.0 if process == 0 else 1e9,  # if one process is due, all are
    )
    # Of the states of two jobs after each segment but the last.
    assert kept == [128, 128]
    if process == 0:
        scores = [done[job.id].scores["validation"] for job in jobs]
        print(json.dumps({"losses": [losses[j.id][:20].tolist() for j in jobs], "scores": scores}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
