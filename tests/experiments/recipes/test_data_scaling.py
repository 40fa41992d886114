"""Data laws, multipliers and regimes on losses made up to follow known laws."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments.claims import data as claims_data
from experiments.lab.recipe import Results
from experiments.recipes.data_scaling.recipe import DataScaling, _world_of, data_scaling
from experiments.story.regimes import gains, slope
from experiments.worlds.registry import WORLDS

SIZES = (4_000, 8_000, 16_000, 32_000)
E, A, ALPHA = 2.0, 20.0, 0.3


def standard_loss(size):
    return E + A / size**ALPHA


def scaling_of(recipes, *, luck=0.05, n_draws=3, sizes=SIZES):
    """recipes: {name: {width: size -> loss}}; every draw shifts all recipes alike."""
    shifts = luck * np.linspace(-1, 1, n_draws)
    rows = [
        {
            "recipe": recipe, "n_unique_tokens": size, "draw_seed": draw, "width": width,
            "n_params_non_embedding": 24 * width**2,
            "validation_loss": loss(size) + shift, "test_loss": loss(size) + shift,
        }
        for recipe, by_width in recipes.items()
        for width, loss in by_width.items()
        for size in sizes
        for draw, shift in enumerate(shifts)
    ]  # fmt: skip
    return DataScaling(certificates={size: [] for size in sizes}, losses=pd.DataFrame(rows))


def worth(factor):
    """A recipe worth `factor` times the data of the standard one."""
    return lambda size: standard_loss(factor * size)


@pytest.fixture
def known():
    return scaling_of(
        {
            "standard": {16: lambda size: standard_loss(size) + 1, 32: standard_loss},
            "regularized": {32: worth(2)},
            "ensemble": {32: worth(3)},
        },
        luck=0.01,
    )


def test_the_width_that_validation_selects_is_reported(known):
    assert known.recipes == ["standard", "regularized", "ensemble"]
    assert set(known.best["width"]) == {32}
    assert known.loss("standard", 8_000).value == pytest.approx(standard_loss(8_000))


def test_the_data_law_is_recovered_and_multipliers_are_the_factors(known):
    law = known.laws["standard"].params
    assert law["E"] == pytest.approx(E, abs=0.15)
    assert law["alpha"] == pytest.approx(ALPHA, abs=0.05)
    for recipe, factor in (("regularized", 2), ("ensemble", 3)):
        for size in SIZES:
            found = known.multiplier(recipe, size)
            is_measured = factor * size <= SIZES[-1]  # the standard recipe was trained on no more
            assert found.low <= found.value <= found.high
            assert found.value == pytest.approx(factor if is_measured else np.inf, rel=0.05)


def test_measured_multipliers_stay_within_the_stocks(known):
    for recipe, factor in (("regularized", 2), ("ensemble", 3)):
        assert known.measured_multiplier(recipe).value == pytest.approx(factor, rel=0.02)
        assert known.multiplier_slope(recipe).value == pytest.approx(0, abs=0.03)
        assert known.gain(recipe, 8_000).value == pytest.approx(
            standard_loss(8_000) - standard_loss(factor * 8_000)
        )
        for size, times in known.measured_multipliers(recipe).values():
            assert min(size) >= 4_000 * (1 - 1e-9)
            assert max(size * times) <= 32_000 * (1 + 1e-9)


def test_a_multiplier_beyond_the_stocks_is_unknown():
    found = scaling_of({"standard": {32: standard_loss}, "ensemble": {32: worth(10)}})
    assert np.isnan(found.measured_multiplier("ensemble").value)
    assert not found.measured_multiplier("ensemble").is_bounded
    assert not found.multiplier_slope("ensemble").is_bounded


def test_a_multiplier_that_shrinks_has_a_negative_slope():
    found = scaling_of(
        {
            "standard": {32: standard_loss},
            "ensemble": {32: lambda size: standard_loss(4 * (size / 4_000) ** -0.5 * size)},
        },
        luck=0.01,
    )
    assert found.multiplier_slope("ensemble").value == pytest.approx(-0.5, abs=0.03)


def test_a_loss_beyond_the_stocks_bounds_the_multiplier():
    found = scaling_of(
        {
            "standard": {32: standard_loss},
            "regularized": {32: lambda size: 100.0},
            "ensemble": {32: lambda size: 0.1},
        },
        luck=0.01,
    )
    more, less = found.multiplier("ensemble", 8_000), found.multiplier("regularized", 8_000)
    assert str(more).startswith("more than 4x")
    assert str(less).startswith("less than 0.5x")


def test_the_standard_recipe_may_be_trained_on_more_text_than_the_others():
    """Its largest stocks are those of no other recipe, and multipliers are read there."""
    whole = scaling_of({"standard": {32: standard_loss}, "ensemble": {32: worth(3)}}, luck=0.01)
    kept = (whole.losses["recipe"] == "standard") | (whole.losses["n_unique_tokens"] <= 8_000)
    found = DataScaling(certificates=whole.certificates, losses=whole.losses[kept])
    assert found.sizes == [4_000, 8_000]
    assert found.sizes_of("standard") == list(SIZES)
    assert found.recipes == ["standard", "ensemble"]
    assert set(found.laws) == {"standard"}
    for size in found.sizes:
        assert found.multiplier("ensemble", size).value == pytest.approx(3, rel=0.05)
    assert found.measured_multiplier("ensemble").value == pytest.approx(3, rel=0.02)
    assert found.multiplier_slope("ensemble").value == pytest.approx(0, abs=0.05)


def test_draws_that_recipes_share_do_not_widen_the_gain():
    """The luck of a draw is ten times the gain, and cancels."""
    recipes = {
        "standard": {32: standard_loss},
        "regularized": {32: lambda size: standard_loss(size) - 0.03},
        "ensemble": {32: lambda size: standard_loss(size) - 0.05},
        "ensemble limit": {32: lambda size: standard_loss(size) - 0.06},
    }
    story = Results("test", {data_scaling: scaling_of(recipes, luck=0.3)})
    table = gains(story)
    assert len(table) == len(SIZES)
    assert table["regularization"].to_numpy() == pytest.approx(0.03)
    assert table["ensembles"].to_numpy() == pytest.approx(0.02)
    assert table["infinite ensembles"].to_numpy() == pytest.approx(0.03)
    assert (table["regularization_low"] > 0.02).all()


@pytest.mark.parametrize(
    ("single", "many", "expected"),
    [
        (worth(2), worth(3), "supported"),
        (worth(0.5), worth(3), "contradicted"),
        (worth(1), worth(3), "inconclusive"),
        (lambda size: standard_loss(5 * (size / 4_000) ** -0.75 * size), worth(3), "contradicted"),
        (worth(10), worth(3), "inconclusive"),  # beyond the stocks
    ],
)
def test_gains_persist(single, many, expected):
    found = scaling_of(
        {
            "standard": {32: standard_loss},
            "regularized": {32: single},
            "ensemble": {32: many},
        },
        luck=0.01,
    )
    claim = claims_data._p13(Results("test", {data_scaling: found}))
    assert claim.verdict == expected
    assert claim.value == pytest.approx(3, rel=0.05)


def test_gains_by_parameters_a_token():
    """Regularization gains .2 per tenfold N/D, ensembles half of it."""

    def less(width, per_decade):
        return lambda size: standard_loss(size) - per_decade * np.log10(24 * width**2 / size)

    found = scaling_of(
        {
            "standard": dict.fromkeys((16, 64), standard_loss),
            "regularized": {width: less(width, 0.2) for width in (16, 64)},
            "ensemble": {width: less(width, 0.3) for width in (16, 64)},
            "ensemble limit": {width: less(width, 0.4) for width in (16, 64)},
        }
    )
    story = Results("test", {data_scaling: found})
    table = gains(story)
    assert slope(table, "regularization").value == pytest.approx(0.2)
    assert slope(table, "ensembles").value == pytest.approx(0.1)
    assert slope(table, "infinite ensembles").value == pytest.approx(0.2)
    claim = claims_data._n2(story)
    assert claim.verdict == "supported"
    assert claim.value == pytest.approx(0.2)


def test_a_stock_is_compared_or_of_the_standard_recipe_alone():
    plan = WORLDS["small"].data_scaling
    with pytest.raises(ValueError, match=r"must be others than sizes; not \[32768\]"):
        dataclasses.replace(plan, reference_sizes=(32_768, 131_072))


def test_tuned_settings_serve_at_the_size_that_they_are_of():
    world = WORLDS["small"]
    plan = world.plan_of(world.data_scaling, "data_scaling")
    at = {size: _world_of(world, plan, size).carries_settings for size in plan.sizes}
    assert at == {16_384: False, 32_768: True}


def test_stocks_of_every_size_come_from_as_many_documents():
    world = WORLDS["small"]
    plan = world.plan_of(world.data_scaling, "data_scaling")
    lengths = {size: _world_of(world, plan, size).chunk_tokens for size in (16_384, 32_768, 65_536)}
    assert lengths == {16_384: 256, 32_768: 512, 65_536: 512}
