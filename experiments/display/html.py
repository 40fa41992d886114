"""Plans, certificates, claims and stores as HTML, as notebooks show them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling.results import markup

if TYPE_CHECKING:
    import pandas as pd

    from experiments.claims.claim import Claim
    from experiments.planner.plan import Plan, Range
    from experiments.runs.store import RunStore
    from experiments.tuning.certificates import Certificate

MOST_ROWS = 30


def frame_table(frame: pd.DataFrame) -> str:
    """Lay out a frame of few rows, numbers as the terminal's tables have them."""
    from experiments.display.tables import cell_text

    rows = [[*map(cell_text, row)] for row in frame.head(MOST_ROWS).itertuples(index=False)]
    return markup.table([str(column) for column in frame.columns], rows)


def certificates_html(certificates: Sequence[Certificate]) -> str:
    """Show tuned points with the margins of their neighbours."""
    from experiments.display.tables import OBJECTIVE_TITLES, margins_table, optima_table

    objectives = dict.fromkeys(found.objective for found in certificates)
    titles = "; ".join(OBJECTIVE_TITLES[objective] for objective in objectives)
    return markup.fragment(
        f"{titles}: validation loss, nats",
        tables=[frame_table(optima_table(certificates)), frame_table(margins_table(certificates))],
        notes=[
            "Second table: neighbours' loss less the optimum's ± s.e., in 0.001 nats; ~ a tie, not "
            "told apart at 95 %; ! better by more than the noise."
        ],
    )


def claims_html(claims: Sequence[Claim]) -> str:
    """Show claims, a row each."""
    from experiments.display.tables import claims_table

    return markup.fragment(f"{len(claims)} claims", tables=[_all_rows(claims_table(claims))])


def claim_html(claim: Claim) -> str:
    """Show one claim with its rule."""
    return markup.fragment(
        f"{claim.id}: {claim.statement}",
        verdict=f"{claim.verdict}: {claim.headline}",
        notes=[f"{claim.n_samples} {claim.interval_of}. Rule: {claim.rule}"],
    )


def store_html(store: RunStore) -> str:
    """Show what a store holds: how many runs of each status, and their mean losses."""
    from experiments.display.tables import cells_table
    from experiments.runs.overview import summary
    from experiments.runs.rows import OURS

    runs = store.overview()
    if runs.empty:
        return markup.fragment(f"{store.root} holds no runs")
    title = f"{store.root}: {summary(runs)}"
    finished = runs[(runs["source"] == OURS) & runs["status"].isin(["done", "diverged"])]
    if finished.empty:
        return markup.fragment(title)
    cells = cells_table(finished)
    more = f"{len(cells) - MOST_ROWS} more rows." if len(cells) > MOST_ROWS else ""
    return markup.fragment(
        title, tables=[frame_table(cells)], notes=["Means over seeds, nats per token.", more]
    )


def plan_html(plan: Plan) -> str:
    """Show what a stock of unique tokens is worth under each recipe."""
    from experiments.display.quantities import human
    from experiments.planner.plan import WALL_NATS

    rows = [
        (
            option.recipe,
            range_text(option.loss, ".2f"),
            range_text(option.multiplier, ".3g", "x"),
            "" if option.wall_flops is None else f"{option.wall_flops:.1e}",
            range_text(plan.years.get(option.recipe), ".0f"),
            option.source,
        )
        for option in plan.options
    ]
    columns = ("recipe", "loss", "worth", "wall, FLOPs", "stock used up", "source")
    tables = [markup.table(columns, rows)]
    bought = [(option.recipe, option.purchase) for option in plan.options if option.purchase]
    if bought:
        purchases = [
            (recipe, f"{what.n_members:,}", human(what.n_params), f"{what.n_epochs:g}",
             f"{what.loss:.3f}", f"{what.flops:.1e}")
            for recipe, what in bought
        ]  # fmt: skip
        columns = (
            f"what {plan.compute:.3g} FLOPs buy",
            "members",
            "of size",
            "epochs",
            "loss",
            "FLOPs",
        )
        tables.append(markup.table(columns, purchases))
    return markup.fragment(
        f"{human(plan.unique_tokens)} unique tokens",
        tables=tables,
        notes=[
            f"Loss in nats per token; {plan.intervals}. Worth: how many times more unique tokens "
            "the standard recipe would need. Wall: training compute after which less than "
            f"{WALL_NATS:g} nats is left to win."
        ],
    )


def range_text(found: Range | None, form: str, unit: str = "") -> str:
    """Write a value with its ends; "none" where nothing is known."""
    if found is None:
        return "none"
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return f"{found.value:{form}}{unit} [no bound]"
    if found.low == found.high:
        return f"{found.value:{form}}{unit}"
    return f"{found.value:{form}}{unit} [{found.low:{form}}, {found.high:{form}}]"


def _all_rows(frame: pd.DataFrame) -> str:
    return markup.table([str(column) for column in frame.columns], frame.astype(str).to_numpy())
