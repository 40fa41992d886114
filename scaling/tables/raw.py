"""The cells of a file as they are written, before text is taken for numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STEPS = ("_step", "Step", "step", "global_step", "trainer/global_step", "train/global_step")
"""Columns that count the training steps of a history."""
IDS = ("run_id", "Run ID", "id", "ID")
LABELS = ("Name", "name", "run_name", "run", *IDS)
"""Columns that name a run."""
STATES = ("State", "state", "Status", "status")
OF_RUNS = ("State", "state", "Created", "createdAt", "Start Time", "start_time", "Run ID")
"""Columns that occur only in tables with one row per run."""


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """Cells of a file by column, as written.

    Attributes:
        name: name of the file.
        columns: column -> cells (n_rows,): text, or values of JSON or parquet; None where a row
            has none.
        lines: line of the file on which each row starts, from 1 (n_rows,).
        notes: how the file was interpreted, in a few words each.
        separator: of the cells of a delimited text, else None.
        of_runs: whether every row is known to be a run, not a checkpoint.
    """

    name: str
    columns: dict[str, list[Any]]
    lines: Sequence[int]
    notes: tuple[str, ...] = ()
    separator: str | None = None
    of_runs: bool = False

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def first(self, names: Sequence[str]) -> str | None:
        """The first of some names that is a column, or None."""
        return next((name for name in names if name in self.columns), None)


def is_missing(cell: Any) -> bool:
    """Whether a cell is empty."""
    return cell is None or (isinstance(cell, str) and not cell.strip())
