"""`datawall plan`: the value of a stock of text under each recipe, and of EntiGraph's calls."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments.cli.options import readable
from experiments.cli.output import check_outputs, print_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from experiments.planner.entigraph import CallPlan
    from experiments.planner.plan import Plan, Range


@readable
@dataclass(frozen=True, kw_only=True)
class PlanCommand:
    """Estimate the loss, data multiplier and data wall of each recipe on a stock of unique tokens.

    Also print the projected stock of public text and the year in which it is used up. With
    `--entigraph`, plan the calls of `datawall augment entigraph` instead: how many state half and
    90 % of the relations that a text implies.
    """

    unique_tokens: str | None = None
    """Number of unique tokens, such as 200M."""
    params: str | None = None
    """Parameters of the largest model to train, such as 1B; by default unlimited."""
    compute: str | None = None
    """Budget of training FLOPs, such as 1e21; prints its best use under each recipe."""
    runs: Annotated[
        tuple[Path, ...] | None, tyro.conf.arg(name="from", metavar="PATH [PATH ...]")
    ] = None
    """Use the runs of a run store instead of the published laws, such as runs/quick; of several if
    they differ by `--levers` only."""
    entigraph: Path | None = None
    """Plan EntiGraph's calls on these texts, on the output folder of `datawall augment entigraph`,
    or on a graph (.graphml, .gexf, or an edge list .tsv, .edges)."""
    calls: str | None = None
    """Number of calls, such as 10k; prints what they reach."""
    price_prompt: float | None = None
    """Price per million prompt tokens, for `--entigraph`."""
    price_reply: float | None = None
    """Price per million generated tokens, for `--entigraph`."""
    json: bool = False
    """Print JSON."""
    plot: Path | None = None
    """Draw the plan to this file (.png, .pdf, .svg), with a CSV file beside it."""

    def run(self) -> int:
        """Make the plan; draw and print it."""
        from experiments.display.quantities import parse_quantity

        if self.entigraph is not None:
            return self._plan_calls(self.entigraph)
        if self.calls or self.price_prompt is not None or self.price_reply is not None:
            raise ValueError("--calls and prices apply to --entigraph")
        if self.unique_tokens is None:
            raise ValueError("give --unique-tokens, such as 200M, or --entigraph and texts")
        tokens = parse_quantity(self.unique_tokens, name="--unique-tokens")
        params = self.params and parse_quantity(self.params, name="--params")
        compute = self.compute and parse_quantity(self.compute, name="--compute")
        check_outputs(self.plot)
        if self.runs is not None:
            if params or compute:
                raise ValueError(
                    "--params and --compute apply to the published laws; leave them out with --from"
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
            print_json(plan_dict(plan))
        else:
            print_plan(plan)
        return 0

    def _plan_calls(self, path: Path) -> int:
        from experiments.display.quantities import parse_quantity
        from experiments.planner.entigraph import asked_graph, plan_calls
        from models.augment.writing.asking import Prices

        if self.unique_tokens or self.params or self.compute or self.runs is not None or self.plot:
            raise ValueError("--entigraph goes with --calls, prices and --json only")
        calls = [parse_quantity(self.calls, name="--calls")] if self.calls else []
        prices = None
        if self.price_prompt is not None or self.price_reply is not None:
            prices = Prices(prompt=self.price_prompt or 0.0, reply=self.price_reply or 0.0)
        plan = plan_calls(asked_graph(path), calls, prices=prices)
        if self.json:
            print_json(call_plan_dict(plan))
        else:
            print_call_plan(plan)
        return 0


def plan_dict(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON types."""
    return {
        "unique_tokens": plan.unique_tokens,
        "compute": plan.compute,
        "intervals": plan.intervals,
        "options": [asdict(option) for option in plan.options],
        "stock_of_text": plan.stock.to_dict("records"),
        "share_of_stock": asdict(plan.share),
        "stock_used_up": {name: asdict(year) for name, year in plan.years.items()},
    }


def call_plan_dict(plan: CallPlan) -> dict[str, Any]:
    """Return a plan of EntiGraph's calls as JSON types."""
    asked = plan.asked
    return {
        "source": asked.name,
        "entities": asked.graph.n_entities,
        "documents": asked.n_documents,
        "stated_relations": asked.graph.n_edges,
        "implied_relations": plan.n_implied,
        "pairs": asked.n_asked,
        "prompt_tokens_per_call": asked.prompt_tokens,
        "reply_tokens_per_call": asked.reply_tokens,
        "tokens_are_recorded": asked.is_recorded,
        "levels": [asdict(row) for row in plan.levels],
        "calls": [asdict(row) for row in plan.chosen],
        "corrected_law_calls": plan.law_calls,
    }


def print_call_plan(plan: CallPlan) -> None:
    """Print a plan of EntiGraph's calls to stdout, in the width of the terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    asked, graph = plan.asked, plan.asked.graph
    console.print(asked.name, style="bold", markup=False)
    console.print(
        f"{graph.n_entities:,} entities, {graph.n_edges:,} stated relations (ordered pairs), "
        f"{plan.n_implied:,.0f} implied ones: the plateau",
        markup=False,
    )
    console.print(_call_table(plan))
    console.print(_call_notes(plan), style="dim", markup=False)


def _call_table(plan: CallPlan) -> Table:
    from experiments.display.quantities import human

    has_cost = any(row.cost is not None for row in plan.levels)
    table = _table("calls", "share of the plateau", "implied relations", *["cost"] * has_cost)
    for row in sorted((*plan.levels, *plan.chosen), key=lambda row: row.calls):
        error = f" ± {row.stderr:.1g}" if row.stderr else ""
        cost = [] if row.cost is None else [f"{row.cost:,.2f}"]
        table.add_row(human(row.calls), f"{row.share:.3f}{error}", human(row.implied), *cost)
    return table


def _call_notes(plan: CallPlan) -> str:
    asked = plan.asked
    if asked.n_documents:
        where = f"one of {asked.n_documents:,} documents" if asked.n_documents > 1 else "the text"
        pairs = (
            f"Calls are on pairs of entities of {where}: {asked.n_asked:,} ordered pairs; "
            f"`datawall augment entigraph` asks for each of {asked.n_asked // 2:,} pairs once, the "
            "random-graph model draws them with replacement. A relation is stated where a sentence "
            "names both entities."
        )
    else:
        pairs = f"Calls are on pairs of all entities: {asked.n_asked:,} ordered pairs."
    notes = [pairs, "Exact expectation of the random-graph model on this graph."]
    if any(row.stderr for row in plan.levels):
        notes[1] = "Expectation of the random-graph model, from a sample of its entities."
    if plan.law_calls is not None:
        half, most = (f"{calls:,.0f}" for calls in plan.law_calls)
        notes.append(
            f"The corrected law, for a random graph of this size and degree: {half} calls to half, "
            f"{most} to 90 %."
        )
    if asked.prompt_tokens or asked.reply_tokens:
        how = "on average in recorded answers" if asked.is_recorded else "at most"
        notes.append(
            f"A call reads {asked.prompt_tokens:,.0f} and writes {asked.reply_tokens:,.0f} tokens, "
            f"{how}."
        )
    return "\n".join(notes)


def print_plan(plan: Plan) -> None:
    """Print a plan to stdout, in the width of the terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    _print_options(console, plan)
    if plan.compute is not None:
        _print_purchases(console, plan)
    _print_stock(console, plan)
    console.print("\nsources and notes", style="bold")
    for option in plan.options:
        note = f". {option.note[:1].upper()}{option.note[1:]}" if option.note else ""
        console.print(f"{option.recipe}: {option.source}{note}.", markup=False, style="dim")
    console.print(
        "stock: sampled from the inputs of Villalobos et al. 2024, arXiv 2211.04325.", style="dim"
    )


def _print_options(console: Console, plan: Plan) -> None:
    from experiments.display.quantities import human
    from experiments.planner.plan import legend

    table = _table("recipe", "loss", "multiplier", "= tokens", "wall, FLOPs")
    for option in plan.options:
        multiplier = option.multiplier
        factor = math.inf if multiplier is None else multiplier.value
        table.add_row(
            option.recipe,
            _range_cell(option.loss, ".2f"),
            _range_cell(multiplier, ".3g", "x"),
            human(factor * plan.unique_tokens) if math.isfinite(factor) else "",
            "" if option.wall_flops is None else f"{option.wall_flops:.1e}",
        )
    console.print(f"{human(plan.unique_tokens)} unique tokens", style="bold")
    console.print(table)
    console.print(legend(plan), style="dim", markup=False)


def _print_purchases(console: Console, plan: Plan) -> None:
    from experiments.display.quantities import human
    from experiments.planner.plan import PURCHASE_COLUMNS

    assert plan.compute is not None
    table = _table("recipe", *PURCHASE_COLUMNS)
    for option in plan.options:
        bought = option.purchase
        if bought is not None:
            size = human(bought.n_params) + (" (extrapolated)" if bought.extrapolated else "")
            table.add_row(
                option.recipe, f"{bought.n_members:,}", size, f"{bought.n_epochs:g}",
                f"{bought.loss:.3f}", f"{bought.flops:.1e}",
            )  # fmt: skip
    console.print(f"\nbest use of {plan.compute:.3g} training FLOPs", style="bold")
    if table.row_count:
        console.print(table)
    else:
        console.print("The budget is too small for the smallest published run.")


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
        table.add_row(recipe, _range_cell(year, ".0f"))
    console.print("\nyear in which the stock is used up if everyone uses the recipe", style="bold")
    console.print(table)


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column == "recipe" else "right")
    return table


def _range_cell(found: Range | None, form: str, unit: str = "") -> str:
    from experiments.planner.plan import range_text

    return range_text(found, form, unit).replace("[", r"\[")
