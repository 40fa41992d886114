"""`datawall allocate` and `datawall isoflop`: the best sizes for a budget of compute."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
from experiments.cli.options import FitOptions, OutputOptions, RowOptions, readable
from experiments.cli.output import check_outputs, print_json

if TYPE_CHECKING:
    import pandas as pd

    from scaling import Allocation, FitResult

AROUND = (0.1, 1.0, 10.0)
"""Budgets of the figure, as factors on that asked for."""


@readable
@dataclass(frozen=True, kw_only=True)
class Allocate(FitOptions):
    """Find the parameters and tokens with the lowest loss for a budget of FLOPs."""

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines or parquet with one row per run; exports of wandb are supported."""
    budget: tuple[str, ...]
    """Training FLOPs, 6 N D, such as 1e21; several budgets give a row each."""
    law: str = "chinchilla"
    """The law: chinchilla, tied_chinchilla or skaling."""
    x: tuple[str, ...] = ()
    """Columns of parameters and tokens; by default n_params n_tokens."""
    inference_tokens: str | None = None
    """Tokens to serve after training, such as 1T: the budget then contains 2 N FLOPs for each."""
    level: float = 0.95
    """Level of the intervals."""

    def run(self) -> int:
        """Fit the law and allocate; print, draw and save the optima."""
        from experiments.display.quantities import parse_quantity
        from scaling import allocate
        from scaling.laws.registry import get_law

        check_allocatable(self.law)
        budgets = [parse_quantity(text, name="--budget") for text in self.budget]
        served = self.inference_tokens
        tokens = parse_quantity(served, name="--inference-tokens") if served else 0.0
        check_outputs(self.plot, self.out, self.table)
        frame = read_table(self.table, self, self.x or get_law(self.law).columns)
        fit = fitted(self, frame, self.law, self.x)

        def at(budget: float) -> Allocation:
            return allocate(fit, budget, inference_tokens=tokens, level=self.level, seed=self.seed)

        found = [at(budget) for budget in budgets]
        answer = {"law": self.law, "allocations": [_as_dict(one) for one in found]}
        if self.plot is not None:
            drawn = sorted({factor * budget for factor in AROUND for budget in budgets})
            curve = allocation_table([at(budget) for budget in drawn])
            save_figure(self.plot, lambda ax: _draw_allocations(ax, curve), curve)
        save_json(self.out, answer)
        if self.json:
            print_json(answer)
        else:
            print_allocations(fit, found)
        return 0


def allocation_table(found: list[Allocation]) -> pd.DataFrame:
    """Return a row per budget: columns budget, and n_params, n_tokens, loss with low and high."""
    import pandas as pd

    rows = []
    for one in found:
        row: dict[str, float] = {"budget": one.budget}
        for name in ("n_params", "n_tokens", "loss"):
            low, high = one.intervals[name]
            row |= {name: getattr(one, name), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def print_allocations(fit: FitResult, found: list[Allocation]) -> None:
    """Print the optima at several budgets to stdout."""
    from experiments.display.quantities import human
    from scaling.results.report import ranged

    def cell(one: Allocation, name: str) -> str:
        low, high = one.intervals[name]
        return f"{human(getattr(one, name))} [{human(low)}, {human(high)}]"

    first, table = found[0], fit.problem.table
    names = table.names
    served = f", inference of {human(first.inference_tokens)} tokens included"
    print_lines([f"compute-optimal sizes by {fit.law.name}{served * bool(first.inference_tokens)}"])
    print_table(
        ("FLOPs", names["n_params"], names["n_tokens"], "tokens / parameter", table.y_name),
        [
            (
                f"{one.budget:.3g}",
                cell(one, "n_params"),
                cell(one, "n_tokens"),
                f"{one.n_tokens / one.n_params:.3g}",
                ranged(one.loss, one.intervals["loss"]),
            )
            for one in found
        ],
    )
    grow = ranged(first.exponent, first.intervals["exponent"])
    print_lines(
        [
            f"{100 * first.level:g} % intervals if the law holds.",
            f"{names['n_params']} grow as FLOPs^{grow}",
        ]
    )
    print_status(fit)


def _as_dict(one: Allocation) -> dict[str, Any]:
    return {**asdict(one), "status": one.status.name}


def _draw_allocations(ax: Any, curve: pd.DataFrame) -> None:
    for name, color, marker in (("n_params", "#0072B2", "o"), ("n_tokens", "#D55E00", "s")):
        ax.plot(curve["budget"], curve[name], marker=marker, color=color, label=name)
        low, high = curve[f"{name}_low"], curve[f"{name}_high"]
        ax.fill_between(curve["budget"], low, high, color=color, alpha=0.15, linewidth=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("FLOPs")
    ax.legend(frameon=False, fontsize=8)


@readable
@dataclass(frozen=True, kw_only=True)
class Isoflop(RowOptions, OutputOptions):
    """Find the best size at each budget by a parabola, and how it grows with compute."""

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines or parquet with one row per run; exports of wandb are supported."""
    x: tuple[str, str] = ("flops", "n_params")
    """Columns of training FLOPs and parameters."""
    y: str = "loss"
    """Column of the loss."""
    tolerance: float = 0.05
    """Relative difference of FLOPs up to which runs are of one budget."""

    def run(self) -> int:
        """Fit the parabolas; print, draw and save the best sizes."""
        from experiments.display.quantities import human
        from scaling import isoflop
        from scaling.results.report import number

        check_outputs(self.plot, self.out, self.table)
        flops, n_params = self.x
        found = isoflop(
            self.read(self.table),
            flops=flops,
            n_params=n_params,
            y=self.y,
            tolerance=self.tolerance,
        )
        answer = {**asdict(found), "table": found.table.to_dict("records")}
        save_figure(self.plot, lambda ax: _draw_minima(ax, found.table), found.table)
        save_json(self.out, answer)
        if self.json:
            print_json(answer)
            return 0
        rows = found.table.to_dict("records")
        print_table(
            ("FLOPs", "best n_params", self.y),
            [(f"{r['flops']:.3g}", human(r["n_params"]), number(r["loss"])) for r in rows],
        )
        print_lines(str(found).split("\n"))
        return 0


def _draw_minima(ax: Any, table: pd.DataFrame) -> None:
    ax.plot(table["flops"], table["n_params"], "o", color="#0072B2")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("FLOPs")
    ax.set_ylabel("best n_params")
