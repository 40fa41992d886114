import numpy as np
import pytest
from scipy import stats

from models.ensembles.ensemble import block_subsets, member_subsets
from models.ensembles.ensemble_curve import ensemble_curve
from models.ensembles.mixture import mixture_loss

N_TOKENS = 40
COMMON = np.random.default_rng(7).normal(size=N_TOKENS) - 3


def draw_members(rng: np.random.Generator, n: int) -> np.ndarray:
    """Log-probabilities [n, tokens] of members that differ in quality and in taste."""
    quality = 0.1 * rng.normal(size=(n, 1))
    return np.minimum(COMMON + quality + 0.8 * rng.normal(size=(n, N_TOKENS)), 0)


def losses_of(members: np.ndarray, subsets: np.ndarray) -> np.ndarray:
    weights = subsets / subsets.sum(axis=1, keepdims=True)
    return -np.log(weights @ np.exp(members)).mean(axis=1)


def test_points_are_means_over_the_subsets_of_a_size():
    members = draw_members(np.random.default_rng(0), 5)
    subsets = member_subsets(5, most_per_size=4)
    losses = losses_of(members, subsets)
    assert losses[-1] == pytest.approx(mixture_loss(members, np.full(5, 0.2)))
    curve = ensemble_curve(subsets, losses)
    assert curve.n_members.tolist() == [1, 2, 3, 4, 5]
    assert curve.n_subsets.tolist() == np.bincount(subsets.sum(1))[1:].tolist()
    for size, loss in zip(curve.n_members, curve.loss, strict=True):
        assert loss == pytest.approx(losses[subsets.sum(1) == size].mean())
    assert (curve.low < curve.loss).all()
    assert (curve.loss < curve.high).all()
    assert curve.draws.shape == (2000, 5)


def test_single_members_have_the_interval_of_a_mean():
    """Student's, up to the bootstrap's own noise and the discreteness of few members."""
    losses = np.random.default_rng(1).normal(4, 0.1, size=40)
    curve = ensemble_curve(np.eye(40, dtype=bool), losses, n_boot=20_000)
    low, high = stats.t.interval(0.95, 39, losses.mean(), stats.sem(losses))
    assert curve.low[0] == pytest.approx(low, abs=0.003)
    assert curve.high[0] == pytest.approx(high, abs=0.003)


def test_a_purely_additive_loss_has_one_spread_at_every_size():
    """Where a subset's loss is the mean of its members', so is the variance: that of 1/M of one."""
    effects = np.random.default_rng(2).normal(size=6)
    subsets = member_subsets(6)
    losses = 3 + (subsets * effects).sum(1) / subsets.sum(1)
    curve = ensemble_curve(subsets, losses, n_boot=20_000)
    np.testing.assert_allclose(curve.draws.std(0), effects.std(ddof=1) / 6**0.5, rtol=0.02)
    correlation = np.corrcoef(curve.draws.T)
    np.testing.assert_allclose(correlation, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("subsets", "n_repeats"), [(member_subsets(6), 250), (block_subsets(32), 250)]
)
def test_intervals_cover_the_loss_of_new_members(subsets, n_repeats):
    """A 95 % interval holds the mean over fresh draws of K members; also for the whole ensemble."""
    sizes = np.unique(subsets.sum(1))
    rng = np.random.default_rng(3)
    truth = [
        np.mean([mixture_loss(draw_members(rng, k), np.full(k, 1 / k)) for _ in range(800)])
        for k in sizes
    ]
    hits = np.zeros(len(sizes))
    for seed in range(n_repeats):
        members = draw_members(np.random.default_rng(1000 + seed), subsets.shape[1])
        curve = ensemble_curve(subsets, losses_of(members, subsets), n_boot=300, seed=seed)
        hits += (curve.low <= truth) & (truth <= curve.high)
    # Three standard errors of 250 trials are .04.
    assert (hits / n_repeats >= 0.9).all()
    assert (hits / n_repeats <= 0.995).all()


def test_one_member_leaves_the_spread_unknown():
    curve = ensemble_curve(np.ones((1, 1), bool), np.array([4.0]))
    assert curve.loss.tolist() == [4.0]
    assert curve.low.tolist() == [-np.inf]
    assert curve.high.tolist() == [np.inf]


def test_equal_members_have_no_spread():
    subsets = member_subsets(4)
    curve = ensemble_curve(subsets, np.full(len(subsets), 4.0))
    np.testing.assert_allclose(curve.high - curve.low, 0, atol=1e-12)


@pytest.mark.parametrize(
    ("subsets", "losses", "settings", "message"),
    [
        (np.zeros((2, 3), bool), np.zeros(2), {}, "with a member in each"),
        (np.ones((2, 3), bool), np.zeros(3), {}, r"not of shapes \(2, 3\) and \(3,\)"),
        (np.ones((2, 3), bool), np.array([1.0, np.nan]), {}, "finite; subset 1 is not"),
        (np.ones((2, 3), bool), np.zeros(2), {"level": 95}, "between 0 and 1; not 95"),
    ],
)
def test_bad_input_is_refused(subsets, losses, settings, message):
    with pytest.raises(ValueError, match=message):
        ensemble_curve(subsets, losses, **settings)
