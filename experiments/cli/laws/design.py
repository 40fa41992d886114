"""`datawall design`: the next runs that narrow the interval of the limit most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments.cli.laws.common import (
    print_lines,
    print_table,
    read_table,
    save_figure,
    save_json,
)
from experiments.cli.laws.fit import check_allocatable, fitted, print_status
from experiments.cli.options import FitOptions, readable
from experiments.cli.output import check_outputs, print_json

if TYPE_CHECKING:
    import pandas as pd

    from scaling import Design


@readable
@dataclass(frozen=True, kw_only=True)
class DesignCommand(FitOptions):
    """Suggest the next runs: those expected to narrow the interval of the limit most."""

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines or parquet with one row per run; exports of wandb are supported."""
    budget: str
    """Training FLOPs of all runs together, 6 N D each, such as 1e21."""
    n_runs: int = 3
    """Number of runs."""
    law: str = "chinchilla"
    """The law: chinchilla, tied_chinchilla or skaling."""
    x: tuple[str, ...] = ()
    """Columns of parameters and tokens; by default n_params n_tokens."""

    def run(self) -> int:
        """Fit the law and choose runs; print, draw and save them."""
        from experiments.display.quantities import human, parse_quantity
        from scaling import design
        from scaling.laws.registry import get_law
        from scaling.results.report import number

        check_allocatable(self.law)
        budget = parse_quantity(self.budget, name="--budget")
        check_outputs(self.plot, self.out, self.table)
        frame = read_table(self.table, self, self.x or get_law(self.law).columns)
        fit = fitted(self, frame, self.law, self.x)
        found = design(fit, budget, n_runs=self.n_runs, seed=self.seed)
        names = [fit.problem.table.names[role] for role in ("n_params", "n_tokens")]
        drawn = _drawn(frame, found, names)
        save_figure(self.plot, lambda ax: _draw(ax, drawn, names), drawn)
        save_json(self.out, found.to_dict())
        if self.json:
            print_json(found.to_dict())
            return 0
        rows = found.runs.to_dict("records")
        print_lines([f"next {len(rows)} runs for {budget:.3g} FLOPs by {self.law}"])
        print_table(
            (*names, "FLOPs", f"expected {self.y}"),
            [(*(human(r[n]) for n in names), f"{r['flops']:.3g}", number(r[self.y])) for r in rows],
        )
        print_lines(found.sentences())
        print_status(fit)
        return 0


def _drawn(frame: pd.DataFrame, found: Design, names: list[str]) -> pd.DataFrame:
    """Return the points of the figure: columns names and kind (table, uniform or suggested)."""
    import pandas as pd

    parts = (("table", frame), ("uniform", found.uniform), ("suggested", found.runs))
    return pd.concat([part[names].assign(kind=kind) for kind, part in parts], ignore_index=True)


def _draw(ax: Any, drawn: pd.DataFrame, names: list[str]) -> None:
    looks = {"table": ("o", "0.6"), "uniform": ("s", "#D55E00"), "suggested": ("D", "#0072B2")}
    for kind, (marker, color) in looks.items():
        part = drawn[drawn["kind"] == kind]
        ax.plot(part[names[0]], part[names[1]], marker, color=color, linestyle="none", label=kind)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    ax.legend(frameon=False, fontsize=8)
