"""`datawall limit`: the loss at infinitely many parameters and ensemble members."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.cli.fit_options import FitOptions
from experiments.cli.options import readable

if TYPE_CHECKING:
    from scaling import LimitResult


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
        from experiments.cli.fit import (
            check_outputs,
            parse_fixed,
            print_json,
            save_fit,
            timed,
        )
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

    from experiments.cli.fit import print_fit
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
