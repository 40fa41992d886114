"""Commands that fit a table of runs: `fit` (a scaling law) and `limit` (of ensembles)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.cli.laws.common import (
    print_lines,
    print_table,
    read_table,
    save_figure,
    timed,
)
from experiments.cli.options import FitOptions, UniqueOptions, readable
from experiments.cli.output import check_outputs, print_json

if TYPE_CHECKING:
    import pandas as pd

    from scaling import FitResult, LimitResult

    LawName = str
else:
    # Read from the files, because importing the laws takes a second.
    CONSTANT = re.compile(r"^\w+ = Law\(\s*name=\"(\w+)\"", re.MULTILINE)
    LAWS_FOLDER = Path(__file__).parents[3] / "scaling" / "laws"
    TEXTS = [path.read_text(encoding="utf-8") for path in sorted(LAWS_FOLDER.glob("*.py"))]
    LawName = Literal[tuple(sorted(name for text in TEXTS for name in CONSTANT.findall(text)))]


@readable
@dataclass(frozen=True, kw_only=True)
class Fit(FitOptions, UniqueOptions):
    """Fit a scaling law to a table of runs and print parameters, intervals and warnings."""

    table: Annotated[Path, tyro.conf.Positional]
    """Table with one row per run or checkpoint: CSV, TSV, JSON, JSON lines, parquet, or exports of
    wandb, MLflow, TensorBoard, Hugging Face Trainer and Lightning."""
    law: LawName = "power"
    """The law; sigmoid is for accuracy from the loss of a task. `datawall compare` finds the law
    that predicts best."""
    x: tuple[str, ...] = ()
    """Columns of the law's variables, in its order; by default the names of the variables."""

    def run(self) -> int:
        """Fit the law; print, draw and save the fit."""
        from scaling.laws.registry import get_law

        check_outputs(self.plot, self.out, self.table)
        parse_fixed(self.fixed)
        frame = read_table(self.table, self, self.x or get_law(self.law).columns)
        frame, x = self.with_unique(frame, self.x)
        fit = fitted(self, frame, self.law, self.read_by(self.law, x))
        save_fit(fit, self.plot, self.out)
        found = problems(frame, fit, self.groups)
        if self.json:
            print_json({**without_bulk(fit.to_dict()), "audit": found})
        else:
            print_fit(fit)
            print_lines([f"audit: {sentence}" for sentence in found], style="yellow")
        return 0


def check_allocatable(law: str) -> None:
    """Raise a ValueError unless a law has an optimum of parameters and tokens at a budget."""
    from scaling.allocate import ALLOCATABLE

    if law not in ALLOCATABLE:
        raise ValueError(f"`--law` must be one of {', '.join(ALLOCATABLE)}; not {law!r}")


def fitted(options: FitOptions, frame: pd.DataFrame, law: str, x: tuple[str, ...]) -> FitResult:
    """Return the fit of a law that options ask for.

    Args:
        options: loss, intervals and fixed parameters.
        frame: a row per run.
        law: name of the law.
        x: columns of the law in its order; empty for the names of its variables.
    """
    from scaling import fit_law

    return timed(
        f"fitting {law} to {len(frame):,} rows",
        lambda: fit_law(
            frame,
            law,
            x=list(x) or None,
            y=options.y,
            loss=options.loss,
            delta=options.delta,
            n_boot=options.n_boot,
            resample=options.resample,
            groups=options.groups,
            weights=options.weights,
            fixed=parse_fixed(options.fixed),
            seed=options.seed,
        ),
    )


def problems(frame: pd.DataFrame, fit: FitResult, groups: str | None) -> list[str]:
    """Return the problems of a table that the warnings of its fit do not state, a sentence each.

    Args:
        frame: the table, a row per run.
        fit: the fit of the table.
        groups: column of runs, if it was given.
    """
    from scaling import audit
    from scaling.auditing.checks import IN_WARNINGS

    unique = {"n_unique_tokens": "n_unique_tokens"} if "n_unique_tokens" in frame else {}
    table, stated = fit.problem.table, set(IN_WARNINGS)
    if "n_unique_tokens" in fit.law.columns:
        stated.add("repetitions")
    found = audit(frame, x={**unique, **table.names}, y=table.y_name, groups=groups)
    return [str(one) for one in found.findings if one.kind not in stated]


def parse_fixed(pairs: tuple[str, ...]) -> dict[str, float | None]:
    """Return `name=value` pairs as a mapping; `name=free` maps to None.

    Raises:
        ValueError: a pair has another form.
    """
    fixed: dict[str, float | None] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            fixed[name] = None if text == "free" else float(text)
        except ValueError:
            raise ValueError(f"`--fixed` takes name=number or name=free; not {pair!r}") from None
    return fixed


def save_fit(fit: FitResult, plot: Path | None, out: Path | None) -> None:
    """Write a fit, and its figure with a CSV file beside it.

    Args:
        fit: the fit.
        plot: file of the figure, or None.
        out: JSON file of the fit, or None.
    """
    if out is not None:
        fit.to_json(out)
    if plot is not None:
        from scaling.results.plotting import curve_table

        curves = curve_table(fit)
        save_figure(plot, lambda ax: fit.plot(ax, curves=curves), curves)


def print_fit(fit: FitResult) -> None:
    """Print a fit to stdout: a table of parameters, the status and warnings."""
    from scaling.results import report

    print_lines([report.headline(fit)])
    print_table(("parameter", "estimate", "s.e.", "95 % interval"), report.rows(fit))
    print_lines(filter(None, [report.source_of_intervals(fit), report.whatever_law(fit)]))
    print_status(fit)
    print_lines([f"{fit.seconds:.2f} s"], style="dim")


def print_status(fit: FitResult) -> None:
    """Print how far a fit can be trusted to stdout, and its warnings."""
    style = "green" if fit.status.usable else "yellow"
    print_lines([f"{fit.status.name}: {fit.message}"], style=style)
    print_lines([f"warning: {sentence}" for sentence in fit.warnings], style="yellow")


def without_bulk(value: dict[str, object]) -> dict[str, object]:
    """Return the JSON of a result without its rows and bootstrap samples, which `--out` keeps."""
    return {
        name: without_bulk(part) if isinstance(part, dict) else part
        for name, part in value.items()
        if name not in ("table", "draws")
    }


@readable
@dataclass(frozen=True, kw_only=True)
class Limit(FitOptions):
    """Fit the joint limit in members and parameters; also print both nested orders of limits."""

    table: Annotated[Path, tyro.conf.Positional]
    """Table as for `fit`, with one row per ensemble; a single model has one member."""
    params: str = "n_params"
    """Column with the parameters of a member."""
    members: str = "n_members"
    """Column with the number of members."""

    def run(self) -> int:
        """Fit the limit; print, draw and save the joint fit."""
        from scaling import joint_limit

        fixed = parse_fixed(self.fixed)
        check_outputs(self.plot, self.out, self.table)
        frame = read_table(self.table, self, (self.params, self.members))
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
            print_json(without_bulk(limit.to_dict()))
        else:
            print_limit(limit)
        return 0


def print_limit(limit: LimitResult) -> None:
    """Print a limit to stdout, then the joint fit."""
    from rich.console import Console

    from scaling.results.report import number, span

    console = Console(soft_wrap=True, highlight=False)
    low, high = limit.model_interval
    shown = f"{number(limit.limit)} [{number(low)}, {number(high)}]"
    if limit.identified:
        console.print(f"joint limit {shown}", style="bold", markup=False)
    else:
        console.print(f"joint limit: not identified (best fit {shown})", style="bold", markup=False)
    console.print(f"if the law holds {span(limit.interval)}", markup=False)
    console.print(f"members first {number(limit.members_first)}", markup=False)
    console.print(f"parameters first {number(limit.params_first)}", markup=False)
    print_fit(limit.joint)
