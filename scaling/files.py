"""Run tables in files: delimited text, JSON or parquet, as people and tools write them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from scaling.fitting.table import DOUBTS, note_lines
from scaling.tables.delimited import read_delimited
from scaling.tables.events import is_events, read_events, read_metric_file
from scaling.tables.numerals import Converted, convert
from scaling.tables.objects import nested_rows, read_objects, with_objects_read
from scaling.tables.raw import STEPS, RawTable
from scaling.tables.shapes import contradiction, histories, last_cells, reshaped
from scaling.tables.source import PARQUET_MAGIC, decode, read_bytes
from scaling.tables.totals import check_totals

LOCAL = (";", "\t")
"""Separators of programs that may write decimal commas."""
NOTES = "notes"
"""Attribute of a table read from a file: how it was interpreted, in a few words each."""


@dataclass(frozen=True, kw_only=True)
class RunFile:
    """A run table as it is written, with its numbers.

    Attributes:
        raw: its cells as written.
        converted: its columns with numbers in place of texts.
    """

    raw: RawTable
    converted: Converted

    @property
    def notes(self) -> tuple[str, ...]:
        """How the file was interpreted, in a few words each; empty for plain tables."""
        return (*self.raw.notes, *self.converted.notes)

    @property
    def doubts(self) -> dict[str, str]:
        """Column -> line and why, of the columns whose numbers are ambiguous."""
        return {
            name: f"line {self.raw.lines[row]}: {why}"
            for name, (row, why) in self.converted.doubts.items()
        }

    def frame(self) -> pd.DataFrame:
        """The table, with its lines, notes and doubtful columns in its attributes."""
        frame = pd.DataFrame(self.converted.columns)
        frame.attrs |= {NOTES: list(self.notes), DOUBTS: self.doubts}
        return note_lines(frame, self.raw.lines)

    def histories(self, label: str | None = None) -> list[list[int]] | None:
        """See `scaling.tables.shapes.histories`."""
        return histories(self.raw, self.converted.columns, label)

    def contradiction(
        self, runs: Sequence[Sequence[int]], sizes: Sequence[str], column: str
    ) -> list[int] | None:
        """Two rows of a run with different numbers at one step, size and seed, or None.

        Args:
            runs: rows of each run, as `histories` gives them.
            sizes: columns of the sizes.
            column: column of the numbers.
        """
        step, columns = self.raw.first(STEPS), self.converted.columns
        if step is None or column not in columns:
            return None
        places = [step, *sizes, *(name for name in columns if "seed" in name.lower())]
        numbers = pd.DataFrame({name: columns[name] for name in (*places, column)})
        numbers = numbers.apply(pd.to_numeric, errors="coerce").astype(float)
        return contradiction(runs, numbers[places].to_numpy(), numbers[column].to_numpy())

    def last(self, runs: Sequence[Sequence[int]]) -> RunFile:
        """A row for each run of a history: the last value of each column.

        Args:
            runs: rows of each run, as `histories` gives them.
        """
        chosen = last_cells(self.raw, runs)
        raw, converted = (
            {name: [cells[row] for row in chosen[name]] for name, cells in columns.items()}
            for columns in (self.raw.columns, self.converted.columns)
        )
        lines = [self.raw.lines[rows[-1]] for rows in runs]
        return RunFile(
            raw=replace(self.raw, columns=raw, lines=lines),
            converted=replace(self.converted, columns=converted),
        )


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What the user knows about a file; what is None is recognised by its content.

    Attributes:
        decimal: the decimal sign, "." or ",".
        separator: of the cells of delimited text: a character, or comma, semicolon, tab or bar.
        encoding: of the text, such as cp1252.
    """

    decimal: str | None = None
    separator: str | None = None
    encoding: str | None = None


def read_runs(
    path: str | Path,
    *,
    label: str | None = None,
    decimal: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
) -> pd.DataFrame:
    """Table of runs, or of their checkpoints, from a file in any common format.

    The content of the file, not its name, says what it is: delimited text with a header, JSON
    (objects, lists, runs or columns by name, a `trainer_state.json`), parquet, which needs pyarrow,
    an event file of TensorBoard or a metric file of MLflow; each also packed with gzip, bzip2 or
    xz. Charts of wandb, event files and metric histories of MLflow become one row per run and step;
    the dictionaries `config` and `summary` become columns. Numbers may have decimal commas,
    thousands separators, units (1.3B) or percent signs.

    Args:
        path: the file.
        label: column that names the run of a row, if a table of checkpoints has no usual one.
        decimal: see `Dialect`.
        separator: see `Dialect`.
        encoding: see `Dialect`.

    Returns:
        A row per row of the file. `attrs["notes"]` says how it was interpreted. Errors of a fit of
        this table name a row by its line in the file.

    Raises:
        ValueError: the file is empty or not a table, or can be read in several ways, or steps
            start again and no column names the run; the message names the line and the option that
            decides.
        OSError: the file cannot be read.
    """
    file = open_runs(path, Dialect(decimal=decimal, separator=separator, encoding=encoding))
    file.histories(label)
    return file.frame()


def open_runs(path: str | Path, dialect: Dialect | None = None) -> RunFile:
    """A run table as `read_runs` reads it, with its cells as written.

    Args:
        path: the file.
        dialect: what is known about it.

    Raises:
        ValueError: as `read_runs`.
        OSError: the file cannot be read.
    """
    dialect = dialect or Dialect()
    path = Path(path)
    content = read_bytes(path)
    if content.startswith(PARQUET_MAGIC):
        return _converted(_parquet(path.name, content), dialect.decimal)
    if is_events(content):
        return _converted(reshaped(read_events(path.name, content)), dialect.decimal)
    text, found = decode(path.name, content, dialect.encoding)
    if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        raw = read_objects(path.name, text.lstrip("\ufeff"))
    elif metrics := read_metric_file(path.name, text):
        raw = metrics
    else:
        raw = with_objects_read(read_delimited(path.name, text.lstrip("\ufeff"), dialect.separator))
    if found.startswith("utf-16"):
        raw = replace(raw, notes=("UTF-16", *raw.notes))
    raw = reshaped(raw)
    if not raw.n_rows:
        raise ValueError(f"{path.name} has a header but no rows")
    return _converted(raw, dialect.decimal)


def _converted(raw: RawTable, decimal: str | None) -> RunFile:
    local = raw.separator in LOCAL
    converted = convert(raw.columns, decimal=decimal, local=local)
    check_totals(raw, converted.columns)
    return RunFile(raw=raw, converted=converted)


def _parquet(name: str, content: bytes) -> RawTable:
    frame = _read_parquet(name, io.BytesIO(content)).astype(object)
    if frame.index.names != [None]:
        frame = frame.reset_index()
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"{name}: column {twice!r} appears more than once")
    if frame.empty:
        raise ValueError(f"{name} has a header but no rows")
    rows = frame.where(frame.notna(), None).to_dict("records")
    return nested_rows(name, rows, range(1, len(rows) + 1))  # type: ignore[arg-type]


def read_parquet(path: Path) -> pd.DataFrame:
    """Return the columns of a parquet file.

    Raises:
        ValueError: it is another file, or pyarrow is not installed.
        OSError: the file is missing or cannot be read.
    """
    return _read_parquet(path.name, path)


def _read_parquet(name: str, source: Any) -> pd.DataFrame:
    try:
        return pd.read_parquet(source)
    except ImportError as error:
        raise ValueError("parquet needs pyarrow: pip install 'datawall[parquet]'") from error
    except (FileNotFoundError, PermissionError):
        raise
    except (ValueError, OSError) as error:
        short = " ".join(str(error).split())[:120]
        raise ValueError(f"{name} is not a parquet file: {short}") from error
