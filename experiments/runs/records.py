"""What was measured on finished runs, kept beside them so that it is measured once.

A record is JSON under KIND/KEY.json in the folder of a store: `values`, and `source`, the hash of
the code that measured them (see `experiments.lab.source`). KEY is the hash of its identity: the ids
of the runs and the settings that decide what is measured. A record of other code is not used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from experiments.runs.files import read_json, storing, write_json
from experiments.runs.spec import RunSpec, digest

_measuring: ContextVar[bool] = ContextVar("measuring", default=False)


@contextlib.contextmanager
def measuring() -> Iterator[None]:
    """Mark what is asked for in this block as part of a record that is being measured."""
    token = _measuring.set(True)
    try:
        yield
    finally:
        _measuring.reset(token)


def is_measuring() -> bool:
    """Return whether a record is being measured in this thread."""
    return _measuring.get()


def ensemble_identity(members: Sequence[RunSpec]) -> list[str]:
    """Return the identity of the scores of an ensemble, records of the kind "ensembles"."""
    return [spec.run_id for spec in members]


def record_path(root: Path, kind: str, identity: Any) -> Path:
    """Return where a record is kept.

    Args:
        root: folder of the store.
        kind: what is measured, such as "ensembles"; a folder of that name.
        identity: what decides it, as JSON: run ids, settings.
    """
    return root / kind / f"{digest(identity)}.json"


def read_record(root: Path, kind: str, identity: Any, source: str | None = None) -> Any | None:
    """Return the values of a record, or None if it is missing, truncated or of other code.

    Args:
        root: folder of the store.
        kind: as for `record_path`.
        identity: as for `record_path`.
        source: hash of the code that measures it now; by default a record of any code is read.
    """
    record = read_json(record_path(root, kind, identity))
    if not isinstance(record, dict) or not {"source", "values"} <= record.keys():
        return None
    return record["values"] if source in (None, record["source"]) else None


def keep_record(root: Path, kind: str, identity: Any, values: Any, *, source: str) -> None:
    """Write a record atomically.

    Args:
        root: folder of the store.
        kind: as for `record_path`.
        identity: as for `record_path`.
        values: what was measured, as JSON.
        source: hash of the code that measured it.
    """
    with storing(root):
        write_json(record_path(root, kind, identity), {"source": source, "values": values})
