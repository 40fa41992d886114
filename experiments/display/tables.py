"""Frames as tables of a terminal and of a notebook."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from scaling.results import markup

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MOST_ROWS = 30


def print_table(frame: pd.DataFrame, *, title: str, over: str = "corpus") -> None:
    """Print a data frame to stdout, as wide as the terminal allows.

    Args:
        frame: the rows.
        title: title of the table.
        over: column of texts that is printed above its rows if the table would break words.
    """
    from rich.console import Console

    console = Console()
    table = _table(frame, console, title=title)
    unbroken = console.measure(table, options=console.options.update_width(10_000)).minimum
    if over not in frame.columns or unbroken <= console.width:
        console.print(table)
        return
    beside = frame.drop(columns=over)
    widths = {str(name): max(map(len, map(cell_text, cells))) for name, cells in beside.items()}
    console.print(_table(beside.head(0), console, title=title, widths=widths))
    for text, rows in beside.groupby(frame[over], sort=False):
        console.print(str(text), style="bold", markup=False, highlight=False)
        console.print(_table(rows, console, widths=widths))


def _table(
    frame: pd.DataFrame,
    console: Console,
    *,
    title: str | None = None,
    widths: Mapping[str, int] | None = None,
) -> Table:
    """Return a table; one without a title continues another with the same widths."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False,
        show_header=title is not None, padding=(0, 1, 0, 0) if console.width > 80 else 0,
    )  # fmt: skip
    for column in map(str, frame.columns):
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        width = max(len(column), widths[column]) if widths and numeric else None
        table.add_column(
            column,
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric,
            min_width=width,
        )
    for row in frame.itertuples(index=False):
        table.add_row(*map(cell_text, row))
    return table


def cell_text(value: object) -> str:
    """Return a value as text, NaN as an empty cell."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return str(value)


def frame_table(frame: pd.DataFrame) -> str:
    """Return the first rows of a frame as an HTML table, with the numbers of `print_table`."""
    rows = [[*map(cell_text, row)] for row in frame.head(MOST_ROWS).itertuples(index=False)]
    return markup.table([str(column) for column in frame.columns], rows)


def text_table(frame: pd.DataFrame) -> str:
    """Return every row of a frame of texts as an HTML table."""
    return markup.table([str(column) for column in frame.columns], frame.astype(str).to_numpy())
