"""What a model is and how it is trained: frozen settings, and one size dial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DataOrder = Literal["reshuffled", "fixed"]


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ValueError(f"{name} must be {allowed}; not {value!r}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of a Llama-style decoder: RMSNorm, rotary attention, SwiGLU, no biases.

    Raises:
        ValueError: a size below 1, an odd head width, or a width that the heads do not divide.
    """

    vocab_size: int
    width: int
    n_layers: int
    n_heads: int
    mlp_width: int
    context: int
    tied_embeddings: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "width", "n_layers", "n_heads", "mlp_width", "context"):
            value = getattr(self, name)
            _require(isinstance(value, int) and value >= 1, name, value, "a whole number >= 1")
        _require(self.width % self.n_heads == 0, "n_heads", self.n_heads, "a divisor of width")
        _require(self.head_width % 2 == 0, "width / n_heads", self.head_width, "even (rotary)")

    @classmethod
    def from_width(
        cls, width: int, *, vocab_size: int, context: int, n_layers: int = 2
    ) -> ModelConfig:
        """Derive the whole shape from one size dial.

        Heads are 64 wide (one head below that), the SwiGLU hidden layer is 8/3 of the width rounded
        to a multiple of 16, so that its three matrices hold as many weights as the usual two of
        4x the width.
        """
        _require(width >= 2 and width % 2 == 0, "width", width, "an even number >= 2")
        n_heads = max(1, width // 64)
        _require(width % n_heads == 0, "width", width, "at most 64, or a multiple of 64")
        return cls(
            vocab_size=vocab_size,
            width=width,
            n_layers=n_layers,
            n_heads=n_heads,
            mlp_width=max(16, 16 * round(8 * width / 3 / 16)),
            context=context,
        )

    @property
    def head_width(self) -> int:
        """Channels of one attention head."""
        return self.width // self.n_heads

    @property
    def n_params_non_embedding(self) -> int:
        """Weights of the blocks and norms; the N of every law fitted here."""
        block = 4 * self.width**2 + 3 * self.width * self.mlp_width + 2 * self.width
        return self.n_layers * block + self.width

    @property
    def n_params(self) -> int:
        """All weights, embedding and output head included."""
        tables = 1 if self.tied_embeddings else 2
        return self.n_params_non_embedding + tables * self.vocab_size * self.width

    @property
    def train_flops_per_token(self) -> float:
        """Forward and backward floating-point operations for one token.

        6 per weight that takes part in a matrix product (Kaplan et al. 2020), the output head
        included, plus 12 * n_layers * width * context for the attention scores.
        """
        matrices = self.n_params_non_embedding + self.vocab_size * self.width
        return 6.0 * matrices + 12.0 * self.n_layers * self.width * self.context


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with decoupled decay: each step takes `lr * weight_decay` off every matrix.

    Embeddings decay too, norm gains do not. The learning rate warms up linearly, then follows a
    cosine to zero at the last step.

    Raises:
        ValueError: a rate, decay or coefficient outside its range.
    """

    learning_rate: float
    weight_decay: float
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    warmup_fraction: float = 0.05

    def __post_init__(self) -> None:
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "> 0")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, ">= 0")
        _require(self.epsilon > 0, "epsilon", self.epsilon, "> 0")
        for name in ("beta1", "beta2", "warmup_fraction"):
            value = getattr(self, name)
            _require(0 <= value < 1, name, value, "in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the unique tokens are read: how often, in which batches, in which order.

    Attributes:
        n_epochs: passes over the unique tokens.
        batch_size: sequences in a step.
        data_order: `reshuffled` draws a new order of the windows every epoch; `fixed` repeats the
            first one, as in Kim et al. 2025 (arXiv 2509.14786).
        window_jitter: cut the token stream into windows at a new phase every epoch, so that a
            repeated text is never cut twice in the same places.
    """

    n_epochs: int
    batch_size: int = 8
    data_order: DataOrder = "reshuffled"
    window_jitter: bool = True

    def __post_init__(self) -> None:
        for name in ("n_epochs", "batch_size"):
            value = getattr(self, name)
            _require(isinstance(value, int) and value >= 1, name, value, "a whole number >= 1")
        orders = ("reshuffled", "fixed")
        _require(self.data_order in orders, "data_order", self.data_order, f"one of {orders}")
