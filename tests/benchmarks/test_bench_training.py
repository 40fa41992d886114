"""Training throughput of the job list against PyTorch and the machine's matrix products.

The same architecture, batch and optimiser on both sides, wall-clock tokens per second, compilation
excluded. Peers and ours take turns within a round and the best round of each counts, because the
machine is shared and noisy. Run with `make benchmark`.
"""

import multiprocessing
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.training.devices import available_cores
from models.training.job_list import Job, train_jobs

torch_loop = pytest.importorskip(
    "models.accelerator.torch_loop", reason="the peer, torch, is in the extra `benchmark`"
)

pytestmark = pytest.mark.benchmark

VOCABULARY, CONTEXT, BATCH, D = 512, 64, 8, 16_384
ROUNDS = 3
TOKENS = np.random.default_rng(0).integers(VOCABULARY, size=D)


def job_list_rate(model: ModelConfig, n_steps: int, *, devices=None) -> float:
    """Wall tokens per second of one job for each core, evaluation and data included."""
    jobs = [
        Job(
            id=str(seed), model=model, seed=seed, tokens=TOKENS, held_out={},
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.1),
            train=TrainConfig(n_epochs=n_steps // 32, batch_size=BATCH),
        )
        for seed in range(len(devices or jax.local_devices()))
    ]  # fmt: skip
    begun = time.perf_counter()
    train_jobs(jobs, lambda event: None, devices=devices)
    seconds = time.perf_counter() - begun
    return sum(job.n_steps * job.tokens_per_step for job in jobs) / seconds


def torch_worker(width: int, n_steps: int, barrier, rates) -> None:
    """One single-threaded PyTorch process of two that run side by side."""
    model = ModelConfig.from_width(width, vocab_size=VOCABULARY, context=CONTEXT)
    run = torch_loop.torch_trainer(model, TOKENS, batch_size=BATCH, n_threads=1)
    run(8)
    for _ in range(ROUNDS):
        barrier.wait()
        rates.put(run(n_steps))


def side_by_side_rate(width: int, n_steps: int) -> float:
    """Tokens per second of as many single-threaded PyTorch processes as there are cores."""
    context = multiprocessing.get_context("spawn")
    n_processes = available_cores()
    barrier, rates = context.Barrier(n_processes), context.Queue()
    arguments = (width, n_steps, barrier, rates)
    workers = [context.Process(target=torch_worker, args=arguments) for _ in range(n_processes)]
    for worker in workers:
        worker.start()
    found = [rates.get(timeout=300) for _ in range(n_processes * ROUNDS)]
    for worker in workers:
        worker.join()
    rounds = np.array(found).reshape(ROUNDS, n_processes).sum(axis=1)
    return float(rounds.max())


def matmul_flops() -> float:
    """The machine's own f32 rate: one large product on each device at once, best of a few."""
    side, n_times = 1024, 8
    devices = jax.local_devices()
    multiply = jax.jit(lambda x: jax.lax.fori_loop(0, n_times, lambda _, y: (y @ x) * 1e-3, x))
    placed = [jax.device_put(np.ones((side, side), np.float32), device) for device in devices]
    rates = []
    with ThreadPoolExecutor(len(devices)) as pool:
        for _ in range(ROUNDS + 1):
            begun = time.perf_counter()
            list(pool.map(lambda x: multiply(x).block_until_ready(), placed))
            flops = len(devices) * n_times * 2 * side**3
            rates.append(flops / (time.perf_counter() - begun))
    return max(rates[1:])


def judge(capsys, lines: list[tuple[str, float, float, str]]) -> None:
    """Print each figure beside its goal, then hold it to that; "<=" or ">=" says which way."""
    with capsys.disabled():
        print()
        for name, value, goal, way in lines:
            met = value <= goal if way == "<=" else value >= goal
            print(f"  {name}: {value:.2f} (goal {way} {goal}) {'met' if met else 'MISSED'}")
    for name, value, goal, way in lines:
        assert value <= goal if way == "<=" else value >= goal, name


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("width", "over_best", "over_processes"), [(64, 1.7, 1.15), (128, 1.2, 1.0)]
)
def test_job_list_against_torch(benchmark, capsys, width, over_best, over_processes):
    """One PyTorch process, compiled or not, and a single-threaded one on each core."""
    model = ModelConfig.from_width(width, vocab_size=VOCABULARY, context=CONTEXT)
    n_steps = 256 if width == 64 else 128
    measured = {"job list": lambda: job_list_rate(model, 4 * n_steps)}  # a usual run's length
    for n_threads in sorted({1, available_cores()}):
        for compiled in (False, True):
            run = torch_loop.torch_trainer(
                model, TOKENS, batch_size=BATCH, n_threads=n_threads, compiled=compiled
            )
            name = f"torch{' compiled' if compiled else ''}, {n_threads} threads"
            measured[name] = lambda run=run: run(n_steps)
    for measure in measured.values():
        measure()  # compiles and warms up
    rates = {name: [] for name in measured}
    for _ in range(ROUNDS):
        for name, measure in measured.items():
            rates[name].append(measure())
    best = {name: max(values) for name, values in rates.items()}
    best["torch, a process a core"] = side_by_side_rate(width, n_steps)
    best["job list"] = max(best["job list"], measured["job list"]())
    benchmark.extra_info.update(best)
    benchmark.pedantic(measured["job list"], rounds=1)
    with capsys.disabled():
        shown = ", ".join(f"{name} {rate / 1000:.0f}k" for name, rate in best.items())
        print(f"\nd{width}, wall tokens/s on {available_cores()} cores: {shown}")
    single = max(v for name, v in best.items() if "threads" in name)
    ours, processes = best["job list"], best["torch, a process a core"]
    judge(
        capsys,
        [
            ("over the best single PyTorch process", ours / single, over_best, ">="),
            ("over a PyTorch process a core", ours / processes, over_processes, ">="),
        ],
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("width", "goal"), [(128, 0.55), (256, 0.60)])
def test_share_of_the_machines_matmul_rate(benchmark, capsys, width, goal):
    model = ModelConfig.from_width(width, vocab_size=VOCABULARY, context=CONTEXT)
    n_steps = 512 if width == 128 else 128
    job_list_rate(model, 128)
    shares = []
    for _ in range(ROUNDS):
        peak = matmul_flops()
        shares.append(job_list_rate(model, n_steps) * model.train_flops_per_token / peak)
    benchmark.pedantic(matmul_flops, rounds=1)
    judge(capsys, [(f"share of the f32 matmul rate at d{width}", max(shares), goal, ">=")])


@pytest.mark.timeout(900)
def test_two_cores_train_nearly_twice_as_much_as_one(benchmark, capsys):
    model = ModelConfig.from_width(64, vocab_size=VOCABULARY, context=CONTEXT)
    devices = jax.local_devices()
    job_list_rate(model, 128)
    gains = []
    for _ in range(ROUNDS):
        one = job_list_rate(model, 1024, devices=devices[:1])
        gains.append(job_list_rate(model, 1024, devices=devices[:2]) / one)
    benchmark.pedantic(lambda: job_list_rate(model, 128), rounds=1)
    judge(capsys, [("two cores over one", max(gains), 1.8, ">=")])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("width", [64, 128])
def test_time_to_compile(benchmark, capsys, width):
    """In a process of its own, first with an empty cache, then with what that left."""
    script = (
        "import sys, time; from models.training.devices import configure_host_devices as c; c(1)\n"
        "import jax, numpy as np\n"
        "jax.config.update('jax_compilation_cache_dir', sys.argv[1])\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
        "from models.config import *; from models.training.train import *\n"
        f"model = ModelConfig.from_width({width}, vocab_size=512, context=64)\n"
        "program = Program(model=model); state = init_state(program, 0)\n"
        "hyper = Hyperparameters.of(OptimizerConfig(learning_rate=1, weight_decay=0), 9)\n"
        "args = (np.zeros(999, np.int32), np.zeros((SEGMENT_STEPS, 8), np.int32), np.int32(1))\n"
        "begun = time.perf_counter(); train_segment.lower(program, state, *args, hyper).compile()\n"
        "print(time.perf_counter() - begun)\n"
    )
    with tempfile.TemporaryDirectory() as cache:

        def compile_once() -> float:
            command = [sys.executable, "-c", script, cache]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            return float(done.stdout)

        cold, warm = compile_once(), compile_once()
    benchmark.pedantic(lambda: None, rounds=1)
    judge(
        capsys,
        [
            (f"seconds to compile d{width}", cold, 6.0, "<="),
            (f"share of that with the cache, d{width}", warm / cold, 0.5, "<="),
        ],
    )
