"""What the commands on a table of runs share: timing, figures, files, sizes and printed tables."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from experiments.cli.output import finite

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Result = TypeVar("Result")


def timed(what: str, work: Callable[[], Result]) -> Result:
    """Return the result of a function; on a terminal, stderr shows the elapsed time meanwhile."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn(what), TimeElapsedColumn())
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        progress.add_task(what, total=None)
        return work()


def save_figure(plot: Path | None, draw: Callable[[Axes], Any], numbers: pd.DataFrame) -> None:
    """Write a figure, and its numbers as a CSV file beside it.

    Args:
        plot: file of the figure, or None to write nothing.
        draw: draws on axes.
        numbers: the plotted numbers, columns as drawn.
    """
    if plot is None:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6.0, 4.0), layout="constrained")
    draw(ax)
    figure.savefig(plot, dpi=150)
    plt.close(figure)
    numbers.to_csv(plot.with_suffix(".csv"), index=False)


def save_json(out: Path | None, value: Any) -> None:
    """Write a result as JSON, without NaN; None for `out` writes nothing."""
    if out is not None:
        text = json.dumps(finite(value), indent=1, allow_nan=False)
        out.write_text(text + "\n", encoding="utf-8")


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of text cells to stdout, the first column to the left, others to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_edge=False, pad_edge=False)
    for place, title in enumerate(header):
        table.add_column(title, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console = Console(highlight=False)
    console.width = max(console.width, Console(width=1000).measure(table).maximum)
    console.print(table, crop=False)


def print_lines(lines: Iterable[str], style: str = "") -> None:
    """Print sentences to stdout, a line each."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        console.print(line, style=style or None, markup=False)


def read_sizes(words: Sequence[str], roles: Mapping[str, str]) -> pd.DataFrame:
    """Sizes at which to predict, a row each, from words or from a file.

    Args:
        words: "column=value" pairs, such as n_params=7B; a name that is repeated has several
            values, and all combinations are used. A single word without "=" is a table to read.
        roles: role -> column; either is accepted as a name.

    Returns:
        A table with the columns of `roles`.

    Raises:
        ValueError: a word has another form, a name is unknown, or a column has no value.
    """
    import pandas as pd

    from experiments.display.quantities import parse_quantity
    from scaling import read_runs

    named = {**{column: column for column in roles.values()}, **roles}
    if len(words) == 1 and "=" not in words[0]:
        return read_runs(words[0]).rename(columns=dict(roles))
    values: dict[str, list[float]] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign or name not in named:
            raise ValueError(
                f"`--at` takes column=value, such as {next(iter(roles.values()))}=1B, with one of "
                f"the columns {', '.join(roles.values())}, or one file; not {word!r}"
            )
        values.setdefault(named[name], []).append(parse_quantity(text, name=f"--at {name}"))
    missing = [column for column in roles.values() if column not in values]
    if missing:
        raise ValueError(f"`--at` gives no value of {', '.join(missing)}")
    rows = itertools.product(*values.values())
    return pd.DataFrame(list(rows), columns=list(values))
