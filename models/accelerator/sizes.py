"""Sizes of the models that are checked and measured, for an accelerator and for a quick trial."""

from __future__ import annotations

from dataclasses import dataclass

from models.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model to time.

    Attributes:
        model: architecture.
        batch_size: windows in a step; halved where memory does not suffice.
        n_steps: steps timed.
    """

    model: ModelConfig
    batch_size: int
    n_steps: int


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """All sizes of one examination.

    Attributes:
        name: name of this constant.
        checked: the model whose losses are compared.
        batch_size: windows in a step of it.
        n_steps: steps of it.
        n_members: models trained together where members are checked.
        attention: sequences, positions, query heads, key heads and channels of the kernels.
        matmul_side: side of the square matrices that give the rate of matrix products.
        copied_bytes: size of the array whose copying gives the bandwidth.
        n_repeats: products and copies in one timed call.
        speeds: models to time, by name.
        compared: the one of them that is also sampled from and timed in PyTorch.
        member: the model of which many are trained together.
        n_together: their number.
        n_samples: texts sampled together.
        n_sampled_tokens: tokens of each.
        hungry: for the check of memory, a model with small weights and large activations.
    """

    name: str
    checked: ModelConfig
    batch_size: int
    n_steps: int
    n_members: int
    attention: tuple[int, int, int, int, int]
    matmul_side: int
    copied_bytes: int
    n_repeats: int
    speeds: dict[str, Workload]
    compared: str
    member: Workload
    n_together: int
    n_samples: int
    n_sampled_tokens: int
    hungry: ModelConfig


def _model(width: int, n_layers: int, *, vocab_size: int, context: int) -> ModelConfig:
    return ModelConfig.from_width(width, vocab_size=vocab_size, context=context, n_layers=n_layers)


FULL = Sizes(
    name="FULL",
    checked=_model(128, 4, vocab_size=512, context=128),
    batch_size=16,
    n_steps=100,
    n_members=4,
    attention=(4, 512, 8, 4, 64),
    matmul_side=8192,
    copied_bytes=2**31,
    n_repeats=20,
    speeds={
        "10M": Workload(
            model=_model(256, 7, vocab_size=8_192, context=512), batch_size=64, n_steps=40
        ),
        "150M": Workload(
            model=_model(768, 14, vocab_size=32_768, context=1_024), batch_size=32, n_steps=20
        ),
        "600M": Workload(
            model=_model(1_536, 18, vocab_size=32_768, context=1_024), batch_size=16, n_steps=10
        ),
    },
    compared="150M",
    member=Workload(model=_model(256, 7, vocab_size=8_192, context=512), batch_size=8, n_steps=40),
    n_together=16,
    n_samples=256,
    n_sampled_tokens=256,
    hungry=_model(64, 8, vocab_size=512, context=512),
)
"""For an accelerator; meant to take at most 8 minutes on one H100, which is not measured yet."""

_TINY = _model(32, 1, vocab_size=64, context=16)

SMOKE = Sizes(
    name="SMOKE",
    checked=_TINY,
    batch_size=8,
    n_steps=20,
    n_members=2,
    attention=(2, 16, 4, 2, 8),
    matmul_side=64,
    copied_bytes=2**16,
    n_repeats=2,
    speeds={"tiny": Workload(model=_TINY, batch_size=8, n_steps=2)},
    compared="tiny",
    member=Workload(model=_TINY, batch_size=8, n_steps=2),
    n_together=2,
    n_samples=2,
    n_sampled_tokens=8,
    hungry=_TINY,
)
"""For a trial of the checks on any device; its speeds say nothing."""
