"""Compute-optimal sizes from a Chinchilla fit and from isoFLOP parabolas."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from scaling import allocate, fit_law, isoflop
from tests.scaling.designs import CHINCHILLA as LAW
from tests.scaling.designs import chinchilla

BEST_SIZE = (LAW["alpha"] * LAW["A"] / (LAW["beta"] * LAW["B"])) ** (1 / 0.62)


def isoflop_runs(factors: np.ndarray, n_budgets: int = 5) -> pd.DataFrame:
    """Runs of Hoffmann et al.'s law at budgets around the optimal size, without noise."""
    budget, factor = (a.ravel() for a in np.meshgrid(np.geomspace(1e18, 1e20, n_budgets), factors))
    size = factor * BEST_SIZE * (budget / 6) ** (0.28 / 0.62)
    frame = pd.DataFrame({"flops": budget, "n_params": size, "n_tokens": budget / 6 / size})
    return frame.assign(loss=chinchilla(frame.n_params, frame.n_tokens))


def test_allocation_is_the_minimum_on_the_budget(truths, design, law_values):
    columns = design("chinchilla")
    y = law_values("chinchilla", columns, truths["chinchilla"])
    y = y * np.exp(np.random.default_rng(0).normal(0, 0.002, len(y)))
    fit = fit_law({**columns, "loss": y}, "chinchilla", resample="rows", n_boot=200)
    found = allocate(fit, 1e21)
    sizes = found.n_params * np.geomspace(0.5, 2, 201)
    losses = fit.predict({"n_params": sizes, "n_tokens": 1e21 / 6 / sizes})["mean"]
    assert losses.argmin() == 100
    assert found.loss == pytest.approx(losses.min())
    assert 6 * found.n_params * found.n_tokens == pytest.approx(1e21)
    for name, (low, high) in found.intervals.items():
        assert low <= getattr(found, name) <= high
    with pytest.raises(ValueError, match="must be of one of the laws 'chinchilla'"):
        allocate(fit_law(x=columns["n_params"], y=y, n_boot=0), 1e21)


@pytest.mark.parametrize("law", ["chinchilla", "skaling"])
def test_inference_makes_the_best_model_smaller(law, truths, design, law_values):
    columns = design(law)
    fit = fit_law({**columns, "loss": law_values(law, columns, truths[law])}, law, n_boot=0)
    budget, served = 1e21, 3e11
    alone, found = allocate(fit, budget), allocate(fit, budget, inference_tokens=served)
    spent = 6 * found.n_params * found.n_tokens + 2 * found.n_params * served
    assert spent == pytest.approx(budget)
    sizes = found.n_params * np.geomspace(0.5, 1.5, 401)
    tokens = (budget / sizes - 2 * served) / 6
    losses = fit.evaluate({"n_params": sizes, "n_tokens": tokens})
    assert sizes[np.nanargmin(losses)] == pytest.approx(found.n_params, rel=0.01)
    assert found.n_params < alone.n_params
    assert found.loss == pytest.approx(np.nanmin(losses), rel=1e-6)
    with pytest.raises(ValueError, match="`inference_tokens` must be a finite number"):
        allocate(fit, budget, inference_tokens=-1.0)


def test_isoflop_parabolas_warn_of_their_bias():
    # wide sampling: the true exponent is beta / (alpha + beta) = .4516
    frame = isoflop_runs(np.geomspace(0.1, 30, 9))
    found = isoflop(frame)
    assert found.exponent == pytest.approx(0.4516, abs=0.05)
    assert "biased" in found.warnings[0]
    fit = fit_law(frame, "chinchilla", loss="squared_log")
    assert allocate(fit, 1e20).exponent == pytest.approx(0.28 / 0.62, abs=1e-5)


def rounded_flat():
    sizes, tokens = np.meshgrid([1e6, 1e7, 1e8, 1e9], [1e8, 1e9, 1e10], indexing="ij")
    frame = pd.DataFrame({"n_params": sizes.ravel(), "n_tokens": tokens.ravel()})
    return frame.assign(loss=(2 + 100 * frame.n_params**-0.3).round(5))


def test_a_loss_that_does_not_depend_on_tokens_has_no_optimum():
    axes = np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5))
    frame = pd.DataFrame({"n_params": axes[0].ravel(), "n_tokens": axes[1].ravel()})
    flat = frame.assign(loss=1.8 + 480 * frame.n_params**-0.35)
    fit = fit_law(flat, "chinchilla", n_boot=0)
    with pytest.raises(ValueError, match=r"no compute-optimal size: B .* n_tokens"):
        allocate(fit, 1e21)
    # Rounded losses may leave a term whose exponent is within its bounds, but which is nothing:
    # how large it is depends on the processor, so that one is put in.
    fit = fit_law(rounded_flat(), "chinchilla", n_boot=0, fixed={"beta": 0.5})
    fit = dataclasses.replace(fit, params={**fit.params, "B": 1e-8})
    with pytest.raises(ValueError, match=r"B / n_tokens\^beta of the fit is at most .*e-"):
        allocate(fit, 1e21)
    noise = np.random.default_rng(0).normal(0, 0.003, len(flat))
    fit = fit_law(flat.assign(loss=flat.loss + noise), "chinchilla", n_boot=0)
    with pytest.raises(ValueError, match="no compute-optimal size: beta is at its upper bound, 10"):
        allocate(fit, 1e21)


def test_an_allocation_carries_the_status_of_its_fit():
    frame = isoflop_runs(np.geomspace(0.3, 3, 5))
    fit = fit_law(frame, "chinchilla", fixed={"E": 0.0}, n_boot=0)
    found = allocate(fit, 1e21)
    assert (found.status, found.message) == (fit.status, fit.message)
    assert fit.message in str(found)
    assert fit.message in found._repr_html_()


def test_as_many_rows_as_parameters_bound_nothing():
    frame = isoflop_runs(np.geomspace(0.3, 3, 5)).iloc[[0, 6, 12, 18, 3]]
    found = allocate(fit_law(frame, "chinchilla"), 1e21)
    assert found.intervals["n_params"] == (0.0, np.inf)
    assert found.intervals["exponent"] == (0.0, 1.0)


def test_budgets_that_differ_by_rounding_are_one():
    frame = isoflop_runs(np.geomspace(0.5, 2, 7))
    exact = isoflop(frame)
    jitter = np.random.default_rng(0).uniform(0.99, 1.01, len(frame))
    rounded = frame.assign(flops=frame.flops * jitter)
    found = isoflop(rounded)
    assert found.exponent == pytest.approx(exact.exponent, abs=2e-3)
    assert "35 values of flops are 5 budgets: runs that differ by up to 5 %" in found.warnings[1]
    with pytest.raises(ValueError, match=r"only 0 of 35 budgets.*see `tolerance`"):
        isoflop(rounded, tolerance=0.0)
    with pytest.raises(ValueError, match="`tolerance` must be at least 0 and below 1"):
        isoflop(rounded, tolerance=5.0)


def test_diverged_runs_are_left_out_and_counted():
    frame = isoflop_runs(np.geomspace(0.5, 2, 7))
    lost = pd.DataFrame(
        {"flops": [1e18, 1e19], "n_params": [1e7, np.nan], "loss": [np.nan, np.inf]}
    )
    found = isoflop(pd.concat([frame, lost], ignore_index=True))
    assert found.exponent == isoflop(frame).exponent
    assert "2 of 37 rows have no loss and are left out." in found.warnings
    broken = frame.astype(object)
    broken.loc[3, "loss"] = "broken"
    with pytest.raises(ValueError, match="column 'loss', row 3: 'broken'"):
        isoflop(broken)
