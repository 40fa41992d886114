"""Import of runs of other projects, from a table of any tool and a mapping of its columns.

The table has one row per run, or it holds the histories of one or several runs (rows with `_step`
or `step`, of which the last value of each column counts). `scaling.files` says what can be read.

    imports/NAME.json    {"schema", "file", "sha256", "columns", "constants", "time", "rows"}
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from experiments.runs.files import read_json, storing, write_json
from experiments.runs.rows import OURS, RESULT_FIELDS, Row
from experiments.runs.spec import PARTS

if TYPE_CHECKING:
    from scaling.files import Dialect, RunFile

IMPORT_SCHEMA = 1
Checkpoints = Literal["last", "all"]
RESERVED = ("run_id", "source", "status", "reason")
NUMBERS = {
    *(
        field.name
        for kind in PARTS.values()
        for field in dataclasses.fields(kind)
        if field.type in ("int", "float")
    ),
    *(name for name in RESULT_FIELDS if name != "device"),
    *("seed", "loss"),
}
"""Columns of ours that hold numbers, in addition to all that end in _loss."""
SIZES = ("n_params", "n_params_non_embedding", "width", "n_unique_tokens", "seed")
"""Columns of ours that do not change while a run trains."""
MISSING = ("", "-", "null", "none", "na", "n/a")
MOST_NAMED = 3


def import_runs(
    root: Path,
    path: Path,
    columns: Mapping[str, str],
    *,
    constants: Mapping[str, float | str] | None = None,
    label: str | None = None,
    name: str | None = None,
    checkpoints: Checkpoints = "last",
    dialect: Dialect | None = None,
) -> tuple[list[Row], tuple[str, ...]]:
    """Return the runs in a file after adding them to a store, replacing an earlier import.

    Args:
        root: folder of the store.
        path: the file, see `scaling.files.open_runs`.
        columns: our column -> the file's, as {"validation_loss": "val/loss"}.
        constants: our column -> a value that all these runs share.
        label: the file's column that names a run; by default one of the usual ones.
        name: name of the import; by default that of the file.
        checkpoints: which rows of a history are runs: the last of each run, or all.
        dialect: what is ambiguous in the file.

    Returns:
        One row per run, with the name of the import as `source`, and a `reason` if a number is
        missing; and how the file was interpreted.

    Raises:
        ValueError: a column that the file lacks or that is reserved, or bad rows (by line).
    """
    from scaling.files import open_runs

    constants = dict(constants or {})
    name = name or re.sub(r"[^\w.-]+", "_", path.stem)
    _check(columns, constants, name)
    file = open_runs(path, dialect)
    _check_source(file, columns.values())
    runs = file.histories(label) if checkpoints == "last" else None
    if runs is not None:
        _check_constant(file, runs, columns)
        file = file.last(runs)
    mapped = {ours: _values(file, ours, theirs) for ours, theirs in columns.items()}
    reasons = _reasons(file, columns, mapped)
    ids = _names(file, label)
    rows: list[Row] = [
        {
            "status": "imported",
            "reason": reason,
            **{ours: values[row] for ours, values in mapped.items()},
            **constants,
        }
        for row, reason in enumerate(reasons)
    ]
    rows = [
        {"run_id": f"{name}/{run}", "source": name, **row}
        for run, row in zip(ids, rows, strict=True)
    ]
    with storing(root):
        write_json(
            root / "imports" / f"{name}.json",
            {
                "schema": IMPORT_SCHEMA,
                "file": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "columns": dict(columns),
                "constants": constants,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "rows": rows,
            },
        )
    return rows, file.notes


def read_imports(root: Path) -> list[Row]:
    """Return the rows of every import of a store.

    Raises:
        ValueError: one is damaged or of a later version.
    """
    rows: list[Row] = []
    for path in sorted((root / "imports").glob("*.json")):
        kept = read_json(path)
        if not isinstance(kept, dict) or not isinstance(kept.get("rows"), list):
            raise ValueError(f"{path} is damaged: import {path.stem} again, or remove it")
        if kept.get("schema") != IMPORT_SCHEMA:
            raise ValueError(
                f"{path} has schema {kept.get('schema')!r}; readable is {IMPORT_SCHEMA}"
            )
        rows += kept["rows"]
    return rows


def _check(columns: Mapping[str, str], constants: Mapping[str, Any], name: str) -> None:
    for column in (*columns, *constants):
        if column in RESERVED:
            raise ValueError(f"column {column} gives the origin of a run and cannot be mapped")
    if not columns:
        raise ValueError("name the columns to read, as in validation_loss=val/loss")
    if not re.fullmatch(r"[\w.-]+", name) or name == OURS:
        raise ValueError(
            f"the name of an import may have letters, digits, _, - and .; not {name!r}"
        )


def _check_source(file: RunFile, wanted: Iterable[str]) -> None:
    for column in wanted:
        if column not in file.raw.columns:
            some = ", ".join(sorted(file.raw.columns)[:40])
            raise ValueError(f"{file.raw.name} has no column {column!r}; it has {some}")
        if doubt := file.doubts.get(column):
            raise ValueError(f"{file.raw.name}, column {column!r}, {doubt}; nothing was imported")


def _check_constant(file: RunFile, runs: list[list[int]], columns: Mapping[str, str]) -> None:
    """Raise a ValueError if a size changes within a run: the rows are of several runs."""
    for ours in SIZES:
        cells = file.raw.columns.get(columns.get(ours, ""), ())
        for rows in runs if cells else ():
            there = [row for row in rows if not _is_missing(cells[row])]
            other = next((row for row in there if cells[row] != cells[there[0]]), None)
            if other is not None:
                raise ValueError(
                    f"{file.raw.name}, line {file.raw.lines[other]}: {columns[ours]} changes from "
                    f"{cells[there[0]]} to {cells[other]} within a run; name a column that "
                    "differs between runs with `--label`"
                )


def _values(file: RunFile, ours: str, theirs: str) -> list[Any]:
    """Return the cells of a column as JSON types: numbers where it holds numbers, else text.

    Raises:
        ValueError: a column of ours that holds numbers has other cells, which are named by line.
    """
    cells, raw = file.converted.columns[theirs], file.raw.columns[theirs]
    number = _is_number(ours)
    if not number and any(isinstance(cell, str) for cell in cells):
        return [None if cell in (None, "") else str(cell) for cell in raw]
    values, faults = [], []
    for cell, written, line in zip(cells, raw, file.raw.lines, strict=True):
        try:
            values.append(_number(cell, ours) if number else _plain(cell))
        except ValueError:
            faults.append(f"line {line}: {ours} must be a number; not {str(written)[:40]!r}")
    if faults:
        more = f"; and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
        raise ValueError(
            f"{file.raw.name}, {'; '.join(faults[:MOST_NAMED])}{more}; nothing was imported"
        )
    return values


def _reasons(
    file: RunFile, columns: Mapping[str, str], mapped: Mapping[str, list[Any]]
) -> list[str | None]:
    """Return why each run is doubtful: a number is missing, or it did not finish."""
    from scaling.tables.raw import STATES

    found: list[list[str]] = [[] for _ in file.raw.lines]
    for ours, values in mapped.items():
        for row, value in enumerate(values if _is_number(ours) else ()):
            if value is None:
                missing = _is_missing(file.raw.columns[columns[ours]][row])
                found[row].append(f"{ours} is {'missing' if missing else 'not a number'}")
    state = file.raw.first(STATES)
    for row, cell in enumerate(file.raw.columns[state] if state else ()):
        if cell and str(cell).lower() != "finished":
            found[row].append(f"its state is {cell}")
    return ["; ".join(reasons) or None for reasons in found]


def _is_number(ours: str) -> bool:
    return ours in NUMBERS or ours.endswith("_loss")


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in MISSING)


def _plain(value: Any) -> Any:
    """Return a value that JSON can represent."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return _number(value, "")
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _number(value: Any, ours: str) -> float | int | None:
    """Return a value as a number; None if it is missing or not finite.

    Raises:
        ValueError: the value is not a number.
    """
    if _is_missing(value):
        return None
    try:
        if isinstance(value, bool | np.bool_ | str):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{ours} must be a number; not {str(value)[:40]!r}") from None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and not ours.endswith("loss") else number


def _names(file: RunFile, label: str | None) -> list[str]:
    """Return the name of each run: its label, with its id or line if it is not unique."""
    from scaling.tables.raw import IDS, LABELS, is_missing

    raw = file.raw
    column = label or raw.first(LABELS)
    labels = raw.columns[column] if column else [None] * raw.n_rows
    names = [
        str(line if is_missing(cell) else cell)
        for cell, line in zip(labels, raw.lines, strict=True)
    ]
    counts, identity = Counter(names), raw.first(IDS)
    more = raw.columns[identity] if identity and identity != column else raw.lines
    if len(set(map(str, zip(names, more, strict=True)))) < len(names):
        more = raw.lines
    return [
        f"{name}@{other}" if counts[name] > 1 else name
        for name, other in zip(names, more, strict=True)
    ]
