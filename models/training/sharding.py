"""How members, batches and matrices are distributed over a mesh of devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

MATRIX_AXIS = {"qkv": -1, "gate_and_up": -1, "out": -2, "down": -2, "head": -1, "embedding": -2}
"""Axis of each matrix that is cut over the axis `model` of the mesh: the outputs of the first and
the inputs of the second matrix of a pair (Shoeybi et al. 2019), the vocabulary of the tables."""


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
        return jax.sharding.Mesh(np.array(devices).reshape(shape), ("member", "data", "model"))


def state_shardings(mesh: jax.sharding.Mesh, states: Any) -> Any:
    """Return the sharding of each array of stacked states, whose first axis is the member's.

    A matrix whose size is not divisible by the axis `model` is replicated along it.
    """
    n_parts = mesh.shape["model"]

    def sharding(path: Any, leaf: Any) -> NamedSharding:
        spec: list[str | None] = ["member", *[None] * (leaf.ndim - 1)]
        names = {getattr(key, "key", None) for key in path}
        for name, axis in MATRIX_AXIS.items():
            if name in names and leaf.ndim > 2 and leaf.shape[axis] % n_parts == 0:
                spec[axis] = "model"
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree_util.tree_map_with_path(sharding, states)


def member_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Return the sharding of arrays whose first axis is the member's."""
    return NamedSharding(mesh, PartitionSpec("member"))


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Return the sharding of arrays that are replicated on every device."""
    return NamedSharding(mesh, PartitionSpec())


def window_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Return the sharding of window starts [members, steps, batch], or of all their positions."""
    return NamedSharding(mesh, PartitionSpec("member", None, "data"))
