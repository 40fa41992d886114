"""The value of a fixed stock of text under each recipe, and the data wall of each recipe.

A plan has one row per recipe. Its numbers come from the published laws (`published`) or from a run
store (`from_store`). The stock of public text and the year in which training sets exhaust it are
sampled from published inputs (`scaling.published.text_stock`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from experiments.display.quantities import human
from scaling.published.text_stock import BASE_YEAR, draw_demand, draw_stock, years_of_use
from scaling.results import markup

WALL_NATS = 0.01
"""A recipe is at its data wall if unlimited compute would lower its loss by less than this."""
YEARS = tuple(range(2024, 2034))


@dataclass(frozen=True, kw_only=True)
class Range:
    """A value with the ends of its range; an infinite end means that there is no bound."""

    value: float
    low: float
    high: float

    @classmethod
    def over(cls, value: float, others: Sequence[float]) -> Range:
        """Return the smallest range that contains a value and all others."""
        everything = [value, *others]
        return cls(value=value, low=min(everything), high=max(everything))

    def scaled(self, factor: float) -> Range:
        """Return the range times a positive factor."""
        return Range(value=self.value * factor, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """The best use of a compute budget under one recipe.

    Attributes:
        n_members: number of models that are averaged.
        n_params: parameters of each model.
        n_epochs: epochs over the unique tokens.
        flops: 6 x parameters x tokens x epochs x members.
        loss: predicted loss in nats per token.
        extrapolated: whether the size lies outside the measured range.
    """

    n_members: int
    n_params: float
    n_epochs: float
    flops: float
    loss: float
    extrapolated: bool = False


@dataclass(frozen=True, kw_only=True)
class Option:
    """One recipe on the stock.

    Attributes:
        recipe: name of the recipe.
        loss: nats per token; None if no held-out loss is known.
        multiplier: data multiplier, i.e. how many times more unique tokens the standard recipe
            needs for the same loss; None if unknown.
        wall_flops: training compute at the data wall, see `WALL_NATS`; None if unknown.
        purchase: the best use of the compute budget; None without a budget, or if it is too small.
        source: where the numbers come from.
        note: what a reader must know to use them.
    """

    recipe: str
    loss: Range | None
    multiplier: Range | None
    wall_flops: float | None = None
    purchase: Purchase | None = None
    source: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The value of a stock of unique tokens.

    Attributes:
        unique_tokens: size of the stock.
        options: one row per recipe.
        intervals: meaning of the ranges of losses and multipliers.
        compute: compute budget in FLOPs, if there is one.
        stock: stock of public text and largest training set by year, in tokens; columns `year`, and
            `low`, `median` and `high` with the suffixes `_stock` and `_demand`.
        years: year in which training sets exhaust the stock if everyone uses a recipe, by recipe.
        share: unique tokens divided by the stock of public text in `BASE_YEAR`.
    """

    unique_tokens: float
    options: tuple[Option, ...]
    intervals: str
    compute: float | None = None
    stock: pd.DataFrame = field(repr=False)
    years: dict[str, Range]
    share: Range

    def _repr_html_(self) -> str:
        return plan_html(self)


def make_plan(
    unique_tokens: float,
    options: Sequence[Option],
    *,
    intervals: str,
    compute: float | None = None,
) -> Plan:
    """Return the plan of given options, with the projected stock of public text.

    Args:
        unique_tokens: size of the stock.
        options: one row per recipe.
        intervals: meaning of the ranges of losses and multipliers.
        compute: compute budget in FLOPs, if there is one.
    """
    stock, demand = draw_stock(), draw_demand()
    years = np.array(YEARS, float)
    effective = stock.quantiles(years).query("stock == 'effective'").drop(columns="stock")
    table = effective.merge(demand.quantiles(years), on="year", suffixes=("_stock", "_demand"))
    used_up = {}
    for option in options:
        if option.multiplier is not None and math.isfinite(option.multiplier.value):
            drawn = years_of_use(stock, demand, multiplier=option.multiplier.value)
            low, value, high = np.quantile(drawn, [0.025, 0.5, 0.975], method="nearest")
            used_up[option.recipe] = Range(value=float(value), low=float(low), high=float(high))
    now = effective[effective["year"] == BASE_YEAR].iloc[0]
    return Plan(
        unique_tokens=unique_tokens,
        options=tuple(options),
        intervals=intervals,
        compute=compute,
        stock=table,
        years=used_up,
        share=Range(
            value=float(unique_tokens / now["median"]),
            low=float(unique_tokens / now["high"]),
            high=float(unique_tokens / now["low"]),
        ),
    )


def plan_html(plan: Plan) -> str:
    """Return the HTML tables of a plan."""
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
    columns = ("recipe", "loss", "multiplier", "wall, FLOPs", "stock used up", "source")
    tables = [markup.table(columns, rows)]
    bought = [(option.recipe, option.purchase) for option in plan.options if option.purchase]
    if bought:
        purchases = [
            (recipe, f"{what.n_members:,}", human(what.n_params), f"{what.n_epochs:g}",
             f"{what.loss:.3f}", f"{what.flops:.1e}")
            for recipe, what in bought
        ]  # fmt: skip
        columns = (f"best use of {plan.compute:.3g} FLOPs", *PURCHASE_COLUMNS)
        tables.append(markup.table(columns, purchases))
    title = f"{human(plan.unique_tokens)} unique tokens"
    return markup.fragment(title, tables=tables, notes=[legend(plan)])


PURCHASE_COLUMNS = ("members", "parameters each", "epochs", "loss", "FLOPs")


def legend(plan: Plan) -> str:
    """Return what the columns of a plan mean."""
    return (
        f"Loss in nats per token; {plan.intervals}. Multiplier: how many times more unique tokens "
        "the standard recipe would need for the same loss. Wall: training compute beyond which "
        f"unlimited compute would lower the loss by less than {WALL_NATS:g} nats."
    )


def range_text(found: Range | None, form: str, unit: str = "") -> str:
    """Return a value with the ends of its range as text; "unknown" for None.

    Args:
        found: the range.
        form: format specification of the numbers, such as ".2f".
        unit: appended to the value, such as "x".
    """
    if found is None:
        return "unknown"
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return f"{found.value:{form}}{unit} [no bound]"
    if found.low == found.high:
        return f"{found.value:{form}}{unit}"
    return f"{found.value:{form}}{unit} [{found.low:{form}}, {found.high:{form}}]"
