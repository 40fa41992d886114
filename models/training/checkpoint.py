"""Weights and training states on disk, as safetensors files, which any framework reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models.config import ModelConfig
from models.text.data_home import replacing
from models.training.train import Params, Program, TrainState, init_params, init_state


class CheckpointError(ValueError):
    """A file of weights cannot be read, or holds another architecture."""


def _names(params: Params) -> list[str]:
    paths = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(params))[0]
    return [".".join(str(getattr(key, "key", key)) for key in path) for path, _ in paths]


def _write(path: Path, arrays: Mapping[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Write arrays to a safetensors file, on the disk before it is renamed into place."""
    content = save({name: np.asarray(array) for name, array in arrays.items()}, metadata)
    with replacing(path, durable=True) as beside:
        beside.write_bytes(content)


def save_params(path: Path, model: ModelConfig, params: Params) -> None:
    """Write weights to a safetensors file, renamed into place when complete.

    Args:
        path: the file.
        model: architecture, stored in the metadata of the file.
        params: its weights.
    """
    leaves = jax.tree.leaves(nnx.to_pure_dict(params))
    metadata = {"model": json.dumps(dataclasses.asdict(model), sort_keys=True)}
    _write(path, dict(zip(_names(params), leaves, strict=True)), metadata)


def load_params(path: Path, model: ModelConfig) -> Params:
    """Return the weights of `model` stored in a file.

    Raises:
        CheckpointError: the file is missing, damaged, or of another architecture (with the
            differences).
    """
    found, params = load_model(path)
    if found != model:
        differing = [k for k, v in vars(model).items() if getattr(found, k) != v]
        said = ", ".join(f"{k} {getattr(found, k)} not {getattr(model, k)}" for k in differing)
        raise CheckpointError(f"{path} holds another architecture: {said}")
    return params


def load_model(path: Path) -> tuple[ModelConfig, Params]:
    """Return the architecture and weights stored in a file.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            model = ModelConfig.from_dict(json.loads(file.metadata()["model"]))
            abstract = jax.eval_shape(lambda: init_params(model, 0))
            stored = set(file.keys())
            leaves = [_tensor(file, name, stored, model) for name in _names(abstract)]
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as weights: {error}") from error
    return model, jax.tree.unflatten(jax.tree.structure(abstract), leaves)


def _tensor(file: Any, name: str, stored: set[str], model: ModelConfig) -> np.ndarray:
    """Read one array; files written before blocks were stacked hold a matrix for each layer."""
    if name in stored or not name.startswith("blocks."):
        return file.get_tensor(name)
    inner = name.removeprefix("blocks.")
    return np.stack([file.get_tensor(f"blocks.{i}.{inner}") for i in range(model.n_layers)])


def save_state(path: Path, state: TrainState) -> None:
    """Write the state of an unfinished run to a safetensors file, replacing the previous one."""
    _write(path, dict(_flat(state)[0]))


def load_state(path: Path, program: Program) -> TrainState | None:
    """Return the state of an unfinished run, or None if there is no readable one."""
    named, treedef = _flat(jax.eval_shape(lambda: init_state(program, 0)))
    try:
        with safe_open(str(path), framework="numpy") as file:
            return jax.tree.unflatten(treedef, [file.get_tensor(name) for name, _ in named])
    except (OSError, SafetensorError):
        return None


def _flat(state: TrainState) -> tuple[list[tuple[str, Any]], Any]:
    """Return the arrays of a state with their names, and its structure."""
    leaves, treedef = jax.tree_util.tree_flatten_with_path(state)
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves], treedef
