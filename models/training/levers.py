"""What levers do to a training step: to its windows, inputs, loss, gradient and decay.

A lever is a number among the settings that is off by default, see `models.config.lever`. Those in
use are in `Hyperparameters.levers`; of the others, the compiled step has no operation.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from models.config import ModelConfig
from models.network.transformer import Dropout
from models.training.masks import masks_of
from models.training.optimizers import Hyperparameters, Params, Scalar

REVERSED, NOISE, DRAWN, DEPTH = range(4)
"""Numbers folded into the key of a step, one for each random choice."""


class Batch(NamedTuple):
    """What a step reads.

    `windows` [sequences, context + 1] hold the targets and, shifted by one, the inputs, unless
    other `inputs` [sequences, context] are read; the embeddings of `masked` positions
    [sequences, context] are zero. Masked diffusion reads whole windows and predicts the tokens at
    `masked` positions [sequences, context + 1].
    """

    windows: jax.Array
    inputs: jax.Array | None = None
    masked: jax.Array | None = None


def batch_of(
    windows: jax.Array,
    key: jax.Array,
    hyper: Hyperparameters,
    model: ModelConfig,
    step: jax.Array | int = 0,
) -> Batch:
    """Return what a step reads: windows reversed, and input tokens replaced or masked.

    Tokens that end a document are neither replaced nor masked nor drawn, so that documents remain
    what they are.

    Args:
        windows: token ids [sequences, context + 1] of the text.
        key: random key of the step.
        hyper: hyperparameters of the job.
        model: its vocabulary and its end of text.
        step: number of the step, counted from 0, for noise that changes along the run.
    """
    levers = hyper.levers
    if model.is_diffusion:
        return Batch(windows, windows, masks_of(_key(key, NOISE), *windows.shape))
    if "reversed_share" in levers:
        shape = (len(windows), 1)
        turned = jax.random.bernoulli(_key(key, REVERSED), levers["reversed_share"], shape)
        windows = jnp.where(turned, windows[:, ::-1], windows)
    if not levers.keys() & {"replaced_share", "masked_share"}:
        return Batch(windows)
    ids = jnp.where(windows < 0, ~windows, windows)[:, :-1]
    chance = jax.random.uniform(_key(key, NOISE), ids.shape)
    chance = jnp.where(ids == model.end_of_text_id, 1.0, chance)
    replaced_share = levers.get("replaced_share", jnp.float32(0))
    replaced_share = along(replaced_share, step, hyper, "final_noise")
    inputs, masked = ids, None
    if "replaced_share" in levers:
        others = jax.random.randint(_key(key, DRAWN), ids.shape, 0, model.vocab_size - 1)
        others += others >= model.end_of_text_id
        inputs = jnp.where(chance < replaced_share, others, ids)
    if "masked_share" in levers:
        masked_share = along(levers["masked_share"], step, hyper, "final_noise")
        masked = (chance >= replaced_share) & (chance < replaced_share + masked_share)
    return Batch(windows, inputs, masked)


def skipped_blocks(key: jax.Array, part: jax.Array | int, hyper: Hyperparameters) -> Dropout | None:
    """Return what skips blocks (stochastic depth, Huang et al. 2016), None if nothing does.

    Args:
        key: random key of the step.
        part: index of the microbatch.
        hyper: hyperparameters of the job.
    """
    if "stochastic_depth" not in hyper.levers:
        return None
    key = jax.random.fold_in(_key(key, DEPTH), part)
    return Dropout(key, hyper.levers["stochastic_depth"])  # type: ignore[arg-type]


def clipped(gradient: Params, hyper: Hyperparameters) -> Params:
    """Return a gradient, scaled down to the norm `clip_norm` over all weights if it is longer."""
    if "clip_norm" not in hyper.levers:
        return gradient
    clip = optax.clip_by_global_norm(hyper.levers["clip_norm"])  # type: ignore[arg-type]
    return clip.update(gradient, optax.EmptyState())[0]


def weight_decay_at(step: jax.Array, hyper: Hyperparameters) -> Scalar:
    """Return the weight decay of a step (counted from 0), a scalar.

    It changes linearly to `final_decay` times its first value at the last step.
    """
    return along(hyper.weight_decay, step, hyper, "final_decay")


def along(value: Scalar, step: jax.Array | int, hyper: Hyperparameters, name: str) -> Scalar:
    """Return a scalar that changes linearly along the run, by a lever's factor at the last step.

    Args:
        value: the scalar at the first step.
        step: number of the step, counted from 0.
        hyper: hyperparameters of the job.
        name: the lever; the value stays as it is if it is not in use.
    """
    if name not in hyper.levers:
        return value
    done = step / jnp.maximum(hyper.n_steps - 1, 1)
    return value * (1 + done * (hyper.levers[name] - 1))


def _key(key: jax.Array, choice: int) -> jax.Array:
    # Far from the indices that other choices of a step fold into its key.
    return jax.random.fold_in(key, 2**31 + choice)
