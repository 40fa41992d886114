"""The training program: one compiled loop per architecture that trains any cell of a grid.

Learning rate, decay, number of steps and the windows to read are arguments of the program, not
constants in it, so a grid of hyperparameters and all members of an ensemble share one compilation.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from models.config import ModelConfig, OptimizerConfig
from models.transformer import Transformer

Params = Any
"""An nnx.State of Param: a pytree of float32 arrays."""

Scalar = jax.Array | np.float32
"""A number that a program takes as an argument."""

SEGMENT_STEPS = 128
"""Most steps in one call of the program: how often progress is seen and Ctrl-C is heard."""


class TrainState(NamedTuple):
    """All that training needs to go on exactly where it stopped."""

    params: Params
    moments: optax.OptState
    step: jax.Array


class Hyperparameters(NamedTuple):
    """The numbers of one job, as arrays, so that changing them compiles nothing."""

    learning_rate: Scalar
    weight_decay: Scalar
    beta1: Scalar
    beta2: Scalar
    epsilon: Scalar
    warmup_steps: Scalar
    n_steps: Scalar

    @classmethod
    def of(cls, optimizer: OptimizerConfig, n_steps: int) -> Hyperparameters:
        """Translate the settings for a run of `n_steps` steps."""
        return cls(
            learning_rate=np.float32(optimizer.learning_rate),
            weight_decay=np.float32(optimizer.weight_decay),
            beta1=np.float32(optimizer.beta1),
            beta2=np.float32(optimizer.beta2),
            epsilon=np.float32(optimizer.epsilon),
            warmup_steps=np.float32(max(1.0, optimizer.warmup_fraction * n_steps)),
            n_steps=np.float32(n_steps),
        )


def learning_rate_at(step: jax.Array | int, hyper: Hyperparameters) -> jax.Array:
    """Warm up linearly, then follow half a cosine to zero after the last step."""
    warmup = (step + 1) / hyper.warmup_steps
    done = (step + 1 - hyper.warmup_steps) / jnp.maximum(hyper.n_steps - hyper.warmup_steps, 1)
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(done, 0, 1)))
    return hyper.learning_rate * jnp.where(step + 1 <= hyper.warmup_steps, warmup, cosine)


def _is_matrix(params: Params) -> Params:
    """Tell matrices from norm gains, which the stacking of blocks makes two-dimensional too."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "gain" not in {getattr(key, "key", None) for key in path}, params
    )


def _adamw(hyper: Hyperparameters, learning_rate: Scalar) -> optax.GradientTransformation:
    return optax.chain(
        optax.scale_by_adam(hyper.beta1, hyper.beta2, hyper.epsilon),  # type: ignore[arg-type]
        optax.add_decayed_weights(
            hyper.weight_decay,  # type: ignore[arg-type]
            mask=_is_matrix,
        ),
        optax.scale(-learning_rate),  # type: ignore[arg-type]
    )


@cache
def graph_of(model: ModelConfig) -> nnx.GraphDef:
    """Return the static half of a model: its structure without its weights."""
    abstract = nnx.eval_shape(lambda: Transformer(model, nnx.Rngs(0)))
    return nnx.split(abstract, nnx.Param)[0]


def init_params(model: ModelConfig, seed: int) -> Params:
    """Draw the weights of a run from its seed."""
    return _init_params(model, jax.random.key(seed))


@jax.jit(static_argnums=0)
def _init_params(model: ModelConfig, key: jax.Array) -> Params:
    return nnx.split(Transformer(model, nnx.Rngs(params=key)), nnx.Param)[1]


def init_state(model: ModelConfig, seed: int) -> TrainState:
    """Start a run: drawn weights, zero moments, step zero."""
    params = init_params(model, seed)
    hyper = Hyperparameters(*(np.float32(0),) * len(Hyperparameters._fields))
    moments = _adamw(hyper, np.float32(0)).init(params)  # type: ignore[arg-type]
    return TrainState(params, moments, np.int32(0))  # type: ignore[arg-type]


def token_log_probs(model: ModelConfig, params: Params, ids_BT: jax.Array) -> jax.Array:
    """Return log p(next token) [sequences, positions, vocab_size], in nats."""
    return jax.nn.log_softmax(nnx.merge(graph_of(model), params)(ids_BT))


def mean_loss(model: ModelConfig, params: Params, windows: jax.Array) -> jax.Array:
    """Average the cross-entropy, in nats per token, over windows [sequences, context + 1]."""
    inputs, targets = windows[:, :-1], windows[:, 1:]
    log_probs = token_log_probs(model, params, inputs)
    # A one-hot product instead of a gather: its gradient is a product too, not a slow scatter.
    gold = jnp.sum(log_probs * jax.nn.one_hot(targets, model.vocab_size), axis=-1)
    return -jnp.mean(gold)


def train_step(
    model: ModelConfig, state: TrainState, windows: jax.Array, hyper: Hyperparameters
) -> tuple[TrainState, jax.Array]:
    """Take one AdamW step on windows [batch, context + 1]; return the new state and the loss."""
    loss, grads = jax.value_and_grad(lambda p: mean_loss(model, p, windows))(state.params)
    optimizer = _adamw(hyper, learning_rate_at(state.step, hyper))
    updates, moments = optimizer.update(grads, state.moments, state.params)
    return TrainState(optax.apply_updates(state.params, updates), moments, state.step + 1), loss


@jax.jit(static_argnums=0, donate_argnums=1)
def train_segment(
    model: ModelConfig,
    state: TrainState,
    ring: jax.Array,
    starts: jax.Array,
    n_steps: jax.Array,
    hyper: Hyperparameters,
) -> tuple[TrainState, jax.Array]:
    """Run the first `n_steps` rows of `starts`.

    Args:
        model: architecture; the only thing that compiles anew.
        state: where training stands; its buffers are reused.
        ring: unique tokens with their wrapped beginning, as `batches.as_ring` makes them.
        starts: int32 [SEGMENT_STEPS, batch] first tokens of each step's windows.
        n_steps: rows to use, at most SEGMENT_STEPS.
        hyper: the job's numbers.

    Returns:
        The new state, and each step's loss [SEGMENT_STEPS] (zeros past `n_steps`).
    """
    offsets = jnp.arange(model.context + 1)

    def body(i: jax.Array, carry: tuple[TrainState, jax.Array]) -> tuple[TrainState, jax.Array]:
        state, losses = carry
        windows = ring[starts[i][:, None] + offsets].astype(jnp.int32)
        state, loss = train_step(model, state, windows, hyper)
        return state, losses.at[i].set(loss)

    return jax.lax.fori_loop(0, n_steps, body, (state, jnp.zeros(starts.shape[0])))
