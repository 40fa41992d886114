"""Calibration: languages, laws on losses that follow known ones, the verdict, a real run."""

import dataclasses
from itertools import combinations
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from experiments.analysis import laws as laws_of_part_1
from experiments.claims import calibration as claims_calibration
from experiments.lab.lab import Lab
from experiments.lab.recipe import Results, run_recipes
from experiments.recipes.calibration import laws as calibration_laws
from experiments.recipes.calibration.languages import TEST, Languages
from experiments.recipes.calibration.laws import (
    BAYES,
    METHODS,
    coverage,
    data_laws,
    excess_losses,
    limits,
)
from experiments.recipes.calibration.losses import CalibrationLosses, chosen_settings
from experiments.recipes.calibration.recipe import calibration
from experiments.runs.store import RunStore
from experiments.runs.texts import TextFacts
from experiments.worlds.plans import KINDS, CalibrationPlan
from experiments.worlds.registry import WORLDS
from paper_figs import figN1_calibration

pytestmark = pytest.mark.timeout(900)  # four architectures are compiled: a minute where it is busy

PLAN = CalibrationPlan(
    n_sources=1, weight_decays=(0.1, 1.0), reads=(4_096,), n_seeds=2, n_unique_tokens=512,
    widths=(8, 16, 32), brute_width=64, brute_members=16, data_width=32,
    sizes=(1_024, 2_048, 4_096, 8_192), brute_size=65_536,
)  # fmt: skip
REAL = dataclasses.replace(
    WORLDS["tiny"].calibration, n_sources=1, weight_decays=(0.4,), reads=(4_096,), least_epochs=1,
    brute_members=5, brute_size=4_096, n_eval_windows=64,
)  # fmt: skip
"""What is trained here: the architectures of the tiny world, few runs and few steps."""
ENTROPY, FLOOR, JOINT = 2.0, 2.10, 2.12
A, ALPHA = 60.0, 0.8


def joint_loss(size, n_members):
    return JOINT + 2.0 / size**0.5 + 40.0 / size**0.6 / n_members


def made_up(luck=1e-4):
    """Losses that follow the data law and the joint law, each run with a little luck of its own."""
    plan, rng = PLAN, np.random.default_rng(0)
    singles, curves, brute, floors = [], [], [], []

    def place(kind, size, width, source):
        return {
            "kind": kind, "n_unique_tokens": size, "width": width, "source": source,
            "n_params_non_embedding": plan.model(width).n_params_non_embedding,
        }  # fmt: skip

    def add_cell(at, single, ensemble):
        singles.extend(
            {**at, "seed": i, "test_loss": single + luck * rng.normal()}
            for i in range(plan.n_seeds)
        )
        own = luck * rng.normal(size=plan.n_members)
        for n in range(1, plan.n_members + 1):
            for subset in combinations(range(plan.n_members), n):
                loss = ensemble(n) + own[list(subset)].mean()
                curves.append(
                    {
                        **at, "members": ",".join(map(str, subset)), "n_members": n,
                        "average": "logit", "chosen_for": "ensemble", "validation_loss": loss,
                        "test_loss": loss,
                    }
                )  # fmt: skip

    for source in range(plan.n_sources):
        for kind in KINDS:
            for size in (*plan.sizes, plan.brute_size):
                excess = A / size**ALPHA
                add_cell(
                    place(kind, size, plan.data_width, source),
                    ENTROPY + excess,
                    lambda n, excess=excess: ENTROPY + 0.8 * excess,
                )
        known = {plan.n_unique_tokens: FLOOR}
        known |= {size: ENTROPY + 100.0 / size for size in (*plan.sizes, plan.brute_size)}
        floors.extend(
            {"source": source, "n_unique_tokens": size, "test_loss": loss}
            for size, loss in known.items()
        )
        for width in (*plan.widths, plan.brute_width):
            at = place("markov", plan.n_unique_tokens, width, source)
            size = at["n_params_non_embedding"]
            add_cell(at, joint_loss(size, 1), lambda n, size=size: joint_loss(size, n))
            if width >= plan.widths[-1]:
                brute.extend(
                    {
                        **at, "n_members": n, "average": average,
                        "test_loss": joint_loss(size, n) + luck * rng.normal() / n,
                    }
                    for n in (1, 2, 4, 8, 16)
                    for average in ("logit", "probability")
                )  # fmt: skip
    sources = [
        {
            "kind": kind, "source": source, "entropy_rate": ENTROPY, "rate_error": 0.0,
            "window_entropy": ENTROPY, "window_error": 0.0, "luck": 0.0,
        }
        for kind in KINDS
        for source in range(plan.n_sources)
    ]  # fmt: skip
    return CalibrationLosses(
        plan=plan, tuning=pd.DataFrame(), sources=pd.DataFrame(sources),
        floors=pd.DataFrame(floors), singles=pd.DataFrame(singles), curves=pd.DataFrame(curves),
        brute=pd.DataFrame(brute),
    )  # fmt: skip


def story_of(found):
    return Results("test", {calibration: found})


@pytest.fixture(scope="module", autouse=True)
def few_draws():
    """No test here asks for the digits of a bootstrap."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (laws_of_part_1, calibration_laws):
            patch.setattr(module, "N_BOOT", 50)
        yield


@pytest.fixture(scope="module")
def known():
    return made_up()


@pytest.fixture(scope="module")
def known_laws(known):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration_laws, "METHODS", METHODS[:1])
        return data_laws(known)


@pytest.mark.long
def test_a_true_law_is_found_again_and_predicts_what_is_far_beyond(known_laws):
    laws = known_laws[known_laws["recipe"] != BAYES]
    assert len(laws) == 2 * 2
    assert laws["E"].to_numpy() == pytest.approx(ENTROPY, abs=5e-3)
    assert laws["error"].to_numpy() == pytest.approx(laws["E"].to_numpy() - ENTROPY)
    assert laws["alpha"].to_numpy() == pytest.approx(ALPHA, abs=0.02)
    assert laws["covered"].sum() >= 3
    assert laws["agrees"].sum() >= 3
    assert (laws["low"] <= laws["E"]).all()
    assert (laws["E"] <= laws["high"]).all()


@pytest.mark.long
def test_the_data_law_of_the_floor_is_exact_where_it_follows_one(known_laws):
    exact = known_laws[known_laws["recipe"] == BAYES]
    assert exact["E"].to_numpy() == pytest.approx(ENTROPY, abs=1e-4)
    assert exact["alpha"].to_numpy() == pytest.approx(1.0, abs=1e-3)


def test_limits_lie_where_the_joint_law_has_them(known):
    found = limits(known)
    assert found["limit"].tolist() == ["single", "ensemble", "joint"]
    joint = found[found["limit"] == "joint"]
    assert joint["value"].to_numpy() == pytest.approx(JOINT, abs=5e-3)
    assert joint["above_floor"].to_numpy() == pytest.approx(
        joint["value"].to_numpy() - FLOOR, abs=1e-12
    )
    far = PLAN.model(64).n_params_non_embedding
    assert joint["brute"].to_numpy() == pytest.approx(joint_loss(far, 16), abs=1e-3)
    assert joint["predicted"].to_numpy() == pytest.approx(joint_loss(far, 16), abs=5e-3)
    members = found[found["limit"] == "ensemble"]
    widest = PLAN.model(32).n_params_non_embedding
    assert members["value"].to_numpy() == pytest.approx(JOINT + 2.0 / widest**0.5, abs=5e-3)


def test_the_ladder_is_the_excess_over_the_floor(known):
    steps = excess_losses(known)
    row = steps[(steps["width"] == 64) & (steps["n_members"] == 16)].iloc[0]
    far = PLAN.model(64).n_params_non_embedding
    assert row["excess"] == pytest.approx(joint_loss(far, 16) - FLOOR, abs=1e-3)
    assert not row["is_fitted"]
    fitted = steps[steps["is_fitted"]]
    assert fitted["width"].max() == 32
    assert fitted["n_members"].max() == 4


TUNING = pd.DataFrame({"chosen": [True, True, False], "on_edge": [True, False, False]})


def fits_of(error, *, n=6, n_identified=6):
    """Data laws of two recipes on n languages, off by so much far beyond."""
    rows = [
        {
            "recipe": recipe, "method": method, "identified": i < n_identified, "covered": True,
            "error": 0.0, "predicted": 3.0 + error + 0.001 * i, "measured": 3.0, "agrees": True,
        }
        for recipe in ("single", "ensemble", BAYES)
        for method in ("profile", "bootstrap")
        for i in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def limits_of(error=0.0, above_floor=0.02, below_brute=0.01, *, n_identified=4):
    """Limits on four chains."""
    rows = [
        {
            "limit": limit, "identified": i < n_identified, "above_floor": above_floor + 0.001 * i,
            "below_brute": below_brute + 0.001 * i, "predicted": 3.0 + error + 0.001 * i,
            "measured": 3.0,
        }
        for limit in ("single", "ensemble", "joint")
        for i in range(4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def judged(judge, *, laws=None, at_fixed=None):
    plan = dataclasses.replace(PLAN, n_sources=4)
    found = SimpleNamespace(
        plan=plan, tuning=TUNING, laws=fits_of(0.0) if laws is None else laws,
        limits=limits_of() if at_fixed is None else at_fixed,
        singles=pd.DataFrame(columns=["kind", "source", "width", "n_unique_tokens"]),
        sources=pd.DataFrame(columns=["kind", "source"]),
    )  # fmt: skip
    return judge(story_of(found))


@pytest.mark.parametrize(
    ("at_fixed", "expected", "impossible"),
    [
        (limits_of(), "supported", ""),
        (limits_of(-0.1), "contradicted", ""),
        (limits_of(n_identified=3), "supported", ""),
        (limits_of(-0.1, -0.1, n_identified=1), "inconclusive", ""),  # claims nothing
        (limits_of(n_identified=0), "inconclusive", ""),
        (limits_of(above_floor=-0.1), "contradicted", "joint lies below the floor"),
        (limits_of(below_brute=-0.1), "contradicted", "joint lies above brute force"),
    ],
)
def test_limits_are_judged_by_brute_force(at_fixed, expected, impossible):
    claim = judged(claims_calibration._n1a, at_fixed=at_fixed)
    assert claim.verdict == expected, claim
    assert ("Impossible: " in claim.detail) == bool(impossible)
    assert impossible in claim.detail
    assert "1 of 2 chosen settings lie on an edge" in claim.detail


@pytest.mark.parametrize(
    ("laws", "expected"),
    [
        (fits_of(0.0), "supported"),
        (fits_of(0.1), "contradicted"),
        (fits_of(0.017), "inconclusive"),
        (fits_of(0.0, n_identified=2), "inconclusive"),
        (fits_of(0.1, n_identified=0), "inconclusive"),
    ],
)
def test_data_laws_are_judged_by_what_they_predict(laws, expected):
    claim = judged(claims_calibration._n1b, laws=laws)
    assert claim.verdict == expected, claim
    assert "at 8 times the data" in claim.quantity


def test_the_entropy_is_not_asked_of_laws_of_one_width():
    claim = judged(claims_calibration._n1c)
    assert claim.verdict == "inconclusive"
    assert claim.measurement.startswith("Not judged: no runs whose width grows with D.")
    assert "single: 6 of 6 identified (profile)" in claim.detail


def test_coverage_has_the_exact_interval_of_a_share():
    # Of n hits in n trials the lower end is (1 - level) / 2 to the power 1 / n.
    assert coverage(np.ones(6, bool)).low == pytest.approx(0.025 ** (1 / 6))
    assert coverage(np.ones(6, bool)).high == 1
    assert coverage(np.zeros(6, bool)).high == pytest.approx(1 - 0.025 ** (1 / 6))
    nothing = coverage(np.array([], bool))
    assert np.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0, 1)


def test_validation_chooses_and_edges_are_told():
    cell = {"kind": "hidden", "n_unique_tokens": 64, "width": 8, "objective": "single"}
    losses = {(0.1, 4): 3.0, (0.4, 4): 2.0, (1.6, 4): 2.5, (0.4, 16): np.nan}
    tried = pd.DataFrame(
        [
            {**cell, "weight_decay": decay, "n_epochs": epochs, "validation_loss": loss + shift}
            for (decay, epochs), loss in losses.items()
            for shift in (-0.1, 0.1)
        ]
    )
    found = chosen_settings(tried)
    best = found[found["chosen"]]
    assert best[["weight_decay", "n_epochs"]].to_numpy().tolist() == [[0.4, 4]]
    assert best["validation_loss"].tolist() == [pytest.approx(2.0)]
    assert best["on_edge"].tolist() == [True]  # of the epochs
    single_axis = chosen_settings(tried[tried["n_epochs"] == 4])
    assert not single_axis.loc[single_axis["chosen"], "on_edge"].any()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"widths": (8, 16)}, "widths must be 3 or more"),
        ({"sizes": (4, 3, 2, 1)}, "sizes must be 4 or more, ascending"),
        ({"n_members": 2}, "n_members must be 4 or more"),
        ({"brute_width": 32}, "brute_width must be beyond 32"),
        ({"brute_members": 4}, "brute_members must be beyond 4"),
    ],
)
def test_plans_that_cannot_be_checked_are_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(PLAN, **changed)


def test_worlds_without_a_plan_are_named():
    lab = SimpleNamespace(world=WORLDS["gpu"])
    with pytest.raises(ValueError, match="world gpu has no plan for calibration"):
        calibration.run(lab)


FACTS = TextFacts(
    corpus="none", vocab_size=512, sha256="", corpus_sha256="", bytes_per_token=4.0,
    n_tokens=dict.fromkeys(("train", "validation", "test"), 1_000_000),
)  # fmt: skip
"""Of a text that nothing here reads."""


def lab_at(runs):
    world = dataclasses.replace(WORLDS["tiny"], calibration=REAL)
    return Lab(world, RunStore(runs / "tiny"), facts=FACTS)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return lab_at(tmp_path_factory.mktemp("runs"))


def test_languages_are_the_same_each_time_and_say_the_truth(lab):
    plan = lab.world.calibration
    first, again = Languages(lab, plan), Languages(lab, plan)
    for kind in KINDS:
        assert np.array_equal(first.tokens(kind, 0), again.tokens(kind, 0))
        assert not np.array_equal(first.tokens(kind, 0), first.tokens(kind, 1))
        truth = first.truth(kind, 0)
        assert truth.entropy_rate - truth.rate_error <= truth.window_entropy + truth.window_error
        windows = first.windows(kind, 0, TEST)
        own = -first.source(kind, 0).log_probs(windows).mean()
        assert own - truth.luck == pytest.approx(truth.window_entropy)
    losses = first.bayes_losses(0)
    assert list(losses.values()) == sorted(losses.values(), reverse=True)
    assert min(losses.values()) > first.truth("markov", 0).window_entropy
    short, long = (first.data("markov", 0, n) for n in (plan.sizes[0], plan.sizes[1]))
    assert short.sha256 != long.sha256
    assert short == again.data("markov", 0, plan.sizes[0])


@pytest.fixture(scope="module")
def trained(lab):
    return run_recipes(lab, [calibration])[calibration]


@pytest.mark.long
def test_models_lie_above_what_is_known_and_ensembles_nearer(trained):
    entropy = trained.sources.set_index(["kind", "source"])["window_entropy"]
    of = pd.MultiIndex.from_frame(trained.singles[["kind", "source"]])
    assert (trained.singles["test_loss"].to_numpy() > entropy[of].to_numpy()).all()
    steps = excess_losses(trained)
    assert (steps["excess"] > 0).all()
    many = steps[(steps["average"] == "logit") & (steps["width"] == trained.plan.brute_width)]
    assert many.sort_values("n_members")["excess"].is_monotonic_decreasing


@pytest.mark.long
def test_a_second_run_trains_nothing_and_says_the_same(trained, lab):
    again = lab_at(lab.store.root.parent)
    found = run_recipes(again, [calibration])[calibration]
    assert again.account.n_trained == 0
    for name in ("tuning", "sources", "floors", "singles", "curves", "brute", "laws", "limits"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(trained, name))


@pytest.mark.long
def test_the_figure_draws_a_real_run_and_the_claim_judges_it(trained):
    axes, frame = figN1_calibration.draw(story_of(trained))
    assert set(frame["what"]) == {"loss", "data law", "excess", "limit"}
    assert len(axes) == 4
    plt.close(axes[0].figure)
    for judge in (claims_calibration._n1a, claims_calibration._n1b, claims_calibration._n1c):
        claim = judge(story_of(trained))
        assert claim.verdict == "inconclusive"  # one language
        assert claim.detail
    assert f"{BAYES}: " in claim.detail
