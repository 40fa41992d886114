"""`datawall plan`: what a fixed stock of text is worth under each recipe."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments.cli.options import readable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from experiments.planner.plan import Plan, Range


@readable
@dataclass(frozen=True, kw_only=True)
class PlanCommand:
    """Say what a stock of unique tokens is worth under each recipe, and when it hits its wall."""

    unique_tokens: str
    """Unique tokens there are, such as 200M."""
    params: str | None = None
    """The largest model you would train, such as 1B; by default any size."""
    compute: str | None = None
    """Training FLOPs you have, such as 1e21: what they buy of each recipe."""
    runs: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Plan from the runs of this store instead of the published laws."""
    json: bool = False
    """Print JSON."""
    plot: Path | None = None
    """Draw the plan to this file (.png, .pdf, .svg), with the plotted numbers as CSV beside it."""

    def run(self) -> int:
        """Plan, print and draw."""
        from experiments.display.quantities import parse_quantity

        tokens = parse_quantity(self.unique_tokens, name="--unique-tokens")
        params = self.params and parse_quantity(self.params, name="--params")
        compute = self.compute and parse_quantity(self.compute, name="--compute")
        _check_plot(self.plot)
        if self.runs is not None:
            if params or compute:
                raise ValueError(
                    "--params and --compute go with the published laws; with --from, the sizes and "
                    "the compute are those of your runs"
                )
            from experiments.planner.from_store import store_plan

            plan = store_plan(self.runs, tokens)
        else:
            from experiments.planner.published import published_plan

            plan = published_plan(tokens, n_params=params or None, compute=compute or None)
        if self.plot is not None:
            from paper_figs.plan import draw_plan

            draw_plan(plan, self.plot)
        if self.json:
            print(json.dumps(plan_as_json(plan), indent=1, allow_nan=False))
        else:
            print_plan(plan)
        return 0


def _check_plot(plot: Path | None) -> None:
    if plot is None:
        return
    if plot.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"--plot must end in .png, .pdf or .svg; not {plot.suffix!r}")
    if not plot.resolve().parent.is_dir():
        raise ValueError(f"the folder of {plot} does not exist")


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON types; numbers that are not finite are null."""
    values = {
        "unique_tokens": plan.unique_tokens,
        "compute": plan.compute,
        "intervals": plan.intervals,
        "options": [asdict(option) for option in plan.options],
        "stock_of_text": plan.stock.to_dict("records"),
        "share_of_stock": asdict(plan.share),
        "stock_used_up": {name: asdict(year) for name, year in plan.years.items()},
    }
    return _finite(values)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_plan(plan: Plan) -> None:
    """Print a plan to stdout, as wide as the terminal allows."""
    from rich.console import Console

    console = Console(highlight=False)
    _print_worth(console, plan)
    if plan.compute is not None:
        _print_purchases(console, plan)
    _print_stock(console, plan)
    console.print("\nsources and notes", style="bold")
    for option in plan.options:
        note = f". {option.note[:1].upper()}{option.note[1:]}" if option.note else ""
        console.print(f"{option.recipe}: {option.source}{note}.", markup=False, style="dim")
    console.print(
        "stock: Villalobos et al. 2024, arXiv 2211.04325, inputs drawn here.", style="dim"
    )


def _print_worth(console: Console, plan: Plan) -> None:
    from experiments.display.quantities import human
    from experiments.planner.plan import WALL_NATS

    table = _table("recipe", "loss", "worth", "= tokens", "wall, FLOPs")
    for option in plan.options:
        worth = option.multiplier
        known = worth is not None and math.isfinite(worth.value)
        table.add_row(
            option.recipe,
            _shown(option.loss, ".2f"),
            _shown(worth, ".3g", "x"),
            human(worth.value * plan.unique_tokens) if worth is not None and known else "",
            "" if option.wall_flops is None else f"{option.wall_flops:.1e}",
        )
    console.print(f"{human(plan.unique_tokens)} unique tokens", style="bold")
    console.print(table)
    console.print(
        f"Loss in nats per token; {plan.intervals}. Worth: how many times more unique tokens the "
        "standard recipe would need. Wall: training compute after which less than "
        f"{WALL_NATS:g} nats is left to win.",
        style="dim",
        markup=False,
    )


def _print_purchases(console: Console, plan: Plan) -> None:
    from experiments.display.quantities import human

    assert plan.compute is not None
    table = _table("recipe", "members", "of size", "epochs", "loss", "FLOPs")
    for option in plan.options:
        bought = option.purchase
        if bought is not None:
            size = human(bought.n_params) + (" (extrapolated)" if bought.extrapolated else "")
            table.add_row(
                option.recipe, f"{bought.n_members:,}", size, f"{bought.n_epochs:g}",
                f"{bought.loss:.3f}", f"{bought.flops:.1e}",
            )  # fmt: skip
    console.print(f"\nwhat {plan.compute:.3g} FLOPs buy", style="bold")
    if table.row_count:
        console.print(table)
    else:
        console.print("None of the published sizes: the smallest run needs more.")


def _print_stock(console: Console, plan: Plan) -> None:
    from experiments.display.quantities import human

    table = _table("year", "stock of text", "largest training set")
    for row in plan.stock.itertuples():
        table.add_row(
            f"{row.year:.0f}",
            f"{row.median_stock:.1e} \\[{row.low_stock:.1e}, {row.high_stock:.1e}]",
            f"{row.median_demand:.1e} \\[{row.low_demand:.1e}, {row.high_demand:.1e}]",
        )
    console.print("\nprojected tokens of public text: median and 95 % interval", style="bold")
    console.print(table)
    share = plan.share
    console.print(
        f"Your {human(plan.unique_tokens)} tokens are {share.value:.2g} "
        f"[{share.low:.2g}, {share.high:.2g}] of the stock of 2024.",
        markup=False,
    )
    if not plan.years:
        return
    table = _table("recipe", "year")
    for recipe, year in plan.years.items():
        table.add_row(recipe, _shown(year, ".0f"))
    console.print("\nwhen training sets use up the stock, if everyone trains so", style="bold")
    console.print(table)


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column == "recipe" else "right")
    return table


def _shown(found: Range | None, form: str, unit: str = "") -> str:
    """Write a value with its ends as a cell; none where nothing is known."""
    from experiments.planner.plan import range_text

    return range_text(found, form, unit).replace("[", r"\[")
