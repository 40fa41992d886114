"""What a fixed stock of text is worth under each recipe, and when each recipe hits its data wall.

A plan has a row a recipe. Its numbers come from the published laws (`published`) or from a
store of runs (`from_store`); the stock of public text and the year in which training sets use it
up are drawn from published inputs (`scaling.published.text_stock`).
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
"""A recipe is at its data wall once all the compute in the world would save it less than this."""
YEARS = tuple(range(2024, 2034))


@dataclass(frozen=True, kw_only=True)
class Range:
    """A value and the ends between which it may lie; infinite ends say that nothing bounds it."""

    value: float
    low: float
    high: float

    @classmethod
    def over(cls, value: float, others: Sequence[float]) -> Range:
        """Return the range that holds the value and all the others."""
        everything = [value, *others]
        return cls(value=value, low=min(everything), high=max(everything))

    def scaled(self, factor: float) -> Range:
        """Return the range times a factor above zero."""
        return Range(value=self.value * factor, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """What a compute budget buys of a recipe.

    Attributes:
        n_members: models that are averaged.
        n_params: parameters of each.
        n_epochs: passes over the unique tokens.
        flops: 6 x parameters x tokens x epochs x members.
        loss: what they reach, in nats per token.
        extrapolated: whether the size lies outside those that were measured.
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
        recipe: its name.
        loss: nats per token, or None where no held-out loss is known.
        multiplier: how many times more unique tokens the standard recipe would need, or None where
            that is unknown.
        wall_flops: training compute beyond which less than `WALL_NATS` is left to win; None where
            unknown.
        purchase: what the compute budget buys; None without a budget, or where it buys nothing.
        source: where the numbers come from.
        note: what the reader must know to use them.
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
    """The worth of a stock of unique tokens.

    Attributes:
        unique_tokens: of the stock.
        options: a row a recipe.
        intervals: what the ends of losses and multipliers stand for.
        compute: the budget in FLOPs, if any.
        stock: the stock of public text and the largest training set by year: `year`, and `low`,
            `median` and `high` of `stock` and of `demand`, in tokens.
        years: by recipe, when training sets use the stock up if everyone trains so.
        share: share of this year's stock of public text that the unique tokens are.
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
    """Put a recipe's rows against the projected stock of text."""
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
    """Show what a stock of unique tokens is worth under each recipe."""
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
