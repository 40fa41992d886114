"""Row losses: what a misfit of one row costs, with the derivatives that Newton's method needs.

Every loss acts on the residual r of a row, either `ln(prediction) - ln(observed)` (the `_log`
losses) or `prediction - observed`. The objective of a fit is the *sum* over rows of the weighted
row losses, as in Hoffmann et al. (2022, arXiv 2203.15556, eq. 3) and Besiroglu et al. (2024,
arXiv 2404.10102).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RowLoss = Callable[[Array, "float | Array"], tuple[Array, Array, Array]]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A row loss.

    Attributes:
        name: what `fit_law(loss=...)` calls it.
        log: whether residuals are differences of logarithms.
        uses_delta: whether the loss has a transition point `delta`.
        rows: maps (residuals, delta) to (loss, first derivative, second derivative), elementwise.
    """

    name: str
    log: bool
    uses_delta: bool
    rows: RowLoss


def huber(residual: Array, delta: float | Array) -> tuple[Array, Array, Array]:
    """Half the square within `delta`, linear beyond (Huber 1964); also its two derivatives."""
    score = np.minimum(np.maximum(residual, -delta), delta)
    return score * (residual - 0.5 * score), score, (score == residual).astype(float)


def squared(residual: Array, delta: float | Array) -> tuple[Array, Array, Array]:
    """The square (not halved, so that the objective is the residual sum of squares)."""
    return residual * residual, 2.0 * residual, np.full_like(residual, 2.0)


ABOVE_PENALTY = 10.0
"""How much dearer a prediction above the observation is under the `asymmetric` loss."""


def asymmetric(residual: Array, delta: float | Array) -> tuple[Array, Array, Array]:
    """Huber loss that charges predictions above the data ten times: fits the lower envelope.

    The lower envelope is what badly tuned runs cannot pull up; the idea is the asymmetric MAE of
    the `chinchilla` package (kyo-takano/chinchilla), smoothed here by Huber's transition.
    """
    price = np.where(residual > 0, ABOVE_PENALTY, 1.0)
    value, score, curvature = huber(residual, delta)
    return price * value, price * score, price * curvature


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss(name="huber_log", log=True, uses_delta=True, rows=huber),
        Loss(name="squared_log", log=True, uses_delta=False, rows=squared),
        Loss(name="squared", log=False, uses_delta=False, rows=squared),
        Loss(name="asymmetric", log=True, uses_delta=True, rows=asymmetric),
    )
}
"""The losses that `fit_law` knows, by name."""


def get_loss(name: str) -> Loss:
    """The loss called `name`.

    Raises:
        ValueError: no loss has that name.
    """
    if name not in LOSSES:
        allowed = ", ".join(repr(known) for known in LOSSES)
        raise ValueError(f"`loss` must be one of {allowed}; not {name!r}")
    return LOSSES[name]


HUBER_EFFICIENCY = 1.345
"""Transition in units of the residual scale that keeps 95 % efficiency on Gaussian residuals."""
NORMAL_MAD = 1.4826
"""Scale of a Gaussian over its median absolute deviation."""
SMALLEST_DELTA = 1e-8


def default_delta(residual: Array, weights: Array, n_parameters: int) -> float:
    """1.345 times the scale of the residuals by their median absolute deviation.

    The scale is corrected for the `n_parameters` that the fit has already spent on the rows, which
    matters with 4 to 12 points; a noise-free table gets a tiny positive value.
    """
    size = np.abs(residual[weights > 0])
    spent = max(size.size - n_parameters, 1)
    scale = NORMAL_MAD * float(np.median(size)) * np.sqrt(size.size / spent)
    return max(HUBER_EFFICIENCY * scale, SMALLEST_DELTA)
