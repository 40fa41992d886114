"""`datawall limit`: the loss at infinitely many parameters and ensemble members."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from scaling import LimitResult


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Joint limit of a table of ensembles, with the two nested orders beside it."""

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines or parquet, one row an ensemble (a single model is one of one)."""
    params: str = "n_params"
    """Column of parameters per member."""
    members: str = "n_members"
    """Column of members."""
    y: str = "loss"
    """Column of the loss."""
    loss: str = "huber_log"
    """Row loss: huber_log, squared_log, squared or asymmetric."""
    delta: float | None = None
    """Transition of the Huber loss; 1.345 robust standard deviations by default."""
    n_boot: int | None = None
    """Bootstrap draws; chosen by the number of rows by default."""
    resample: str | None = None
    """What is resampled: rows, clusters, wild or bayesian."""
    groups: str | None = None
    """Column naming the cluster of a row."""
    weights: str | None = None
    """Column of row weights."""
    fixed: tuple[str, ...] = ()
    """Pinned parameters, such as E=3.1; gamma=free frees the exponent of the members."""
    seed: int = 0
    """Seed of the draws."""
    json: bool = False
    """Print JSON."""
    plot: Path | None = None
    """Draw the joint fit to this file, with the plotted numbers as CSV beside it."""
    out: Path | None = None
    """Save the joint fit as JSON, to be read with FitResult.from_json."""

    def run(self) -> int:
        """Fit, print, draw and save."""
        from experiments.commands.fit import (
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

    from experiments.commands.fit import print_fit
    from scaling.report import number

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
