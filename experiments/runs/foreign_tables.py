"""Rows of files that other tools wrote, with the lines they stand in."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.files import flatten, read_runs

csv.field_size_limit(2**24)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of a file, or several that belong together, and the line it ends in."""

    line: int
    values: Mapping[str, Any]


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield the rows of a CSV, TSV, JSON lines, JSON (a list of objects) or parquet file.

    Nested objects become columns with dotted names, without the wrappers of a wandb export.

    Raises:
        ValueError: another suffix, or a line that is not what the suffix says (names it).
        OSError: the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        read = _delimited
    elif suffix in (".jsonl", ".ndjson"):
        read = _json_lines
    elif suffix == ".json":
        read = _json_list
    elif suffix == ".parquet":
        read = _parquet
    else:
        raise ValueError(
            f"{path}: the suffix must be one of .csv, .tsv, .jsonl, .ndjson, .json, .parquet; "
            f"not {suffix!r}"
        )
    try:
        yield from read(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error


def _delimited(path: Path) -> Iterator[Entry]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        try:
            header = next(reader, [])
            _check_header(path, header)
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield Entry(line=line, values=_named_cells(path, line, header, cells))
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _check_header(path: Path, header: list[str]) -> None:
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise ValueError(f"{path}, line 1: column {twice[0]!r} appears more than once")


def _named_cells(path: Path, line: int, header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(header):
        raise ValueError(
            f"{path}, line {line}: {len(cells)} cells where the header has {len(header)}"
        )
    values: dict[str, Any] = {}
    for column, cell in zip(header, cells, strict=True):
        if column in ("config", "summary") and cell.startswith("{"):
            values |= flatten({column: _python_dict(path, line, cell)})
        else:
            values[column] = cell
    return values


def _python_dict(path: Path, line: int, cell: str) -> dict[str, Any]:
    """Read a dictionary as Python prints it, which tables made from wandb's API hold."""
    plain = re.sub(r"(?<![\w'\".])-?(nan|inf)(?![\w'\"])", "None", cell)
    try:
        return dict(ast.literal_eval(plain))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{path}, line {line}: this is not a dictionary: {cell[:40]}") from error


def _json_lines(path: Path) -> Iterator[Entry]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if text.strip():
                yield Entry(line=line, values=_json_object(path, line, text))


def _json_object(path: Path, line: int, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}, line {line}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}, line {line}: not an object")
    return flatten(values)


def _json_list(path: Path) -> Iterator[Entry]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise ValueError(f"{path} must hold a list of objects, one a row")
    for number, value in enumerate(values, start=1):
        yield Entry(line=number, values=flatten(value))


def _parquet(path: Path) -> Iterator[Entry]:
    frame = read_runs(path).astype(object)
    # A table of pandas says "missing" with a NaN.
    rows = frame.where(frame.notna(), None).to_dict("records")
    for number, values in enumerate(rows, start=1):
        yield Entry(line=number, values=flatten(values))
