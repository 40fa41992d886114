"""The claim that frames the talk: text runs out and compute does not. No run is needed for it."""

from __future__ import annotations

import numpy as np

from experiments.analysis.intervals import Estimate
from experiments.claims.claim import Finding, claim, verdict
from experiments.story.story import Story
from scaling.published.datasets import load_dataset
from scaling.published.text_stock import (
    COMPUTE_GROWTH,
    DATA_GROWTH,
    Growth,
    draw_demand,
    draw_stock,
    growth_of,
    years_of_use,
)

TALK = 2025
"""The year of the talk."""
SOON, FAR = 10, 20
"""Years after it: `within years` is at most the first; beyond the second it is contradicted."""


@claim("P1", "Compute grows much faster than the stock of text, which is used up within years.")
def text_runs_out(story: Story) -> Finding:
    """The year in which the largest training set equals the stock of public text that is good
    enough and may be repeated, from the published inputs of Villalobos et al. 2024, with growth
    rates refitted to their table where it is there. Supported when training compute grows faster
    than the stock (95 % intervals of the rates apart) and the 95 % interval of the year ends
    within 10 years of the talk (2025); contradicted when the median is more than 20 years after it
    or compute grows more slowly."""
    compute, data, source = measured_growth()
    stock, demand = draw_stock(), draw_demand(data)
    low, median, high = np.quantile(years_of_use(stock, demand), [0.025, 0.5, 0.975])
    of_stock = np.quantile(stock.growth, [0.025, 0.5, 0.975])
    return Finding(
        verdict=verdict(
            supported=compute.low > of_stock[2] and high <= TALK + SOON,
            contradicted=median > TALK + FAR or compute.high < of_stock[0],
        ),
        quantity="year in which the largest training set equals the stock of text",
        estimate=Estimate(value=float(median), low=float(low), high=float(high), n=data.n),
        interval_of="draws of the published inputs",
        detail=f"Orders of magnitude a year ({source}): training compute {compute.value:.2f} "
        f"[{compute.low:.2f}, {compute.high:.2f}], training sets {data.value:.2f} "
        f"[{data.low:.2f}, {data.high:.2f}], stock {of_stock[1]:.3f} [{of_stock[0]:.3f}, "
        f"{of_stock[2]:.3f}].",
    )


def measured_growth() -> tuple[Growth, Growth, str]:
    """Return the growth of training compute and of training sets, and where it comes from."""
    try:
        table = load_dataset("training_sets")
    except OSError:  # not in the data folder, and no network
        return COMPUTE_GROWTH, DATA_GROWTH, "as recorded from their table"
    stated = table.dropna(subset="flops")
    compute = growth_of(stated["year"].to_numpy(), stated["flops"].to_numpy())
    data = growth_of(table["year"].to_numpy(), table["size"].to_numpy())
    return compute, data, "refitted to their table"
