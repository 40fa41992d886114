"""Losses on several draws, and the verdicts on them, on losses made up."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments.claims import data as claims_data
from experiments.lab.lab import Lab
from experiments.lab.recipe import NotRun, Results, run_recipes
from experiments.recipes.distillation import ARMS, distillation
from experiments.recipes.draws import RECIPES, Draws, draws
from experiments.runs.store import RunStore
from experiments.worlds.plans import DrawsPlan
from experiments.worlds.registry import WORLDS
from paper_figs import figN5_draws

WIDTHS = (16, 32, 64)
SINGLE = {16: 3.8, 32: 3.7, 64: 3.6}
LIMIT = {16: 3.5, 32: 3.4, 64: 3.3}


def drawn(means=None, *, n_draws=4, luck=0.1, own=0.005, seed=0):
    """means: {recipe: {width: loss}}; a draw shifts all losses alike, by far more than its own."""
    rng = np.random.default_rng(seed)
    shifts = luck * rng.normal(size=n_draws)
    every = {"standard": dict.fromkeys(WIDTHS, 3.9), "regularized": SINGLE, "ensemble limit": LIMIT}
    every |= {"ensemble": {width: loss + 0.05 for width, loss in LIMIT.items()}} | (means or {})
    rows = [
        {
            "recipe": recipe, "draw_seed": draw, "width": width,
            "n_params_non_embedding": 24 * width**2, "validation_loss": loss,
            "test_loss": loss + shift + own * rng.normal(),
        }
        for recipe, by_width in every.items()
        for width, loss in by_width.items()
        for draw, shift in enumerate(shifts)
    ]  # fmt: skip
    return Draws(losses=pd.DataFrame(rows))


def story_of(found):
    return Results("test", {draws: found})


def rightly(judge, expected, means):
    verdicts = [judge(story_of(drawn(means, seed=seed))).verdict for seed in range(50)]
    return verdicts.count(expected) >= 45


def test_a_size_of_model_is_selected_on_validation():
    found = drawn(luck=0.0, own=0.0)
    assert found.widths == [16, 32, 64]
    assert found.n_draws == 4
    assert found.loss("regularized") == pytest.approx([3.6] * 4)
    assert found.loss("regularized", 16) == pytest.approx([3.8] * 4)


@pytest.mark.long
def test_prediction_intervals_hold_a_further_draw_as_often_as_they_say():
    found = [drawn(seed=seed, own=0.0, n_draws=5).held for seed in range(100)]
    inside, n = np.sum(found, axis=0)
    assert n == 100 * len(RECIPES) * len(WIDTHS) * 5
    assert inside / n == pytest.approx(0.95, abs=0.03)  # five draws of a world share each other


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        (None, "supported"),
        ({"standard": dict.fromkeys(WIDTHS, 3.55)}, "contradicted"),
        ({"ensemble limit": dict.fromkeys(WIDTHS, 3.65)}, "contradicted"),
        ({"ensemble limit": dict.fromkeys(WIDTHS, 3.6)}, "inconclusive"),
    ],
)
def test_each_recipe_beats_the_one_before_on_other_draws(means, expected):
    assert rightly(claims_data._n16, expected, means)


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(3.3, "supported"), (3.4, "contradicted"), (3.45, "contradicted")],
)
def test_larger_members_pay(largest, expected):
    assert rightly(claims_data._n17, expected, {"ensemble limit": LIMIT | {64: largest}})


def test_of_two_sizes_the_smaller_is_compared_with_the_larger_and_one_is_not_judged():
    losses = drawn(own=0.0).losses
    judged = claims_data._n17(story_of(Draws(losses=losses[losses["width"] < 64])))
    assert judged.verdict == "supported"
    assert judged.value == pytest.approx(LIMIT[16] - LIMIT[32])
    with pytest.raises(NotRun, match="one size"):
        claims_data._n17(story_of(Draws(losses=losses[losses["width"] < 32])))


def test_the_figure_holds_every_loss():
    found = drawn()
    axes, frame = figN5_draws.draw(story_of(found))
    assert len(axes) == 2
    assert set(frame.loc[frame["series"] == "draw", "test_loss"]) == set(found.losses["test_loss"])
    differences = frame[(frame["series"] == "difference") & (frame["recipe"] == "ensemble limit")]
    assert differences["test_loss"].to_numpy() == pytest.approx(-0.3, abs=0.02)


@pytest.mark.long
@pytest.mark.exhaustive
def test_the_tiny_world_trains_draws_and_students_of_soft_targets(tmp_path):
    tiny = WORLDS["tiny"]
    world = dataclasses.replace(
        tiny, widths=(8,), n_unique_tokens=1_024, n_eval_tokens=512, weight_decays=(1.6,),
        epochs=(4,), standard_epochs=(4,), start=(1.6, 4),
        draws=DrawsPlan(widths=(8,), n_draws=3),
        distillation=dataclasses.replace(
            tiny.distillation, n_epochs=4, weight_decays=(1.6,), n_generations=1, n_seeds=1,
            soft_ensemble=True,
        ),
    )  # fmt: skip
    lab = Lab(world, RunStore(tmp_path))
    results = run_recipes(lab, [draws, distillation])
    found = results[draws]
    assert found.n_draws == 3
    assert found.losses["test_loss"].between(4, 8).all()
    assert len(set(found.loss("ensemble", 8))) == 3
    students = results[distillation].students.set_index("arm")
    assert students.loc["soft ensemble", "n_epochs"] == students.loc["ensemble", "n_epochs"] == 1
    assert students["test_loss"].nunique() == len(ARMS)
