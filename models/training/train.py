"""The training program: one compiled loop per architecture, shared by all jobs of a sweep.

Learning rate, decay, number of steps and the windows to read are arguments of the program, not
constants in it, so a grid of hyperparameters and all members of an ensemble share one compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from models.config import (
    Decayed,
    ModelConfig,
    OptimizerConfig,
    OptimizerName,
    Precision,
    TrainConfig,
    check_together,
    levers_in_use,
)
from models.network.transformer import Dropout, Transformer, check_next_token
from models.training.cross_entropy import cross_entropy_in_blocks
from models.training.levers import Batch, batch_of, clipped, skipped_blocks, weight_decay_at
from models.training.logits import in_blocks
from models.training.optimizers import (
    Hyperparameters,
    Params,
    Scalar,
    average_weight_at,
    learning_rate_at,
    optimizer_of,
)
from models.training.sharding import gathered, over_data

__all__ = [
    "SEGMENT_STEPS",
    "Execution",
    "Hyperparameters",
    "Params",
    "Program",
    "Scalar",
    "TrainState",
    "apply_gradient",
    "graph_of",
    "init_params",
    "init_state",
    "learning_rate_at",
    "mean_loss",
    "token_log_probs",
    "train_segment",
    "train_step",
]

SEGMENT_STEPS = 128
"""Most steps in one call of the program, after which progress and interrupts are handled."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a step is computed; the result is the same up to rounding.

    Attributes:
        n_microbatches: parts of a batch whose gradients are computed sequentially and added.
        remat: recompute activations in the backward pass instead of keeping them.
    """

    n_microbatches: int = 1
    remat: bool = False

    def __post_init__(self) -> None:
        if self.n_microbatches < 1:
            raise ValueError(f"n_microbatches must be >= 1; not {self.n_microbatches}")


@dataclass(frozen=True, kw_only=True)
class Program:
    """All constants of the compiled code; jobs with equal programs share one compilation.

    `mesh` are the devices over which the batch and states of a member are cut; None if they are
    not.
    """

    model: ModelConfig
    optimizer: OptimizerName = "adamw"
    decayed: Decayed = "matrices"
    has_dropout: bool = False
    precision: Precision = "float32"
    keeps_average: bool = False
    has_unscored: bool = False
    levers: frozenset[str] = frozenset()
    execution: Execution = Execution()
    mesh: jax.sharding.Mesh | None = None

    @classmethod
    def of(
        cls,
        model: ModelConfig,
        optimizer: OptimizerConfig,
        train: TrainConfig,
        execution: Execution | None = None,
        *,
        has_unscored: bool = False,
    ) -> Program:
        """Return the program of a run.

        Args:
            model: architecture.
            optimizer: optimiser settings.
            train: training settings.
            execution: microbatches and rematerialisation.
            has_unscored: whether windows hold `batches.unscored` tokens.

        Raises:
            ValueError: the microbatches do not divide the batch, or the settings make no sense
                together.
        """
        check_together(model, train)
        if model.is_diffusion and has_unscored:
            raise ValueError(
                "masked diffusion needs every token to be scored; the text holds others"
            )
        execution = execution or Execution()
        if train.batch_size % execution.n_microbatches:
            raise ValueError(
                f"n_microbatches must divide the batch of {train.batch_size} sequences; "
                f"not {execution.n_microbatches}"
            )
        return cls(
            model=model,
            optimizer=optimizer.name,
            decayed=optimizer.decayed,
            has_dropout=train.dropout > 0,
            precision=train.precision,
            keeps_average=train.weight_average != "none",
            has_unscored=has_unscored,
            levers=frozenset(levers_in_use(optimizer, train)),
            execution=execution,
        )


class TrainState(NamedTuple):
    """Everything needed to resume training exactly; `average` is None if none is kept."""

    params: Params
    moments: optax.OptState
    average: Params | None
    step: jax.Array

    @property
    def result(self) -> Params:
        """Weights to score and to keep."""
        return self.params if self.average is None else self.average


@cache
def graph_of(model: ModelConfig) -> nnx.GraphDef:
    """Return the static part of a model: its structure without weights."""
    abstract = nnx.eval_shape(lambda: Transformer(model, nnx.Rngs(0)))
    return nnx.split(abstract, nnx.Param)[0]


def init_params(model: ModelConfig, seed: int) -> Params:
    """Return the initial weights drawn from a seed."""
    return _init_params(model, jax.random.key(seed))


@jax.jit(static_argnums=0)
def _init_params(model: ModelConfig, key: jax.Array) -> Params:
    return nnx.split(Transformer(model, nnx.Rngs(params=key)), nnx.Param)[1]


def init_state(program: Program, seed: int, params: Params | None = None) -> TrainState:
    """Return the state of a run before its first step.

    Args:
        program: program of the run.
        seed: random seed of the weights.
        params: initial weights, instead of those drawn from the seed.
    """
    params = init_params(program.model, seed) if params is None else params
    hyper = Hyperparameters(*(np.float32(0),) * len(Hyperparameters._fields))  # type: ignore[arg-type]
    zero = np.float32(0)
    optimizer = optimizer_of(program.optimizer, program.decayed, program.model, hyper, zero, zero)
    average = jax.tree.map(jnp.copy, params) if program.keeps_average else None
    return TrainState(params, optimizer.init(params), average, jnp.int32(0))


def token_log_probs(model: ModelConfig, params: Params, ids_BT: jax.Array) -> jax.Array:
    """Return log p(next token), in nats.

    Args:
        model: architecture.
        params: its weights.
        ids_BT: token ids [sequences, positions].

    Returns:
        [sequences, positions, vocab_size].

    Raises:
        ValueError: the model predicts masked tokens, not the next.
    """
    check_next_token(model)
    return jax.nn.log_softmax(nnx.merge(graph_of(model), params)(ids_BT))


def mean_loss(
    model: ModelConfig,
    params: Params,
    windows: jax.Array,
    *,
    precision: Precision = "float32",
    drop: Dropout | None = None,
    remat: bool = False,
    n_scored: jax.Array | None = None,
) -> jax.Array:
    """Return the mean cross-entropy of windows, a scalar in nats per token.

    Under `bfloat16` the operands of matrix products have that type; norms, softmax and loss are
    float32.

    Args:
        model: architecture.
        params: its weights.
        windows: token ids [sequences, context + 1].
        precision: number format of the matrix products.
        drop: dropout to apply.
        remat: recompute activations in the backward pass.
        n_scored: for windows with `batches.unscored` tokens, the number that the sum over the other
            targets is divided by.

    Raises:
        ValueError: the model predicts masked tokens, not the next.
    """
    check_next_token(model)
    loss, _ = _objective(  # the second has no gradient where logits are in blocks
        model, params, Batch(windows), precision=precision, drop=drop, remat=remat,
        n_scored=n_scored,
    )  # fmt: skip
    return loss


def _objective(
    model: ModelConfig,
    params: Params,
    batch: Batch,
    *,
    precision: Precision,
    drop: Dropout | None,
    skip: Dropout | None = None,
    remat: bool,
    n_scored: jax.Array | None,
    z_loss: Scalar | None = None,
    future_loss: Scalar | None = None,
    gather: Callable[[Params], Params] | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Return what a step minimises and the mean cross-entropy, scalars, equal without levers."""
    windows = batch.windows
    ids = windows if n_scored is None else jnp.where(windows < 0, ~windows, windows)
    inputs, targets = ids[:, :-1], ids[:, 1:]
    if batch.inputs is not None:
        inputs = batch.inputs
    params = jax.tree.map(lambda leaf: leaf.astype(precision), params)
    if gather is not None:  # the blocks gather theirs one after another
        blocks = params["blocks"]
        params = gather(params)
        params["blocks"] = blocks
    network = nnx.merge(graph_of(model), params)
    options: dict[str, Any] = {
        "drop": drop, "skip": skip, "remat": remat, "masked_BT": batch.masked, "gather": gather,
    }  # fmt: skip
    if in_blocks(model, targets.size):
        weights = jnp.full(targets.shape, 1 / targets.size)
        if n_scored is not None:
            weights = jnp.where(windows[:, 1:] < 0, 0, 1 / n_scored)
        return cross_entropy_in_blocks(
            network.hidden_states(inputs, **options), network.output_matrix, targets, weights,
            0.0 if z_loss is None else z_loss,
        )  # fmt: skip
    later: list[jax.Array] = []
    if future_loss is None:
        logits = network(inputs, **options)
    else:
        logits, later = network.with_future(inputs, **options)
    if model.is_diffusion:
        assert batch.masked is not None
        # The mean over a window's masked tokens, see `models.training.diffusion`.
        hidden = batch.masked[:, 1:]
        weights = hidden * (hidden.shape[1] / jnp.sum(hidden, axis=1, keepdims=True))
        logits = logits[:, 1:]

    def mean(x_BT: jax.Array, ahead: int = 0) -> jax.Array:
        if model.is_diffusion:
            return jnp.mean(weights * x_BT)
        if n_scored is None:
            return jnp.mean(x_BT)
        found = jnp.sum(jnp.where(windows[:, 1 + ahead :] < 0, 0, x_BT)) / n_scored
        # The last positions of a window have no token so far ahead.
        return found * (targets.shape[1] / (targets.shape[1] - ahead)) if ahead else found

    normaliser_BT, cross_entropy_BT = _cross_entropy(logits, targets)
    loss = mean(cross_entropy_BT)
    total = loss
    if z_loss is not None:
        total = total + z_loss * mean(jnp.square(normaliser_BT))
    if future_loss is not None:
        further = [
            mean(_cross_entropy(one[:, :-ahead], targets[:, ahead:])[1], ahead)
            for ahead, one in enumerate(later, start=1)
        ]
        total = total + future_loss * sum(further) / len(further)
    return total, loss


def _cross_entropy(logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the log-normaliser and the cross-entropy of each target [sequences, positions]."""
    # A one-hot product instead of a gather: its gradient is a product too, not a slow scatter.
    gold = jnp.sum(logits * jax.nn.one_hot(targets, logits.shape[-1]), axis=-1)
    normaliser_BT = jax.nn.logsumexp(logits, axis=-1)
    return normaliser_BT, normaliser_BT - gold


def _loss_and_gradient(
    program: Program, state: TrainState, windows: jax.Array, hyper: Hyperparameters
) -> tuple[jax.Array, Params]:
    """Return the loss and gradient of one step, averaged over its microbatches."""
    n_parts = program.execution.n_microbatches
    if program.mesh is not None:
        windows = over_data(program.mesh, windows)
    key = jax.random.fold_in(jax.random.key(hyper.seed), state.step)
    # Drawn for the whole batch, so that its parts do not matter.
    batch = batch_of(windows, key, hyper, program.model, state.step)
    n_scored = None
    if program.has_unscored:
        # Counted over the whole batch, so that the mean over its parts is the mean over its tokens.
        n_scored = jnp.maximum(jnp.sum(batch.windows[:, 1:] >= 0), 1) / n_parts

    def part(index: jax.Array | int, batch: Batch) -> tuple[jax.Array, Params]:
        drop = None
        if program.has_dropout:
            drop = Dropout(jax.random.fold_in(key, index), hyper.dropout)  # type: ignore[arg-type]
        (_, loss), gradient = jax.value_and_grad(
            lambda params: _objective(
                program.model,
                params,
                batch,
                precision=program.precision,
                drop=drop,
                skip=skipped_blocks(key, index, hyper),
                remat=program.execution.remat,
                n_scored=n_scored,
                z_loss=hyper.levers.get("z_loss"),
                future_loss=hyper.levers.get("future_loss"),
                gather=None if program.mesh is None else partial(gathered, program.mesh),
            ),
            has_aux=True,
        )(state.params)
        return loss, gradient

    if n_parts == 1:
        return part(0, batch)
    parts = jax.tree.map(lambda x: x.reshape(n_parts, -1, x.shape[-1]), batch)
    zero = (jnp.float32(0), jax.tree.map(jnp.zeros_like, state.params))
    total, _ = jax.lax.scan(
        lambda total, each: (jax.tree.map(jnp.add, total, part(*each)), None),
        zero,
        (jnp.arange(n_parts), parts),
    )
    loss, gradient = jax.tree.map(lambda leaf: leaf / n_parts, total)
    return loss, gradient


def train_step(
    program: Program, state: TrainState, windows: jax.Array, hyper: Hyperparameters
) -> tuple[TrainState, jax.Array]:
    """Return the state after one step, and the loss of the step, a scalar in nats per token.

    Args:
        program: program of the run.
        state: state before the step.
        windows: token ids [batch, context + 1].
        hyper: hyperparameters of the job.
    """
    loss, gradient = _loss_and_gradient(program, state, windows, hyper)
    return apply_gradient(program, state, gradient, hyper), loss


def apply_gradient(
    program: Program, state: TrainState, gradient: Params, hyper: Hyperparameters
) -> TrainState:
    """Return the state after one update of the weights and their average.

    Args:
        program: program of the run.
        state: state before the step.
        gradient: gradient of the loss, of the structure of the weights.
        hyper: hyperparameters of the job.
    """
    learning_rate = learning_rate_at(state.step, hyper)
    decay = weight_decay_at(state.step, hyper)
    optimizer = optimizer_of(
        program.optimizer, program.decayed, program.model, hyper, learning_rate, decay
    )
    updates, moments = optimizer.update(clipped(gradient, hyper), state.moments, state.params)
    params = optax.apply_updates(state.params, updates)
    average = state.average
    if program.keeps_average:
        share = average_weight_at(state.step, hyper)
        average = jax.tree.map(lambda mean, new: mean + share * (new - mean), average, params)
    return TrainState(params, moments, average, state.step + 1)


def segment(
    program: Program,
    state: TrainState,
    ring: jax.Array,
    reads: jax.Array,
    n_steps: jax.Array,
    hyper: Hyperparameters,
) -> tuple[TrainState, jax.Array]:
    """Return the state after the first `n_steps` rows of `reads`, and their losses.

    Args:
        program: program of the run; the only argument whose change needs compilation.
        state: state before the segment.
        ring: unique tokens with their wrapped beginning, as `batches.as_ring` makes them.
        reads: int32 [SEGMENT_STEPS, batch] first positions of each step's windows, or
            [SEGMENT_STEPS, batch, context + 1] all of them.
        n_steps: rows to use, at most SEGMENT_STEPS.
        hyper: hyperparameters of the job.

    Returns:
        The new state, and each step's loss [SEGMENT_STEPS] (zeros past `n_steps`).
    """
    offsets = jnp.arange(program.model.context + 1)

    def body(i: jax.Array, carry: tuple[TrainState, jax.Array]) -> tuple[TrainState, jax.Array]:
        state, losses = carry
        positions = reads[i][:, None] + offsets if reads.ndim == 2 else reads[i]
        windows = ring[positions].astype(jnp.int32)
        state, loss = train_step(program, state, windows, hyper)
        return state, losses.at[i].set(loss)

    return jax.lax.fori_loop(0, n_steps, body, (state, jnp.zeros(reads.shape[0])))


train_segment = jax.jit(segment, static_argnums=0, donate_argnums=1)
"""`segment`, compiled; the buffers of the state are reused."""
