"""Frozen settings of models, optimisers and training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

DataOrder = Literal["reshuffled", "fixed", "documents"]
OptimizerName = Literal["adamw", "muon"]
Decayed = Literal["matrices", "hidden", "all"]
Schedule = Literal["cosine", "linear", "wsd"]
Precision = Literal["float32", "bfloat16"]
WeightAverage = Literal["none", "ema", "snapshots"]
Objective = Literal["next_token", "masked_diffusion"]


_LATER = {"since": 2}
"""Marks a setting added after schema 1; its default reproduces runs of schema 1."""
_NEWEST = {"since": 6}
"""Likewise, of a setting that schema 6 added."""


def lever(off: float, *, since: int = 5) -> Any:
    """Return the field of a lever: a number that changes a training step unless it is `off`.

    It is an argument of the compiled step, so that other values need no compilation, and only a
    step that uses it has its operations, see `models.training.levers`.

    Args:
        off: value that changes nothing.
        since: schema of runs that has it first, see `experiments.runs.spec`.
    """
    return field(default=off, metadata={"since": since, "lever": True})


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ValueError(f"{name} must be {allowed}; not {value!r}")


def _require_sizes(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        _require(isinstance(value, int) and value >= 1, name, value, "a whole number >= 1")


def _require_choice(settings: object, name: str, choices: Any) -> None:
    allowed = get_args(choices)
    _require(getattr(settings, name) in allowed, name, getattr(settings, name), f"one of {allowed}")


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """Llama 3's scaling of the rotary frequencies to contexts longer than in pre-training.

    Wavelengths below `original_context / high_frequency` are kept, those above
    `original_context / low_frequency` grow by `factor`, those between are interpolated
    (Grattafiori et al. 2024, arXiv 2407.21783).
    """

    factor: float
    low_frequency: float
    high_frequency: float
    original_context: int

    def __post_init__(self) -> None:
        _require_sizes(self, "original_context")
        _require(self.factor >= 1, "factor", self.factor, ">= 1")
        _require(
            0 < self.low_frequency < self.high_frequency,
            "low_frequency",
            self.low_frequency,
            f"between 0 and high_frequency {self.high_frequency}",
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of a Llama-style decoder: RMSNorm, rotary attention, SwiGLU, no biases.

    Attributes:
        vocab_size: number of token ids.
        width: channels of the residual stream.
        n_layers: blocks.
        n_heads: query heads.
        mlp_width: hidden channels of the SwiGLU layer.
        context: most positions the model attends to.
        tied_embeddings: the output head is the transposed embedding.
        n_kv_heads: heads of keys and values, each shared by n_heads / n_kv_heads query heads
            (Ainslie et al. 2023); by default as many as query heads.
        rope_base: base of the rotary frequencies.
        rope_scaling: scaling of these frequencies to a longer context, as in Llama 3.
        norm_epsilon: added to the mean square in every norm.
        attend_across_documents: let a position attend to earlier documents in its window; False
            confines attention to the document (packing with a mask).
        end_of_text_id: the token that ends a document.
        qk_norm: divide the queries and keys of each head by their root mean square, with learned
            gains, before they are rotated (Henry et al. 2020, arXiv 2010.04245).
        begin_of_text_id: the token that texts begin with if it is another one than the end of text,
            as in checkpoints of others.
        n_loops: times that the blocks are passed through, one after another, with the same weights
            (Dehghani et al. 2019, arXiv 1807.03819).
        future_tokens: further tokens that training predicts at each position beside the next, each
            from a matrix of its own before the shared norm and head (after Gloeckle et al. 2024,
            arXiv 2404.19737); scoring and sampling do not use these matrices.
        objective: `next_token`; or `masked_diffusion`: attention in both directions, and the
            prediction of tokens whose embedding is replaced by a learned one, see
            `models.training.diffusion`.

    Raises:
        ValueError: a size below 1, an odd head width, a width that the heads do not divide, or
            masked diffusion with settings that it gives no meaning.
    """

    vocab_size: int
    width: int
    n_layers: int
    n_heads: int
    mlp_width: int
    context: int
    tied_embeddings: bool = False
    n_kv_heads: int | None = field(default=None, metadata=_LATER)
    rope_base: float = field(default=10_000.0, metadata=_LATER)
    rope_scaling: RopeScaling | None = field(default=None, metadata=_LATER)
    norm_epsilon: float = field(default=1e-6, metadata=_LATER)
    attend_across_documents: bool = field(default=True, metadata=_LATER)
    end_of_text_id: int = field(default=0, metadata=_LATER)
    qk_norm: bool = field(default=False, metadata={"since": 5})
    begin_of_text_id: int | None = field(default=None, metadata=_NEWEST)
    n_loops: int = field(default=1, metadata=_NEWEST)
    future_tokens: int = field(default=0, metadata=_NEWEST)
    objective: Objective = field(default="next_token", metadata=_NEWEST)

    def __post_init__(self) -> None:
        _require_sizes(
            self,
            *("vocab_size", "width", "n_layers", "n_heads", "mlp_width", "context", "kv_heads"),
            "n_loops",
        )
        _require_choice(self, "objective", Objective)
        _require(
            isinstance(self.future_tokens, int) and 0 <= self.future_tokens < self.context,
            "future_tokens",
            self.future_tokens,
            f"a whole number in [0, {self.context}), the context",
        )
        if self.is_diffusion and self.future_tokens:
            raise ValueError(
                "future_tokens continue the prediction of the next token; masked diffusion "
                "predicts masked tokens wherever they are"
            )
        if self.is_diffusion and not self.attend_across_documents:
            raise ValueError(
                "masked diffusion needs attend_across_documents: the ends of documents are masked "
                "like other tokens, and attention within documents would show where they are"
            )
        _require(self.width % self.n_heads == 0, "n_heads", self.n_heads, "a divisor of width")
        _require(self.head_width % 2 == 0, "width / n_heads", self.head_width, "even (rotary)")
        _require(
            self.n_heads % self.kv_heads == 0, "n_kv_heads", self.n_kv_heads, "a divisor of n_heads"
        )
        for name in ("rope_base", "norm_epsilon"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "> 0")
        for name, token in (("end_of_text_id", self.end_of_text_id), ("start_id", self.start_id)):
            _require(0 <= token < self.vocab_size, name, token, f"in [0, {self.vocab_size})")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Return the settings that `dataclasses.asdict` wrote; missing ones take their default.

        Raises:
            TypeError: a required setting is missing, or a setting is unknown.
            ValueError: a value is not allowed.
        """
        scaling = values.get("rope_scaling")
        return cls(**{**values, "rope_scaling": RopeScaling(**scaling) if scaling else None})

    @classmethod
    def from_width(
        cls, width: int, *, vocab_size: int, context: int, n_layers: int = 2
    ) -> ModelConfig:
        """Return a shape derived from one size.

        Heads are 64 wide (one head below that); the SwiGLU hidden layer is 8/3 of the width rounded
        to a multiple of 16, so that its three matrices have as many weights as the usual two of 4x
        the width.

        Args:
            width: channels of the residual stream, even, at most 64 or a multiple of 64.
            vocab_size: number of token ids.
            context: most positions the model attends to.
            n_layers: blocks.

        Raises:
            ValueError: a width that is not allowed.
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
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def is_diffusion(self) -> bool:
        """Whether it predicts masked tokens and not the next one."""
        return self.objective == "masked_diffusion"

    @property
    def depth(self) -> int:
        """Blocks that a token passes, those of every loop."""
        return self.n_layers * self.n_loops

    @property
    def n_params_non_embedding(self) -> int:
        """Weights of the blocks and norms, without `future_tokens`; the N of every law fitted here.

        Looped blocks count once.
        """
        attention = 2 * self.width * self.head_width * (self.n_heads + self.kv_heads)
        gains = 2 * self.width + 2 * self.head_width * self.qk_norm
        block = attention + 3 * self.width * self.mlp_width + gains
        return self.n_layers * block + self.width

    @property
    def start_id(self) -> int:
        """The token that a text follows when it is scored or written."""
        return self.end_of_text_id if self.begin_of_text_id is None else self.begin_of_text_id

    @property
    def n_params(self) -> int:
        """All weights, embedding and output head included, and what only training uses."""
        tables = 1 if self.tied_embeddings else 2
        extra = self.future_tokens * self.width**2 + self.width * self.is_diffusion
        return self.n_params_non_embedding + tables * self.vocab_size * self.width + extra

    @property
    def train_flops_per_token(self) -> float:
        """Forward and backward floating-point operations for one predicted token.

        6 per weight that takes part in a matrix product (Kaplan et al. 2020), each time that it
        does, the output head included, plus 12 * depth * width * context for the attention scores.
        Masked diffusion reads one position more than it predicts.
        """
        head = self.vocab_size * self.width
        blocks = self.n_params_non_embedding * self.n_loops
        future = self.future_tokens * (self.width**2 + head)
        flops = 6.0 * (blocks + head + future) + 12.0 * self.depth * self.width * self.context
        return flops * (1 + 1 / self.context) if self.is_diffusion else flops


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimiser: AdamW, or Muon for the matrices of the blocks and AdamW for the rest.

    Decay is decoupled (Loshchilov and Hutter 2019): each step takes `lr * weight_decay` off every
    decayed tensor, whatever its gradient. The learning rate warms up linearly and ends at zero.

    Attributes:
        learning_rate: peak of the schedule, of AdamW and Muon alike (Muon's update is scaled to
            AdamW's root mean square, Liu et al. 2025, arXiv 2502.16982).
        weight_decay: decay per step in units of the learning rate.
        beta1: decay of AdamW's first moment.
        beta2: decay of AdamW's second moment.
        epsilon: added to the root of the second moment.
        warmup_fraction: share of the steps in which the rate rises.
        warmup_steps: number of these steps; 0 takes `warmup_fraction` of all. With a number, runs
            of `wsd` that differ in their epochs are equal until the rate falls, and share these
            steps where they are trained together, see `models.training.job_list`.
        name: `adamw` or `muon`.
        decayed: which weights decay: `matrices` (including embedding and output head), `hidden`
            (matrices of the blocks only) or `all` (norm gains too).
        schedule: fall to zero after the warm-up: `cosine`, `linear`, or `wsd`: constant, then
            linear.
        cooldown_fraction: share of the steps in `wsd`'s fall to zero.
        clip_norm: largest norm of the gradient over all weights, to which longer ones are scaled
            down (Pascanu et al. 2013); 0 clips none.
        final_decay: weight decay of the last step over that of the first, between which it changes
            linearly; 1 keeps it.
        momentum: decay of Muon's momentum, which is Nesterov's (Jordan et al. 2024).

    Raises:
        ValueError: a rate, decay or coefficient outside its range.
    """

    learning_rate: float
    weight_decay: float
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    warmup_fraction: float = 0.05
    name: OptimizerName = field(default="adamw", metadata=_LATER)
    decayed: Decayed = field(default="matrices", metadata=_LATER)
    schedule: Schedule = field(default="cosine", metadata=_LATER)
    cooldown_fraction: float = field(default=0.2, metadata=_LATER)
    clip_norm: float = lever(off=0.0)
    final_decay: float = lever(off=1.0)
    warmup_steps: int = field(default=0, metadata=_NEWEST)
    momentum: float = field(default=0.95, metadata=_NEWEST)

    def __post_init__(self) -> None:
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "> 0")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, ">= 0")
        _require(self.epsilon > 0, "epsilon", self.epsilon, "> 0")
        for name in ("beta1", "beta2", "momentum", "warmup_fraction"):
            value = getattr(self, name)
            _require(0 <= value < 1, name, value, "in [0, 1)")
        is_number = isinstance(self.warmup_steps, int) and self.warmup_steps >= 0
        _require(is_number, "warmup_steps", self.warmup_steps, "a whole number >= 0")
        for name in ("clip_norm", "final_decay"):
            value = getattr(self, name)
            _require(0 <= value < math.inf, name, value, "a number >= 0")
        _require_choice(self, "name", OptimizerName)
        _require_choice(self, "decayed", Decayed)
        _require_choice(self, "schedule", Schedule)
        _require(
            0 < self.cooldown_fraction <= 1 - self.warmup_fraction,
            "cooldown_fraction",
            self.cooldown_fraction,
            "positive, and at most 1 - warmup_fraction",
        )

    def rate_steps(self, n_steps: int) -> tuple[float, float]:
        """Return the number of steps in which the rate of a run rises, and that before it falls.

        Raises:
            ValueError: `warmup_steps` go beyond the latter.
        """
        warmup = self.warmup_steps or max(1.0, self.warmup_fraction * n_steps)
        is_stable = self.schedule == "wsd"
        fall_from = n_steps * (1 - self.cooldown_fraction) if is_stable else warmup
        most = int(min(fall_from, n_steps))
        _require(
            self.warmup_steps <= most,
            "warmup_steps",
            self.warmup_steps,
            f"at most {most}, after which the learning rate of {n_steps} steps falls",
        )
        return warmup, fall_from


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Epochs, batches, order and changes of the data, regularization, precision, weight averaging.

    Attributes:
        n_epochs: passes over the unique tokens.
        batch_size: sequences in a step.
        data_order: `reshuffled` draws a new order of the windows every epoch; `fixed` repeats the
            first, as in Kim et al. 2025 (arXiv 2509.14786); `documents` draws a new order of the
            documents too, before the text is cut into windows.
        window_jitter: cut the token stream into windows at a new phase every epoch, so that a
            repeated text is never cut twice in the same places.
        dropout: share of channels set to zero after the embedding, attention and SwiGLU layers.
        precision: number format of the matrix products; weights and moments stay float32.
        weight_average: which weights are scored and kept at the end: the last ones (`none`), their
            exponential moving average (`ema`), or the mean of the weights at the ends of the last
            `n_snapshots` epochs (`snapshots`).
        ema_decay: decay per step of the moving average, which begins as a plain mean.
        n_snapshots: number of last epochs whose final weights are averaged; all if fewer.
        order_seed: random seed of the order of the data and the phases of the windows; by default
            the seed of the run, which also draws the weights.
        z_loss: factor of the mean square of the log of the softmax's normaliser, which is added to
            the loss but not reported (Chowdhery et al. 2022, arXiv 2204.02311).
        replaced_share: share of the input tokens that are replaced by others, drawn uniformly; the
            targets, and tokens that end a document, stay.
        masked_share: share of the input tokens whose embedding is zero, likewise.
        reversed_share: share of the windows that are read from right to left, in training only.
        stochastic_depth: share of the blocks that a sequence skips in training; what the others add
            is scaled up (Huang et al. 2016, arXiv 1603.09382).
        final_noise: shares of replaced and masked tokens at the last step over those at the first,
            between which they change linearly; 1 keeps them.
        future_loss: factor of the mean cross-entropy of the model's `future_tokens`, which is added
            to the loss but not reported.

    Raises:
        ValueError: a value out of its range, shares of the input that leave nothing of it, or a
            schedule of a noise that is off.
    """

    n_epochs: int
    batch_size: int = 8
    data_order: DataOrder = "reshuffled"
    window_jitter: bool = True
    dropout: float = field(default=0.0, metadata=_LATER)
    precision: Precision = field(default="float32", metadata=_LATER)
    weight_average: WeightAverage = field(default="none", metadata=_LATER)
    ema_decay: float = field(default=0.99, metadata=_LATER)
    n_snapshots: int = field(default=4, metadata=_LATER)
    order_seed: int | None = field(default=None, metadata=_LATER)
    z_loss: float = lever(off=0.0)
    replaced_share: float = lever(off=0.0)
    masked_share: float = lever(off=0.0)
    reversed_share: float = lever(off=0.0)
    stochastic_depth: float = lever(off=0.0)
    final_noise: float = lever(off=1.0, since=6)
    future_loss: float = lever(off=0.0, since=6)

    def __post_init__(self) -> None:
        _require_sizes(self, "n_epochs", "batch_size", "n_snapshots")
        seeded = self.order_seed is None or self.order_seed >= 0
        _require(seeded, "order_seed", self.order_seed, "a whole number >= 0, or None")
        _require_choice(self, "data_order", DataOrder)
        _require_choice(self, "precision", Precision)
        _require_choice(self, "weight_average", WeightAverage)
        shares = ("replaced_share", "masked_share", "reversed_share", "stochastic_depth")
        for name in ("dropout", "ema_decay", *shares):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        for name in ("z_loss", "final_noise", "future_loss"):
            value = getattr(self, name)
            _require(0 <= value < math.inf, name, value, "a number >= 0")
        changed = self.replaced_share + self.masked_share
        _require(changed < 1, "replaced_share + masked_share", changed, "below 1")
        if self.final_noise != 1 and not changed:
            raise ValueError("final_noise needs replaced_share or masked_share, which are both 0")
        most = changed * self.final_noise
        _require(most < 1, "final_noise * (replaced_share + masked_share)", most, "below 1")


def levers_in_use(optimizer: OptimizerConfig, train: TrainConfig) -> dict[str, float]:
    """Return the value of each lever that is not off, by name."""
    return {
        one.name: float(getattr(settings, one.name))
        for settings in (optimizer, train)
        for one in fields(settings)
        if one.metadata.get("lever") and getattr(settings, one.name) != one.default
    }


def check_together(model: ModelConfig, train: TrainConfig) -> None:
    """Raise ValueError for settings that are allowed by themselves but make no sense together."""
    if train.reversed_share and not model.attend_across_documents:
        raise ValueError(
            "reversed_share needs attend_across_documents: in a window read from right to left, a "
            "document would begin with the end of the text before it"
        )
    if bool(train.future_loss) != bool(model.future_tokens):
        raise ValueError(
            "future_tokens and future_loss need each other: how many further tokens a position "
            f"predicts ({model.future_tokens}), and how much they count ({train.future_loss:g})"
        )
    if model.is_diffusion and train.reversed_share:
        raise ValueError(
            "masked diffusion reads a window in both directions at once, so that reversed_share "
            "has no meaning"
        )
    if model.is_diffusion and (train.replaced_share or train.masked_share):
        raise ValueError(
            "masked diffusion masks its input at rates of its own; replaced_share and masked_share "
            "change the input of next-token prediction"
        )
