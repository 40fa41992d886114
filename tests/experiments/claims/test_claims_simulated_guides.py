"""Claims are supported where they are true and not where they are false, in simulated worlds."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.analysis.intervals import Estimate
from experiments.claims import (
    bootstrapped,
    calibration,
    ceiling,
    continued,
    growth,
    guides,
    members,
)
from experiments.recipes.calibration.laws import growing_laws
from experiments.recipes.learning_curves import LearningCurves
from tests.experiments.claims import simulated_guides as simulated

N_DRAWS = 50
LEAST_SHARE = 0.9


def share(judge, stories, verdict):
    """Return in what share of the draws of a world a claim gets a verdict."""
    return [judge(story).verdict for story in stories].count(verdict) / len(stories)


def draws(name, n_draws=N_DRAWS, **settings):
    """Return draws of a world."""
    make = getattr(simulated, name)
    return [make(np.random.default_rng(seed), **settings) for seed in range(n_draws)]


STEPS = {
    "batch": continued._p18a, "epochs": continued._p18b, "ensemble": continued._p18c,
    "lead": continued._p18,
}  # fmt: skip
KINDS = (
    bootstrapped._s10a, bootstrapped._s10b, bootstrapped._s10c, bootstrapped._s10d,
    bootstrapped._s10e,
)  # fmt: skip
PREDICTIONS = (calibration._n1a, calibration._n1b)
CASES = [
    ("downstream", {}, {guides._p17: "supported"}),
    ("downstream", {"follows": 0.0}, {guides._p17: "contradicted"}),
    ("downstream", {"skill": 0.0}, {guides._p17: "inconclusive"}),
    (
        "continued", {},
        dict.fromkeys([*STEPS.values(), continued._p18d], "supported"),
    ),
    *(
        ("continued", {name: -0.2}, {judge: "contradicted"})
        for name, judge in STEPS.items()
    ),
    ("continued", {"ensemble": 0.05}, {continued._p18d: "contradicted"}),
    (
        "calibration", {},
        {**dict.fromkeys(PREDICTIONS, "supported"), calibration._n1c: "inconclusive"},
    ),
    ("calibration", {"off": 0.05}, dict.fromkeys(PREDICTIONS, "contradicted")),
    ("calibration", {"off": -0.05}, dict.fromkeys(PREDICTIONS, "contradicted")),
    ("calibration", {"identified": 0.1}, dict.fromkeys(PREDICTIONS, "inconclusive")),
    ("members", {}, {members._n5: "supported", members._n6: "supported"}),
    (
        "members", {"gap": (-0.004, 0.04, 0.0), "gain": (-0.1, 0.1)},
        {members._n5: "contradicted", members._n6: "contradicted"},
    ),
    ("learned_weights", {}, {members._n7: "supported"}),
    ("learned_weights", {"gain": (0.01, -0.008, 0.012)}, {members._n7: "contradicted"}),
    ("learned_weights", {"n_members": 0}, {members._n7: "inconclusive"}),
    (
        "facts", {"curve": simulated.straight_then_flat},
        dict.fromkeys([growth._s4, growth._s4a, growth._s4b], "supported"),
    ),
    (
        "facts", {"curve": simulated.straight, "paraphrase": 1.0},
        dict.fromkeys([growth._s4, growth._s4b, growth._s5], "contradicted"),
    ),
    ("facts", {"curve": simulated.sudden}, {growth._s4a: "contradicted"}),
    (
        "facts", {"curve": simulated.flat},
        {growth._s4a: "contradicted", growth._s4b: "inconclusive"},
    ),
    ("facts", {"curve": simulated.of_the_process, "noise": 0.015}, {growth._s5: "supported"}),
    ("facts", {"curve": simulated.one_exponential}, {growth._s5: "contradicted"}),
    ("first_trainings", {"longest": 0.9}, {ceiling._n23: "supported"}),
    ("first_trainings", {"longest": 0.5}, {ceiling._n23: "contradicted"}),
    ("first_trainings", {"longest": 0.9, "own": 0.25}, {ceiling._n23: "inconclusive"}),
    ("long_facts", {"longer": 0.97, "usual": 0.5}, {ceiling._n25: "supported"}),
    ("long_facts", {"longer": 0.6, "usual": 0.5}, {ceiling._n25: "contradicted"}),
    ("statements", {"seldom": 0.85, "often": 0.99}, {ceiling._n24: "supported"}),
    ("statements", {"seldom": 0.97, "often": 0.99}, {ceiling._n24: "contradicted"}),
    ("statements", {"seldom": 0.5, "often": 0.8}, {ceiling._n24: "inconclusive"}),
    ("quality", {}, dict.fromkeys(KINDS, "supported")),
    ("quality", {"fall": -0.05}, dict.fromkeys(KINDS, "contradicted")),
]  # fmt: skip
N_SLOW = 12
SLOW = [
    ("learning_curves", {}, {guides._p19: "supported", guides._p19a: "supported"}),
    (
        "learning_curves",
        {"late": 0.15, "train_shift": -0.5},
        {guides._p19: "contradicted", guides._p19a: "contradicted"},
    ),
]
"""A draw takes half a second, so that there are fewer, and half as many where all are to fail."""


def _name(case):
    name, settings, _ = case
    shown = (f"{key}={getattr(value, '__name__', value)}" for key, value in settings.items())
    return f"{name}({', '.join(shown)})"


@pytest.mark.long
@pytest.mark.parametrize(("name", "settings", "verdicts"), CASES, ids=map(_name, CASES))
def test_claims_are_judged_rightly(name, settings, verdicts):
    stories = draws(name, **settings)
    for judge, verdict in verdicts.items():
        assert share(judge, stories, verdict) >= LEAST_SHARE, judge.__name__


@pytest.mark.long
@pytest.mark.parametrize(("name", "settings", "verdicts"), SLOW, ids=map(_name, SLOW))
def test_learning_curves_are_judged_rightly(monkeypatch, name, settings, verdicts):
    anything = Estimate(value=4.0, low=3.9, high=4.1, n=3)
    monkeypatch.setattr(
        LearningCurves, "predicted", lambda self, is_train: anything
    )  # is only said
    monkeypatch.setattr(LearningCurves, "predicted_by_test_alone", lambda self: anything)
    stories = draws(name, N_SLOW // 2 if settings else N_SLOW, **settings)
    for judge, verdict in verdicts.items():
        assert share(judge, stories, verdict) >= LEAST_SHARE, judge.__name__


def test_different_texts_are_not_asked_for_one_asymptote():
    """As the shift of the training curve may then be that of its text."""
    stories = draws("learning_curves", 1, train_shift=-0.5, is_mixed=False)
    assert share(guides._p19a, stories, "inconclusive") == 1


@pytest.mark.long
@pytest.mark.parametrize(("off", "verdict"), [(0.0, "supported"), (0.1, "contradicted")])
def test_an_asymptote_is_the_entropy_or_is_not(monkeypatch, off, verdict):
    """Each draw has 12 of 24 languages: a law takes a tenth of a second."""
    entropy = 2.0
    rng = np.random.default_rng(0)
    laws = growing_laws(simulated.languages(rng, asymptote=entropy + off, n=24))
    assert len(laws) == 24
    drawn = iter(laws.sample(12, random_state=seed) for seed in range(N_DRAWS))
    monkeypatch.setattr(calibration, "growing_laws", lambda found: next(drawn))
    assert share(calibration._n1c, draws("calibration"), verdict) >= LEAST_SHARE


def test_laws_of_one_width_are_not_asked_for_the_entropy():
    found = simulated.languages(np.random.default_rng(0), asymptote=2.0, n=1)
    fixed = found.singles.assign(width=32)
    assert growing_laws(SimpleNamespace(singles=fixed, sources=found.sources)).empty
