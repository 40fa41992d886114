"""What was measured on finished runs, kept beside them so that it is measured once.

A record is JSON under KIND/KEY.json in the folder of a store, where KEY is the hash of everything
that decides what is measured. Runs are named by their ids, so a record never goes stale.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from experiments.runs.files import read_json, storing, write_json
from experiments.runs.spec import RunSpec, digest

SCORES_VERSION = 1
"""Raise it when the scoring of ensembles changes, so that kept scores are not used again."""

_measuring: ContextVar[bool] = ContextVar("measuring", default=False)


@contextlib.contextmanager
def measuring() -> Iterator[None]:
    """Mark what is asked for in this block: it serves a record, which stands for it once found."""
    token = _measuring.set(True)
    try:
        yield
    finally:
        _measuring.reset(token)


def is_measuring() -> bool:
    """Tell whether a record is being measured in this thread."""
    return _measuring.get()


def ensemble_identity(members: Sequence[RunSpec]) -> list[object]:
    """Return what decides the scores of an ensemble; they are records of the kind "ensembles"."""
    return [SCORES_VERSION, *(spec.run_id for spec in members)]


def record_path(root: Path, kind: str, identity: Any) -> Path:
    """Return where a record is kept.

    Args:
        root: folder of the store.
        kind: what is measured, such as "ensembles"; a folder of that name.
        identity: what decides it, as JSON: a version, run ids, settings.
    """
    return root / kind / f"{digest(identity)}.json"


def read_record(root: Path, kind: str, identity: Any) -> Any | None:
    """Return a record, or None if there is none or it is truncated.

    Args:
        root: folder of the store.
        kind: as for `record_path`.
        identity: as for `record_path`.
    """
    return read_json(record_path(root, kind, identity))


def keep_record(root: Path, kind: str, identity: Any, values: Any) -> None:
    """Write a record atomically.

    Args:
        root: folder of the store.
        kind: as for `record_path`.
        identity: as for `record_path`.
        values: what was measured, as JSON.
    """
    with storing(root):
        write_json(record_path(root, kind, identity), values)
