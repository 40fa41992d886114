"""Rows that a spreadsheet adds below a table: sums and means of the rows above."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scaling.tables.raw import RawTable, is_missing

WORDS = frozenset(
    {"average", "avg", "durchschnitt", "gesamt", "grand total", "mean", "mittelwert", "moyenne"}
    | {"somme", "sum", "summe", "total", "totals"}
)
"""Labels of such rows, in lower case."""
KINDS = ("sums", "means")
FEWEST_ABOVE = 3
ROUNDED, EXACT = 1e-3, 1e-9
"""Relative tolerances of a row whose label is such a word or empty, and of any other."""


def check_totals(table: RawTable, numbers: Mapping[str, Any]) -> None:
    """Refuse a delimited table whose last row holds the sums or the means of the rows above.

    All columns that vary must agree; without a label such as Total, at least two, without gaps.

    Args:
        table: the table as written.
        numbers: its columns with their numbers (n_rows,).

    Raises:
        ValueError: the last row is such a row; the message names its line.
    """
    if table.separator is None or table.n_rows <= FEWEST_ABOVE:
        return
    labels = [cells for cells in numbers.values() if isinstance(cells, list)]
    is_named = any(str(cells[-1]).strip().casefold() in WORDS for cells in labels)
    tolerance = ROUNDED if is_named or any(map(_only_last_is_empty, labels)) else EXACT
    n_columns, agreeing = 0, dict.fromkeys(KINDS, 0)
    for cells in numbers.values():
        if not isinstance(cells, np.ndarray) or cells.dtype.kind not in "if":
            continue
        above, last = cells[:-1][np.isfinite(cells[:-1])].astype(float), cells[-1]
        if len(above) < FEWEST_ABOVE or above.min() == above.max():
            continue
        if is_named and not np.isfinite(last):
            continue
        n_columns += 1
        for kind, computed in zip(KINDS, (above.sum(), above.mean()), strict=True):
            agreeing[kind] += bool(np.isclose(last, computed, rtol=tolerance, atol=0))
    for kind, count in agreeing.items():
        if count == n_columns >= 2 - is_named:
            raise ValueError(
                f"{table.name}, line {table.lines[-1]}: this row holds the {kind} of the rows above"
                "; delete it"
            )


def _only_last_is_empty(cells: list[Any]) -> bool:
    return is_missing(cells[-1]) and not any(map(is_missing, cells[:-1]))
