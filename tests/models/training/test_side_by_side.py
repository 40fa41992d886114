"""Jobs side by side in one program end where jobs one by one do."""

import dataclasses
import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.text.batches import evaluation_windows
from models.training.checkpoint import load_params
from models.training.devices import members_that_fit, training_bytes
from models.training.job_list import Failed, Finished, Job, Segment, train_jobs
from models.training.sharding import Mesh
from models.training.train import Execution, Program, init_state, train_segment
from tests.pages import HOUSE, blocks_of

MODEL = ModelConfig.from_width(16, vocab_size=30, context=8)
TEXT = np.random.default_rng(0).integers(30, size=4096).astype(np.uint16)


def make_job(name, *, seed=0, n_epochs=1, lr=0.001, n_tokens=4096, **train):
    return Job(
        id=name,
        model=MODEL,
        optimizer=OptimizerConfig(learning_rate=lr, weight_decay=0.8),
        train=TrainConfig(n_epochs=n_epochs, batch_size=4, **train),
        seed=seed,
        tokens=TEXT[:n_tokens],
        held_out={"validation": evaluation_windows(TEXT[:500], context=8)},
    )


def run(jobs, **options):
    events = []
    train_jobs(jobs, events.append, **options)
    failed = [event for event in events if isinstance(event, Failed)]
    assert not failed, failed[0].error
    done = {event.job.id: event for event in events if isinstance(event, Finished)}
    losses = {
        job.id: np.concatenate(
            [e.losses for e in events if isinstance(e, Segment) and e.job is job]
        )
        for job in jobs
    }
    return done, losses


def weights(params):
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(params)])


JOBS = [
    make_job("long", n_epochs=3),
    make_job("short", seed=1),
    make_job("other text", n_epochs=2, n_tokens=2048),
    make_job("wild", lr=1e30),
    make_job("late", seed=2, lr=0.002),
]


@pytest.fixture(scope="module")
def one_by_one():
    return run(JOBS, layout="one_a_device")


@pytest.mark.long
@pytest.mark.parametrize(("n_members", "mesh"), [(2, None), (3, Mesh(member=1, data=2))])
def test_side_by_side_equals_one_by_one(one_by_one, n_members, mesh):
    """Jobs of unequal length and text take turns in few slots; one of them diverges."""
    done, losses = run(JOBS, layout="side_by_side", n_members=n_members, mesh=mesh)
    expected, expected_losses = one_by_one
    assert done.keys() == expected.keys()
    for name, event in done.items():
        assert event.diverged == expected[name].diverged == (name == "wild")
        if not event.diverged:
            # Adam turns rounding into steps; another window would differ by tenths at once.
            np.testing.assert_allclose(losses[name][:50], expected_losses[name][:50], atol=1e-4)
            np.testing.assert_allclose(losses[name], expected_losses[name], atol=5e-3)
            assert event.scores == pytest.approx(expected[name].scores, abs=2e-3)


@pytest.mark.long
def test_an_interrupted_bench_resumed_equals_an_uninterrupted_one(one_by_one):
    kept, seen = {}, []

    def interrupt_after_three(event):
        seen.append(event)
        if len([e for e in seen if isinstance(e, Segment)]) == 3:
            raise KeyboardInterrupt

    jobs = [job for job in JOBS if job.id != "wild"]
    with pytest.raises(KeyboardInterrupt):
        train_jobs(
            jobs, interrupt_after_three, layout="side_by_side", n_members=2,
            keep=lambda job, state: kept.update({job.id: state}),
        )  # fmt: skip
    finished = {e.job.id for e in seen if isinstance(e, Finished)}
    assert kept.keys().isdisjoint(finished)
    assert any(0 < int(state.step) < job.n_steps for job in jobs if (state := kept.get(job.id)))
    rest = [job for job in jobs if job.id not in finished]
    done, _ = run(rest, layout="side_by_side", n_members=2, load=lambda job: kept.get(job.id))
    for job in rest:
        expected = one_by_one[0][job.id]
        assert done[job.id].scores == pytest.approx(expected.scores, abs=2e-3)
        gap = weights(done[job.id].params) - weights(expected.params)
        assert np.abs(gap).mean() < 1e-3


@pytest.mark.long
def test_out_of_memory_halves_the_members_and_goes_on(monkeypatch, caplog, one_by_one):
    """In the first step, and before it; by hand, as real errors would take the machine's memory."""
    import models.training.side_by_side

    compiled, sizes = models.training.side_by_side.stacked_segment, []
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    def limited(program, mesh):
        def call(states, *rest):
            sizes.append(len(states.step))
            if sizes[-1] > 1:
                raise full
            return compiled(program, mesh)(states, *rest)

        return call

    class Store(models.training.side_by_side._TextStore):
        def __init__(self, waiting, n_slots, mesh):
            if n_slots > 2:
                raise full
            super().__init__(waiting, n_slots, mesh)

    loaded = []
    monkeypatch.setattr(models.training.side_by_side, "stacked_segment", limited)
    monkeypatch.setattr(models.training.side_by_side, "_TextStore", Store)
    jobs = [job for job in JOBS if job.id != "wild"]
    done, _ = run(
        jobs, layout="side_by_side", n_members=4, mesh=Mesh(data=2),
        load=lambda job: loaded.append(job.id),
    )  # fmt: skip
    assert sizes[0] == 2
    assert set(sizes[1:]) == {1}
    for n_members in (2, 1):
        assert f"continuing with {n_members} models side by side" in caplog.text
    assert sorted(loaded) == sorted(job.id for job in jobs)
    for name, event in done.items():
        assert event.scores == pytest.approx(one_by_one[0][name].scores, abs=2e-3)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["microbatches", "remat"])
def test_how_a_step_is_computed_does_not_change_it(kind):
    execution = {"microbatches": Execution(n_microbatches=2), "remat": Execution(remat=True)}[kind]
    job, ring = make_job("job"), np.concatenate([TEXT, TEXT[:9]])
    losses = []
    for program in (job.program(), job.program(execution)):
        state = init_state(program, 0)
        starts, hyper = job.reads(0)[0], job.hyperparameters
        losses.append(train_segment(program, state, ring, starts, np.int32(9), hyper)[1])
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    with pytest.raises(ValueError, match="must divide the batch of 4 sequences; not 3"):
        job.program(Execution(n_microbatches=3))


def test_members_that_fit():
    each = training_bytes(MODEL, batch_size=4)
    assert members_that_fit(100, each, 10 * each) == 8
    assert members_that_fit(3, each, 10 * each) == 3
    assert members_that_fit(100, each, each // 2) == 1
    weights = 4 * MODEL.n_params
    assert each - training_bytes(MODEL, batch_size=4, n_parts=5) == (5 - 2) * weights


@pytest.mark.long
@pytest.mark.parametrize("remat", [False, True])
def test_the_estimate_of_memory_is_near_what_the_compiler_asks_for(remat):
    model = ModelConfig.from_width(128, vocab_size=512, context=64, n_layers=8)
    train, execution = TrainConfig(n_epochs=1, batch_size=16), Execution(remat=remat)
    program = Program(model=model, execution=execution)
    state = jax.eval_shape(lambda: init_state(program, 0))
    job = dataclasses.replace(make_job("job"), model=model, train=train)
    starts = jax.ShapeDtypeStruct((128, 16), np.int32)
    ring = jax.ShapeDtypeStruct((5000,), np.uint16)
    asked = (
        train_segment.lower(program, state, ring, starts, np.int32(1), job.hyperparameters)
        .compile()
        .memory_analysis()
    )
    asked = asked.temp_size_in_bytes + asked.argument_size_in_bytes
    estimate = training_bytes(model, batch_size=16, train=train, execution=execution)
    assert 0.6 < estimate / asked < 1.7, (estimate, asked)


def endings_of(commands, environments):
    """Exit status, output and errors of processes that are started together."""
    workers = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **environment},
        )
        for command, environment in zip(commands, environments, strict=True)
    ]  # fmt: skip
    try:
        printed = [worker.communicate(timeout=900) for worker in workers]
        return [(worker.returncode, *said) for worker, said in zip(workers, printed, strict=True)]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def outputs_of(commands, environments):
    """What processes that are started together print, once all have ended well."""
    found = endings_of(commands, environments)
    for status, _, errors in found:
        assert status == 0, errors
    return [out for _, out, _ in found]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.mark.long
def test_two_processes_of_four_devices_equal_one_device():
    """A mesh of 2 x 2 x 2 (members, batch, matrices) that jax.distributed spans on loopback."""
    module, port = [sys.executable, "-m", "tests.models.training.distributed_worker"], free_port()
    out, _ = outputs_of([[*module, str(one), "2", port] for one in range(2)], [{}, {}])
    together = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    jobs = [make_job(name, n_epochs=7, seed=at, n_tokens=640) for at, name in enumerate("ab")]
    done, losses = run(jobs, layout="one_a_device", devices=jax.local_devices()[:1])
    for at, job in enumerate(jobs):
        np.testing.assert_allclose(together["losses"][at], losses[job.id][:20], atol=1e-4)
        assert together["scores"][at] == pytest.approx(done[job.id].scores["validation"], abs=2e-3)


@pytest.fixture(scope="module")
def faulty_pair(tmp_path_factory):
    """Two processes of one device each, of which faults meet the second, see fault_worker.py."""
    module, port = [sys.executable, "-m", "tests.models.training.fault_worker"], free_port()
    folder = str(tmp_path_factory.mktemp("states"))
    return endings_of([[*module, str(one), port, folder] for one in range(2)], 2 * [{}])


def said_by(faulty_pair, key):
    """The report that has this key, of each process."""
    lines = [
        [line for line in out.splitlines() if f'"{key}":' in line] for _, out, _ in faulty_pair
    ]
    found = [json.loads(own[0]) if own else None for own in lines]
    assert None not in found, [errors for _, _, errors in faulty_pair]
    return found


@pytest.mark.long
def test_an_interrupt_of_one_process_stops_all_after_the_same_step(faulty_pair):
    """SIGTERM comes during the second of three segments; what was saved is resumed exactly."""
    for said in said_by(faulty_pair, "kept"):
        assert said["ended"] == "interrupted"
        assert said["kept"] == 4 * [256]
        assert said["resumed_steps"] == 4 * [128]
        assert said["largest_gap"] == 0


@pytest.mark.long
def test_processes_that_load_different_states_fail_alike(faulty_pair):
    first, second = said_by(faulty_pair, "unread")
    for said in (first, second):
        assert len(said["other"]) == 4
        assert all("after different steps: 256, 0" in one for one in said["other"])
    assert all("after different steps: 256, none" in one for one in first["unread"])
    assert second["unread"] == 4 * ["unreadable"]


@pytest.mark.long
def test_as_many_jobs_are_trained_together_as_fit_in_every_process(faulty_pair):
    """The second has memory for one job only, the first for two."""
    for said in said_by(faulty_pair, "n_slots"):
        assert said["n_slots"] == [2, 2]


@pytest.mark.long
def test_memory_that_runs_out_in_one_process_ends_all(faulty_pair):
    """The first waits for the second, whose error says what to change."""
    statuses = [status for status, _, _ in faulty_pair]
    outputs = [out for _, out, _ in faulty_pair]
    assert 0 not in statuses
    assert not any('"after"' in out for out in outputs)
    errors = faulty_pair[1][2]
    assert "MemoryError: process 1 of 2 ran out of memory: one model of 7,696 param" in errors
    assert "4 are trained together" in errors
    assert "n_members=2 in train_jobs" in errors


@pytest.mark.long
@pytest.mark.exhaustive
def test_the_program_for_several_hosts_runs_in_two_processes_as_slurm_starts_them(tmp_path):
    """That of docs/accelerators.md, with the variables of SLURM that JAX reads."""
    blocks = blocks_of(HOUSE / "docs" / "accelerators.md")
    (program,) = (block.body for block in blocks if block.title == "train_hosts.py")
    (tmp_path / "train_hosts.py").write_text(program)
    np.save(tmp_path / "tokens.npy", TEXT)
    with socket.socket() as free:  # JAX derives the port from the number of the job
        while True:
            port = int(np.random.default_rng().integers(61_440, 65_536))
            try:
                free.bind(("127.0.0.1", port))
                break
            except OSError:
                continue
    slurm = {
        "SLURM_JOB_ID": str(port - 61_440), "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": "2", "SLURM_STEP_NUM_NODES": "1", "PYTHONPATH": str(HOUSE),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }  # fmt: skip
    ranks = [{**slurm, "SLURM_PROCID": at, "SLURM_LOCALID": at} for at in "01"]
    arguments = [str(tmp_path / "tokens.npy"), str(tmp_path), "16"]
    out, silent = outputs_of(
        2 * [[sys.executable, str(tmp_path / "train_hosts.py"), *arguments]], ranks
    )
    scores = dict(line.split() for line in out.splitlines() if line.startswith("member"))
    assert scores.keys() == {"member0", "member1"}
    assert "member" not in silent
    model = ModelConfig.from_width(16, vocab_size=30, context=64)
    jobs = [
        Job(
            id=f"member{seed}", model=model, seed=seed, tokens=TEXT[:-650],
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.1),
            train=TrainConfig(n_epochs=1, batch_size=8),
            held_out={"test": TEXT[-650:].reshape(10, 65)},
        )
        for seed in range(2)
    ]  # fmt: skip
    done, _ = run(jobs, layout="one_a_device", devices=jax.local_devices()[:1])
    for name, event in done.items():
        assert float(scores[name]) == pytest.approx(event.scores["test"], abs=2e-3)
        stored = load_params(tmp_path / f"{name}.safetensors", model)
        np.testing.assert_allclose(weights(stored), weights(event.params), atol=1e-3)


def test_a_mesh_of_another_size_is_refused():
    with pytest.raises(ValueError, match="a mesh of 4 x 1 x 1 needs 4 devices; there are 2"):
        train_jobs([make_job("a")], lambda event: None, mesh=Mesh(member=4))


def test_a_model_that_does_not_fit_alone_fails_with_an_estimate(monkeypatch):
    import models.training.side_by_side

    def full(program, mesh):
        def call(*given):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

        return call

    monkeypatch.setattr(models.training.side_by_side, "stacked_segment", full)
    events = []
    train_jobs(JOBS[:2], events.append, layout="side_by_side", n_members=2)
    assert sorted(event.job.id for event in events) == ["long", "short"]
    for event in events:
        assert isinstance(event.error, MemoryError)
        assert "4 windows of 8 tokens takes about" in str(event.error)
        assert "GiB are free" in str(event.error)


def test_members_share_one_store_of_their_text():
    """A text that no job in a slot reads makes room for another; equal arrays are one text."""
    from models.training.side_by_side import _TextStore

    jobs = [make_job("a"), make_job("b", seed=1), make_job("c", n_tokens=2048)]
    jobs += [dataclasses.replace(make_job("copy", n_tokens=2048), tokens=TEXT[:2048].copy())]
    mesh = Mesh(member=2).over(jax.local_devices()[:2])
    store = _TextStore(jobs, 4, mesh)
    rows = []
    for job in jobs:
        rows.append(store.row_of(job, set(rows)))
        ring = np.asarray(store.placed)[store.first(rows[-1]) :][: len(job.ring)]
        np.testing.assert_array_equal(ring, job.ring)
    assert rows == [0, 0, 1, 1]
    # Every device holds both texts once, whatever the number of members.
    held = [shard.data.size for shard in store.placed.addressable_shards]
    assert held == 2 * [2 * len(jobs[0].ring)]
    single = _TextStore(jobs, 1, mesh)
    assert [single.row_of(job, set()) for job in jobs] == [0] * 4
    np.testing.assert_array_equal(np.asarray(single.placed)[: len(jobs[3].ring)], jobs[3].ring)
