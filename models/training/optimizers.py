"""Hyperparameters of a job as arrays, its learning-rate schedule, and its optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from models.config import Decayed, OptimizerConfig, OptimizerName, TrainConfig, levers_in_use

Params = Any
"""An nnx.State of Param: a pytree of float32 arrays."""

Scalar = jax.Array | np.float32
"""A number that a program takes as an argument."""

MUON_RMS = 0.2
"""Root mean square of Muon's update, as large as AdamW's (Liu et al. 2025, arXiv 2502.16982)."""


class Hyperparameters(NamedTuple):
    """Numeric settings of one job, as arguments of the program: changing them compiles nothing.

    `levers` holds those in use, by name.
    """

    learning_rate: Scalar
    weight_decay: Scalar
    beta1: Scalar
    beta2: Scalar
    epsilon: Scalar
    warmup_steps: Scalar
    fall_from: Scalar
    falls_linearly: Scalar
    n_steps: Scalar
    dropout: Scalar
    seed: jax.Array | np.uint32
    average_decay: Scalar
    average_from: Scalar
    average_every: Scalar
    levers: Mapping[str, Scalar]

    @classmethod
    def of(
        cls,
        optimizer: OptimizerConfig,
        n_steps: int,
        *,
        train: TrainConfig | None = None,
        seed: int = 0,
    ) -> Hyperparameters:
        """Return the hyperparameters of a run.

        Args:
            optimizer: optimiser settings.
            n_steps: steps of the run.
            train: dropout, weight average and levers (default: none).
            seed: random seed of dropout and levers.

        Raises:
            ValueError: see `OptimizerConfig.rate_steps`.
        """
        train = train or TrainConfig(n_epochs=1)
        warmup_steps, fall_from = optimizer.rate_steps(n_steps)
        per_epoch = n_steps // train.n_epochs
        ema = train.weight_average == "ema"
        return cls(
            learning_rate=np.float32(optimizer.learning_rate),
            weight_decay=np.float32(optimizer.weight_decay),
            beta1=np.float32(optimizer.beta1),
            beta2=np.float32(optimizer.beta2),
            epsilon=np.float32(optimizer.epsilon),
            warmup_steps=np.float32(warmup_steps),
            fall_from=np.float32(fall_from),
            falls_linearly=np.float32(optimizer.schedule != "cosine"),
            n_steps=np.float32(n_steps),
            dropout=np.float32(train.dropout),
            seed=np.uint32(seed % 2**32),
            average_decay=np.float32(train.ema_decay if ema else 1),
            average_from=np.float32(0 if ema else n_steps - train.n_snapshots * per_epoch),
            average_every=np.float32(1 if ema else per_epoch),
            levers={
                name: np.float32(value) for name, value in levers_in_use(optimizer, train).items()
            },
        )


def learning_rate_at(step: jax.Array | int, hyper: Hyperparameters) -> jax.Array:
    """Return the learning rate of a step (counted from 0), a scalar.

    It rises linearly, stays at the peak until the decay begins, and reaches zero after the last
    step.
    """
    warmup = (step + 1) / hyper.warmup_steps
    done = (step + 1 - hyper.fall_from) / jnp.maximum(hyper.n_steps - hyper.fall_from, 1)
    done = jnp.clip(done, 0, 1)
    fall = jnp.where(hyper.falls_linearly > 0, 1 - done, 0.5 * (1 + jnp.cos(jnp.pi * done)))
    return hyper.learning_rate * jnp.where(step + 1 <= hyper.warmup_steps, warmup, fall)


def average_weight_at(step: jax.Array | int, hyper: Hyperparameters) -> jax.Array:
    """Return the weight, a scalar, with which the weights after this step enter their average.

    1 / n for the n-th averaged weights, so that the average begins as a plain mean, and at least
    1 - decay; zero for steps that are not averaged.
    """
    since = step + 1 - jnp.maximum(hyper.average_from, 0)
    is_due = (since > 0) & (jnp.mod(since, hyper.average_every) == 0)
    count = jnp.maximum(since / hyper.average_every, 1)
    return jnp.where(is_due, jnp.maximum(1 - hyper.average_decay, 1 / count), 0.0)


def optimizer_of(
    name: OptimizerName,
    decayed: Decayed,
    hyper: Hyperparameters,
    learning_rate: Scalar,
    weight_decay: Scalar,
) -> optax.GradientTransformation:
    """Return the optimiser whose updates are added to the weights at one step.

    Args:
        name: `adamw` or `muon`.
        decayed: which weights decay, see `OptimizerConfig`.
        hyper: the job's hyperparameters.
        learning_rate: learning rate of the step.
        weight_decay: weight decay of the step.

    Source:
        Loshchilov and Hutter 2019 (AdamW); Jordan et al. 2024 and Liu et al. 2025 (Muon).
    """
    adam = optax.scale_by_adam(hyper.beta1, hyper.beta2, hyper.epsilon)  # type: ignore[arg-type]
    return optax.chain(
        adam if name == "adamw" else _with_muon(adam, hyper),
        optax.add_decayed_weights(
            weight_decay,  # type: ignore[arg-type]
            mask=lambda params: _map_names(params, lambda names: _decays(names, decayed)),
        ),
        optax.scale(-learning_rate),  # type: ignore[arg-type]
    )


def _with_muon(
    adam: optax.GradientTransformation, hyper: Hyperparameters
) -> optax.GradientTransformation:
    """Return an optimiser that orthogonalises updates of the blocks' matrices, else uses Adam.

    A fused matrix (queries, keys and values; gate and up) counts as one (Jordan et al. 2024).
    """
    from optax import contrib

    def dimensions(updates: Params) -> Params:
        return jax.tree.map(lambda _: contrib.MuonDimensionNumbers(-2, -1), updates)

    muon = optax.chain(
        contrib.scale_by_muon(
            beta=hyper.beta1,  # type: ignore[arg-type]
            weight_dimension_numbers=dimensions,
        ),
        optax.stateless(
            lambda updates, _: jax.tree.map(
                lambda leaf: leaf * MUON_RMS * max(leaf.shape[-2:]) ** 0.5, updates
            )
        ),
    )
    return optax.partition(
        {"muon": muon, "adam": adam},
        lambda params: _map_names(
            params, lambda names: "muon" if _is_hidden_matrix(names) else "adam"
        ),
    )


def _map_names(params: Params, function: Any) -> Params:
    """Map the names on the way to each array, such as {"blocks", "mlp", "down"}."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: function({getattr(key, "key", None) for key in path}), params
    )


def _is_hidden_matrix(names: set[str]) -> bool:
    return "blocks" in names and "gain" not in names


def _decays(names: set[str], decayed: Decayed) -> bool:
    # By name, not dimension: stacking of blocks makes their gains two-dimensional.
    if decayed == "hidden":
        return _is_hidden_matrix(names)
    return decayed == "all" or "gain" not in names
