"""Decision rules of the claims on stories made up to be clear, doubtful or degenerate."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from experiments.analysis.intervals import Estimate
from experiments.analysis.laws import LOSS, K
from experiments.claims import scaling as claims_part1
from experiments.claims import standard as claims_standard
from experiments.claims import stock as claims_stock
from experiments.claims.claim import claim
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


def test_an_id_is_that_of_one_claim():
    with pytest.raises(ValueError, match=r"P1 is already that of .*claims\.stock\.text_runs_out"):
        claim("P1", "Another statement.")(claims_standard._p2)
    claim("P1", "The same one.")(claims_stock.text_runs_out.__wrapped__)


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
    return SimpleNamespace(
        standard=runs, standard_best=chosen, standard_epochs=best, standard_certificates={}
    )


HURTS = {(16, 8): 4.5, (16, 32): 4.9, (64, 8): 4.4, (64, 32): 5.6}
HELPS = {(16, 8): 4.9, (16, 32): 4.5, (64, 8): 4.8, (64, 32): 4.4}
HALF = {**HURTS, (16, 32): 4.4}
FLAT = {(16, 8): 4.5, (16, 32): 4.502, (64, 8): 4.4, (64, 32): 4.402}


@pytest.mark.parametrize(
    ("losses", "n_seeds", "expected", "untested"),
    [
        (HURTS, 3, "supported", ""),
        (HURTS, 1, "inconclusive", ""),
        (HELPS, 3, "inconclusive", "Not tested at width 16, 64."),
        (HALF, 3, "inconclusive", "Not tested at width 16."),
        (FLAT, 3, "contradicted", ""),
    ],
)
def test_more_epochs_hurt(losses, n_seeds, expected, untested):
    claim = claims_standard._p2(standard_story(losses, n_seeds=n_seeds))
    assert claim.verdict == expected
    assert untested in claim.detail


def sizes_story(largest, overfitted, **options):
    """Losses at the best epochs, and of the largest size at the most epochs."""
    best = {16: 4.7, 32: 4.5, 64: largest}
    worse = {16: 4.9, 32: 4.8, 64: overfitted}
    losses = {(w, 8): x for w, x in best.items()} | {(w, 32): x for w, x in worse.items()}
    return standard_story(losses, **options)


@pytest.mark.parametrize(
    ("largest", "overfitted", "n_seeds", "expected"),
    [
        (4.8, 5.5, 3, "supported"),
        (4.2, 5.5, 3, "contradicted"),
        (4.505, 5.5, 3, "inconclusive"),
        (4.8, 4.81, 3, "inconclusive"),  # no worse than width 32 at the most epochs
        (4.8, 5.5, 1, "inconclusive"),
        (4.8, 4.3, 3, "inconclusive"),  # selects the most epochs
    ],
)
def test_more_parameters_stop_paying(largest, overfitted, n_seeds, expected):
    claim = claims_standard._p3(sizes_story(largest, overfitted, n_seeds=n_seeds))
    assert claim.verdict == expected
    assert claim.value == pytest.approx(min(largest, overfitted) - 4.5)


def test_the_reference_size_is_chosen_on_validation_not_on_test():
    story = sizes_story(4.6, 5.5)
    story.standard_best.loc[story.standard_best["width"] == 16, "test_loss"] = 1.0
    assert "width 32" in claims_standard._p3(story).quantity


def test_epochs_at_which_a_size_diverged_are_not_compared():
    story = sizes_story(4.8, 5.5)
    story.standard.loc[story.standard["n_epochs"] == 32, "test_loss"] = np.nan
    assert "At 8 epochs" in claims_standard._p3(story).detail


JOINT = estimate(3.8)


def limits_story(*, single, joint=JOINT, ensembles=(3.95, 3.9, 3.85), nested=None):
    limits = {16 * 2**i: estimate(value) for i, value in enumerate(ensembles)}
    table = pd.DataFrame({K: [1, 2], LOSS: [4.2, 4.0]})
    laws = SimpleNamespace(
        single_limit=single, joint_limit=joint, limits=limits,
        tables=dict.fromkeys(limits, table), left_out={key: [table, table] for key in limits},
        joint=SimpleNamespace(members_first=3.8, params_first=3.8),
        nested_gap=nested or estimate(0.0, 0.01),
    )  # fmt: skip
    tuned = {w: tuned_at(1.6, 32) for w in limits}
    story = standard_story({(16, 8): 4.7, (32, 8): 4.5})
    return SimpleNamespace(
        laws=laws,
        ensembles=SimpleNamespace(tuned=tuned),
        standard_best=story.standard_best,
        standard_certificates={},
    )


@pytest.mark.parametrize(
    ("single", "p7", "p8"),
    [
        (estimate(4.1), "supported", "supported"),
        (estimate(3.0), "supported", "contradicted"),
        (estimate(4.9), "contradicted", "supported"),
        (estimate(3.9, 0.3), "supported", "inconclusive"),
        (UNIDENTIFIED, "inconclusive", "inconclusive"),
    ],
)
def test_limits_are_compared_with_their_intervals(single, p7, p8):
    story = limits_story(single=single)
    assert claims_part1._p7(story).verdict == p7
    assert claims_part1._p8(story).verdict == p8


@pytest.mark.parametrize(
    ("joint", "ensembles", "expected"),
    [
        (JOINT, (3.95, 3.9, 3.85), "supported"),
        (estimate(3.89), (3.95, 3.9, 3.85), "inconclusive"),
        (UNIDENTIFIED, (3.95, 3.9, 3.85), "inconclusive"),
        (UNIDENTIFIED, (3.95, 3.9, 3.99), "contradicted"),  # the largest size is worse
        (estimate(3.97), (3.95, 3.9, 3.9), "contradicted"),
    ],
)
def test_the_joint_limit_is_compared_with_members_of_the_second_size(joint, ensembles, expected):
    claim = claims_part1._p11(limits_story(single=estimate(4.1), joint=joint, ensembles=ensembles))
    assert claim.verdict == expected
    assert "2 members of the one minus 2 of the other: 0.000" in claim.detail


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


def test_differences_from_limits_that_are_not_identified_have_no_number():
    story = limits_story(
        single=UNIDENTIFIED, joint=UNIDENTIFIED, nested=estimate(0.654, 9), ensembles=(4.1, 4.1)
    )
    for judge in (claims_part1._p8, claims_part1._p11):
        assert np.isnan(judge(story).value)
    assert "Limit in either order not identified" in claims_part1._p12(story).detail


def tuned_decays(*decays, certified=True):
    tuned = {16 * 2**i: tuned_at(decay, 16, certified=certified) for i, decay in enumerate(decays)}
    return SimpleNamespace(regularized=SimpleNamespace(tuned=tuned))


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (tuned_decays(1.6, 3.2, 6.4), "supported"),
        (tuned_decays(1.6, 3.2, 6.4, certified=False), "inconclusive"),
        (tuned_decays(3.2, 3.2, 3.2), "inconclusive"),
        (tuned_decays(1.6, 3.2, 3.2), "inconclusive"),  # brackets overlap
        (tuned_decays(1.6, 6.4, 1.6), "inconclusive"),  # rises and falls
        (tuned_decays(6.4, 3.2, 1.6), "contradicted"),
        (tuned_decays(0.2, 3.2, 6.4), "contradicted"),
    ],
)
def test_tuned_decay(story, expected):
    assert claims_part1._p5(story).verdict == expected


@pytest.mark.parametrize(
    ("exponents", "n_members", "expected"),
    [
        ((1.0, 0.9), 5, "supported"),
        ((1.0, 0.5), 5, "contradicted"),
        ((1.0, 1.0), 4, "inconclusive"),  # all but two of four are no more than two
    ],
)
def test_exponent_of_members(exponents, n_members, expected):
    tables = {
        width: pd.DataFrame({K: k, LOSS: 4 + 0.5 / k**exponent})
        for width, exponent in enumerate(exponents)
        for k in [np.arange(1, n_members + 1.0)]
    }
    left_out = {width: [table.iloc[:-1]] * n_members for width, table in tables.items()}
    story = SimpleNamespace(
        laws=SimpleNamespace(tables=tables, left_out=left_out), ensembles=SimpleNamespace(tuned={})
    )
    claim = claims_part1._p9(story)
    assert claim.verdict == expected
    if n_members == 5:
        assert (claim.low, claim.high) == pytest.approx((exponents[1], exponents[0]))


def test_a_size_that_always_diverged_leaves_the_comparison_open():
    story = sizes_story(4.8, 5.5)
    story.standard.loc[story.standard["width"] == 16, ["validation_loss", "test_loss"]] = np.nan
    claim = claims_standard._p3(story)
    assert "At 32 epochs, width 64 minus width 32" in claim.detail
