"""Suggested runs narrow the interval as expected, more than others of equal FLOPs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scaling import design, fit_law
from scaling.design import Information
from tests.scaling.designs import chinchilla, grid

BUDGET = 6 * 1e9 * 3e10
"""FLOPs of the largest run of `grid`."""


def with_runs(frame, runs, seed):
    noise = np.random.default_rng(seed).normal(0, 0.005, len(runs))
    loss = chinchilla(runs["n_params"], runs["n_tokens"]) * np.exp(noise)
    return pd.concat([frame, runs.assign(loss=loss)], ignore_index=True)


def half_width(fit):
    low, high = fit.interval("E", method="sandwich")
    return 0.5 * (high - low)


@pytest.mark.long
def test_the_expected_interval_is_what_refits_find_and_narrower_than_the_uniform_one():
    measured, expected = [], []
    for seed in range(5):
        frame = grid(seed)
        found = design(fit_law(frame, "chinchilla", n_boot=0), BUDGET)
        assert found.expected < found.expected_uniform < found.half_width
        for runs in (found.runs, found.uniform):
            assert runs["flops"].sum() == pytest.approx(BUDGET)
        fits = [
            fit_law(with_runs(frame, runs, seed), "chinchilla", n_boot=0)
            for runs in (found.runs, found.uniform)
        ]
        measured.append([half_width(fit) for fit in fits])
        expected.append([found.expected, found.expected_uniform])
    ratio = np.median(measured, axis=0) / np.median(expected, axis=0)
    assert ratio == pytest.approx([1.0, 1.0], abs=0.35)
    assert np.median(measured, axis=0)[0] < np.median(measured, axis=0)[1]


def test_no_random_runs_of_equal_flops_are_expected_to_do_better():
    fit = fit_law(grid(0), "chinchilla", n_boot=0)
    found = design(fit, BUDGET)
    world, rng = Information(fit, 0), np.random.default_rng(0)
    factor = found.expected_uniform / world.error(
        found.uniform[["n_params", "n_tokens"]].to_numpy()
    )
    for _ in range(200):
        products = (0.05 + 0.85 * rng.dirichlet(np.ones(3))) * BUDGET / 6
        low = np.maximum(1e7, products / 3e11)
        sizes = np.exp(rng.uniform(np.log(low), np.log(np.minimum(1e10, products / 1e9))))
        others = world.error(np.stack([sizes, products / sizes], axis=1))
        assert factor * others > 0.97 * found.expected


def test_runs_stay_within_reach_of_the_table():
    found = design(fit_law(grid(0), "skaling", n_boot=0), 30 * BUDGET, n_runs=2)
    assert found.runs["n_params"].between(0.99e7, 1.01e10).all()
    assert found.runs["n_tokens"].between(0.99e9, 3.03e11).all()
    assert "after a uniform design of equal FLOPs" in str(found)


@pytest.mark.parametrize(
    ("law", "options", "said"),
    [
        ("power", {"budget": BUDGET}, "must be of a law of n_params and n_tokens"),
        ("chinchilla", {"budget": -1.0}, "`budget` must be a finite number"),
        ("chinchilla", {"budget": 1e10}, "too few for 3 runs with sizes from the smallest"),
        ("chinchilla", {"budget": BUDGET, "n_runs": 0}, "`n_runs` must be a whole number"),
        ("chinchilla", {"budget": BUDGET, "level": 1.0}, "`level` must lie between 0 and 1"),
    ],
)
def test_bad_input_says_what_is_allowed(law, options, said):
    fit = fit_law(grid(0), law, n_boot=0)
    with pytest.raises(ValueError, match=said):
        design(fit, **options)


def test_a_held_asymptote_cannot_be_narrowed():
    fit = fit_law(grid(0), "chinchilla", n_boot=0, fixed={"E": 1.69})
    with pytest.raises(ValueError, match="E is fixed"):
        design(fit, BUDGET)
