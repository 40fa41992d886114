"""Weights and training states on disk.

Finished weights are one safetensors file, which any framework reads. The state of an unfinished
run is an orbax checkpoint, written under a temporary name and renamed into place.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models.config import ModelConfig
from models.training.train import Params, Program, TrainState, init_params, init_state


class CheckpointError(ValueError):
    """A file of weights cannot be read, or holds another architecture."""


def _names(params: Params) -> list[str]:
    paths = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(params))[0]
    return [".".join(str(getattr(key, "key", key)) for key in path) for path, _ in paths]


def save_params(path: Path, model: ModelConfig, params: Params) -> None:
    """Write weights to a safetensors file, renamed into place when complete.

    Args:
        path: the file.
        model: architecture, stored in the metadata of the file.
        params: its weights.
    """
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.to_pure_dict(params))]
    metadata = {"model": json.dumps(dataclasses.asdict(model), sort_keys=True)}
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_bytes(save(dict(zip(_names(params), leaves, strict=True)), metadata))
    os.replace(beside, path)


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


def save_state(folder: Path, state: TrainState) -> None:
    """Write the state of an unfinished run to an orbax checkpoint, replacing the previous one."""
    from orbax.checkpoint import PyTreeCheckpointer

    beside = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    PyTreeCheckpointer().save(beside.absolute(), leaves, force=True)
    # At every moment one of the two names holds a complete checkpoint.
    before = folder.with_name(f"{folder.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    if folder.exists():
        os.replace(folder, before)
    os.replace(beside, folder)
    shutil.rmtree(before, ignore_errors=True)


def load_state(folder: Path, program: Program) -> TrainState | None:
    """Return the state of an unfinished run, or None if there is no readable one."""
    from orbax.checkpoint import PyTreeCheckpointer

    before = folder.with_name(f"{folder.name}.before")
    if not folder.is_dir() and not before.is_dir():
        return None
    folder = folder if folder.is_dir() else before
    treedef = jax.tree.structure(jax.eval_shape(lambda: init_state(program, 0)))
    try:
        leaves = PyTreeCheckpointer().restore(folder.absolute())
        return jax.tree.unflatten(treedef, [np.asarray(leaf) for leaf in leaves])
    except (OSError, ValueError, KeyError, TypeError):
        return None
