"""The figure of `datawall plan`: losses by recipe, and stock of text and training sets by year."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from experiments.display.quantities import human
from experiments.planner.plan import Plan, Range

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_plan(plan: Plan, path: Path) -> None:
    """Draw a plan and write the figure, with the plotted numbers as CSV beside it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from experiments.runs.files import replacing
    from paper_figs.style import STYLE

    with plt.style.context(STYLE):
        figure, (losses, stock) = plt.subplots(
            1, 2, figsize=(10.4, 4.4), gridspec_kw={"width_ratios": [1.15, 1]}
        )
        frames = [_draw_losses(losses, plan), _draw_stock(stock, plan)]
        with replacing(path) as beside:
            figure.savefig(beside, dpi=160)
        plt.close(figure)
    with replacing(path.with_suffix(".csv")) as beside:
        pd.concat(frames, ignore_index=True).to_csv(beside, index=False)


def _draw_losses(ax: Axes, plan: Plan) -> pd.DataFrame:
    """Draw one point per recipe, the worst on top, labelled with its multiplier."""
    from paper_figs.style import error_bars, look

    shown = [one for one in plan.options if one.loss is not None]
    shown.sort(key=lambda one: one.loss.value if one.loss else math.inf)
    rows = []
    for place, option in enumerate(shown):
        loss = option.loss
        assert loss is not None
        drawn = look("standard" if option.recipe == "standard" else "regularized")
        ax.errorbar(
            loss.value,
            place,
            xerr=error_bars(loss.value, loss.low, loss.high),
            capsize=3,
            **drawn.line,
        )
        if option.multiplier is not None:
            ax.annotate(
                f"{option.multiplier.value:.3g}x", (loss.value, place), xytext=(0, 6), ha="center",
                textcoords="offset points", fontsize=8.5,
            )  # fmt: skip
        rows.append(
            {
                "panel": "loss",
                "series": option.recipe,
                "x": loss.value,
                "low": loss.low,
                "high": loss.high,
                "multiplier": _value(option.multiplier),
            }
        )
    ax.set_yticks(range(len(shown)), [one.recipe for one in shown])
    ax.set(
        xlabel="held-out loss (nats per token)", ylim=(-0.6, len(shown) - 0.2),
        title=f"loss and data multiplier at {human(plan.unique_tokens)} unique tokens",
    )  # fmt: skip
    return pd.DataFrame(rows)


def _draw_stock(ax: Axes, plan: Plan) -> pd.DataFrame:
    """Draw medians with 95 % bands, and the year in which each recipe uses up the stock."""
    from paper_figs.style import COLORS

    frames = []
    looks = {"stock": (0, "-", "stock of public text"), "demand": (1, "--", "largest training set")}
    for name, (color, linestyle, label) in looks.items():
        low, median, high = (plan.stock[f"{end}_{name}"] for end in ("low", "median", "high"))
        ax.plot(plan.stock["year"], median, color=COLORS[color], linestyle=linestyle, label=label)
        ax.fill_between(plan.stock["year"], low, high, color=COLORS[color], alpha=0.12, linewidth=0)
        columns = {"x": plan.stock["year"], "y": median, "low": low, "high": high}
        frames.append(pd.DataFrame(columns).assign(panel="stock", series=name))
    marked = ["standard", *(name for name in ("joint",) if name in plan.years)]
    for recipe, linestyle in zip(
        [one for one in marked if one in plan.years], ("-", ":"), strict=False
    ):
        year = plan.years[recipe].value
        ax.axvline(
            year, color=COLORS[6], linestyle=linestyle, linewidth=1,
            label=f"used up with the {recipe} recipe: {year:.0f}",
        )  # fmt: skip
    ax.set(yscale="log", xlabel="year", ylabel="tokens", title="projected stock of public text")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    ax.legend(loc="upper left")
    return pd.concat(frames)


def _value(found: Range | None) -> float | None:
    return None if found is None else found.value
