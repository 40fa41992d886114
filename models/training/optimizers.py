"""Hyperparameters of a job as arrays, its learning-rate schedule, and its optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from models.config import (
    Decayed,
    ModelConfig,
    OptimizerConfig,
    OptimizerName,
    TrainConfig,
    levers_in_use,
)

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
    momentum: Scalar
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
            momentum=np.float32(optimizer.momentum),
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
    model: ModelConfig,
    hyper: Hyperparameters,
    learning_rate: Scalar,
    weight_decay: Scalar,
) -> optax.GradientTransformation:
    """Return the optimiser whose updates are added to the weights at one step.

    Args:
        name: `adamw` or `muon`.
        decayed: which weights decay, see `OptimizerConfig`.
        model: architecture; its heads are matrices of their own to Muon.
        hyper: the job's hyperparameters.
        learning_rate: learning rate of the step.
        weight_decay: weight decay of the step.

    Source:
        Loshchilov and Hutter 2019 (AdamW); Jordan et al. 2024, its parts of fused matrices and
        Nesterov momentum, and Liu et al. 2025, its scale (Muon).
    """
    adam = optax.scale_by_adam(hyper.beta1, hyper.beta2, hyper.epsilon)  # type: ignore[arg-type]
    return optax.chain(
        adam if name == "adamw" else _with_muon(adam, model, hyper),
        optax.add_decayed_weights(
            weight_decay,  # type: ignore[arg-type]
            mask=lambda params: _map_names(params, lambda names: _decays(names, decayed)),
        ),
        optax.scale(-learning_rate),  # type: ignore[arg-type]
    )


def _with_muon(
    adam: optax.GradientTransformation, model: ModelConfig, hyper: Hyperparameters
) -> optax.GradientTransformation:
    """Return an optimiser that orthogonalises updates of the blocks' matrices, else uses Adam.

    Queries, keys and values of each head, gate and up are matrices of their own, although they are
    stored as parts of one; so are the layers.
    """
    from optax import contrib

    n_parts = {"qkv": model.n_heads + 2 * model.kv_heads, "gate_and_up": 2}

    def cut(path: Any, leaf: jax.Array) -> jax.Array:
        """Return matrices [..., n_in, n_out] as [..., n_in, n_parts, n_out / n_parts]."""
        n = next((n for name, n in n_parts.items() if name in _names(path)), 1)
        return leaf.reshape(*leaf.shape[:-1], n, -1)

    def scaled(leaf: jax.Array) -> jax.Array:
        """Return whole matrices with the root mean square of AdamW's updates."""
        n_in, _, n_out = leaf.shape[-3:]
        leaf = leaf * (MUON_RMS * max(n_in, n_out) ** 0.5)
        return leaf.reshape(*leaf.shape[:-2], -1)

    muon = contrib.scale_by_muon(
        beta=hyper.momentum,  # type: ignore[arg-type]
        weight_dimension_numbers=lambda updates: jax.tree.map(
            lambda _: contrib.MuonDimensionNumbers(-3, -1), updates
        ),
    )

    def update(updates: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        del params
        # The state keeps the shapes of the weights, and with them their sharding.
        parts, momentum = (
            jax.tree_util.tree_map_with_path(cut, whole) for whole in (updates, state.mu)
        )
        parts, after = muon.update(parts, state._replace(mu=momentum))
        mu = jax.tree.map(lambda new, old: new.reshape(old.shape), after.mu, state.mu)
        return jax.tree.map(scaled, parts), after._replace(mu=mu)

    return optax.partition(
        {"muon": optax.GradientTransformation(muon.init, update), "adam": adam},
        lambda params: _map_names(
            params, lambda names: "muon" if _is_hidden_matrix(names) else "adam"
        ),
    )


def _names(path: Any) -> set[Any]:
    """Return the names on the way to an array, such as {"blocks", "mlp", "down"}."""
    return {getattr(key, "key", None) for key in path}


def _map_names(params: Params, function: Any) -> Params:
    """Map the names on the way to each array."""
    return jax.tree_util.tree_map_with_path(lambda path, _: function(_names(path)), params)


def _is_hidden_matrix(names: set[str]) -> bool:
    return "blocks" in names and "gain" not in names


def _decays(names: set[str], decayed: Decayed) -> bool:
    # By name, not dimension: stacking of blocks makes their gains two-dimensional.
    if decayed == "hidden":
        return _is_hidden_matrix(names)
    return decayed == "all" or "gain" not in names
