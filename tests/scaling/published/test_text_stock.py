"""The stock of text: the published quantiles, and the year in which it is used up."""

from __future__ import annotations

import numpy as np
import pytest

from scaling.published.text_stock import (
    COMPUTE_GROWTH,
    DATA_GROWTH,
    Growth,
    LogNormal,
    draw_demand,
    draw_stock,
    growth_of,
    years_of_use,
)

VILLALOBOS = "Villalobos et al. 2024, 2211.04325"


def test_a_log_normal_has_the_interval_it_is_given_by():
    drawn = LogNormal(low=2.0, high=5.0, level=0.9).draw(np.random.default_rng(0), 200_000)
    assert np.quantile(drawn, [0.05, 0.95]) == pytest.approx([2.0, 5.0], rel=0.01)


@pytest.mark.parametrize(
    ("stock", "median", "low", "high"),
    # An independent Monte Carlo of the same inputs with 2024 as the year.
    [("raw", 5.1e14, 1.3e14, 2.1e15), ("effective", 3.2e14, 6.6e13, 1.7e15)],
)
def test_quantiles_of_2024(check_number, stock, median, low, high):
    found = draw_stock().quantiles(np.array([2024.0])).set_index("stock").loc[stock]
    for name, value, share in (("median", median, 0.03), ("low", low, 0.05), ("high", high, 0.05)):
        check_number(
            f"{stock} stock of text in 2024, {name} (tokens)", published=value, ours=found[name],
            tolerance=share * value, source=f"{VILLALOBOS}, Monte Carlo of its inputs",
        )  # fmt: skip


def test_stock_is_used_up_when_villalobos_say(check_number):
    # arXiv 2211.04325, abstract and figure 1: between 2026 and 2032, median 2028 (80 % interval;
    # half of their draws follow compute instead of the trend).
    years = years_of_use(draw_stock(), draw_demand())
    low, median, high = np.quantile(years, [0.1, 0.5, 0.9])
    assert 2026 < low < median < high < 2032.5
    # Ours is later, without the branch that follows compute; a quarter of their interval's width.
    check_number(
        "year in which the stock is used up, median", published=2028, ours=median, tolerance=1.5,
        source=VILLALOBOS,
    )  # fmt: skip


def test_a_multiplier_buys_its_orders_of_magnitude_over_the_growth():
    growth = Growth(value=0.4, low=0.4, high=0.4, n=3)
    stock, demand = draw_stock(100), draw_demand(growth, 100)
    later = years_of_use(stock, demand, multiplier=10.0) - years_of_use(stock, demand)
    assert later == pytest.approx(1.0 / (0.4 - stock.growth))


def test_demand_that_grows_slower_never_uses_the_stock_up():
    growth = Growth(value=-0.1, low=-0.1, high=-0.1, n=3)
    assert np.isinf(years_of_use(draw_stock(50), draw_demand(growth, 50))).all()
    with pytest.raises(ValueError, match="`multiplier` must be above 0"):
        years_of_use(draw_stock(5), draw_demand(growth, 5), multiplier=0.0)


def test_growth_recovers_an_exponential():
    years = np.linspace(2010, 2024, 30)
    found = growth_of(years, 1e9 * 10 ** (0.5 * (years - 2010)))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="must be above 0"):
        growth_of(years, 0.0 * years)


def test_recorded_growth_is_that_of_the_published_table(published, check_number):
    table = published("training_sets")
    assert len(table) == 80
    stated = table.dropna(subset="flops")
    for recorded, rows, column in ((DATA_GROWTH, table, "size"), (COMPUTE_GROWTH, stated, "flops")):
        found = growth_of(rows["year"], rows[column])
        assert found.n == recorded.n
        check_number(
            f"growth of training {column} (orders of magnitude per year)",
            published=recorded.value, ours=found.value, tolerance=5e-4, source=VILLALOBOS,
        )  # fmt: skip
        assert (found.low, found.high) == pytest.approx((recorded.low, recorded.high), abs=0.005)
