"""What the commands on a table of runs share: timing, figures, files, sizes and printed tables."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from experiments.cli.laws.rows import best_of_size, rows_where
from experiments.cli.output import finite, print_notes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from experiments.cli.options import TableOptions

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


def read_table(path: Path, options: TableOptions, x: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a run table to use; stderr shows how it was interpreted.

    Args:
        path: the file.
        options: what the table leaves open.
        x: columns of the variables; role=column names one too.

    Returns:
        The columns of the file, as `scaling.read_runs` reads them.

    Raises:
        ValueError: the table cannot be read, or it holds several checkpoints of runs at one x or
            two losses of a run at one step.
    """
    from scaling.files import open_runs

    file = open_runs(path, options.dialect())
    runs = [] if options.checkpoints == "all" else file.histories(options.groups) or []
    print_notes(path, file.notes)
    if options.checkpoints == "last":
        if not runs:
            raise ValueError(f"{path.name} holds no histories: no column counts the steps of a run")
        file, runs = file.last(runs), []
    frame = file.frame()
    sizes = [name for name in (word.rpartition("=")[2] for word in x) if name in frame]
    repeated = next((rows for rows in runs if len(rows) > 1), None)
    varies = any((frame[sizes].iloc[rows].nunique() > 1).any() for rows in runs)
    if options.checkpoints is None and repeated and sizes and not varies:
        lines = [file.raw.lines[row] for row in repeated]
        raise ValueError(
            f"{path.name}, lines {min(lines)} to {max(lines)}: {len(lines)} checkpoints of a run "
            f"have the same {', '.join(sizes)}; use the last of each run (`--checkpoints last`) or "
            "every row (`--checkpoints all`)"
        )
    if options.checkpoints is None and (rows := file.contradiction(runs, sizes, options.y)):
        first, second = (file.raw.lines[row] for row in rows)
        raise ValueError(
            f"{path.name}, line {second}: the run has another {options.y} at this step in line "
            f"{first}; delete the rows that a resumed run replaced, name what differs between runs "
            "(`--groups`), or use every row (`--checkpoints all`)"
        )
    frame = rows_where(frame, options.where)
    return best_of_size(frame, sizes, options.y) if options.best_of_size else frame


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


SAME = (
    *("x", "y", "where", "checkpoints", "best_of_size", "groups", "unique_tokens"),
    *("decimal", "separator", "encoding"),
)
"""Options that say how a table is read; the next command needs them too."""


def print_next(command: str, options: Any, of_command: type, *words: str) -> None:
    """Print a command that may follow to stdout, with the table and columns of this one.

    Args:
        command: its name.
        options: the parsed command that ran; it has a `table`.
        of_command: dataclass of the command that may follow; it gets the options that it has.
        words: further words of the command line.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(of_command)}
    line = ["datawall", command, str(options.table)]
    for name in SAME:
        value = getattr(options, name, None)
        if name in defaults and value not in (None, (), False, defaults[name]):
            line.append(f"--{name.replace('_', '-')}")
            line += [] if value is True else [value] if isinstance(value, str) else value
    print_lines([f"next: {shlex.join([*line, *words])}"], style="dim")


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
