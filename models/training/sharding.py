"""How members, batches and matrices are distributed over a mesh of devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

AXES = ("member", "data", "model")
MATRIX_AXIS = {"qkv": -1, "gate_and_up": -1, "out": -2, "down": -2, "head": -1, "embedding": -2}
"""Axis of each matrix that is cut over the axis `model` of the mesh: the outputs of the first and
the inputs of the second matrix of a pair (Shoeybi et al. 2019), the vocabulary of the tables. The
other of its last two axes is cut over `data`."""


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Numbers of devices along the axes for members, batch parts and matrix parts.

    Raises:
        ValueError: a size below 1.
    """

    member: int = 1
    data: int = 1
    model: int = 1

    def __post_init__(self) -> None:
        for name, size in vars(self).items():
            if size < 1:
                raise ValueError(f"{name} must be >= 1; not {size}")

    @property
    def n_devices(self) -> int:
        """Total number of devices."""
        return math.prod(vars(self).values())

    def over(self, devices: Sequence[jax.Device]) -> jax.sharding.Mesh:
        """Return the mesh over these devices.

        Raises:
            ValueError: the number of devices differs from that of the mesh.
        """
        if len(devices) != self.n_devices:
            raise ValueError(
                f"a mesh of {self.member} x {self.data} x {self.model} needs {self.n_devices} "
                f"devices; there are {len(devices)}"
            )
        shape = (self.member, self.data, self.model)
        # Neighbours on a TPU's torus exchange parts of matrices, as JAX orders them.
        return jax.make_mesh(shape, AXES, (AxisType.Auto,) * len(AXES), devices=devices)


def _spec(path: Any, leaf: Any, mesh: jax.sharding.Mesh, axes: Sequence[str]) -> PartitionSpec:
    """Return how the last two axes of a weight, or of a moment of it, are cut over axes of a mesh.

    An axis that its size is not divisible by is left out; gains are whole.
    """
    spec: list[str | None] = [None] * leaf.ndim
    names = {getattr(key, "key", None) for key in path}
    for name, axis in MATRIX_AXIS.items():
        if name in names and leaf.ndim > 1:
            for cut, at in (("model", axis), ("data", -3 - axis)):
                if cut in axes and leaf.shape[at] % mesh.shape[cut] == 0:
                    spec[at] = cut
    return PartitionSpec(*spec)


def state_shardings(mesh: jax.sharding.Mesh, states: Any) -> Any:
    """Return the sharding of each array of stacked states, whose first axis is the member's.

    Matrices of weights, moments and averages are cut over both other axes of the mesh: over `model`
    as Shoeybi et al. do, over `data` along the other axis (Rajbhandari et al. 2020), see
    `gathered`.
    """

    def sharding(path: Any, leaf: Any) -> NamedSharding:
        one = jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
        return NamedSharding(mesh, PartitionSpec("member", *_spec(path, one, mesh, AXES)))

    return jax.tree_util.tree_map_with_path(sharding, states)


def gathered(mesh: jax.sharding.Mesh, weights: Any) -> Any:
    """Return weights of a member as a step computes with them: whole along `data`.

    In a compiled program. Their gradient is added up over the devices and cut as the weights were.
    Without this, the compiler would keep the cut and distribute the channels of activations, not
    the sequences of a batch.

    Args:
        mesh: the devices.
        weights: some or all of the weights of one member.
    """

    def placed(tree: Any, axes: Sequence[str]) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: jax.lax.with_sharding_constraint(
                leaf, NamedSharding(mesh, _spec(path, leaf, mesh, axes))
            ),
            tree,
        )

    @jax.custom_vjp
    def gather(weights: Any) -> Any:
        return placed(weights, ("model",))

    gather.defvjp(
        lambda weights: (placed(weights, ("model",)), None),
        lambda _, gradient: (placed(gradient, AXES),),
    )
    return gather(weights)


def over_data(mesh: jax.sharding.Mesh, windows: jax.Array) -> jax.Array:
    """Return the windows [sequences, positions] of a member, cut over `data` by sequences."""
    return jax.lax.with_sharding_constraint(windows, NamedSharding(mesh, PartitionSpec("data")))


def member_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Return the sharding of arrays whose first axis is the member's."""
    return NamedSharding(mesh, PartitionSpec("member"))


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Return the sharding of arrays that are replicated on every device."""
    return NamedSharding(mesh, PartitionSpec())


def window_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Return the sharding of window starts [members, steps, batch], or of all their positions."""
    return NamedSharding(mesh, PartitionSpec("member", None, "data"))
