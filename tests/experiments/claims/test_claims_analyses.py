"""Decision rules of the claims that analyse finished runs, on clear, doubtful and absent cases."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from experiments.analysis.intervals import Estimate
from experiments.claims import guides as claims_guides
from experiments.claims import members as claims_members
from experiments.lab.recipe import Results
from experiments.recipes import find_recipe
from experiments.recipes.ablations import Ablations
from experiments.recipes.classical import Classical
from experiments.recipes.downstream import Downstream
from experiments.recipes.members.learned_weights import ALL_SIZES, LearnedWeights


def story_of(**found):
    return Results("test", {find_recipe(name): result for name, result in found.items()})


def estimate(value, half=0.02, n=5):
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def test_downstream_without_its_files_says_what_is_lacking():
    nothing = pd.DataFrame()
    found = Downstream(
        models=nothing, paradigms=nothing, n_pairs=0, n_items=0, missing="there is no x.jsonl"
    )
    claim = claims_guides._p17(story_of(downstream=found))
    assert claim.verdict == "inconclusive"
    assert "Not measured: there is no x.jsonl" in claim.detail
    assert math.isinf(claim.low)


MODELS = pd.DataFrame(
    {
        "width": [16, 16], "n_members": [1, 4], "train_flops": [1.0, 4.0], "pairs": [0.5, 0.6],
        "choices": [0.3, 0.3], "chance": [0.3, 0.3],
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("correlation", "gain", "expected"),
    [
        (estimate(-0.9, 0.1), estimate(0.05), "supported"),
        (estimate(-0.9, 0.1), estimate(-0.05), "contradicted"),
        (estimate(0.2, 0.3), estimate(0.05), "contradicted"),
        (estimate(-0.5, 0.3), estimate(0.05), "inconclusive"),
        (estimate(-0.9, 0.1), estimate(0.01), "inconclusive"),
    ],
)
def test_loss_as_a_guide(correlation, gain, expected):
    found = SimpleNamespace(
        missing="", models=MODELS, n_pairs=335, n_items=150, frontier=lambda: MODELS,
        rank_correlation=lambda: correlation, gain_of_ensembles=lambda: gain,
        selected=lambda ensemble: MODELS.iloc[int(ensemble)],
        over_chance=lambda: estimate(0.1), differ=lambda: 0.001,
    )  # fmt: skip
    claim = claims_guides._p17(story_of(downstream=found))
    assert claim.verdict == expected
    assert "2 models, of which 1 are ensembles" in claim.detail


@pytest.mark.parametrize(
    ("over_chance", "p"), [(estimate(0.01), 0.001), (estimate(0.1), 0.2), (estimate(0.1), 1.0)]
)
def test_accuracies_at_chance_or_alike_are_not_ranked(over_chance, p):
    found = SimpleNamespace(
        missing="", models=MODELS, n_pairs=335, n_items=150, frontier=lambda: MODELS,
        rank_correlation=lambda: estimate(0.2, 0.1), gain_of_ensembles=lambda: estimate(0.05),
        selected=lambda ensemble: MODELS.iloc[int(ensemble)], over_chance=lambda: over_chance,
        differ=lambda: p,
    )  # fmt: skip
    claim = claims_guides._p17(story_of(downstream=found))
    assert claim.verdict == "inconclusive"
    assert "too little to be ranked" in claim.detail


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (estimate(0.01), "supported"),
        (estimate(0.2), "contradicted"),
        (estimate(0.01, 0.1), "inconclusive"),
        (estimate(0.01, np.inf), "inconclusive"),
    ],
)
def test_learning_curves_predict(error, expected):
    any_loss = estimate(4.0)
    found = SimpleNamespace(
        predicted=lambda is_train: any_loss, measured=lambda is_train: any_loss, error=error,
        predicted_by_test_alone=lambda: any_loss, largest=65536, width=16, is_mixed=True,
        law=SimpleNamespace(status=SimpleNamespace(name="CONVERGED")),
    )  # fmt: skip
    assert claims_guides._p19(story_of(learning_curves=found)).verdict == expected


@pytest.mark.parametrize(
    ("gap", "is_mixed", "expected"),
    [
        (estimate(0.05, 0.3), True, "supported"),
        (estimate(0.9, 0.3), True, "contradicted"),
        (estimate(0.05, 2.0), True, "inconclusive"),
        (estimate(0.9, 0.3), False, "inconclusive"),
    ],
)
def test_learning_curves_share_an_asymptote(gap, is_mixed, expected):
    found = SimpleNamespace(asymptote_gap=gap, is_mixed=is_mixed)
    assert claims_guides._p19a(story_of(learning_curves=found)).verdict == expected


@pytest.mark.parametrize(
    ("gain", "classical", "expected"),
    [(0.1, 0.05, "supported"), (0.1, -0.05, "contradicted"), (0.1, 0.0, "inconclusive")],
)
def test_mixing_classical_and_neural(gain, classical, expected):
    rng = np.random.default_rng(0)
    text, own = rng.normal(4, 0.5, size=200), rng.normal(0, 0.02, size=(3, 200))
    windows = pd.DataFrame(
        {
            "best": text + gain + own[0],
            "mixture": text + own[1],
            "neural": text + classical + own[2],
            "ensemble": text,
            "ensemble_classical": text - own[0],
        }
    )
    models = pd.DataFrame({"model": ["Kneser-Ney", "tuned"], "weight": [0.2, 0.8]})
    found = Classical(order=3, models=models, windows=windows, best="tuned", ensemble="5 members")
    claim = claims_guides._p20(story_of(classical=found))
    assert claim.verdict == expected
    assert "Kneser-Ney 0.20, tuned 0.80" in claim.detail


@pytest.mark.parametrize(
    ("once", "jitter", "n_seeds", "expected"),
    [
        (0.5, 0.1, 3, "supported"),
        (-0.5, 0.1, 3, "contradicted"),
        (0.5, 0.0, 3, "inconclusive"),
        (0.5, 0.1, 1, "inconclusive"),
    ],
)
def test_reading_order(once, jitter, n_seeds, expected):
    tuned = {"as here": 4.0, "no window jitter": 4.0 + jitter, "shuffled once": 4.2}
    few = dict.fromkeys(tuned, 4.2)
    most = {"as here": 4.5, "no window jitter": 4.6, "shuffled once": 4.5 + once}
    settings = {"standard, few epochs": few, "standard, most epochs": most, "tuned": tuned}
    runs = pd.DataFrame(
        [
            {"reading": reading, "setting": setting, "seed": seed, "test_loss": x + 0.01 * seed}
            for setting, losses in settings.items()
            for reading, x in losses.items()
            for seed in range(n_seeds)
        ]
    )
    found = Ablations(width=32, few_epochs=8, most_epochs=32, runs=runs)
    claim = claims_guides._n4(story_of(ablations=found))
    assert claim.verdict == expected
    assert claim.value == pytest.approx(jitter)


def weights_of(*learned):
    """Pools of three sizes whose tempered loss is 4 and whose learned loss is given."""
    rows = [
        {"pool": pool, "average": average, "weighting": weighting, "test_loss": loss}
        for pool, of_learned in zip(["width 16", "width 32", "width 64"], learned, strict=True)
        for average in ("logit", "probability")
        for weighting, loss in {"equal": 4.1, "tempered": 4.0, "learned": of_learned}.items()
    ]
    rows += [{**row, "pool": ALL_SIZES} for row in rows[:6]]
    without = {
        pool: [4.0 - loss - 0.001, 4.0 - loss, 4.0 - loss + 0.001]
        for pool, loss in zip(["width 16", "width 32", "width 64"], learned, strict=True)
    }
    return LearnedWeights(table=pd.DataFrame(rows), gain_of_one={"width 16": 0.2}, without=without)


@pytest.mark.parametrize(
    ("learned", "expected"),
    [
        ((3.9, 3.91, 3.89), "supported"),
        ((4.1, 4.11, 4.09), "contradicted"),
        ((3.9, 4.1, 3.9), "contradicted"),  # at one size
        ((3.9, 4.0, 3.9), "inconclusive"),
    ],
)
def test_learned_weights_are_judged_at_equal_temperature(learned, expected):
    claim = claims_members._n7(story_of(learned_weights=weights_of(*learned)))
    assert claim.verdict == expected
    assert "+0.1000, +0.1000, +0.1000; of one member alone, +0.2000" in claim.detail


@pytest.mark.parametrize(
    ("weights", "order", "expected"),
    [
        (estimate(0.9, 0.1), estimate(0.8, 0.1), "supported"),
        (estimate(0.9, 0.1), estimate(0.2, 0.1), "contradicted"),
        (estimate(0.9, 0.6), estimate(0.8, 0.1), "inconclusive"),
    ],
)
def test_one_source_of_difference(weights, order, expected):
    shares = {"weights": weights, "order": order}
    found = SimpleNamespace(
        share=shares.__getitem__, width=32, n_members=3, gain_estimate=lambda source: estimate(0.2)
    )
    assert claims_members._n8(story_of(diversity=found)).verdict == expected
