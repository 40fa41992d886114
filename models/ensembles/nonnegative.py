"""Minimise a smooth convex function over non-negative weights, to a certified optimum.

Newton's method in which each step is a non-negative least-squares problem: sequential quadratic
programming as Kim, Carbonetto, Stephens and Anitescu use it for mixture proportions (2020, JCGS 29,
arXiv 1806.01412). The functions are convex, so the first-order (KKT) conditions certify the global
optimum. Weights reach zero exactly; a general solver such as SLSQP leaves them slightly positive,
where the conditions do not certify its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

SMALLEST_RIDGE = 1e-10
"""Proximal term relative to the largest curvature, which bounds steps along flat directions."""

SMALLEST_STEP = 1e-12


class OptimumStatus(Enum):
    """How a search ended; the value is a sentence for the user."""

    OPTIMAL = "The global optimum was found and certified by its first-order conditions."
    STOPPED = "The search stopped before its first-order conditions certified an optimum."


class Derivatives(NamedTuple):
    """A function's value, gradient [n] and Hessian [n, n]; the value is inf outside its domain."""

    value: float
    gradient: np.ndarray
    hessian: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimum:
    """Result of a search.

    Attributes:
        weights: the point [n], non-negative.
        value: the function there.
        kkt_residual: see `kkt_residual`.
        n_iterations: Newton steps taken.
        status: whether the residual is within the tolerance.
    """

    weights: np.ndarray
    value: float
    kkt_residual: float
    n_iterations: int
    status: OptimumStatus


def kkt_residual(weights: np.ndarray, gradient: np.ndarray) -> float:
    """Return the largest violation of the first-order (KKT) conditions.

    At the optimum the gradient is zero for positive weights and non-negative for zero weights.

    Args:
        weights: the point [n].
        gradient: the gradient there [n].
    """
    return float(np.where(weights > 0, np.abs(gradient), -gradient).max(initial=0.0))


def minimise(
    function: Callable[[np.ndarray], Derivatives],
    start: np.ndarray,
    *,
    tolerance: float,
    max_iterations: int,
    rounding: float = 1e-14,
) -> Optimum:
    """Return the minimum of a convex function over non-negative weights.

    Args:
        function: value and derivatives at weights [n].
        start: first weights [n], at which the function is finite.
        tolerance: largest KKT residual that counts as an optimum.
        max_iterations: most Newton steps.
        rounding: relative error of the function's value and derivatives.

    Source:
        Kim, Carbonetto, Stephens and Anitescu 2020, JCGS 29, arXiv 1806.01412.
    """
    weights, here = np.asarray(start, np.float64), function(start)
    n_iterations = 0
    while (residual := kkt_residual(weights, here.gradient)) > tolerance:
        if n_iterations == max_iterations:
            break
        step = _newton_point(weights, here, rounding) - weights
        found = _search(function, weights, here, step, rounding)
        if found is None:
            break
        weights, here = found
        n_iterations += 1
    converged = residual <= tolerance
    return Optimum(
        weights=weights,
        value=here.value,
        kkt_residual=residual,
        n_iterations=n_iterations,
        status=OptimumStatus.OPTIMAL if converged else OptimumStatus.STOPPED,
    )


def _newton_point(weights: np.ndarray, here: Derivatives, rounding: float) -> np.ndarray:
    """Return the minimum over y >= 0 of the quadratic model of the function, with a proximal term.

    With H + ridge = R'R the model is |R y - R'^-1 ((H + ridge) weights - gradient)|^2 / 2.
    """
    largest = max(float(np.diag(here.hessian).max()), np.finfo(float).tiny)
    ridge = max(SMALLEST_RIDGE, 10 * rounding) * largest
    curved = here.hessian + ridge * np.eye(len(weights))
    lower = np.linalg.cholesky(curved)
    target = solve_triangular(lower, curved @ weights - here.gradient, lower=True)
    return nnls(lower.T, target)[0]


def _search(
    function: Callable[[np.ndarray], Derivatives],
    weights: np.ndarray,
    here: Derivatives,
    step: np.ndarray,
    rounding: float,
) -> tuple[np.ndarray, Derivatives] | None:
    """Halve the step until the value falls enough (Armijo); None if no step does."""
    slope = float(here.gradient @ step)
    noise = rounding * (1 + abs(here.value))
    length = 1.0
    while length >= SMALLEST_STEP:
        # Convex combinations of non-negative points are non-negative up to rounding.
        trial = np.maximum(weights + length * step, 0.0)
        there = function(trial)
        if there.value <= here.value + 1e-4 * length * slope + noise:
            return trial, there
        length /= 2
    return None
