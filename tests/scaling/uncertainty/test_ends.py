"""The ends of a profile interval that Newton's method finds are those of the whole profile."""

from __future__ import annotations

import numpy as np
import pytest

from scaling import fit_law
from scaling.uncertainty.ends import profile_ends

SIZES = np.geomspace(1e6, 1e9, 8)


def table(seed: int, noise: float = 0.005) -> dict[str, np.ndarray]:
    """Eight sizes, three runs each, of a power law with the limit 3.43."""
    n_params = np.repeat(SIZES, 3)
    error = np.random.default_rng(seed).normal(0, noise, len(n_params))
    return {"n_params": n_params, "loss": 3.43 + 0.3 * (1e6 / n_params) ** 0.6 + error}


@pytest.mark.parametrize("name", ["E", "alpha"])
@pytest.mark.parametrize("level", [0.8, 0.99])
def test_ends_are_those_of_the_profile(name: str, level: float) -> None:
    fit = fit_law(table(1), n_boot=0)
    found = profile_ends(fit.problem, fit.coordinates, name, level)
    # the profile is interpolated between points near its ends
    assert found == pytest.approx(fit.profile(name, level).interval(level), rel=1e-5)


def test_the_objective_has_risen_by_the_threshold_at_both_ends() -> None:
    fit = fit_law(table(2), n_boot=0)
    low, high = fit.interval("E")
    risen = [fit_law(table(2), n_boot=0, delta=fit.problem.delta, fixed={"E": end}).objective
             - fit.objective for end in (low, high)]  # fmt: skip
    assert risen[0] == pytest.approx(risen[1], rel=1e-4)
    assert risen[0] == pytest.approx(fit.profile("E").rise(0.95), rel=1e-4)


def test_an_end_that_is_not_found_is_left_to_the_profile() -> None:
    losses = [4.10, 3.97, 3.83, 3.71, 3.585, 3.46]  # a straight line in the logarithm of size
    fit = fit_law({"n_params": np.geomspace(1e5, 3e6, 6), "loss": losses})
    assert fit.params["E"] == 0.0  # at its bound, where there is no symmetric start
    assert profile_ends(fit.problem, fit.coordinates, "E", 0.95) is None
    assert fit.interval("E") == fit.profile("E").interval()
