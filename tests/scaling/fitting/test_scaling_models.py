"""Derivatives of laws and losses, and the solvers, against independent computations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from scaling import LAWS, LOSSES
from scaling.fitting.basis_model import BasisModel, JetModel
from scaling.fitting.evaluation import build_model
from scaling.fitting.linear import bounded_least_squares
from scaling.fitting.newton import minimise, solve_modified
from scaling.fitting.objective import Objective

FINITE = [name for name in LAWS if LAWS[name].n_effective is None]


@pytest.mark.parametrize("name", FINITE)
def test_printed_and_internal_coordinates_are_inverse(name, truths, design):
    law, columns = LAWS[name], design(name)
    printed = np.array([truths[name][p] for p in law.parameters])[:, None]
    model = build_model(law, columns)
    assert model.printed(model.internal(printed)) == pytest.approx(printed, rel=1e-10)


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("name", FINITE)
def test_objective_derivatives_match_differences(name, loss, truths, design, law_values):
    law, columns = LAWS[name], design(name)
    rng = np.random.default_rng(0)
    y = law_values(name, columns, truths[name])
    objective = Objective(
        model=build_model(law, columns),
        loss=LOSSES[loss],
        delta=0.05,
        target=y * np.exp(0.05 * rng.normal(size=len(y))),
        weights=rng.uniform(0.5, 2.0, len(y)),
    )
    printed = np.array([truths[name][p] for p in law.parameters])[:, None]
    place = objective.model.internal(printed)
    _, gradient, hessian = objective.derivatives(place)
    step = 1e-5 * np.maximum(np.abs(place[:, 0]), 0.1)
    moved = place + np.concatenate([np.diag(step), -np.diag(step)], axis=1)
    values, gradients, _ = objective.derivatives(moved)
    p = len(step)
    numeric = (values[:p] - values[p:]) / (2 * step)
    scale = np.abs(gradient).max()
    assert gradient[:, 0] == pytest.approx(numeric, rel=1e-3, abs=1e-5 * scale)
    if loss in ("squared", "squared_log"):  # the others have kinks in their second derivative
        numeric = (gradients[:, :p] - gradients[:, p:]) / (2 * step)
        scale = np.sqrt(np.abs(np.outer(np.diag(numeric), np.diag(numeric))))
        assert (np.abs(hessian[:, :, 0] - numeric) <= 1e-2 * scale + 1e-8 * scale.max()).all()


@pytest.mark.parametrize("name", [name for name in FINITE if not LAWS[name].terms])
def test_exact_derivatives_agree_with_differences_of_the_basis(name, truths, design):
    law, columns = LAWS[name], design(name)
    exact, rough = build_model(law, columns), BasisModel(law, columns)
    assert isinstance(exact, JetModel)
    # not at the truth, where a row of the design lies on the kink of `data_constrained`
    place = exact.internal(1.07 * np.array([truths[name][p] for p in law.parameters])[:, None])
    weights = np.random.default_rng(0).normal(size=(1, exact.n_rows))
    found, wanted = (model.derivatives(place, slice(None)) for model in (exact, rough))
    assert found[0] == pytest.approx(wanted[0], rel=1e-12)
    for one, other in zip(found[1], wanted[1], strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-8 * np.abs(other).max() + 1e-9)
    step = 1e-6 * np.eye(len(place))
    ahead, behind = (exact.derivatives(place + sign * step, slice(None))[1] for sign in (1, -1))
    slopes = [
        (weights * (one - other)).sum(axis=1) for one, other in zip(ahead, behind, strict=True)
    ]
    numeric = np.stack(slopes) / 2e-6
    bend = found[2](weights)[:, :, 0]
    assert bend == pytest.approx(numeric, rel=1e-4, abs=1e-7 * np.abs(numeric).max())


def test_a_basis_that_is_not_made_of_ufuncs_is_differenced(design):
    law = replace(
        LAWS["power"],
        terms=(),
        basis=lambda x, p: [1.0, np.where(x["n_params"] > 0, x["n_params"] ** -p["alpha"], 0.0)],
    )
    place = np.array([[1.9], [1.0], [0.4]])
    model = build_model(law, design("power"))
    assert type(model) is BasisModel
    exact = build_model(LAWS["power"], design("power"), ["E", "A"])
    rough = build_model(law, design("power"), ["E", "A"])
    found, wanted = (m.derivatives(place, slice(None))[1] for m in (rough, exact))
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, rel=1e-6)


def test_blocks_do_not_change_the_objective(design, truths, law_values):
    columns = {k: np.tile(v, 2000) for k, v in design("chinchilla").items()}
    y = law_values("chinchilla", columns, truths["chinchilla"])
    y *= np.exp(0.01 * np.random.default_rng(0).normal(size=len(y)))
    model = build_model(LAWS["chinchilla"], columns)
    truth = np.array([truths["chinchilla"][p] for p in LAWS["chinchilla"].parameters])[:, None]
    objective = Objective(
        model=model, loss=LOSSES["huber_log"], delta=0.01, target=y, weights=np.ones(len(y))
    )
    place = model.internal(truth)
    residual = np.log(model.value(place, slice(None))[0] / y)
    size = np.abs(residual)
    expected = np.where(size <= 0.01, 0.5 * residual**2, 0.01 * (size - 0.005)).sum()
    assert objective.value(place)[0] == pytest.approx(expected, rel=1e-12)
    assert objective.derivatives(place)[0][0] == pytest.approx(expected, rel=1e-12)


def test_solve_modified_solves_positive_systems():
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(50, 5, 5))
    matrices = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(5)
    right = rng.normal(size=(50, 5))
    held = np.zeros((5, 50), dtype=bool)
    found = solve_modified(matrices.transpose(1, 2, 0), right.T, held, 0.0)
    assert pytest.approx(np.linalg.solve(matrices, right[..., None])[..., 0], rel=1e-6) == found.T
    held[2] = True
    free = [0, 1, 3, 4]
    found = solve_modified(matrices.transpose(1, 2, 0), right.T, held, 0.0).T
    sub = matrices[:, free][:, :, free]
    assert found[:, 2] == pytest.approx(0.0)
    expected = np.linalg.solve(sub, right[:, free, None])[..., 0]
    assert found[:, free] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("m", [2, 3, 4, 6])
def test_bounded_least_squares_is_nnls(m):
    rng = np.random.default_rng(m)
    basis, target = rng.normal(size=(m, 40, 12)), rng.normal(size=(40, 12))
    weights = rng.uniform(0.2, 3.0, (40, 12))
    low, high = np.zeros(m), np.full(m, np.inf)
    found = bounded_least_squares(basis, target, weights, low, high)
    for cell in range(40):
        root = np.sqrt(weights[cell])
        expected = optimize.nnls((basis[:, cell] * root).T, target[cell] * root)[0]
        assert found[:, cell] == pytest.approx(expected, abs=1e-6)


def test_held_coordinates_stay_and_bounds_are_respected(design, truths, law_values):
    columns = design("chinchilla")
    law = LAWS["chinchilla"]
    model = build_model(law, columns)
    y = law_values("chinchilla", columns, truths["chinchilla"])
    objective = Objective(
        model=model, loss=LOSSES["squared_log"], delta=1.0, target=y, weights=np.ones(len(y))
    )
    truth = np.array([truths["chinchilla"][p] for p in law.parameters])[:, None]
    place = model.internal(truth)
    low, high = np.full((5, 1), 1e-6), np.full((5, 1), 1e9)
    low[0], high[0] = 1.5, 1.5
    high[3] = 0.3
    found = minimise(objective, place, low, high)
    assert found.converged[0]
    assert found.coordinates[0, 0] == 1.5
    assert found.coordinates[3, 0] <= 0.3
