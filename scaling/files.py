"""Run tables in files: CSV, TSV, JSON lines, JSON, parquet, also as wandb exports them."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scaling.fitting.table import note_lines

SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
SUFFIXES = (*SEPARATORS, *JSON_LINES, ".json", ".parquet")
PROBED = 65_536
PARQUET_MAGIC = b"PAR1"
WANDB_NESTED = ("config", "summary", "summary_metrics")
MOST_BAD_TEXT = 0.01

csv.field_size_limit(2**24)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of a file, or several that belong together, and the line that it starts at."""

    line: int
    values: Mapping[str, Any]


def read_runs(path: str | Path) -> pd.DataFrame:
    """Table of runs from a file whose format is given by its suffix.

    `.csv` and `.tsv` files have a header line. `.jsonl` (or `.ndjson`) files hold one object per
    line, `.json` files a list of objects: nested objects become columns with dotted names, and the
    wrappers of a wandb export (`config`, `summary` and `{"value": v}`) are removed. `.parquet`
    files need pyarrow.

    Args:
        path: the file.

    Returns:
        A row per run, with the columns of the file. Errors of a fit of this table name a row by
        its line in the file.

    Raises:
        ValueError: the file is empty, its suffix is unknown, or its content does not match it.
        OSError: the file cannot be read.
    """
    path = Path(path)
    suffix = _checked_suffix(path)
    if suffix in SEPARATORS:
        frame = _read_delimited(path, SEPARATORS[suffix])
    elif suffix == ".parquet":
        frame = read_parquet(path)
    else:
        entries = list(read_entries(path))
        frame = pd.DataFrame([entry.values for entry in entries])
        if suffix in JSON_LINES:
            frame = note_lines(frame, [entry.line for entry in entries])
    if frame.empty:
        raise ValueError(f"{path.name} has a header but no rows")
    return frame


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield the rows of a file that `read_runs` reads, each with its line; text stays text.

    A table may hold `config` and `summary` as dictionaries that Python has printed.

    Raises:
        ValueError: as `read_runs`, or rows that differ in their number of cells (by line).
        OSError: the file cannot be read.
    """
    suffix = _checked_suffix(path)
    try:
        if suffix in SEPARATORS:
            yield from _delimited_entries(path, SEPARATORS[suffix])
        elif suffix in JSON_LINES:
            yield from _json_lines(path)
        elif suffix == ".json":
            yield from _json_list(path)
        else:
            frame = read_parquet(path).astype(object)
            rows = frame.where(frame.notna(), None).to_dict("records")
            for number, values in enumerate(rows, start=1):
                yield Entry(line=number, values=flatten(values))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text: {_short(error)}") from error


def _checked_suffix(path: Path) -> str:
    """Return the suffix of a file that is there and begins as its suffix says."""
    suffix = path.suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path.name} is a folder, not a file")
    if suffix not in SUFFIXES:
        allowed = ", ".join(SUFFIXES)
        raise ValueError(f"{path.name}: the suffix must be one of {allowed}; not {suffix!r}")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    with path.open("rb") as file:
        head = file.read(PROBED)
    if not head.strip():
        raise ValueError(f"{path.name} is empty")
    if suffix != ".parquet":
        _check_text(path, head)
    elif not head.startswith(PARQUET_MAGIC):
        raise ValueError(f"{path.name} is not a parquet file")
    return suffix


def _check_text(path: Path, head: bytes) -> None:
    if head.startswith(PARQUET_MAGIC):
        raise ValueError(f"{path.name} is a parquet file; name it .parquet")
    if b"\0" in head:
        raise ValueError(f"{path.name} is not text: it holds zero bytes")
    text = head.decode("utf-8", errors="replace")
    # a multi-byte character may be cut at the end of the probe
    if text[:-1].count("\ufffd") > MOST_BAD_TEXT * len(text):
        raise ValueError(f"{path.name} is not UTF-8 text")


def _read_delimited(path: Path, separator: str) -> pd.DataFrame:
    kind = path.suffix.lower().removeprefix(".").upper()
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline(PROBED)
    if first.startswith("{"):
        raise ValueError(f"{path.name} looks like JSON lines, not {kind}; name it .jsonl")
    if separator not in first:
        hint = "; it looks tab-separated (.tsv)" if separator == "," and "\t" in first else ""
        raise ValueError(f"{path.name} is not {kind}: its first line has no separator{hint}")
    try:
        frame = pd.read_csv(path, sep=separator, encoding="utf-8-sig", low_memory=False)
        frame = _labels_as_text(frame, path, separator)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not {kind}: {_short(error)}") from error
    return _with_lines(frame, path)


def _labels_as_text(frame: pd.DataFrame, path: Path, separator: str) -> pd.DataFrame:
    """Return the table with NA, None and the like as text in the columns that hold text."""
    columns = {
        place: name
        for place, name in enumerate(frame.columns)
        if pd.api.types.is_string_dtype(frame[name]) and frame[name].isna().any()
    }
    if columns:
        as_written = pd.read_csv(
            path, sep=separator, encoding="utf-8-sig", usecols=list(columns), dtype=str,
            keep_default_na=False, na_values=[""],
        )  # fmt: skip
        frame = frame.assign(**{name: as_written[name] for name in columns.values()})
    return frame


def _with_lines(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the table with the line of each row, unless cells contain line breaks."""
    with path.open("rb") as file:
        lines = [number for number, line in enumerate(file, start=1) if line.strip()]
    return note_lines(frame, lines[1:]) if len(lines) == len(frame) + 1 else frame


def read_parquet(path: Path) -> pd.DataFrame:
    """Return the columns of a parquet file.

    Raises:
        ValueError: it is another file, or pyarrow is not installed.
        OSError: there is no such file, or it may not be read.
    """
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise ValueError("parquet needs pyarrow: pip install 'datawall[parquet]'") from error
    except (FileNotFoundError, PermissionError):
        raise
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name} is not a parquet file: {_short(error)}") from error


def _delimited_entries(path: Path, separator: str) -> Iterator[Entry]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator)
        try:
            header = next(reader)
            for column in header:
                if header.count(column) > 1:
                    raise ValueError(
                        f"{path.name}, line 1: column {column!r} appears more than once"
                    )
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield Entry(line=line, values=_named_cells(path, line, header, cells))
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{path.name}, line {reader.line_num}: {error}") from error


def _named_cells(path: Path, line: int, header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(header):
        raise ValueError(
            f"{path.name}, line {line}: {len(cells)} cells where the header has {len(header)}"
        )
    values: dict[str, Any] = {}
    for column, cell in zip(header, cells, strict=True):
        if column in ("config", "summary") and cell.startswith("{"):
            values |= flatten({column: _python_dict(path, line, cell)})
        else:
            values[column] = cell
    return values


def _python_dict(path: Path, line: int, cell: str) -> dict[str, Any]:
    """Return a dictionary as Python prints it, which tables made from wandb's API hold."""
    plain = re.sub(r"(?<![\w'\".])-?(nan|inf)(?![\w'\"])", "None", cell)
    try:
        return dict(ast.literal_eval(plain))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(
            f"{path.name}, line {line}: this is not a dictionary: {cell[:40]}"
        ) from error


def _json_lines(path: Path) -> Iterator[Entry]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            if not text.lstrip().startswith("{"):
                raise ValueError(f"{path.name}, line {line}: not an object")
            try:
                yield Entry(line=line, values=flatten(json.loads(text)))
            except (json.JSONDecodeError, RecursionError) as error:
                raise ValueError(f"{path.name}, line {line}: not JSON: {_short(error)}") from error


def _json_list(path: Path) -> Iterator[Entry]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not JSON: {_short(error)}") from error
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise ValueError(f"{path.name} must hold a list of objects, one a row")
    for number, value in enumerate(values, start=1):
        yield Entry(line=number, values=flatten(value))


def flatten(value: Mapping[str, Any]) -> dict[str, Any]:
    """Nested objects as one dict with dotted names, without the wrappers of a wandb export."""
    flat: dict[str, Any] = {}
    for name, part in value.items():
        _flatten(flat, "" if name in WANDB_NESTED and isinstance(part, dict) else name, part)
    return flat


def _flatten(flat: dict[str, Any], name: str, value: Any) -> None:
    if not isinstance(value, dict):
        flat.setdefault(name, value)
    elif set(value) == {"value"} or set(value) == {"value", "desc"}:
        _flatten(flat, name, value["value"])
    else:
        for key, part in value.items():
            _flatten(flat, f"{name}.{key}" if name else key, part)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
