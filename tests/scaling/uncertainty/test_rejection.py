"""Whether rows contradict a law."""

from __future__ import annotations

import numpy as np
import pytest

from scaling import fit_law

LIMIT = 3.43


def status(sizes, truth, noise, seed):
    losses = truth(sizes) + np.random.default_rng(seed).normal(0, noise, len(sizes))
    return fit_law({"n_params": sizes, "loss": losses}, n_boot=0)


def one_power(x):
    return LIMIT + 0.3 * (1e6 / x) ** 0.6


def two_powers(x):
    return LIMIT + 0.15 * (1e6 / x) ** 1.02 + 0.2 * (1e6 / x) ** 0.3


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_law_that_holds_is_rarely_rejected(repeats):
    sizes = np.repeat(np.geomspace(1e6, 1e9, 16 // repeats), repeats)
    found = [status(sizes, one_power, 0.005, seed).status.name for seed in range(40)]
    # At level .01, three of forty would be found once in 150 suites of other seeds.
    assert found.count("LAW_REJECTED") <= 2


def test_repeats_reject_a_law_that_does_not_hold():
    sizes = np.repeat(np.geomspace(1e6, 1e9, 8), 3)
    fits = [status(sizes, two_powers, 0.003, seed) for seed in range(10)]
    rejected = [fit for fit in fits if fit.status.name == "LAW_REJECTED"]
    assert len(rejected) >= 7
    assert "lack of fit, p = " in rejected[0].message
    assert "n_params = " in rejected[0].message
    # scales, and not rows, are then the units that scatter around the law
    assert rejected[0].problem.inflation > 3
    assert rejected[0].problem.degrees == 8 - 3


def test_the_largest_scales_reject_a_law_that_does_not_predict_them():
    sizes = np.geomspace(1e6, 1e9, 12)
    losses = one_power(sizes) + np.random.default_rng(0).normal(0, 0.001, 12)
    losses[-1] += 0.02
    fit = fit_law({"n_params": sizes, "loss": losses}, n_boot=0, loss="squared_log")
    assert fit.status.name == "LAW_REJECTED"
    assert "without n_params = 1e+09 it predicts 3.4" in fit.message


def test_long_runs_of_one_sign_reject_a_law():
    sizes = np.geomspace(1e6, 1e9, 40)
    wave = 0.004 * np.sin(np.log(sizes) * 2.0)
    losses = one_power(sizes) + wave + np.random.default_rng(0).normal(0, 0.0005, 40)
    fit = fit_law({"n_params": sizes, "loss": losses}, n_boot=0)
    assert fit.status.name == "LAW_REJECTED"
    assert "residuals change sign only" in fit.message


def test_copies_of_rows_are_no_repeats():
    sizes = np.geomspace(1e6, 1e9, 8)
    losses = one_power(sizes) + np.random.default_rng(1).normal(0, 0.005, 8)
    fit = fit_law({"n_params": np.tile(sizes, 3), "loss": np.tile(losses, 3)}, n_boot=0)
    assert fit.status.name == "CONVERGED"


def test_an_exponent_at_its_bound_is_not_identified():
    sizes = np.repeat(np.geomspace(1e6, 4e6, 6), 3)
    losses = np.where(sizes < 1.1e6, 3.6, LIMIT) + np.random.default_rng(0).normal(0, 0.002, 18)
    fit = fit_law({"n_params": sizes, "loss": losses}, n_boot=0)
    assert fit.status.name == "NOT_IDENTIFIED"
    assert "alpha is at its upper bound" in fit.message
