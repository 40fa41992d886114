"""`datawall compare` (laws by hold-out error) and `datawall predict` (losses of the next sizes)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments.cli.laws.common import (
    print_lines,
    print_next,
    print_table,
    read_sizes,
    read_table,
    save_figure,
    save_json,
    timed,
)
from experiments.cli.options import TableOptions, UniqueOptions, readable
from experiments.cli.output import check_outputs, print_json

if TYPE_CHECKING:
    import pandas as pd

    from scaling import Comparison, FitResult

AVERAGE = "average"


@readable
@dataclass(frozen=True, kw_only=True)
class Compare(TableOptions, UniqueOptions):
    """Compare laws by how well they predict the largest runs of a table from the others."""

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines or parquet with one row per run; exports of wandb are supported."""
    laws: tuple[str, ...] = ()
    """Laws to compare; by default all whose columns the table has."""
    x: tuple[str, ...] = ()
    """Columns of n_params, n_tokens and n_unique_tokens, in this order; role=column names another
    role, such as n_members=K. By default the names of the roles."""
    directions: tuple[str, ...] = ()
    """Directions in which the largest runs are held out: compute, n_params, n_tokens, repetitions;
    by default all that the table has."""
    share: float = 0.25
    """Share of the rows to hold out in each direction."""

    def run(self) -> int:
        """Compare; print, draw and save the comparison."""
        check_outputs(self.plot, self.out, self.table)
        frame, x = read_roles(self.table, self, self.x)
        found = compared(
            self, frame, x, laws=self.laws, directions=self.directions, share=self.share
        )
        save_figure(self.plot, found.plot, found.table())
        save_json(self.out, found.to_dict())
        if self.json:
            print_json(found.to_dict())
        else:
            header, *rows = found.rows()
            print_lines([found.title])
            print_table(header, rows)
            print_lines(found.sentences())
            self._print_next(found)
        return 0

    def _print_next(self, found: Comparison) -> None:
        """Print commands that predict twice the largest sizes, and choose the next runs."""
        from experiments.cli.laws.design import DesignCommand
        from experiments.display.quantities import human
        from scaling.allocate import ALLOCATABLE, FLOPS_PER_TOKEN_PARAMETER

        grown = {"n_params": 2.0, "n_tokens": 2.0}
        sizes = {role: found.sizes[role] for role in found.needed_roles}
        at = [f"{role}={human(grown.get(role, 1.0) * v.max())}" for role, v in sizes.items()]
        print_next("predict", self, Predict, "--at", *at)
        laws = [name for name in found.table()["law"] if name in ALLOCATABLE]
        if laws:
            used = FLOPS_PER_TOKEN_PARAMETER * sizes["n_params"] * sizes["n_tokens"]
            more = ("--law", laws[0], "--budget", f"{used.max():.1g}")
            x = tuple(found.roles[role] for role in ("n_params", "n_tokens")) if self.x else ()
            print_next("design", replace(self, x=x), DesignCommand, *more)


def read_roles(
    path: Path, options: TableOptions, x: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows of a table and its columns, both with the unique tokens that are stated.

    Args:
        path: the file.
        options: of `compare` or `predict`.
        x: columns, as in `compare_laws`; empty for the default ones.
    """
    from scaling.laws.registry import LAWS

    roles = tuple(dict.fromkeys(name for law in LAWS.values() for name in law.columns))
    frame = read_table(path, options, x or roles)
    return options.with_unique(frame, x) if isinstance(options, UniqueOptions) else (frame, x)


def compared(
    options: TableOptions,
    frame: pd.DataFrame,
    x: tuple[str, ...],
    *,
    laws: tuple[str, ...] = (),
    directions: tuple[str, ...] = (),
    share: float = 0.25,
) -> Comparison:
    """Return the comparison of laws that options ask for.

    Args:
        options: loss column and row loss.
        frame: a row per run.
        x: columns, as in `compare_laws`; empty for the default ones.
        laws: names; empty for all.
        directions: names; empty for all.
        share: share of the rows to hold out in each direction.
    """
    from scaling import compare_laws

    return timed(
        f"comparing laws on {len(frame):,} rows",
        lambda: compare_laws(
            frame,
            laws or None,
            x=x or None,
            y=options.y,
            directions=directions or None,
            share=share,
            loss=options.loss,
            delta=options.delta,
            groups=options.groups,
            seed=options.seed,
        ),
    )


@readable
@dataclass(frozen=True, kw_only=True)
class Predict(TableOptions, UniqueOptions):
    """Predict the loss at other sizes, with intervals."""

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines or parquet with one row per run; exports of wandb are supported."""
    at: tuple[str, ...]
    """Sizes: column=value, such as n_params=7B n_tokens=1.4T; a repeated column has several values,
    and all combinations are predicted. Or a file with a row per size."""
    law: str = AVERAGE
    """A law, see `datawall fit`, or the average of all laws that `datawall compare` makes, whose
    interval contains the choice of law."""
    x: tuple[str, ...] = ()
    """Columns of the law's variables, in its order, or as in `datawall compare`; by default the
    names of the variables."""
    level: float = 0.95
    """Level of the intervals."""
    single_run: bool = False
    """Give the interval of the loss of one more run instead of that of the law; for a single law,
    since that of the average always does."""

    def run(self) -> int:
        """Predict; print, draw and save the predictions."""
        check_outputs(self.plot, self.out, self.table)
        frame, x = read_roles(self.table, self, self.x)
        if self.law == AVERAGE:
            comparison = compared(self, frame, x)
            roles = comparison.needed_roles
            sizes = read_sizes(self.at, roles)
            predicted = comparison.predict(sizes, self.level)
            heading, notes = _of_average(comparison), _beyond(predicted, comparison)
        else:
            fit = self._fit(frame, x)
            roles = fit.problem.table.names
            sizes = read_sizes(self.at, roles)
            predicted = fit.predict(sizes, self.level, observation=self.single_run)
            heading = f"{self.law}: {self.y} = {fit.law.formula}"
            notes = [f"{fit.status.name}: {fit.message}"]
            notes += [f"warning: {text}" for text in fit.warnings]
        found = sizes.loc[:, ~sizes.columns.isin(predicted.columns)].join(predicted)
        along = next(iter(roles.values()))
        save_figure(self.plot, lambda ax: _draw(ax, found, along, self.y), found)
        answer = {"law": self.law, "level": self.level, "y": self.y, "notes": notes}
        answer["predictions"] = found.to_dict("records")
        save_json(self.out, answer)
        if self.json:
            print_json(answer)
        else:
            self._print(heading, found, list(sizes.columns), notes)
        return 0

    def _fit(self, frame: pd.DataFrame, x: tuple[str, ...]) -> FitResult:
        from scaling import fit_law

        x = self.read_by(self.law, x)
        return timed(
            f"fitting {self.law} to {len(frame):,} rows",
            lambda: fit_law(
                frame,
                self.law,
                x=list(x) or None,
                y=self.y,
                loss=self.loss,
                delta=self.delta,
                groups=self.groups,
                seed=self.seed,
            ),
        )

    def _print(
        self, heading: str, found: pd.DataFrame, columns: list[str], notes: list[str]
    ) -> None:
        from experiments.display.quantities import human
        from scaling.results.report import number, span

        print_lines([heading])
        shown = [name for name in columns if name in found]
        print_table(
            (*shown, self.y, f"{100 * self.level:g} % interval"),
            [
                (
                    *(row[n] if isinstance(row[n], str) else human(row[n]) for n in shown),
                    number(row["mean"]),
                    span((row["low"], row["high"])),
                )
                for row in found.to_dict("records")
            ],
        )
        print_lines(notes)


def _of_average(comparison: Comparison) -> str:
    return f"average of {', '.join(comparison.names)}, weighted by hold-out"


def _beyond(predicted: pd.DataFrame, comparison: Comparison) -> list[str]:
    """Return a sentence for each direction in which a prediction goes further than was tested."""
    tested = {one.name: one.reach for one in comparison.directions}
    notes = []
    for name, part in predicted.groupby("direction", sort=False):
        furthest = float(part["beyond"].max())
        if furthest > tested.get(str(name), float("inf")):
            notes.append(
                f"warning: {furthest:.3g} times the largest {name}; the laws were tested up to "
                f"{tested[str(name)]:.3g} times the {name} of the fitted rows, so the interval may "
                "be too narrow."
            )
    return notes


def _draw(ax: Any, found: pd.DataFrame, along: str, y: str) -> None:
    away = [found["mean"] - found["low"], found["high"] - found["mean"]]
    ax.errorbar(found[along], found["mean"], yerr=away, fmt="o", capsize=3, color="#0072B2")
    ax.set_xscale("log")
    ax.set_xlabel(along)
    ax.set_ylabel(y)
