"""Training throughput of the job list against PyTorch and against one model at a time.

The same architecture, batch and optimiser on both sides, wall-clock tokens per second, compilation
excluded. Peers and ours take turns within a round and the best round of each counts, because the
machine is shared and noisy. Run with `make benchmark`.
"""

import os
import time

import jax
import numpy as np
import pytest

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.devices import available_cores
from models.job_list import Job, train_jobs
from models.train import Hyperparameters, Program, init_state, train_step

torch = pytest.importorskip("torch", reason="the peer is in the extra `bench`")

pytestmark = pytest.mark.benchmark

VOCABULARY, CONTEXT, BATCH, D = 512, 64, 8, 16_384
ROUNDS = 3
TOKENS = np.random.default_rng(0).integers(VOCABULARY, size=D)


class TorchBlock(torch.nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.mlp_width
        self.config = config
        self.norm1, self.norm2 = torch.nn.RMSNorm(width), torch.nn.RMSNorm(width)
        self.qkv = torch.nn.Linear(width, 3 * width, bias=False)
        self.out = torch.nn.Linear(width, width, bias=False)
        self.gate_up = torch.nn.Linear(width, 2 * hidden, bias=False)
        self.down = torch.nn.Linear(hidden, width, bias=False)

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        heads = self.config.n_heads
        qkv = self.qkv(self.norm1(x)).view(b, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)

        def rotate(y):
            first, second = y.chunk(2, -1)
            return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

        y = torch.nn.functional.scaled_dot_product_attention(
            rotate(qkv[0]), rotate(qkv[1]), qkv[2], is_causal=True
        )
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(torch.nn.functional.silu(gate) * up)


class TorchModel(torch.nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(config.vocab_size, config.width)
        self.blocks = torch.nn.ModuleList(TorchBlock(config) for _ in range(config.n_layers))
        self.norm = torch.nn.RMSNorm(config.width)
        self.head = torch.nn.Linear(config.width, config.vocab_size, bias=False)
        half = config.head_width // 2
        angle = torch.arange(CONTEXT)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, ids):
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return self.head(self.norm(x))


def torch_trainer(model: ModelConfig, n_threads: int):
    """Return a function that takes n steps and returns tokens per second."""
    network = TorchModel(model)
    assert sum(p.numel() for p in network.parameters()) == model.n_params
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    tokens = torch.from_numpy(TOKENS)
    offsets = torch.arange(CONTEXT + 1)

    def run(n_steps: int) -> float:
        torch.set_num_threads(n_threads)
        starts = torch.randint(D - CONTEXT, (n_steps, BATCH))
        begun = time.perf_counter()
        for step in range(n_steps):
            windows = tokens[starts[step][:, None] + offsets]
            logits = network(windows[:, :-1])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return n_steps * BATCH * CONTEXT / (time.perf_counter() - begun)

    return run


def job_list_rate(model: ModelConfig, n_steps: int) -> float:
    """Wall tokens per second of one job for each core, evaluation and data included."""
    jobs = [
        Job(
            id=str(seed), model=model, seed=seed, tokens=TOKENS, held_out={},
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.1),
            train=TrainConfig(n_epochs=n_steps // 32, batch_size=BATCH),
        )
        for seed in range(jax.local_device_count())
    ]  # fmt: skip
    begun = time.perf_counter()
    train_jobs(jobs, lambda event: None)
    seconds = time.perf_counter() - begun
    return sum(job.n_steps * job.tokens_per_step for job in jobs) / seconds


jitted_step = jax.jit(train_step, static_argnums=0, donate_argnums=1)


def one_at_a_time_rate(model: ModelConfig, n_steps: int) -> float:
    """The usual JAX loop: one model, a compiled step called from Python."""
    hyper = Hyperparameters.of(OptimizerConfig(learning_rate=1e-3, weight_decay=0.1), n_steps)
    starts = np.random.default_rng(1).integers(D - CONTEXT, size=(n_steps, BATCH, 1))
    program = Program(model=model)
    state = init_state(program, 0)
    begun = time.perf_counter()
    for step in range(n_steps):
        windows = TOKENS[starts[step] + np.arange(CONTEXT + 1)].astype(np.int32)
        state, loss = jitted_step(program, state, windows, hyper)
    loss.block_until_ready()
    return n_steps * BATCH * CONTEXT / (time.perf_counter() - begun)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("width", "over_torch", "over_one_at_a_time"), [(64, 1.5, 2.0), (128, 1.2, None)]
)
def test_job_list_throughput(benchmark, capsys, width, over_torch, over_one_at_a_time):
    """Goals of the project: 1.5x / 1.2x the best PyTorch loop, 2x one model at a time at d64."""
    model = ModelConfig.from_width(width, vocab_size=VOCABULARY, context=CONTEXT)
    n_steps = 256 if width == 64 else 128
    job_steps = 4 * n_steps  # the length of a usual run, 32 or 16 epochs
    peers = {f"torch {n} threads": torch_trainer(model, n) for n in sorted({1, available_cores()})}
    rates: dict[str, list[float]] = {}
    measured = {
        "job list": lambda: job_list_rate(model, job_steps),
        "one at a time": lambda: one_at_a_time_rate(model, n_steps),
        **{name: (lambda run=run: run(n_steps)) for name, run in peers.items()},
    }
    for name, measure in measured.items():
        measure()  # compiles and warms up
        rates[name] = []
    for _ in range(ROUNDS):
        for name, measure in measured.items():
            rates[name].append(measure())
    best = {name: max(values) for name, values in rates.items()}
    benchmark.extra_info.update(best)
    benchmark.pedantic(measured["job list"], rounds=1)
    of_torch = best["job list"] / max(v for name, v in best.items() if "torch" in name)
    of_loop = best["job list"] / best["one at a time"]
    with capsys.disabled():
        shown = ", ".join(f"{name} {rate / 1000:.0f}k" for name, rate in best.items())
        print(f"\nd{width}, wall tokens/s on {os.cpu_count()} cores: {shown}")
        print(f"  over the best PyTorch loop: {of_torch:.2f}x (goal {over_torch}x)")
        goal = f"(goal {over_one_at_a_time}x)" if over_one_at_a_time else "(no goal)"
        print(f"  over one model at a time:   {of_loop:.2f}x {goal}")
    assert of_torch >= over_torch
    if over_one_at_a_time:
        assert of_loop >= over_one_at_a_time
