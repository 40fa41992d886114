"""Decision rules of the claims on stories made up to be clear, doubtful or degenerate."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from experiments.analysis.intervals import Estimate
from experiments.claims import scaling as claims_part1
from experiments.tuning.grid import Grid
from experiments.tuning.search import Tuned


def estimate(value, half=0.02, n=5):
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def tuned_at(decay, n_epochs, *, certified=True):
    """A search that has seen its neighbours, or one whose optimum lies on an edge."""
    axes = {
        "learning_rate": (0.01,),
        "weight_decay": (decay / 2, decay, decay * 2),
        "n_epochs": (n_epochs // 2, n_epochs, n_epochs * 2)[: 3 if certified else 2],
    }
    grid, point = Grid(axes=axes), (0.01, decay, n_epochs)
    looks = {point: 4.0} | dict.fromkeys(grid.neighbors(point), 5.0)
    values = {p: (loss, loss + 0.01) for p, loss in looks.items()}
    tuned = Tuned(grid=grid, n_look=1, path=(point,), looks=looks, values=values)
    assert tuned.certified == certified
    return tuned


UNIDENTIFIED = Estimate(value=0.0, low=-np.inf, high=np.inf, n=5)


def standard_runs(test, *, train=None, n_seeds=3):
    """test: {(width, n_epochs): loss}; seeds differ by a hundredth of a nat."""
    rows = [
        {
            "width": width, "n_epochs": n_epochs, "seed": seed,
            "validation_loss": loss + 0.01 * seed, "test_loss": loss + 0.01 * seed,
            "train_loss": (train or {}).get((width, n_epochs), 3.0) + 0.01 * seed,
        }
        for (width, n_epochs), loss in test.items()
        for seed in range(n_seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def standard_story(test, **options):
    runs = standard_runs(test, **options)
    means = runs.groupby(["width", "n_epochs"])["validation_loss"].mean()
    best = dict(means.groupby("width").idxmin().to_list())
    chosen = runs[[best[row.width] == row.n_epochs for row in runs.itertuples()]]
    return SimpleNamespace(standard=runs, standard_best=chosen, standard_epochs=best)


HURTS = {(16, 8): 4.5, (16, 32): 4.9, (64, 8): 4.4, (64, 32): 5.6}
HELPS = {(16, 8): 4.9, (16, 32): 4.5, (64, 8): 4.8, (64, 32): 4.4}


@pytest.mark.parametrize(
    ("losses", "n_seeds", "expected"),
    [(HURTS, 3, "supported"), (HURTS, 1, "inconclusive"), (HELPS, 3, "inconclusive")],
)
def test_more_epochs_hurt(losses, n_seeds, expected):
    assert claims_part1._p2(standard_story(losses, n_seeds=n_seeds)).verdict == expected


@pytest.mark.parametrize(
    ("largest", "n_seeds", "expected"),
    [
        (4.8, 3, "supported"),
        (4.2, 3, "contradicted"),
        (4.505, 3, "inconclusive"),
        (4.8, 1, "inconclusive"),
    ],
)
def test_more_parameters_stop_paying(largest, n_seeds, expected):
    story = standard_story({(16, 8): 4.7, (32, 8): 4.5, (64, 8): largest}, n_seeds=n_seeds)
    claim = claims_part1._p3(story)
    assert claim.verdict == expected
    assert claim.value == pytest.approx(largest - 4.5)


def test_the_reference_size_is_chosen_on_validation_not_on_test():
    story = standard_story({(16, 8): 4.7, (32, 8): 4.5, (64, 8): 4.6})
    best = story.standard_best
    best.loc[best["width"] == 16, "test_loss"] = 1.0
    assert "width 32" in claims_part1._p3(story).quantity


JOINT = estimate(3.8)


def limits_story(*, single, joint=JOINT, ensembles=(3.95, 3.9, 3.85), nested=None):
    limits = {16 * 2**i: estimate(value) for i, value in enumerate(ensembles)}
    laws = SimpleNamespace(
        single_limit=single, joint_limit=joint, limits=limits,
        joint=SimpleNamespace(members_first=3.8, params_first=3.8),
        nested_gap=nested or estimate(0.0, 0.01),
    )  # fmt: skip
    tuned = {w: tuned_at(1.6, 32) for w in limits}
    story = standard_story({(16, 8): 4.7, (32, 8): 4.5})
    return SimpleNamespace(
        laws=laws, ensembles=SimpleNamespace(tuned=tuned), standard_best=story.standard_best
    )


@pytest.mark.parametrize(
    ("single", "p7", "p8", "p11"),
    [
        (estimate(4.1), "supported", "supported", "supported"),
        (estimate(3.0), "supported", "contradicted", "contradicted"),
        (estimate(4.9), "contradicted", "supported", "supported"),
        (estimate(3.9, 0.3), "supported", "inconclusive", "inconclusive"),
        (UNIDENTIFIED, "inconclusive", "inconclusive", "inconclusive"),
    ],
)
def test_limits_are_compared_with_their_intervals(single, p7, p8, p11):
    story = limits_story(single=single)
    assert claims_part1._p7(story).verdict == p7
    assert claims_part1._p8(story).verdict == p8
    assert claims_part1._p11(story).verdict == p11


def test_a_joint_limit_not_told_from_the_ensembles_is_inconclusive():
    single = estimate(4.1)
    near = limits_story(single=single, joint=estimate(3.84))
    assert claims_part1._p11(near).verdict == "inconclusive"
    assert "cannot distinguish" in claims_part1._p11(near).detail
    unknown = limits_story(single=single, joint=UNIDENTIFIED)
    assert claims_part1._p11(unknown).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("nested", "expected"),
    [
        (estimate(0.01, 0.02), "supported"),
        (estimate(-0.3, 0.1), "contradicted"),
        (estimate(0.01, 0.2), "inconclusive"),
        (Estimate(value=-3.2, low=-np.inf, high=np.inf, n=0), "inconclusive"),
    ],
)
def test_order_of_limits(nested, expected):
    assert claims_part1._p12(limits_story(single=estimate(4.1), nested=nested)).verdict == expected


def tuned_decays(*decays, certified=True):
    tuned = {16 * 2**i: tuned_at(decay, 16, certified=certified) for i, decay in enumerate(decays)}
    return SimpleNamespace(
        regularized=SimpleNamespace(tuned=tuned), world=SimpleNamespace(n_seeds=3)
    )


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (tuned_decays(1.6, 3.2, 6.4), "supported"),
        (tuned_decays(1.6, 3.2, 6.4, certified=False), "inconclusive"),
        (tuned_decays(3.2, 3.2, 3.2), "inconclusive"),
        (tuned_decays(6.4, 3.2, 1.6), "contradicted"),
        (tuned_decays(0.2, 3.2, 6.4), "contradicted"),
    ],
)
def test_tuned_decay(story, expected):
    assert claims_part1._p5(story).verdict == expected


def test_exponent_of_members():
    def story(*exponents):
        laws = SimpleNamespace(exponents=dict(enumerate(exponents)))
        return SimpleNamespace(laws=laws, ensembles=SimpleNamespace(tuned={}))

    assert claims_part1._p9(story(estimate(1.0), estimate(0.9))).verdict == "supported"
    assert claims_part1._p9(story(estimate(1.0), estimate(0.5))).verdict == "contradicted"
    assert claims_part1._p9(story(estimate(1.0), estimate(1.0, 2.0))).verdict == "inconclusive"
