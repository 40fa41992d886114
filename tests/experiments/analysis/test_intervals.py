import numpy as np
import pytest
from scipy import stats

from experiments.analysis.intervals import contrast, difference, jackknife, mean_estimate, rounded


def test_intervals_equal_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 5), rng.normal(0, 3, 7)
    oracle = stats.ttest_1samp(a, 0).confidence_interval(0.95)
    mean = mean_estimate(a)
    assert (mean.low, mean.high) == pytest.approx((oracle.low, oracle.high))
    oracle = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    gap = difference(a, b)
    assert (gap.low, gap.high) == pytest.approx((oracle.low, oracle.high))
    assert gap.value == pytest.approx(a.mean() - b.mean())


def test_jackknife_of_a_mean_is_students_interval():
    """For the mean, the delete-one jackknife is exactly the usual standard error."""
    a = np.random.default_rng(1).normal(size=6)
    replicates = [np.delete(a, i).mean() for i in range(6)]
    ours, oracle = jackknife(a.mean(), [replicates]), mean_estimate(a)
    assert (ours.low, ours.high) == pytest.approx((oracle.low, oracle.high))


def test_jackknife_adds_the_variances_of_independent_groups():
    rng = np.random.default_rng(2)
    groups = [rng.normal(size=6) for _ in range(3)]
    total = sum(g.mean() for g in groups)
    replicates = [[total - g.mean() + np.delete(g, i).mean() for i in range(6)] for g in groups]
    half = stats.t.ppf(0.975, 5) * np.sqrt(sum(g.var(ddof=1) / 6 for g in groups))
    assert jackknife(total, replicates).high == pytest.approx(total + half)


def test_one_sample_bounds_nothing():
    for estimate in (mean_estimate([1.0]), difference([1.0], [2.0, 3.0]), jackknife(1, [[1.0]])):
        assert np.isinf(estimate.low)
        assert np.isinf(estimate.high)
        assert not estimate.is_positive
        assert not estimate.is_negative


@pytest.mark.parametrize("n", [3, 5])
def test_difference_covers_the_truth(n):
    """95 % intervals of a difference cover it in 93 to 97.5 % of 4,000 simulated pairs."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(4000):
        gap = difference(rng.normal(0.5, 1, n), rng.normal(0, 2, n))
        hits += gap.low < 0.5 < gap.high
    assert 0.93 < hits / 4000 < 0.975


def test_a_contrast_of_four_groups_covers_the_truth():
    """A difference of differences of five samples each: 95 % intervals, 2,000 of them."""
    rng = np.random.default_rng(1)
    hits = [
        found.low < 1.0 < found.high
        for draw in rng.normal([[3], [1], [2], [1]], [[0.5], [2], [1], [1]], size=(2000, 4, 5))
        if (found := contrast(list(draw), [1, -1, -1, 1]))
    ]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.02)


def test_a_contrast_with_a_single_sample_is_unbounded():
    assert not contrast([[1.0], [2.0, 3.0]], [1, -1]).is_bounded


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [
        (2028.4, 3, "2028"), (150, 2, "150"), (99.4, 2, "99"), (99.7, 2, "100"), (1e7, 3, "1e+07"),
        (0.01234, 3, "0.0123"), (-2028.4, 3, "-2028"), (np.inf, 3, "inf"),
    ],
)  # fmt: skip
def test_numbers_are_rounded_without_powers_of_ten(value, digits, said):
    assert rounded(value, digits) == said
