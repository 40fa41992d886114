"""Rows for a fit: columns taken from a frame, a mapping or arrays, and checked one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.laws.laws import Law
from scaling.tables.numerals import NO_NUMBER

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Checked rows.

    Attributes:
        columns: column of the law -> values (n_rows,).
        y: observed losses (n_rows,).
        weights: row weights (n_rows,).
        groups: cluster number of each row (n_rows,), or None.
        names: column of the law -> the caller's name of it.
        y_name: the caller's name of the loss column.
        warnings: problems that do not prevent a fit, one sentence each.
        excluded: reason -> number of rows excluded because they have no loss.
    """

    columns: dict[str, Array]
    y: Array
    weights: Array
    groups: NDArray[np.int64] | None
    names: dict[str, str]
    y_name: str
    warnings: tuple[str, ...] = ()
    excluded: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.y)

    @cached_property
    def scales(self) -> NDArray[np.int64]:
        """Number of the distinct scale (combination of columns) of each row, (n_rows,)."""
        design = np.stack(list(self.columns.values()), axis=1)
        return np.unique(design, axis=0, return_inverse=True)[1].ravel()

    def rows(self, chosen: NDArray[Any]) -> Table:
        """Table of some of the rows, given by indices or a mask."""
        return Table(
            columns={name: values[chosen] for name, values in self.columns.items()},
            y=self.y[chosen],
            weights=self.weights[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            names=self.names,
            y_name=self.y_name,
            warnings=self.warnings,
            excluded=self.excluded,
        )


def read_table(
    data: Any,
    law: Law,
    *,
    x: Any = None,
    y: Any = "loss",
    weights: Any = None,
    groups: Any = None,
    log: bool = True,
    leave_out: bool = False,
) -> Table:
    """Checked rows of a table, with the columns that a law reads.

    Args:
        data: a DataFrame, a mapping of columns, or None if x and y are arrays.
        law: the law whose columns are read.
        x: names of the columns in the order of the law, or arrays: (n_rows,), (n_rows, n_columns)
            or a list of arrays.
        y: name of the loss column, or an array (n_rows,).
        weights: name or array (n_rows,) of row weights.
        groups: name or array (n_rows,) of cluster labels.
        log: whether the loss takes logarithms, so that y must be positive.
        leave_out: whether to exclude rows whose loss is missing or infinite (diverged runs), with
            a warning that lists the reasons in the column `reason` or `status` of the table.
            Otherwise such rows raise an error.

    Raises:
        ValueError: a column is missing, is not numeric, is not finite or holds a size that is not
            positive; the message names the column and the row.
    """
    frame = _frame(data)
    y_name = y if isinstance(y, str) else "loss"
    given = _take(frame, y, y_name, "y")
    without = without_loss(given) if leave_out else None
    names, columns = law_columns(frame, law, x, ignored=without)
    observed = numbers(given, y_name, positive=log, ignored=without)
    if len(observed) == 0:
        raise ValueError("the table has no rows")
    for name, values in columns.items():
        if len(values) != len(observed):
            raise ValueError(
                f"column {names[name]!r} has {len(values)} rows but {y_name!r} has {len(observed)}"
            )
    row_weights, labels = _weights(frame, weights, len(observed), without), None
    if groups is not None:
        label = groups if isinstance(groups, str) else "groups"
        labels = pd.factorize(pd.Series(np.asarray(_take(frame, groups, label, "groups"))))[0]
        if len(labels) != len(observed):
            raise ValueError(f"{label!r} has {len(labels)} rows but {y_name!r} {len(observed)}")
        bad = labels < 0 if without is None else (labels < 0) & ~without
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(f"column {label!r}, {row_name(frame, row)}: the group is missing")
    table = Table(
        columns=columns,
        y=observed,
        weights=row_weights,
        groups=None if labels is None else labels.astype(np.int64),
        names=names,
        y_name=y_name,
    )
    if without is not None and without.any():
        table = _left_out(table, without, frame)
    warnings = (*table.warnings, *_duplicates(table.columns, table.y))
    return replace(table, warnings=warnings)


def without_loss(given: Any) -> NDArray[np.bool_]:
    """Whether each row lacks a loss, shape (n_rows,): missing, infinite, or such a word.

    Other text is an error later.
    """
    series = pd.Series(np.asarray(given).ravel() if not isinstance(given, pd.Series) else given)
    missing = series.isna().to_numpy(dtype=bool)
    words = series.map(lambda value: isinstance(value, str) and value.strip().lower() in NO_NUMBER)
    numeric = pd.to_numeric(series, errors="coerce").to_numpy(float, na_value=0.0)
    return missing | words.to_numpy(dtype=bool) | np.isinf(numeric)


def _left_out(table: Table, without: NDArray[np.bool_], frame: pd.DataFrame | None) -> Table:
    """Table without some rows, with a warning that gives their number and the reasons."""
    if without.all():
        raise ValueError(f"no row has a {table.y_name}")
    reasons = _reasons(frame, without)
    excluded = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    shown = "; ".join(
        f"{count} x {reason}" for reason, count in list(excluded.items())[:MOST_REASONS]
    )
    more = f"; and {len(excluded) - MOST_REASONS} more" if len(excluded) > MOST_REASONS else ""
    kept = table.rows(~without)
    groups = None if kept.groups is None else np.unique(kept.groups, return_inverse=True)[1]
    warning = (
        f"{int(without.sum())} of {len(without)} rows have no {table.y_name} and are left out: "
        f"{shown}{more}."
    )
    return replace(kept, groups=groups, excluded=excluded, warnings=(warning,))


def _reasons(frame: pd.DataFrame | None, without: NDArray[np.bool_]) -> list[str]:
    """Why each of these rows has no loss, if a column of the table gives the reason."""
    found = [NO_REASON] * int(without.sum())
    for name in ("status", "reason"):
        if frame is not None and name in frame.columns:
            stated = frame[name].to_numpy()[without]
            found = [
                text if isinstance(text, str) and text else before
                for text, before in zip(stated, found, strict=True)
            ]
    return found


NO_REASON = "no reason given"
MOST_REASONS = 3


def law_columns(
    frame: pd.DataFrame | None, law: Law, x: Any, *, ignored: NDArray[np.bool_] | None = None
) -> tuple[dict[str, str], dict]:
    """The caller's name and the checked values of each column of a law.

    Args:
        frame: the table, or None if `x` holds arrays.
        law: the law.
        x: names or arrays of the columns in the order of the law; see `read_table`.
        ignored: rows that are not checked and come out as 1, shape (n_rows,).

    Returns:
        Column of the law -> the caller's name, and column of the law -> values (n_rows,).

    Raises:
        ValueError: a column is missing or holds bad values; the message names column and row.
    """
    given = _split(frame, law, x)
    names, columns = {}, {}
    for role, source in zip(law.columns, given, strict=True):
        label = source if isinstance(source, str) else role
        taken, positive = _take(frame, source, label, "x"), role not in law.flags
        values = numbers(taken, label, positive=positive, ignored=ignored)
        names[role], columns[role] = label, values
        if role in law.flags and not np.isin(values, (0.0, 1.0)).all():
            row = int(np.flatnonzero(~np.isin(values, (0.0, 1.0)))[0])
            where = row_name(taken, row)
            raise ValueError(f"column {label!r}, {where}: must be 0 or 1, not {values[row]:g}")
    return names, columns


def _frame(data: Any) -> pd.DataFrame | None:
    if data is None or isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Mapping):
        return pd.DataFrame({str(name): np.asarray(values) for name, values in data.items()})
    raise TypeError(f"`data` must be a DataFrame, a mapping of columns or None; not {type(data)}")


def _split(frame: pd.DataFrame | None, law: Law, x: Any) -> list[Any]:
    """One column name or array per column of the law."""
    wanted = len(law.columns)
    if x is None:
        if frame is None:
            raise ValueError("`x` is needed: column names, or arrays when no table is given")
        return list(law.columns)
    if isinstance(x, str):
        given: list[Any] = [x]
    elif isinstance(x, np.ndarray):
        given = [x] if x.ndim == 1 else list(x.T)
    elif isinstance(x, pd.Series):
        given = [x.to_numpy()]
    elif isinstance(x, pd.DataFrame):
        given = [x[name].to_numpy() for name in x.columns]
    elif isinstance(x, Sequence) and len(x) and isinstance(x[0], int | float):
        given = [np.asarray(x)]
    else:
        given = list(x)
    if len(given) != wanted:
        raise ValueError(
            f"law {law.name!r} reads {wanted} column(s), {', '.join(law.columns)}; "
            f"`x` gives {len(given)}"
        )
    return given


def _take(frame: pd.DataFrame | None, source: Any, label: str, argument: str) -> Any:
    if not isinstance(source, str):
        return source
    if frame is None:
        raise ValueError(f"`{argument}` names column {source!r} but no table is given")
    check_columns(frame, source)
    found = frame[source]
    if isinstance(found, pd.DataFrame):
        raise ValueError(f"column {source!r} appears more than once in the table")
    return found


def check_columns(frame: pd.DataFrame, *names: str) -> None:
    """Raise a ValueError if a column is missing; the message lists those of the table."""
    for name in names:
        if name not in frame.columns:
            allowed = ", ".join(repr(str(column)) for column in frame.columns[:30]) or "no columns"
            remedy = "; name that of the loss with `y`" if name == "loss" else ""
            raise ValueError(f"column {name!r} is missing; the table has {allowed}{remedy}")


def numbers(
    values: Any, label: str, *, positive: bool, ignored: NDArray[np.bool_] | None = None
) -> Array:
    """Values of a column as finite floats, shape (n_rows,).

    Args:
        values: the column, an array or Series.
        label: its name in error messages.
        positive: whether the values must be above 0.
        ignored: rows that are not checked and come out as 1, shape (n_rows,).

    Raises:
        ValueError: a value is text, missing, infinite, or not positive if it has to be; the
            message names the column and the first such row.
    """
    series = values if isinstance(values, pd.Series) else pd.Series(np.asarray(values).ravel())
    if doubt := series.attrs.get(DOUBTS, {}).get(label):
        raise ValueError(f"column {label!r}, {doubt}")
    if series.dtype == bool or (series.dtype == object and _holds_switches(series)):
        raise ValueError(f"column {label!r} must hold numbers, not true or false")
    if pd.api.types.is_complex_dtype(series.dtype):
        raise ValueError(f"column {label!r} must hold real numbers, not complex ones")
    array = pd.to_numeric(series, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    if ignored is not None and len(ignored) == len(array):
        array = np.where(ignored, 1.0, array)
    bad = ~np.isfinite(array)
    if positive:
        bad |= ~(array > 0)
        bad |= (array < SMALLEST_SIZE) | (array > LARGEST_SIZE)
    else:
        bad |= np.abs(array) > LARGEST_SIZE
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        allowed = "a finite number above 0" if positive else "a finite number"
        more = f" ({int(bad.sum())} such rows)" if bad.sum() > 1 else ""
        raise ValueError(
            f"column {label!r}, {row_name(values, row)}: {_shown(series.iloc[row])} is not "
            f"{allowed} (between {SMALLEST_SIZE if positive else -LARGEST_SIZE:g} and "
            f"{LARGEST_SIZE:g}){more}"
        )
    return np.ascontiguousarray(array)


def _holds_switches(series: pd.Series) -> bool:
    return any(isinstance(value, bool | np.bool_) for value in series)


SMALLEST_SIZE = 1e-30
LARGEST_SIZE = 1e40


def row_name(data: Any, position: int) -> str:
    """A row as error messages name it: the line of the file it was read from, or its position.

    `read_runs` notes in the attributes of its table on which line each row stands. Rows keep their
    labels where others are left out, so that the line remains known; a table with new labels has
    positions only.

    Args:
        data: the table or column, with or without such attributes.
        position: position of the row, from 0.
    """
    noted = getattr(data, "attrs", {}).get(LINES)
    label = None if noted is None else data.index[position]
    if noted is None or not isinstance(label, int | np.integer):
        return f"row {position}"
    n_rows = noted["n_rows"]
    renumbered = len(data) < n_rows and data.index.equals(pd.RangeIndex(len(data)))
    if renumbered or not 0 <= label < n_rows:
        return f"row {position}"
    row, line = [start for start in noted["starts"] if start[0] <= label][-1]
    return f"line {line + int(label) - row}"


DOUBTS = "doubts"
"""Attribute of a table read from a file: column -> why its numbers are ambiguous."""
LINES = "lines"
"""Attribute of a table read from a file: `n_rows`, and `starts`, pairs of a row and its line from
which on there is a line a row."""


def note_lines(frame: pd.DataFrame, lines: Sequence[int]) -> pd.DataFrame:
    """The table with the line of each row (n_rows,) in its attributes, for `row_name`.

    Args:
        frame: the table as read from a file, its rows numbered from 0.
        lines: line of the file on which each row stands, from 1.
    """
    if isinstance(lines, range):  # faster than a number at a time
        places = np.arange(lines.start, lines.stop, lines.step)
    else:
        places = np.array(lines, dtype=int)
    shift = places - np.arange(len(lines))
    first = np.flatnonzero(np.diff(shift, prepend=shift[:1] - 1))
    frame.attrs[LINES] = {
        "n_rows": len(frame),
        "starts": [[int(row), int(lines[int(row)])] for row in first],
    }
    return frame


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _weights(
    frame: pd.DataFrame | None,
    weights: Any,
    n_rows: int,
    ignored: NDArray[np.bool_] | None,
) -> Array:
    if weights is None:
        return np.ones(n_rows)
    label = weights if isinstance(weights, str) else "weights"
    taken = _take(frame, weights, label, "weights")
    if np.asarray(taken).dtype == bool:  # the rows that count
        taken = np.asarray(taken, dtype=float)
    array = numbers(taken, label, positive=False, ignored=ignored)
    if len(array) != n_rows:
        raise ValueError(f"{label!r} has {len(array)} rows but the table has {n_rows}")
    if (array < 0).any():
        row = int(np.flatnonzero(array < 0)[0])
        where = row_name(taken, row)
        raise ValueError(f"column {label!r}, {where}: weight {array[row]:g} is negative")
    if not array[slice(None) if ignored is None else ~ignored].sum() > 0:
        raise ValueError(f"column {label!r}: at least one weight must be above 0")
    return array


def _duplicates(columns: dict[str, Array], y: Array) -> tuple[str, ...]:
    rows = np.stack([*columns.values(), y], axis=1)
    repeated = len(rows) - len(np.unique(rows, axis=0))
    if repeated == 0:
        return ()
    return (
        f"{repeated} row(s) repeat another row exactly; they count twice. If they are copies, "
        "drop them; if they are checkpoints of one run, name the run in `groups`.",
    )
