"""Covariance of a fit without resampling: sandwich, or from the Hessian for few rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.problem import Problem

Array = NDArray[np.float64]


NO_CURVATURE = 1e-200


def noise_scale(problem: Problem, best: Array) -> float:
    """Noise scale tau: twice the rise of the objective over tau is chi-squared.

    It is the mean squared row score over the mean row curvature, with Huber's correction for the
    fitted parameters. For the loss "squared" it is twice the residual variance.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).

    Source:
        Huber 1981, Robust Statistics, section 7.6.
    """
    _, score, bend = problem.objective().scores(best)
    weights = problem.table.weights
    used = weights > 0
    n_rows, p = int(used.sum()), problem.n_free
    curvature = float(np.average(bend, weights=weights))
    if curvature <= 0.0:
        return float("nan")
    spread = float(np.average((bend - curvature) ** 2, weights=weights)) / curvature**2
    correction = (1.0 + p / n_rows * spread) ** 2
    scatter = float((weights * score**2)[used].sum()) / max(n_rows - p, 1)
    return problem.inflation * correction * scatter / curvature


def free_coordinates(problem: Problem, best: Array) -> NDArray[np.int64]:
    """Indices of the coordinates that are neither held nor at a bound, shape (n_inside,)."""
    size = np.maximum(np.abs(best), 1e-12)
    inside = (best > problem.low + 1e-10 * size) & (best < problem.high - 1e-10 * size)
    return np.flatnonzero(inside & problem.free)


def covariance(problem: Problem, best: Array, *, robust: bool = True) -> Array:
    """Covariance of the internal coordinates, shape (n_parameters, n_parameters).

    It is zero for coordinates that are held or at a bound, and NaN for a coordinate that does not
    change any prediction.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        robust: whether to use the sandwich, over clusters if the rows have groups, instead of tau
            times the inverse Hessian.
    """
    index = free_coordinates(problem, best)
    out = np.zeros((len(best), len(best)))
    if index.size == 0:
        return out
    _, _, hessian = problem.objective().derivatives(best[:, None])
    blind = index[np.abs(hessian[index, index, 0]) < NO_CURVATURE]
    out[blind, blind] = np.nan
    index = np.setdiff1d(index, blind)
    if index.size == 0:
        return out
    bread = _inverse(hessian[np.ix_(index, index)][:, :, 0])
    if not robust:
        out[np.ix_(index, index)] = noise_scale(problem, best) * bread
        return out
    gradient, score, _ = problem.objective().scores(best)
    rows = gradient[:, index] * (score * problem.table.weights)[:, None]
    count = len(rows)
    if problem.table.groups is not None:
        count = int(problem.table.groups.max()) + 1
        summed = np.zeros((count, index.size))
        np.add.at(summed, problem.table.groups, rows)
        rows = summed
    spent = problem.n_free if problem.table.groups is None else 1
    meat = rows.T @ rows * (problem.inflation * count / max(count - spent, 1))
    out[np.ix_(index, index)] = bread @ meat @ bread
    return out


def printed_covariance(problem: Problem, best: Array, *, robust: bool) -> Array:
    """Covariance of the printed parameters, shape (n_parameters, n_parameters).

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        robust: as in `covariance`, to which the delta method is applied.
    """
    change = printed_jacobian(problem, best)
    spread = covariance(problem, best, robust=robust)
    blind = np.isnan(np.diag(spread))
    spread[blind] = spread[:, blind] = 0.0
    out = change @ spread @ change.T
    out[blind, blind] = np.nan
    return out


def standard_errors(problem: Problem, best: Array, *, robust: bool) -> Array:
    """Standard errors of the printed parameters, shape (n_parameters,).

    NaN for a parameter that does not change any prediction; infinite without degrees of freedom.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        robust: as in `covariance`.
    """
    if problem.degrees <= 0:
        return np.where(problem.free, np.inf, 0.0)
    variance = np.diag(printed_covariance(problem, best, robust=robust))
    return np.sqrt(np.maximum(variance, 0.0))


def known_covariance(problem: Problem, best: Array, *, robust: bool) -> Array:
    """Covariance of the internal coordinates with zeros for NaN, (n_parameters, n_parameters).

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        robust: as in `covariance`.
    """
    return np.nan_to_num(covariance(problem, best, robust=robust), nan=0.0)


def gaussian_draws(
    problem: Problem, best: Array, n_draws: int, seed: int, *, robust: bool
) -> Array:
    """Gaussian draws around the optimum, clipped to the bounds, (n_parameters, n_draws).

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        n_draws: number of draws.
        seed: random seed.
        robust: as in `covariance`.
    """
    values, vectors = np.linalg.eigh(known_covariance(problem, best, robust=robust))
    noise = np.random.default_rng(seed).standard_normal((n_draws, len(values)))
    places = best[:, None] + vectors @ (noise * np.sqrt(np.maximum(values, 0.0))).T
    return np.clip(places, problem.low[:, None], problem.high[:, None])


def _inverse(hessian: Array) -> Array:
    """Inverse of the positive part of a symmetric matrix, scaled to a unit diagonal first."""
    root = np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-290))
    values, vectors = np.linalg.eigh(hessian / np.outer(root, root))
    kept = np.maximum(values, 1e-13)
    return (vectors / kept) @ vectors.T / np.outer(root, root)


def printed_jacobian(problem: Problem, best: Array) -> Array:
    """Derivatives (p, p) of the printed parameters with respect to the internal coordinates."""
    p = len(best)
    step = 1e-6 * np.maximum(np.abs(best), 1e-6)
    ahead = problem.model.printed(best[:, None] + np.diag(step))
    behind = problem.model.printed(best[:, None] - np.diag(step))
    return (ahead - behind).reshape(p, p) / (2 * step)
