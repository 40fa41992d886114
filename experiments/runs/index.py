"""All runs of a store as rows, cached in one file beside them.

Reading 10,000 folders takes seconds, checking that they have not changed a fraction of one: a row
of the cache is valid while time, size and inode of the two files that it was read from are the
same. A cache that is missing, damaged, of another version or not writable costs only time.

    index.json    {"schema", "settings", "crc32"} in the first line, {"columns", "runs"} after it
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import zlib
from pathlib import Path
from typing import Any

from experiments.runs.files import read_json, storing, write_text
from experiments.runs.rows import SETTINGS, Row, read_result, settings_row
from experiments.runs.spec import RunSpec

INDEX_SCHEMA = 1
"""Raise it when the same files give other rows."""

Stamp = list[int]
Cached = dict[str, tuple[Stamp, Row]]

logger = logging.getLogger("datawall")


def read_index(root: Path) -> list[Row]:
    """Return a row of settings for each run folder below `root`, in the order of their names.

    Rows of finished runs also have the columns of their result, and a `status`.

    Raises:
        ValueError: a run was written by a later version, or with unknown settings.
    """
    cached = _read_cache(root)
    current: Cached = {}
    n_read = 0
    for folder, stamp in _stamps(root):
        known = cached.get(folder.name)
        if known is None or known[0] != stamp:
            n_read += 1
            row = _read_row(folder)
            if row is None:
                continue
            known = (stamp, row)
        current[folder.name] = known
    if n_read or len(current) != len(cached):
        # On a read-only or full disk, the rows are still returned.
        with contextlib.suppress(OSError):
            _write_cache(root, current)
    return [row for _, row in current.values()]


def _stamps(root: Path) -> list[tuple[Path, Stamp]]:
    """Return the folders with a spec, and stamps that change with their files."""
    found = []
    with contextlib.suppress(FileNotFoundError), storing(root), os.scandir(root) as entries:
        for entry in entries:
            spec = _stamp(f"{entry.path}/spec.json")
            if spec:
                found.append((Path(entry.path), spec + _stamp(f"{entry.path}/result.json")))
    return sorted(found, key=lambda run: run[0].name)


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [status.st_mtime_ns, status.st_size, status.st_ino]


def _read_row(folder: Path) -> Row | None:
    path = folder / "spec.json"
    values = read_json(path)
    if not isinstance(values, dict):
        logger.warning("%s is truncated; its run is left out until it is started again", path)
        return None
    try:
        spec = RunSpec.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path} is not a run of this version: {error}") from error
    if spec.run_id != folder.name:
        logger.warning("%s holds run %s under another name; it is left out", folder, spec.run_id)
        return None
    result = read_result(folder / "result.json", spec.run_id)
    return settings_row(spec) | (result[1] if result else {})


def _read_cache(root: Path) -> Cached:
    try:
        head, _, body = (root / "index.json").read_bytes().partition(b"\n")
        if json.loads(head) != _head(body):
            return {}
        values = json.loads(body)
    except (OSError, ValueError):
        return {}
    columns = values["columns"]
    return {
        name: (stamp, dict(zip(columns, row, strict=True)))
        for name, (stamp, row) in values["runs"].items()
    }


def _write_cache(root: Path, cached: Cached) -> None:
    columns = list(dict.fromkeys(name for _, row in cached.values() for name in row))
    runs = {
        name: [stamp, [row.get(column) for column in columns]]
        for name, (stamp, row) in cached.items()
    }
    body = json.dumps({"columns": columns, "runs": runs}, separators=(",", ":"))
    write_text(root / "index.json", f"{json.dumps(_head(body.encode()))}\n{body}")


def _head(body: bytes) -> dict[str, Any]:
    return {"schema": INDEX_SCHEMA, "settings": list(SETTINGS), "crc32": zlib.crc32(body)}
