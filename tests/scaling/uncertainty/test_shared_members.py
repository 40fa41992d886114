"""Ensembles that share members: how tables of them are recognised, and the exponent of K."""

from __future__ import annotations

import numpy as np
import pytest

from scaling import LAWS, fit_law
from scaling.fitting.table import read_table
from scaling.uncertainty.shared_members import (
    exponent_p_value,
    find_walks,
    recognise_sharing,
    size_limits,
)
from tests.scaling import designs

ENSEMBLE = LAWS["ensemble"]


@pytest.mark.parametrize(
    ("design", "kind", "options"),
    [
        (designs.nested, "nested", {"most": 8}),
        (designs.subset_means, "subsets", {}),
        (designs.independent, "independent", {"most": 8}),
    ],
)
def test_residuals_show_how_rows_share_members(design, kind, options):
    found = []
    for seed in range(4):
        frame = design(seed, **options)
        fit = fit_law(frame, "ensemble", fixed={"gamma": None}, n_boot=0, loss="squared_log")
        walk = find_walks(fit.problem.table)
        found.append(recognise_sharing(fit.problem, fit.coordinates, walk))
    assert found.count(kind) >= 3


def test_walks_whiten_their_own_noise():
    table = read_table(designs.nested(0), ENSEMBLE)
    walk = find_walks(table)
    single = np.random.default_rng(0).normal(size=(3, table.n_rows))
    noise = walk.noise(single)
    np.testing.assert_allclose(walk.whiten(noise.T), single.T, atol=1e-12)
    # the covariance of the docstring, sigma^2 / max(K, K') within a size, has this determinant
    members, sizes = table.columns["n_members"], table.columns["n_params"]
    covariance = (sizes[:, None] == sizes) / np.maximum(members[:, None], members)
    assert walk.log_determinant == pytest.approx(np.linalg.slogdet(covariance)[1])


@pytest.mark.parametrize("design", [designs.independent, designs.nested, designs.subset_means])
def test_an_exponent_of_one_is_not_rejected(design):
    p_values = []
    for seed in range(20):
        table = read_table(design(seed), ENSEMBLE)
        walk = find_walks(table) if design is designs.nested else None
        p_values.append(exponent_p_value(table, walk))
    assert sum(p < 0.01 for p in p_values) <= 2  # of 20: more has a chance of .1 %


@pytest.mark.parametrize("design", [designs.independent, designs.nested, designs.subset_means])
def test_another_exponent_is_rejected(design):
    table = read_table(design(0, gamma=0.45, most=10), ENSEMBLE)
    assert exponent_p_value(table, find_walks(table) if design is designs.nested else None) < 1e-3


def test_too_few_ensemble_sizes_test_nothing():
    assert exponent_p_value(read_table(designs.nested(0, most=2), ENSEMBLE), None) == 1.0


def test_limits_of_sizes_are_those_of_the_law():
    table = read_table(designs.nested(0, noise=0.0), ENSEMBLE)
    sizes, limits = size_limits(table, 1.0)
    np.testing.assert_array_equal(sizes, designs.SIZES)
    np.testing.assert_allclose(limits, designs.LIMIT + 0.10 * sizes**-0.9)
