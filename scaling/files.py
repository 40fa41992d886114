"""Run tables from files: CSV, TSV, JSON lines, parquet; also exports of wandb in these forms."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from scaling.fitting.table import note_lines

PROBED = 65_536
PARQUET_MAGIC = b"PAR1"
WANDB_NESTED = ("config", "summary", "summary_metrics")
MOST_BAD_TEXT = 0.01


def read_runs(path: str | Path) -> pd.DataFrame:
    """Table of runs from a file whose format is given by its suffix.

    `.csv` and `.tsv` files have a header line. `.jsonl` (or `.ndjson`) files hold one object per
    line: nested objects become columns with dotted names, and the wrappers of a wandb export
    (`config`, `summary` and `{"value": v}`) are removed. `.parquet` files need pyarrow.

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
    suffix = path.suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path.name} is a folder, not a file")
    if suffix not in READERS:
        allowed = ", ".join(READERS)
        raise ValueError(f"{path.name}: the suffix must be one of {allowed}; not {suffix!r}")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    with path.open("rb") as file:
        head = file.read(PROBED)
    if not head.strip():
        raise ValueError(f"{path.name} is empty")
    frame = READERS[suffix](path, head)
    if frame.empty:
        raise ValueError(f"{path.name} has a header but no rows")
    return frame


def _check_text(path: Path, head: bytes) -> None:
    if head.startswith(PARQUET_MAGIC):
        raise ValueError(f"{path.name} is a parquet file; name it .parquet")
    if b"\0" in head:
        raise ValueError(f"{path.name} is not text: it holds zero bytes")
    text = head.decode("utf-8", errors="replace")
    # a multi-byte character may be cut at the end of the probe
    if text[:-1].count("\ufffd") > MOST_BAD_TEXT * len(text):
        raise ValueError(f"{path.name} is not UTF-8 text")


def _delimited(separator: str, kind: str) -> Callable[[Path, bytes], pd.DataFrame]:
    def read(path: Path, head: bytes) -> pd.DataFrame:
        _check_text(path, head)
        first = head.splitlines()[0].decode("utf-8", errors="replace")
        if first.lstrip("\ufeff").startswith("{"):
            raise ValueError(f"{path.name} looks like JSON lines, not {kind}; name it .jsonl")
        if separator not in first:
            other = "\t" if separator == "," else ","
            hint = "; it looks tab-separated (.tsv)" if other == "\t" and other in first else ""
            raise ValueError(f"{path.name} is not {kind}: its first line has no separator{hint}")
        try:
            frame = pd.read_csv(path, sep=separator, encoding="utf-8-sig", low_memory=False)
            frame = _labels_as_text(frame, path, separator)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise ValueError(f"{path.name} is not {kind}: {_short(error)}") from error
        return _with_lines(frame, path)

    return read


def _labels_as_text(frame: pd.DataFrame, path: Path, separator: str) -> pd.DataFrame:
    """The table with NA, None and the like as text in the columns that hold text."""
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
    """The table with the line of each row, unless cells have line breaks."""
    with path.open("rb") as file:
        lines = [number for number, line in enumerate(file, start=1) if line.strip()]
    return note_lines(frame, lines[1:]) if len(lines) == len(frame) + 1 else frame


def _json_lines(path: Path, head: bytes) -> pd.DataFrame:
    _check_text(path, head)
    if not head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
        raise ValueError(f"{path.name} is not JSON lines: its first line is not an object")
    rows, lines = [], []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    rows.append(_row(json.loads(line), path, number))
                    lines.append(number)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name}, line {number}: not JSON: {_short(error)}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text: {_short(error)}") from error
    return note_lines(pd.DataFrame(rows), lines)


def _row(value: Any, path: Path, number: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path.name}, line {number}: not an object")
    return flatten(value)


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


def _parquet(path: Path, head: bytes) -> pd.DataFrame:
    if not head.startswith(PARQUET_MAGIC):
        raise ValueError(f"{path.name} is not a parquet file")
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise ValueError("parquet needs pyarrow: pip install 'datawall[parquet]'") from error
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name} is not a parquet file: {_short(error)}") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


READERS: dict[str, Callable[[Path, bytes], pd.DataFrame]] = {
    ".csv": _delimited(",", "CSV"),
    ".tsv": _delimited("\t", "TSV"),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
"""Readers by suffix."""
