"""Prediction intervals by profile likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import f as fisher

from scaling import fit_law


def power_runs(n_rows: int, seed: int) -> dict[str, np.ndarray]:
    size = np.geomspace(1e6, 1e9, n_rows)
    noise = np.random.default_rng(seed).normal(0, 0.004, n_rows)
    return {"n_params": size, "loss": (2.4 + 40 * size**-0.25) * np.exp(noise)}


@pytest.mark.long
@pytest.mark.parametrize("loss", ["huber_log", "squared_log"])
@pytest.mark.parametrize("n_rows", [4, 6, 12])
def test_the_ends_of_a_band_are_smooth(n_rows, loss):
    """Neighbouring rows differ by 2 %, so that the law itself is straight between them."""
    fit = fit_law(power_runs(n_rows, 1), loss=loss)
    for start in (2e6, 1e9, 1e11):
        band = fit.predict({"n_params": np.geomspace(start, 1.25 * start, 11)})
        width = (band["high"] - band["low"]).to_numpy()[1:-1]
        for end in ("low", "high"):
            assert (np.abs(np.diff(band[end], 2)) < 0.01 * width).all()


def test_a_band_of_least_squares_is_the_f_test():
    """The ends solve the F-test equation, with the exponent scanned and the rest projected out."""
    runs = power_runs(6, 0)
    size, loss = runs["n_params"], runs["loss"]
    fit = fit_law(runs, loss="squared")
    exponents = np.linspace(0.01, 0.8, 4001)

    def least(new: float, value: float) -> float:
        """Least residual sum of squares with the prediction at `new` equal to `value`."""
        shape = size[:, None] ** -exponents - new**-exponents
        rest = loss[:, None] - value
        scale = np.maximum((shape * rest).sum(axis=0) / (shape**2).sum(axis=0), 0.0)
        scale = np.minimum(scale, value * new**exponents)  # the asymptote is not negative
        return float(((rest - scale * shape) ** 2).sum(axis=0).min())

    allowed = fit.objective * (1 + fisher.ppf(0.95, 1, 3) / 3)
    for new in (3e6, 1e8, 1e10):
        band = fit.predict({"n_params": [new]}).iloc[0]
        for end, beyond in ((band["low"], band["mean"] - 1), (band["high"], band["mean"] + 1)):
            exact = brentq(lambda v, new=new: least(new, v) - allowed, band["mean"], beyond)
            assert end == pytest.approx(exact, abs=0.002 * (band["high"] - band["low"]))
