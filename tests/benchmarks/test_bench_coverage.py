"""Coverage of both intervals of the asymptote, from the designs of `coverage.py`, and of forecasts.

DATAWALL_BENCH_SETS is the number of tables a design (200 by default).
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from scaling import forecast, load_dataset
from scaling.forecast import CURVE_FACTOR, POINT_FACTOR, band_factors
from tests.benchmarks.coverage import HOLDS, MEMBERS, OUTSIDE, TABLES, measure

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7200)]

SETS = int(os.environ.get("DATAWALL_BENCH_SETS", str(TABLES)))


def test_intervals_hold_the_truth_as_often_as_they_say():
    measured = measure(SETS)
    print("\n" + measured.drop(columns=["kind", "tables"]).to_string(index=False))
    model = measured[measured["method"] == "model"].set_index("design")
    law = measured[measured["method"] == "law"].set_index("design")
    slack = 2.5 * (0.93 * 0.07 / SETS) ** 0.5  # of a share measured on so many tables
    assert (model.loc[model["kind"] != OUTSIDE, "coverage"] >= 0.93 - slack).all()
    assert (model.loc[model["kind"] == OUTSIDE, "coverage"] >= 0.80).all()
    assert (model["badly_wrong"] == 0).all()
    holds = law["kind"] == HOLDS
    assert law.loc[holds, "coverage"].mean() == pytest.approx(0.95, abs=0.02)
    assert (law.loc[law["kind"] == MEMBERS, "coverage"] >= 0.93 - slack).all()
    assert (model["width"] / law["width"])[holds].mean() <= 4.0


def test_the_factors_of_the_bands_follow_from_the_development_curves():
    errors = []
    for _, rows in load_dataset("learning_curves").groupby(["domain", "task", "model"]):
        seen, later = (rows[rows.is_fit == flag].sort_values("n_examples") for flag in (1, 0))
        made = forecast(x=seen.n_examples.to_numpy(), y=seen.loss.to_numpy())
        centre, scale = made.spread(later.n_examples.to_numpy())
        errors.append(np.abs(np.log(later.loss.to_numpy()) - centre) / scale)
    found = band_factors(errors, 0.95, len(made.candidates))
    assert found == pytest.approx((POINT_FACTOR, CURVE_FACTOR), rel=0.03)
