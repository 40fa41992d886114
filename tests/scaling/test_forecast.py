"""Forecasts: bands, their calibration, and windows that are fitted at once."""

from __future__ import annotations

import numpy as np
import pytest

from scaling import forecast
from scaling.forecast import FORECAST_LAWS, band_factors, fit_windows
from scaling.laws.registry import get_law


def curve(rows: int = 40, noise: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    size = np.geomspace(1e3, 1e6, rows)
    loss = 0.1 + 3.0 * size**-0.3
    return size, loss * np.exp(noise * np.random.default_rng(0).normal(size=rows))


def test_the_band_of_whole_curves_holds_the_band_of_points():
    size, loss = curve()
    made = forecast(x=size, y=loss, laws=["power", "shifted_power"]).predict([2e6, 1e7])
    assert (made.curve_low < made.low).all()
    assert (made.low < made["mean"]).all()
    assert (made["mean"] < made.high).all()
    assert (made.high < made.curve_high).all()


def test_band_factors_are_the_quantiles_of_points_and_of_curves():
    errors = [np.array([0.1, 0.2, 0.3, 1.0 + k]) for k in range(19)]
    point, whole = (f * student_of(0.95) for f in band_factors(errors, 0.95, 10))
    # 57 of 76 points are at most .3; 95 % are the 73 smallest, of which the last is 1 + 15
    assert point == pytest.approx(16.0)
    # the conformal rank is .95 * 20 = 19, the largest of the 19 curves
    assert whole == pytest.approx(19.0)


def student_of(level: float) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + level / 2, 10))


@pytest.mark.parametrize("name", FORECAST_LAWS)
def test_windows_fitted_at_once_are_as_good_as_alone(name):
    law = get_law(name)
    size, loss = curve()
    whole, fold = np.ones(40, dtype=bool), np.arange(40) < 28
    together = fit_windows(law, [1.0, 0.5], [fold, whole], size, loss)
    for rows, found in zip((fold, whole), together, strict=True):
        x, y = size[rows], loss[rows]
        alone = fit_windows(law, [1.0], [np.ones(len(x), dtype=bool)], x, y)[0]
        assert squares(law, found[:, [0]], x, y) <= squares(law, alone, x, y) * (1 + 1e-6)


def squares(law, parameters, size, loss) -> float:
    from scaling.forecast import evaluate_law

    return float(np.sum(np.log(evaluate_law(law, parameters, size) / loss) ** 2))
