"""Whether the rows contradict a fitted law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, ndtr, stdtr  # scipy.stats takes a second to import

from scaling.fitting.problem import Problem

Array = NDArray[np.float64]

LEVEL = 0.01
"""A law that holds is rejected in this share of tables."""
FEWEST_REPEATS = 4
"""Degrees of freedom among repeats from which they judge the law."""
HELD_OUT = 0.1
"""Share of the scales, the largest ones, that the others must predict; at least one scale."""
ROUNDING = 1e-8
"""Residuals below this share of the loss are rounding."""
FEWEST_SIGNS = 12
"""Rows from which runs of residuals of one sign can judge a law."""


@dataclass(frozen=True, kw_only=True)
class LackOfFit:
    """What contradicts a law.

    Attributes:
        p: probability of a contradiction at least as strong if the law holds.
        sentence: p, and the rows that contradict it.
        inflation: variance of the means of scales around the law, in units of what repeats imply;
            1 without repeats.
    """

    p: float
    sentence: str
    inflation: float


def lack_of_fit(problem: Problem, best: Array) -> LackOfFit | None:
    """What contradicts the law at level 0.01, or None.

    Repeats at the same scale judge it by an F test of the means of scales. Without repeats, the law
    fitted to all scales but the largest must predict the largest, and residuals must not keep their
    sign for long along the curve; each of the two tests has half the level. Rows that share a run
    or members are not independent, so tables with groups and laws of ensembles are not judged.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).

    Source:
        Seber and Wild 1989, Nonlinear Regression, section 2.1.5; Wald and Wolfowitz 1940.
    """
    table = problem.table
    if table.groups is not None or "n_members" in problem.law.columns or problem.degrees <= 0:
        return None
    if np.abs(problem.objective().residuals(best)).max() < ROUNDING * np.abs(table.y).max():
        return None
    repeats = table.n_rows - len(np.unique(table.scales))
    if repeats >= FEWEST_REPEATS:
        return _against_repeats(problem, best, repeats)
    found = [test for test in (_largest(problem, best), _signs(problem, best)) if test is not None]
    found = [test for test in found if test[0] < LEVEL / 2]
    if not found:
        return None
    p, sentence = min(found)
    return LackOfFit(p=p, sentence=f"The rows contradict the law (p = {p:.2g}): {sentence}",
                     inflation=1.0)  # fmt: skip


def shared_inflation(problem: Problem, best: Array) -> float:
    """Factor on the variance of rows due to the error that rows of a scale share, at least 1."""
    if problem.size_error == 0.0:
        return 1.0
    shared, pure = _variances(problem, best)
    residual = problem.objective().residuals(best)
    row = float((residual**2).sum()) / max(problem.degrees, 1)
    return max(1.0, (shared + pure) / max(row, 1e-300))


def _variances(problem: Problem, best: Array) -> tuple[float, float]:
    """Variance of a row due to the error of its scale, and variance among repeats (0 without any).

    The former is multiplied by the mean number of repeats, because averaging over the repeats of a
    scale does not reduce it.
    """
    table, scales = problem.table, problem.table.scales
    residual = problem.objective().residuals(best)
    n_scales = int(scales.max()) + 1
    mean = np.bincount(scales, residual) / np.bincount(scales)
    repeats = table.n_rows - n_scales
    pure = float(((residual - mean[scales]) ** 2).sum()) / repeats if repeats else 0.0
    unit = float(np.mean(table.y)) if problem.loss.log else 1.0
    return (problem.size_error / unit) ** 2 * table.n_rows / n_scales, pure


def _against_repeats(problem: Problem, best: Array, repeats: int) -> LackOfFit | None:
    table, scales = problem.table, problem.table.scales
    spare = int(scales.max()) + 1 - problem.n_free
    _, score, _ = problem.objective().scores(best)
    weight = np.bincount(scales, table.weights)
    mean = np.bincount(scales, table.weights * score) / np.maximum(weight, 1e-300)
    scatter = float((table.weights * (score - mean[scales]) ** 2).sum()) / repeats
    between = float((weight * mean**2).sum()) / spare
    if scatter <= ROUNDING * between:  # copies of rows, and not repeats
        return None
    shared, pure = _variances(problem, best)
    ratio = between / scatter / (1.0 + shared / pure)
    p = float(fdtrc(spare, repeats, ratio))
    if p >= LEVEL:
        return None
    farthest = int(np.argmax(weight * mean**2))
    return LackOfFit(
        p=p,
        sentence=(
            f"Repeats contradict the law (lack of fit, p = {p:.2g}): the means of scales differ "
            f"from it {np.sqrt(ratio):.1f} times as much as repeats allow, most at "
            f"{_where(problem, scales == farthest)}."
        ),
        inflation=ratio,
    )


def _largest(problem: Problem, best: Array) -> tuple[float, str] | None:
    """p and sentence of the prediction of the largest scales from the others."""
    table, place = problem.table, _order(problem, best)
    held = place < max(1, round(HELD_OUT * (int(place.max()) + 1)))
    degrees = problem.degrees - int(held.sum())
    if degrees <= 0 or len(np.unique(place[~held])) <= problem.n_free:
        return None
    weights = np.where(held, 0.0, table.weights)
    found = problem.refine(best[:, None], weights=weights, sharpening=(1.0,)).coordinates
    objective = problem.objective(weights=weights)
    gradient, _, bend = objective.scores(found[:, 0])
    residual = objective.residuals(found[:, 0])
    # The plain variance, outliers included: one of them at the largest scale is no contradiction.
    variance = float((weights * residual**2).sum() / weights.sum()) * (~held).sum() / degrees
    free = np.flatnonzero(problem.free)
    rows = gradient[:, free] * np.sqrt(weights * np.maximum(bend, 1e-12))[:, None]
    size = np.sqrt(np.maximum((rows**2).sum(axis=0), 1e-290))
    direction = gradient[held][:, free].mean(axis=0) / size
    leverage = float(direction @ np.linalg.pinv((rows / size).T @ (rows / size)) @ direction)
    error = float(np.sqrt(variance * (leverage + 1.0 / held.sum())))
    miss = float(residual[held].mean())
    p = float(2 * stdtr(degrees, -abs(miss) / error))
    predicted = float(problem.model.value(found, slice(None))[0][held].mean())
    return p, (
        f"without {_where(problem, held)} it predicts {predicted:.4g} there, and "
        f"{table.y[held].mean():.4g} was measured."
    )


def _signs(problem: Problem, best: Array) -> tuple[float, str] | None:
    """p and sentence of the number of runs of residuals of one sign, in order of the law."""
    order = np.argsort(problem.model.value(best[:, None], slice(None))[0])
    signs = np.sign(problem.objective().residuals(best)[order])
    signs = signs[signs != 0]
    above, below, count = int((signs > 0).sum()), int((signs < 0).sum()), len(signs)
    if count < FEWEST_SIGNS or min(above, below) < 2:
        return None
    runs = 1 + int((signs[1:] != signs[:-1]).sum())
    mean = 1 + 2 * above * below / count
    variance = (mean - 1) * (mean - 2) / (count - 1)
    p = float(ndtr((runs + 0.5 - mean) / np.sqrt(variance)))
    return p, (
        f"in order of the loss its {count} residuals change sign only {runs - 1} times, where "
        f"{mean - 1:.0f} are expected."
    )


def _order(problem: Problem, best: Array) -> NDArray[np.int64]:
    """Rank of the scale of each row in the fitted loss, 0 for the lowest, (n_rows,)."""
    scales = problem.table.scales
    predicted = problem.model.value(best[:, None], slice(None))[0]
    lowest = np.bincount(scales, predicted) / np.bincount(scales)
    return np.argsort(np.argsort(lowest))[scales]


def _where(problem: Problem, rows: NDArray[np.bool_]) -> str:
    table = problem.table
    shown = ", ".join(
        f"{table.names[name]} = {values[rows][0]:.4g}" for name, values in table.columns.items()
    )
    count = len(np.unique(table.scales[rows]))
    return shown if count == 1 else f"the {count} largest scales (such as {shown})"
