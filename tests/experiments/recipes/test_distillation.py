"""What students keep, and the verdicts on it, on losses made up."""

import numpy as np
import pandas as pd
import pytest

from experiments.analysis.intervals import share_of
from experiments.claims import distillation as claims_distillation
from experiments.lab.recipe import Results
from experiments.recipes.distillation import ARMS, Distillation, distillation

JITTER = np.array([-0.005, 0.0, 0.005])


def distilled(means, *, single=4.2, teacher=4.0, later=None, edges=()):
    """means: {arm: loss of generation 1}; arms left out are as good as real text (4.18)."""
    losses = {(arm, 1): means.get(arm, 4.18) for arm in ARMS}
    losses |= {(arm, 2): loss for arm, loss in (later or {}).items()}
    rows = [
        {
            "arm": arm, "generation": generation, "seed": seed, "weight_decay": 1.6,
            "is_edge": arm in edges, "validation_loss": loss, "test_loss": loss + jitter,
        }
        for (arm, generation), loss in losses.items()
        for seed, jitter in enumerate(JITTER)
    ]  # fmt: skip
    found = Distillation(
        width=32, students=pd.DataFrame(rows), single=single + JITTER, teacher=teacher,
        n_members=5, n_candidates=5,
    )  # fmt: skip
    return Results("test", {distillation: found})


def test_the_share_kept_is_the_way_to_the_teacher():
    found = share_of(4.2 + JITTER, 4.05 + JITTER, 4.0)
    assert found.value == pytest.approx(0.75)
    assert found.low < 0.75 < found.high
    assert share_of(4.2 + JITTER, 4.05 + JITTER, 4.2).is_bounded is False
    assert share_of([4.2], [4.05], 4.0).is_bounded is False


def test_the_interval_of_the_share_covers_as_often_as_it_says():
    """Delta method with Student's t against simulation."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(500):
        before, after = 4.2 + 0.02 * rng.normal(size=5), 4.05 + 0.02 * rng.normal(size=5)
        found = share_of(before, after, 4.0)
        covered.append(found.low < 0.75 < found.high)
    assert 0.92 < np.mean(covered) <= 1.0


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ({"ensemble": 4.04}, "supported"),
        ({"ensemble": 4.19}, "contradicted"),
        ({"ensemble": 4.1}, "inconclusive"),
        ({"ensemble": 4.04, "real": 4.03}, "inconclusive"),
    ],
)
@pytest.mark.parametrize("student", ["ensemble", "soft ensemble"])
def test_most_of_the_gain_is_kept(means, expected, student):
    means = {student if arm == "ensemble" else arm: loss for arm, loss in means.items()}
    judge = claims_distillation._p14 if student == "ensemble" else claims_distillation._p14a
    claim = judge(distilled(means))
    assert claim.verdict == expected
    assert claim.value == pytest.approx((4.2 - means[student]) / 0.2)


@pytest.mark.parametrize(
    ("student", "options", "expected"),
    [
        (4.04, {"edges": ["ensemble"]}, "supported"),  # another decay could only be better
        (4.04, {"edges": ["real"]}, "inconclusive"),
        (4.19, {"edges": ["ensemble"]}, "inconclusive"),
        (4.19, {"edges": ["real"]}, "contradicted"),
        (4.16, {"teacher": 4.155}, "inconclusive"),  # a gain of 0.045 nats is too little to judge
        (4.25, {"teacher": 4.155}, "inconclusive"),
    ],
)
def test_a_share_needs_a_gain_and_decays_inside_their_candidates(student, options, expected):
    assert claims_distillation._p14(distilled({"ensemble": student}, **options)).verdict == expected


@pytest.mark.parametrize(
    ("loss", "expected"), [(4.1, "supported"), (4.25, "contradicted"), (4.179, "inconclusive")]
)
def test_self_distillation_is_judged_against_the_same_steps(loss, expected):
    assert claims_distillation._p15(distilled({"self": loss})).verdict == expected


@pytest.mark.parametrize(
    ("first", "both", "alone", "expected"),
    [
        (4.3, 4.1, 4.6, "supported"),
        (4.3, 4.3, 4.6, "contradicted"),
        (4.1, 4.1, 4.1, "contradicted"),
        (4.3, 4.1, 4.3, "inconclusive"),
    ],
)
def test_synthetic_text_alone_collapses(first, both, alone, expected):
    story = distilled({"self only": first}, later={"self": both, "self only": alone})
    assert claims_distillation._p16(story).verdict == expected


@pytest.mark.parametrize(
    ("both", "alone", "options", "expected"),
    [
        (4.1, 4.6, {"edges": ["self only"]}, "inconclusive"),
        (4.3, 4.6, {"edges": ["self"]}, "inconclusive"),
        (4.1, 4.1, {"edges": ["self only"]}, "contradicted"),
        (4.3, 4.6, {"teacher": 4.155}, "inconclusive"),
    ],
)
def test_a_collapse_needs_a_gain_and_decays_inside_their_candidates(both, alone, options, expected):
    later = {"self": both, "self only": alone}
    story = distilled({"self only": 4.3}, later=later, **options)
    assert claims_distillation._p16(story).verdict == expected


def test_the_least_candidate_is_no_end_if_it_is_zero():
    found = distilled({}, edges=["ensemble"])[distillation]
    assert found.at_edge == ["ensemble"]
    found.students["weight_decay"] = 0.0
    assert found.at_edge == []


def test_an_arm_whose_decay_is_an_end_of_the_candidates_is_named():
    story = distilled({})
    story[distillation].students.loc[0, "is_edge"] = True
    assert "at an end of the candidates: ensemble." in claims_distillation._p15(story).detail
