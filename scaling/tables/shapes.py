"""Tables without one row per run: charts of wandb, logs of metrics, and histories of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scaling.tables.raw import IDS, LABELS, OF_RUNS, STEPS, RawTable, is_missing

CHARTED = (*STEPS, "Relative Time (Process)", "Relative Time (Wall)", "Wall Time")
BOUNDS = ("__MIN", "__MAX")
"""Ends of the names of the columns of a wandb chart that hold extremes of smoothed values."""
KEYS = ("key", "metric", "tag")
"""Columns that name the metric in a log with one value per row, as of MLflow or TensorBoard."""
AXIS = "step"
HELD_OUT = "validation_loss"
MOST_NAMED = 40


def reshaped(table: RawTable) -> RawTable:
    """The table with one row per step and one column per metric, if it is a chart or a log.

    It may be a chart of wandb, a log with one value per row, or a `metrics.jsonl` of this project.

    Raises:
        ValueError: a log has two different values of one metric at one step of a run.
    """
    return _charted(table) or _keyed(table) or _segmented(table) or table


def _charted(table: RawTable) -> RawTable | None:
    """A chart of wandb, whose columns are "RUN - METRIC", as rows of a run and a step each."""
    axis, *others = table.columns or [""]
    others = [name for name in others if not name.endswith(BOUNDS)]
    if axis not in CHARTED or not others or not all(" - " in name for name in others):
        return None
    runs: dict[str, dict[str, str]] = {}
    for name in others:
        run, _, metric = name.rpartition(" - ")
        runs.setdefault(run, {})[metric] = name
    metrics = list(dict.fromkeys(metric for parts in runs.values() for metric in parts))
    rows = [
        (line, [run, table.columns[axis][at], *cells])
        for run, parts in runs.items()
        for at, line in enumerate(table.lines)
        if not all(
            map(is_missing, cells := [_cell(table, parts.get(metric), at) for metric in metrics])
        )
    ]
    return _table(table, [LABELS[0], axis, *metrics], rows, "columns RUN - METRIC as runs")


def _cell(table: RawTable, column: str | None, row: int) -> Any:
    return None if column is None else table.columns[column][row]


def _keyed(table: RawTable) -> RawTable | None:
    """A log with a metric and its value in each row, as one row per run and step."""
    key = table.first(KEYS)
    if key is None or not table.columns.keys() >= {key, "value", AXIS}:
        return None
    run = run_column(table)
    found: dict[tuple[Any, Any], tuple[int, dict[str, Any]]] = {}
    names = table.columns[key]
    for at, line in enumerate(table.lines):
        place = (_cell(table, run, at), table.columns[AXIS][at])
        _, cells = found.setdefault(place, (line, {}))
        value = table.columns["value"][at]
        if names[at] in cells and cells[names[at]] != value:  # Lightning repeats the epoch
            raise ValueError(
                f"{table.name}, line {line}: {names[at]!r} has another value at step {place[1]} "
                "already; "
                "the file may hold several runs: add a column run_id"
            )
        cells[names[at]] = value
    metrics = list(dict.fromkeys(names))
    rows = [
        (line, [*([label] if run else []), step, *(cells.get(metric) for metric in metrics)])
        for (label, step), (line, cells) in found.items()
    ]
    header = [*([run] if run else []), AXIS, *metrics]
    return _table(table, header, rows, f"the values of {key!r} as columns")


def _segmented(table: RawTable) -> RawTable | None:
    """The losses of a run of this project, a list per row, as one row per step.

    The validation loss of a row is that of its last step; of repeated steps the later row counts.
    If there are validation losses, only the steps that have one become rows: fits take no gaps.
    """
    if not table.columns.keys() >= {"first_step", "loss"}:
        return None
    first, losses = table.columns["first_step"], table.columns["loss"]
    if not all(isinstance(cells, list) for cells in losses):
        return None
    held_out = table.columns.get(HELD_OUT)
    found: dict[int, tuple[int, list[Any]]] = {}
    for at, line in enumerate(table.lines):
        if not isinstance(first[at], int):
            raise ValueError(f"{table.name}, line {line}: first_step must be a whole number")
        for step, loss in enumerate(losses[at], first[at] + 1):
            found[step] = (line, [step, loss, None])
        if held_out is not None and held_out[at] is not None:
            last = first[at] + len(losses[at])
            found.setdefault(last, (line, [last, None, None]))[1][2] = held_out[at]
    rows = [found[step] for step in sorted(found)]
    if held_out is None:
        short = [(line, cells[:2]) for line, cells in rows]
        return _table(table, [AXIS, "loss"], short, "lists of losses as one row per step")
    scored = [(line, cells) for line, cells in rows if cells[2] is not None]
    return _table(
        table, [AXIS, "loss", HELD_OUT], scored, "the steps with a validation loss as rows"
    )


def _table(
    table: RawTable, header: Sequence[str], rows: Sequence[tuple[int, list[Any]]], note: str
) -> RawTable:
    if len(set(header)) < len(header):
        twice = next(name for name in header if list(header).count(name) > 1)
        raise ValueError(f"{table.name}: {twice!r} is the name of both a metric and another column")
    return RawTable(
        name=table.name,
        columns={name: [cells[at] for _, cells in rows] for at, name in enumerate(header)},
        lines=[line for line, _ in rows],
        notes=(*table.notes, note),
        separator=table.separator,
    )


def run_column(table: RawTable) -> str | None:
    """The column that names the run of a row: an id, else a name; None if there is neither."""
    return table.first(IDS) or table.first(LABELS)


def histories(
    table: RawTable, numbers: Mapping[str, Any], label: str | None = None
) -> list[list[int]] | None:
    """Rows of each run of a history in the order of their steps, or None if a row is a run.

    Args:
        table: the table as written.
        numbers: its columns with their numbers.
        label: column that names the run of a row; by default the first of `IDS` and `LABELS`.

    Returns:
        Row numbers of each run, from 0.

    Raises:
        ValueError: steps start again and no column names the run, or it is empty in a row.
    """
    if label is not None and label not in table.columns:
        allowed = ", ".join(sorted(table.columns)[:MOST_NAMED])
        raise ValueError(f"{table.name} has no column {label!r}; it has {allowed}")
    step = table.first(STEPS)
    if step is None or (label is None and (table.of_runs or table.first(OF_RUNS))):
        return None
    steps = np.asarray(numbers[step])
    if steps.dtype.kind not in "if":
        return None
    known = np.flatnonzero(np.isfinite(steps))
    column = label or run_column(table)
    if column is not None:
        labels = table.columns[column]
    elif len(set(steps[known])) < 2:
        return None
    else:
        change = np.diff(steps[known])
        if (change < 0).any() and (change > 0).any():
            row = known[np.flatnonzero(change < 0)[0] + 1]
            raise ValueError(
                f"{table.name}, line {table.lines[row]}: {step} starts again at {steps[row]:g} and "
                "no column names the run of a row; name one that differs between runs with "
                "`--label` (for a fit, `--groups`, or `--checkpoints all` if every row is a run)"
            )
        labels = [step] * table.n_rows
    if any(map(is_missing, set(labels))):
        row = next(row for row, run in enumerate(labels) if is_missing(run))
        raise ValueError(f"{table.name}, line {table.lines[row]}: {column} is empty")
    runs, _ = pd.factorize(np.array(labels, dtype=object), use_na_sentinel=False)
    rows = np.lexsort((np.where(np.isfinite(steps), steps, -np.inf), runs))
    starts = np.flatnonzero(np.diff(runs[rows])) + 1
    return [part.tolist() for part in np.split(rows, starts)]


def contradiction(runs: Sequence[Sequence[int]], places: Any, values: Any) -> list[int] | None:
    """The first two rows of a run that have different values at one place, or None.

    Args:
        runs: rows of each run, in the order of their steps.
        places: step, sizes and seeds of each row (n_rows, n_columns).
        values: number of each row (n_rows,), NaN where it has none.
    """
    for rows in runs:
        known = np.array(rows)[np.isfinite(values[rows])]
        same_place = (np.diff(places[known], axis=0) == 0).all(axis=1)
        found = np.flatnonzero(same_place & (np.diff(values[known]) != 0))
        if len(found):
            return sorted(known[found[0] : found[0] + 2].tolist())
    return None


def last_cells(table: RawTable, runs: Sequence[Sequence[int]]) -> dict[str, list[int]]:
    """Row of the last cell of each run that is not empty, by column (n_runs,).

    Args:
        table: the table.
        runs: rows of each run, in their order.
    """
    return {
        name: [
            next((row for row in reversed(rows) if not is_missing(cells[row])), rows[-1])
            for rows in runs
        ]
        for name, cells in table.columns.items()
    }
