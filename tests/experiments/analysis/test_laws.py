"""The largest size predicted from the others."""

import numpy as np
import pandas as pd
import pytest

from experiments.analysis.laws import LOSS, N, predicted_largest

SIZES = np.array([6_736, 23_712, 100_672, 389_760])


def runs(sd, sizes=SIZES, n_seeds=6):
    """Runs that follow 3.7 + 0.6 (N / least N)^-1/2; at each size the seeds have this spread."""
    z = np.linspace(-1, 1, n_seeds)
    rows = [(size, 3.7 + 0.6 * (size / sizes[0]) ** -0.5 + sd * x) for size in sizes for x in z]
    return pd.DataFrame(rows, columns=[N, LOSS])


def test_the_law_of_the_others_predicts_the_largest():
    best = runs(sd=0.01)
    largest = best[N] == SIZES[-1]
    truth = best.loc[largest, LOSS].mean()
    best.loc[largest, LOSS] = 9.0  # which is not read
    found = predicted_largest(best)
    assert found.value == pytest.approx(truth, abs=1e-3)
    assert found.low < truth < found.high


def test_the_interval_grows_with_the_spread_of_seeds():
    narrow, wide = (predicted_largest(runs(sd)) for sd in (0.001, 0.01))
    assert wide.high - wide.low == pytest.approx(10 * (narrow.high - narrow.low), rel=0.2)


@pytest.mark.parametrize(("sizes", "n_seeds"), [(SIZES[:3], 6), (SIZES, 1)])
def test_too_few_sizes_or_seeds_predict_nothing(sizes, n_seeds):
    assert not predicted_largest(runs(0.01, sizes, n_seeds)).is_bounded
