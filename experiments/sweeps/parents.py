"""What a run uses of finished runs that it builds on: initial weights and synthetic text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.runs.files import replacing, storing
from experiments.runs.spec import RunSpec, SyntheticConfig
from experiments.runs.store import RunStore
from experiments.runs.texts import text_of

if TYPE_CHECKING:
    from models.training.train import Params

SYNTHETIC_FOLDER = "synthetic"


def parent_of(run_id: str, store: RunStore) -> RunSpec:
    """Return the settings of a run that others build on.

    Raises:
        ValueError: it is not in the store, not finished, or diverged.
    """
    spec = store.spec(run_id)
    result = store.result(spec) if spec else None
    if spec is None or result is None:
        state = "not in the store" if spec is None else "not finished"
        raise ValueError(f"run {run_id}, on which this one builds, is {state} ({store.root})")
    if result["status"] == "diverged":
        raise ValueError(f"run {run_id}, on which this one builds, has diverged")
    return spec


def first_params(spec: RunSpec, store: RunStore) -> Params | None:
    """Return the weights that a run starts from; None if its seed draws them.

    Raises:
        ValueError: the run they come from cannot be used, see `parent_of`, or has another
            architecture.
    """
    if spec.init_from is None:
        return None
    parent = parent_of(spec.init_from, store)
    if parent.model != spec.model:
        raise ValueError(
            f"run {parent.run_id} has another architecture than the run that starts from it: "
            f"{parent.model} and {spec.model}"
        )
    return store.params(parent)


def synthetic_windows(spec: RunSpec, store: RunStore) -> np.ndarray | None:
    """Return the synthetic windows [n_windows, context + 1] of a run; None if it reads none.

    They are sampled at the first call and kept in the store, so that every run of this text, also
    one resumed elsewhere, reads the same.

    Raises:
        ValueError: a teacher cannot be used, see `parent_of`, or has another vocabulary or context.
    """
    if spec.synthetic is None:
        return None
    path = store.root / SYNTHETIC_FOLDER / f"{spec.synthetic.text_id}.npy"
    if not path.exists():
        windows = _sample(spec, spec.synthetic, store)
        with storing(store.root), replacing(path) as beside:
            np.save(beside, windows)
    return _read(path)


@lru_cache(maxsize=8)
def _read(path: Path) -> np.ndarray:
    return np.load(path)


def _sample(spec: RunSpec, synthetic: SyntheticConfig, store: RunStore) -> np.ndarray:
    from models.language.distill import sample_teacher

    teachers = [parent_of(run_id, store) for run_id in synthetic.teachers]
    for teacher in teachers:
        same_text = (teacher.model.vocab_size, teacher.data.sha256) == (
            spec.model.vocab_size,
            spec.data.sha256,
        )
        if not same_text or teacher.model.context != spec.model.context:
            raise ValueError(
                f"teacher {teacher.run_id} has a different tokenizer or context than this run"
            )
    windows = sample_teacher(
        [(teacher.model, store.params(teacher)) for teacher in teachers],
        n_tokens=synthetic.n_tokens,
        seed=synthetic.seed,
        pooled=synthetic.pooled,
        temperature=synthetic.temperature,
        stock=_stock(teachers, store) if synthetic.prompt == "stock" else None,
    )
    return windows.astype(np.uint16 if spec.model.vocab_size <= 2**16 else np.uint32)


def _stock(teachers: Sequence[RunSpec], store: RunStore) -> np.ndarray:
    """Return the tokens that all teachers were trained on, scored or not.

    Raises:
        ValueError: they were trained on different ones, so that a token of one may be new to
            another.
    """
    if len({teacher.data for teacher in teachers}) > 1:
        raise ValueError(
            "windows cannot begin with tokens of the stock, because the teachers "
            f"{', '.join(teacher.run_id for teacher in teachers)} were trained on different tokens"
        )
    tokens = text_of(teachers[0], store.root)[0]
    return np.where(tokens < 0, ~tokens, tokens)
