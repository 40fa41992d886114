"""Commands that fit a table of runs: `fit` a scaling law, `limit` the joint limit of ensembles."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro

from experiments.cli.options import FitOptions, readable

if TYPE_CHECKING:
    from scaling import FitResult, LimitResult

Result = TypeVar("Result")


@readable
@dataclass(frozen=True, kw_only=True)
class Fit(FitOptions):
    """Fit a scaling law to a table of runs and print parameters, intervals and warnings."""

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines or parquet, one row a run; exports of wandb are read as they are."""
    law: str = "power"
    """The law: power, chinchilla, tied_chinchilla, data_constrained, overfitting, ensemble,
    shifted_power, saturating_power, bounded, broken_power, learning_curves or
    mixture_of_exponentials."""
    x: tuple[str, ...] = ()
    """Columns of the law, in its order; its own names by default."""

    def run(self) -> int:
        """Fit, print, draw and save."""
        from scaling import fit_law, read_runs

        fixed = parse_fixed(self.fixed)
        check_outputs(self.table, self.plot, self.out)
        frame = read_runs(self.table)
        fit = timed(
            f"fitting {self.law} to {len(frame):,} rows",
            lambda: fit_law(
                frame,
                self.law,
                x=list(self.x) or None,
                y=self.y,
                loss=self.loss,
                delta=self.delta,
                n_boot=self.n_boot,
                resample=self.resample,
                groups=self.groups,
                weights=self.weights,
                fixed=fixed,
                seed=self.seed,
            ),
        )
        save_fit(fit, self.plot, self.out)
        if self.json:
            print_json(fit.to_dict())
        else:
            print_fit(fit)
        return 0


def parse_fixed(pairs: tuple[str, ...]) -> dict[str, float | None]:
    """`name=value` pairs as a mapping; `name=free` maps to None.

    Raises:
        ValueError: a pair of another form.
    """
    fixed: dict[str, float | None] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            fixed[name] = None if text == "free" else float(text)
        except ValueError:
            raise ValueError(f"`--fixed` takes name=number or name=free; not {pair!r}") from None
    return fixed


def check_outputs(table: Path, plot: Path | None, out: Path | None) -> None:
    """Refuse outputs that could not be written, before the work is done.

    Raises:
        ValueError: the folder is missing or may not be written, the figure's suffix is unknown, or
            the table of runs would be overwritten (a figure has its numbers as CSV beside it).
    """
    beside = None if plot is None else plot.with_suffix(".csv")
    for path in (plot, out, beside):
        if path is not None and path.resolve() == table.resolve():
            raise ValueError(f"this would overwrite {table}; give the output another name")
    for path in (plot, out):
        if path is not None and not _folder(path).is_dir():
            raise ValueError(f"the folder of {path} does not exist")
        if path is not None and path.is_dir():
            raise ValueError(f"{path} is a folder; name a file")
        if path is not None and not os.access(path if path.exists() else _folder(path), os.W_OK):
            raise ValueError(f"{path} cannot be written; name a file in a folder of yours")
    if plot is not None and plot.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"`--plot` must end in .png, .pdf or .svg; not {plot.suffix!r}")


def _folder(path: Path) -> Path:
    return path.resolve().parent


def timed(what: str, work: Callable[[], Result]) -> Result:
    """Do the work; on a terminal a clock runs on stderr, gone when the work is done."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn(what), TimeElapsedColumn())
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        progress.add_task(what, total=None)
        return work()


def save_fit(fit: FitResult, plot: Path | None, out: Path | None) -> None:
    """Write the figure with its CSV, and the fit."""
    if out is not None:
        fit.to_json(out)
    if plot is None:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from scaling.results.plotting import curve_table

    figure, ax = plt.subplots(figsize=(6.0, 4.0), layout="constrained")
    curves = curve_table(fit)
    fit.plot(ax, curves=curves)
    figure.savefig(plot, dpi=150)
    plt.close(figure)
    curves.to_csv(plot.with_suffix(".csv"), index=False)


def print_fit(fit: FitResult) -> None:
    """The fit as a table on stdout, its status and warnings below."""
    from rich.console import Console
    from rich.table import Table

    from scaling.results import report

    console = Console(soft_wrap=True, highlight=False)
    console.print(report.headline(fit), markup=False)
    table = Table(show_edge=False, pad_edge=False)
    for title in ("parameter", "estimate", "s.e.", "95 % interval"):
        table.add_column(title, justify="left" if title == "parameter" else "right")
    for row in report.rows(fit):
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console.print(table)
    console.print(report.source_of_intervals(fit), markup=False)
    style = "green" if fit.status.usable else "yellow"
    console.print(f"{fit.status.name}: {fit.message}", style=style, markup=False)
    for sentence in fit.warnings:
        console.print(f"warning: {sentence}", style="yellow", markup=False)
    console.print(f"{fit.seconds:.2f} s", style="dim", markup=False)


def print_json(value: dict[str, object]) -> None:
    """JSON on stdout, without the table and the draws that `--out` keeps."""
    import json

    print(json.dumps(without_bulk(value), indent=1, allow_nan=False))


def without_bulk(value: dict[str, object]) -> dict[str, object]:
    """A result's JSON without its rows and draws."""
    return {
        name: without_bulk(part) if isinstance(part, dict) else part
        for name, part in value.items()
        if name not in ("table", "draws")
    }


@readable
@dataclass(frozen=True, kw_only=True)
class Limit(FitOptions):
    """Joint limit of a table of ensembles, with the two nested orders beside it."""

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines or parquet, one row an ensemble (a single model is one of one)."""
    params: str = "n_params"
    """Column of parameters per member."""
    members: str = "n_members"
    """Column of members."""

    def run(self) -> int:
        """Fit, print, draw and save."""
        from scaling import joint_limit, read_runs

        fixed = parse_fixed(self.fixed)
        check_outputs(self.table, self.plot, self.out)
        frame = read_runs(self.table)
        limit = timed(
            f"fitting the joint limit of {len(frame):,} rows",
            lambda: joint_limit(
                frame,
                self.params,
                self.members,
                self.y,
                loss=self.loss,
                delta=self.delta,
                n_boot=self.n_boot,
                resample=self.resample,
                groups=self.groups,
                weights=self.weights,
                fixed=fixed,
                seed=self.seed,
            ),
        )
        save_fit(limit.joint, self.plot, self.out)
        if self.json:
            print_json(limit.to_dict())
        else:
            print_limit(limit)
        return 0


def print_limit(limit: LimitResult) -> None:
    """The limit on stdout, then the joint fit."""
    from rich.console import Console

    from scaling.results.report import number

    console = Console(soft_wrap=True, highlight=False)
    low, high = limit.interval
    shown = f"{number(limit.limit)} [{number(low)}, {number(high)}]"
    if limit.identified:
        console.print(f"joint limit {shown}", style="bold", markup=False)
    else:
        console.print(f"joint limit: not identified (best fit {shown})", style="bold", markup=False)
    console.print(f"members first {number(limit.members_first)}", markup=False)
    console.print(f"parameters first {number(limit.params_first)}", markup=False)
    print_fit(limit.joint)
