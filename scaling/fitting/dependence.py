"""Rows that are not independent: checkpoints and repeats of one run.

A column that names the run shows them. Without one, a table of checkpoints looks like a grid of
independent runs over sizes and tokens; only correlated residuals of the rows of a size distinguish
the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import fdtrc

from scaling.fitting.table import Table, without_loss
from scaling.laws.laws import Law

Array = NDArray[np.float64]

RUN_COLUMNS = ("run", "run_id", "run_name")
"""Columns that name the run of a row."""
SEED_COLUMNS = ("seed",)
PROGRESS = ("token", "step", "time", "epoch", "flop", "example", "sample", "iter")
"""Parts of the names of columns that grow while a run trains, and so differ between checkpoints."""
ALIKE = 0.002
"""Level of the test for residuals that rows of a series have in common."""


def run_column(data: Any, law: Law, *, x: Any = None, y: Any = "loss") -> str | None:
    """Name of the column by which rows are grouped by default, or None.

    It names the run of each row, several rows are of one run, there is more than one run, and a run
    has one model size: a column in which names cover several sizes names sweeps.

    Args:
        data: the table, as for `fit_law`.
        law: the law.
        x: columns of the law, as for `fit_law`.
        y: loss column, as for `fit_law`; rows without a loss do not count.
    """
    if not isinstance(data, Mapping | pd.DataFrame):
        return None
    frame = data if isinstance(data, pd.DataFrame) else pd.DataFrame(dict(data))
    names = [x] if isinstance(x, str) else list(law.columns if x is None else x)
    if not all(isinstance(name, str) and name in frame for name in names):
        return None
    if isinstance(y, str) and y in frame:
        frame = frame[~without_loss(frame[y])]
    sizes = [name for name in names if not _grows(name)]
    for column in RUN_COLUMNS:
        if column not in frame or column in names or frame[column].isna().any():
            continue
        runs = frame.groupby(column)
        repeated = 1 < runs.ngroups < len(frame)
        if repeated and (runs[sizes].nunique() <= 1).to_numpy().all():
            return column
    return None


def grouped_sentence(column: str, n_runs: int, n_rows: int) -> str:
    """A sentence for a fit whose rows were grouped by the column that `run_column` found.

    Args:
        column: name of the column.
        n_runs: number of different labels in it.
        n_rows: number of fitted rows.
    """
    return (
        f"{n_rows} rows are of {n_runs} runs, as column {column!r} shows: rows of a run count as "
        "one cluster. Pass `groups` to group them by another column."
    )


def dependence_sentence(data: Any, table: Table, law: Law, residuals: Array) -> str:
    """A sentence if ungrouped rows look like checkpoints or repeats of one run, else empty.

    Args:
        data: the table as given to `fit_law`, for its column of seeds, if it has one.
        table: the fitted rows.
        law: the fitted law.
        residuals: residuals of the fit (n_rows,).
    """
    if table.groups is not None:
        return ""
    return _repeated_seeds(data, table, law) or _alike(table, law, residuals)


def _grows(name: str) -> bool:
    return any(part in name.lower() for part in PROGRESS)


def _repeated_seeds(data: Any, table: Table, law: Law) -> str:
    """A sentence if rows agree in all columns of the law and in the seed."""
    if not isinstance(data, pd.DataFrame):
        return ""
    columns = [table.names[role] for role in law.columns]
    for seed in SEED_COLUMNS:
        if seed in data and len(data) == table.n_rows and all(name in data for name in columns):
            repeated = int(data.duplicated([*columns, seed]).sum())
            if repeated:
                return (
                    f"{repeated} row(s) have the {', '.join(columns)} and the {seed} of another "
                    "row. If they are of one run, name the run in `groups`: they then count as one."
                )
    return ""


def _alike(table: Table, law: Law, residuals: Array) -> str:
    """A sentence if the residuals of rows that differ only in tokens or steps are correlated.

    One-way analysis of variance of the ranks of the residuals, which outliers do not distort. A fit
    makes residuals of independent rows slightly unlike, so false alarms are rarer than the level.

    Source:
        Conover and Iman 1981, The American Statistician 35.
    """
    growing = [role for role in law.columns if _grows(table.names[role])]
    others = [role for role in law.columns if role not in growing]
    if not growing or not others:
        return ""
    kept = np.stack([table.columns[role] for role in others])
    series = np.unique(kept, axis=1, return_inverse=True)[1].ravel()
    counts = np.bincount(series)
    if len(counts) < 3 or counts.max() < 3:
        return ""
    n_rows, n_series = len(residuals), len(counts)
    ranks = np.argsort(np.argsort(residuals)).astype(float)
    ranks -= ranks.mean()
    total = float((ranks**2).sum())
    between = float((np.bincount(series, ranks) ** 2 / counts).sum())
    spare = n_rows - n_series
    ratio = between / (n_series - 1) / ((total - between) / spare) if total > between else np.inf
    if spare <= 0 or fdtrc(n_series - 1, spare, ratio) >= ALIKE:
        return ""
    pairs = float((counts * (counts - 1)).sum())
    shared = float((np.bincount(series, ranks) ** 2).sum())
    correlation = (shared - total) / (pairs * total / n_rows)
    shown = ", ".join(table.names[role] for role in others)
    return (
        f"Residuals of rows with the same {shown} are alike (correlation {correlation:.2f}). If "
        "these rows are checkpoints of one run, name the run in `groups`; if they are separate "
        "runs, the law misses these sizes. Either way the intervals are too narrow."
    )
