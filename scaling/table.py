"""Rows for a fit: columns taken from a frame, a mapping or arrays, and checked one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.laws import Law

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Checked rows.

    Attributes:
        columns: the law's columns, each an array (n,).
        y: observed losses (n,).
        weights: row weights (n,), scaled to mean one.
        groups: cluster number of each row (n,), or None.
        names: the caller's name of each column of the law.
        y_name: the caller's name of the loss column.
        warnings: soft trouble, one sentence each.
    """

    columns: dict[str, Array]
    y: Array
    weights: Array
    groups: NDArray[np.int64] | None
    names: dict[str, str]
    y_name: str
    warnings: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.y)

    def rows(self, chosen: NDArray[Any]) -> Table:
        """The table of some rows (indices or a mask)."""
        return Table(
            columns={name: values[chosen] for name, values in self.columns.items()},
            y=self.y[chosen],
            weights=self.weights[chosen],
            groups=None if self.groups is None else self.groups[chosen],
            names=self.names,
            y_name=self.y_name,
            warnings=self.warnings,
        )

    def joined(self, new: dict[str, Array]) -> Table:
        """The table with rows added at new sizes, of weight 0 and loss 1."""
        count = len(next(iter(new.values())))
        return Table(
            columns={n: np.concatenate([v, new[n]]) for n, v in self.columns.items()},
            y=np.concatenate([self.y, np.ones(count)]),
            weights=np.concatenate([self.weights, np.zeros(count)]),
            groups=None,
            names=self.names,
            y_name=self.y_name,
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
) -> Table:
    """The rows of `data` that `law` needs, checked.

    Args:
        data: a DataFrame, a mapping of columns, or None when x and y are arrays.
        law: the law whose columns are wanted.
        x: name(s) of the columns in the law's order, or arrays: (n,), (n, columns) or a list.
        y: name of the loss column, or an array (n,).
        weights: name or array of row weights.
        groups: name or array of cluster labels.
        log: whether the loss takes logarithms, so that y must be positive.

    Raises:
        ValueError: a column is missing, is not numeric, is not finite or holds a size that is not
            positive; the sentence names the column and the row.
    """
    frame = _frame(data)
    names, columns = law_columns(frame, law, x)
    y_name = y if isinstance(y, str) else "loss"
    observed = numbers(_take(frame, y, y_name, "y"), y_name, positive=log)
    if len(observed) == 0:
        raise ValueError("the table has no rows")
    for name, values in columns.items():
        if len(values) != len(observed):
            raise ValueError(
                f"column {names[name]!r} has {len(values)} rows but {y_name!r} has {len(observed)}"
            )
    row_weights, labels = _weights(frame, weights, len(observed)), None
    if groups is not None:
        label = groups if isinstance(groups, str) else "groups"
        labels = pd.factorize(pd.Series(np.asarray(_take(frame, groups, label, "groups"))))[0]
        if len(labels) != len(observed):
            raise ValueError(f"{label!r} has {len(labels)} rows but {y_name!r} {len(observed)}")
        if (labels < 0).any():
            row = int(np.flatnonzero(labels < 0)[0])
            raise ValueError(f"column {label!r}, row {row}: the group is missing")
    return Table(
        columns=columns,
        y=observed,
        weights=row_weights,
        groups=None if labels is None else labels.astype(np.int64),
        names=names,
        y_name=y_name,
        warnings=_duplicates(columns, observed),
    )


def law_columns(frame: pd.DataFrame | None, law: Law, x: Any) -> tuple[dict[str, str], dict]:
    """The law's columns as checked arrays, with the caller's name of each."""
    given = _split(frame, law, x)
    names, columns = {}, {}
    for role, source in zip(law.columns, given, strict=True):
        label = source if isinstance(source, str) else role
        values = numbers(_take(frame, source, label, "x"), label, positive=role not in law.flags)
        names[role], columns[role] = label, values
        if role in law.flags and not np.isin(values, (0.0, 1.0)).all():
            row = int(np.flatnonzero(~np.isin(values, (0.0, 1.0)))[0])
            raise ValueError(f"column {label!r}, row {row}: must be 0 or 1, not {values[row]:g}")
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
    if source not in frame.columns:
        allowed = ", ".join(repr(str(name)) for name in frame.columns[:30])
        raise ValueError(f"column {source!r} is missing; the table has {allowed or 'no columns'}")
    found = frame[source]
    if isinstance(found, pd.DataFrame):
        raise ValueError(f"column {source!r} appears more than once in the table")
    return found


def numbers(values: Any, label: str, *, positive: bool) -> Array:
    """`values` as finite floats; the first bad row is named.

    Raises:
        ValueError: text, missing, infinite, or not positive where that is needed.
    """
    series = pd.Series(np.asarray(values).ravel() if not isinstance(values, pd.Series) else values)
    if series.dtype == bool:
        series = series.astype(float)
    if pd.api.types.is_complex_dtype(series.dtype):
        raise ValueError(f"column {label!r} must hold real numbers; not complex ones")
    array = pd.to_numeric(series, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
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
            f"column {label!r}, row {row}: {_shown(series.iloc[row])} is not {allowed} "
            f"(between {SMALLEST_SIZE if positive else -LARGEST_SIZE:g} and {LARGEST_SIZE:g}){more}"
        )
    return np.ascontiguousarray(array)


SMALLEST_SIZE = 1e-30
LARGEST_SIZE = 1e40


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _weights(frame: pd.DataFrame | None, weights: Any, n_rows: int) -> Array:
    if weights is None:
        return np.ones(n_rows)
    label = weights if isinstance(weights, str) else "weights"
    array = numbers(_take(frame, weights, label, "weights"), label, positive=False)
    if len(array) != n_rows:
        raise ValueError(f"{label!r} has {len(array)} rows but the table has {n_rows}")
    if (array < 0).any():
        row = int(np.flatnonzero(array < 0)[0])
        raise ValueError(f"column {label!r}, row {row}: weight {array[row]:g} is negative")
    if not array.sum() > 0:
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
