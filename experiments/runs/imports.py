"""Import of runs of other projects, from a table of any tool and a mapping of its columns.

It may be a table with a row a run (CSV, TSV, JSON lines, JSON, parquet; nested `config` and
`summary` as in exports of wandb), the history of one or several runs (rows with `_step`, of which
the last value of each column counts), or the CSV of a wandb chart (columns "RUN - METRIC").

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
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.runs.files import read_json, storing, write_json
from experiments.runs.rows import OURS, RESULT_FIELDS, Row
from experiments.runs.spec import PARTS

if TYPE_CHECKING:
    from scaling.files import Entry

IMPORT_SCHEMA = 1
STEPS = ("_step", "Step")
LABELS = ("Name", "name", "run_name", "run", "run_id", "id", "ID")
STATES = ("State", "state")
OF_RUNS = (*STATES, "Created", "createdAt")
"""Columns that occur only in tables with a row a run."""
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
MISSING = ("", "-", "null", "None")
MOST_NAMED = 3


def import_runs(
    root: Path,
    path: Path,
    columns: Mapping[str, str],
    *,
    constants: Mapping[str, float | str] | None = None,
    label: str | None = None,
    name: str | None = None,
) -> list[Row]:
    """Return the runs in a file after adding them to a store, replacing an earlier import.

    Args:
        root: folder of the store.
        path: the file; its suffix gives the format.
        columns: our column -> the file's, as {"validation_loss": "val/loss"}.
        constants: our column -> a value that all these runs share.
        label: the file's column that names a run; by default one of `LABELS`.
        name: name of the import; by default that of the file.

    Returns:
        A row a run, with the name of the import as `source`, and a `reason` if a number is missing.

    Raises:
        ValueError: a column that the file lacks or that is reserved, or bad rows (by line).
    """
    from scaling.files import read_entries

    constants = dict(constants or {})
    name = name or re.sub(r"[^\w.-]+", "_", path.stem)
    _check(columns, constants, name)
    entries = list(read_entries(path))
    if not entries:
        raise ValueError(f"{path} has no rows")
    entries = _charted(entries, columns) or _last_of_history(entries, label)
    _check_source(path, entries, [*columns.values(), *([label] if label else [])])
    rows, faults = [], []
    for entry in entries:
        try:
            rows.append(_row(entry, columns, constants))
        except ValueError as error:
            faults.append(f"line {entry.line}: {error}")
    if faults:
        more = f"; and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
        raise ValueError(f"{path}, {'; '.join(faults[:MOST_NAMED])}{more}; nothing was imported")
    for column in columns:
        _as_numbers(rows, column)
    ids = _names(entries, label)
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
    return rows


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


def _check_source(path: Path, entries: list[Entry], wanted: Iterable[str]) -> None:
    there = {column for entry in entries for column in entry.values}
    for column in wanted:
        if column not in there:
            some = ", ".join(sorted(map(str, there))[:40])
            raise ValueError(f"{path} has no column {column!r}; it has {some}")


def _row(entry: Entry, columns: Mapping[str, str], constants: Mapping[str, Any]) -> Row:
    row: Row = {"status": "imported", "reason": None}
    reasons = []
    for ours, theirs in columns.items():
        value = entry.values.get(theirs)
        if _is_number(ours):
            row[ours] = number = _number(value, ours)
            if number is None:
                said = "missing" if _is_missing(value) else "not a number"
                reasons.append(f"{ours} is {said}")
        else:
            row[ours] = None if _is_missing(value) or value != value else _plain(value)
    state = next((entry.values[name] for name in STATES if entry.values.get(name)), "finished")
    if str(state).lower() != "finished":
        reasons.append(f"its state is {state}")
    return {**row, **constants, "reason": "; ".join(reasons) or None}


def _is_number(ours: str) -> bool:
    return ours in NUMBERS or ours.endswith("_loss")


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in MISSING)


def _as_numbers(rows: list[Row], column: str) -> None:
    """Convert a column to numbers if all its values are numbers: a CSV holds only text."""
    try:
        numbers = [None if row[column] is None else _number(row[column], column) for row in rows]
    except ValueError:
        return
    for row, number in zip(rows, numbers, strict=True):
        row[column] = number


def _plain(value: Any) -> Any:
    """Return a value that JSON can represent."""
    return value if isinstance(value, str | int | float | bool) else str(value)


def _number(value: Any, ours: str) -> float | int | None:
    """Return a value as a number; None if it is missing or not finite.

    Raises:
        ValueError: the value is not a number.
    """
    if _is_missing(value):
        return None
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{ours} must be a number; not {str(value)[:40]!r}") from None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and not ours.endswith("loss") else number


def _names(entries: list[Entry], label: str | None) -> list[str]:
    """Return the name of each run: its label, or its line if it has no unique one."""
    column = label or _first(LABELS, entries)
    names = [str((column and entry.values.get(column)) or entry.line) for entry in entries]
    counts = Counter(names)
    return [
        f"{name}@{entry.line}" if counts[name] > 1 else name
        for name, entry in zip(names, entries, strict=True)
    ]


def _first(names: Iterable[str], entries: list[Entry]) -> str | None:
    return next((name for name in names if any(name in entry.values for entry in entries)), None)


def _charted(entries: list[Entry], columns: Mapping[str, str]) -> list[Entry]:
    """Return the runs in the CSV of a chart: the last value of each column "RUN - METRIC"."""
    suffixes = {f" - {theirs}": theirs for theirs in columns.values()}
    runs: dict[str, dict[str, Any]] = {}
    lines: dict[str, int] = {}
    for column in entries[0].values:
        suffix = next((suffix for suffix in suffixes if column.endswith(suffix)), None)
        if suffix is None:
            continue
        run = column.removesuffix(suffix)
        values = runs.setdefault(run, {LABELS[0]: run})
        for entry in entries:
            if not _is_missing(entry.values.get(column)):
                values[suffixes[suffix]] = entry.values[column]
                lines[run] = entry.line
    return [
        dataclasses.replace(entries[0], line=lines.get(run, 1), values=values)
        for run, values in runs.items()
    ]


def _last_of_history(entries: list[Entry], label: str | None) -> list[Entry]:
    """Return one row for each run of a history: the last value of every column."""
    step = _first(STEPS, entries)
    if step is None or _first(OF_RUNS, entries):
        return entries
    column = label or _first(LABELS, entries)
    steps = [_step_of(entry, step) for entry in entries]
    if column is None and not _rises(steps):
        return entries
    runs: dict[Any, list[tuple[float, Entry]]] = {}
    for at, entry in zip(steps, entries, strict=True):
        group = entry.values.get(column) if column else None
        runs.setdefault(group, []).append((-math.inf if at is None else at, entry))
    merged = []
    for rows in runs.values():
        values: dict[str, Any] = {}
        for _, entry in sorted(rows, key=lambda row: row[0]):
            values |= {k: v for k, v in entry.values.items() if not _is_missing(v)}
        last = rows[-1][1]
        merged.append(dataclasses.replace(last, values=values))
    return merged


def _step_of(entry: Entry, column: str) -> float | None:
    try:
        return _number(entry.values.get(column), column)
    except ValueError as error:
        raise ValueError(f"line {entry.line}: {error}") from error


def _rises(steps: list[float | int | None]) -> bool:
    known = [step for step in steps if step is not None]
    return len(known) > 1 and all(a < b for a, b in pairwise(known))
