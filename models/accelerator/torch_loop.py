"""The same network and optimiser in PyTorch, as a peer of the speed of training."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from models.config import ModelConfig


class TorchBlock(torch.nn.Module):
    """Attention and SwiGLU, each behind a norm and a residual connection."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.mlp_width
        self.config = config
        self.norm1, self.norm2 = torch.nn.RMSNorm(width), torch.nn.RMSNorm(width)
        self.qkv = torch.nn.Linear(width, 3 * width, bias=False)
        self.out = torch.nn.Linear(width, width, bias=False)
        self.gate_up = torch.nn.Linear(width, 2 * hidden, bias=False)
        self.down = torch.nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Return the residual stream [batch, positions, width] after the block.

        Args:
            x: residual stream.
            cos: cosines of the rotary angles [positions, head width / 2].
            sin: their sines.
        """
        b, t, d = x.shape
        heads = self.config.n_heads
        qkv = self.qkv(self.norm1(x)).view(b, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)

        def rotate(y: torch.Tensor) -> torch.Tensor:
            first, second = y.chunk(2, -1)
            rotated = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
            return rotated.to(y.dtype)

        y = torch.nn.functional.scaled_dot_product_attention(
            rotate(qkv[0]), rotate(qkv[1]), qkv[2], is_causal=True
        )
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(torch.nn.functional.silu(gate) * up)


class TorchModel(torch.nn.Module):
    """The network of `models.network.transformer`, for models with a head for each key."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(config.vocab_size, config.width)
        self.blocks = torch.nn.ModuleList(TorchBlock(config) for _ in range(config.n_layers))
        self.norm = torch.nn.RMSNorm(config.width)
        self.head = torch.nn.Linear(config.width, config.vocab_size, bias=False)
        half = config.head_width // 2
        angle = torch.arange(config.context)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits [batch, positions, vocab_size] of the token after each position."""
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return self.head(self.norm(x))


def torch_trainer(
    model: ModelConfig,
    tokens: np.ndarray,
    *,
    batch_size: int,
    n_threads: int | None = None,
    device: str = "cpu",
    compiled: bool = False,
) -> Callable[[int], float]:
    """Return a function that takes so many steps and returns tokens per second.

    Matrix products are in bfloat16 on a GPU, as in our own measurement, and in float32 on a CPU.

    Args:
        model: architecture.
        tokens: text [n_tokens] whose windows are drawn.
        batch_size: windows in a step.
        n_threads: threads of a CPU (default: PyTorch's own choice).
        device: `cpu` or `cuda`.
        compiled: use torch.compile.
    """
    network = TorchModel(model).to(device)
    assert sum(p.numel() for p in network.parameters()) == model.n_params
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    predict = torch.compile(network) if compiled else network
    text = torch.from_numpy(np.asarray(tokens, np.int64)).to(device)
    offsets = torch.arange(model.context + 1, device=device)
    half = torch.autocast(device, torch.bfloat16, enabled=device != "cpu")

    def run(n_steps: int) -> float:
        if n_threads:
            torch.set_num_threads(n_threads)
        last = len(text) - model.context
        starts = torch.randint(last, (n_steps, batch_size), device=device)
        begun = time.perf_counter()
        for step in range(n_steps):
            windows = text[starts[step][:, None] + offsets]
            with half:
                logits = predict(windows[:, :-1])
                loss = torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1).float(), windows[:, 1:].flatten()
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device
        return n_steps * batch_size * model.context / (time.perf_counter() - begun)

    return run
