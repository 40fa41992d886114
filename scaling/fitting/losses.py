"""Row losses: the loss of one row's residual, with the derivatives that Newton's method needs.

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
        name: its name in `fit_law(loss=...)`.
        log: whether residuals are differences of logarithms.
        uses_delta: whether the loss has a transition point `delta`.
        rows: maps (residuals, delta) to (loss, first derivative, second derivative), elementwise.
    """

    name: str
    log: bool
    uses_delta: bool
    rows: RowLoss


def huber(residual: Array, delta: float | Array) -> tuple[Array, Array, Array]:
    """Huber loss with its two derivatives, each of the shape of `residual`.

    It is half the square within `delta` and linear beyond.

    Source:
        Huber 1964, Annals of Mathematical Statistics 35.
    """
    score = np.minimum(np.maximum(residual, -delta), delta)
    return score * (residual - 0.5 * score), score, (score == residual).astype(float)


def squared(residual: Array, delta: float | Array) -> tuple[Array, Array, Array]:
    """Square of the residual with its two derivatives, each of the shape of `residual`.

    It is not halved, so that the objective is the residual sum of squares.
    """
    return residual * residual, 2.0 * residual, np.full_like(residual, 2.0)


ABOVE_PENALTY = 10.0
"""Factor on the `asymmetric` loss of predictions above the observation."""


def asymmetric(residual: Array, delta: float | Array) -> tuple[Array, Array, Array]:
    """Huber loss, ten times as high for predictions above the data, with its two derivatives.

    It fits the lower envelope of the data, which badly tuned runs do not raise. The three arrays
    have the shape of `residual`.

    Source:
        Asymmetric MAE of the package kyo-takano/chinchilla, smoothed by Huber's transition.
    """
    factor = np.where(residual > 0, ABOVE_PENALTY, 1.0)
    value, score, curvature = huber(residual, delta)
    return factor * value, factor * score, factor * curvature


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss(name="huber_log", log=True, uses_delta=True, rows=huber),
        Loss(name="squared_log", log=True, uses_delta=False, rows=squared),
        Loss(name="squared", log=False, uses_delta=False, rows=squared),
        Loss(name="asymmetric", log=True, uses_delta=True, rows=asymmetric),
    )
}
"""Row losses by name, as `fit_law(loss=...)` accepts them."""


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
    """Default delta of the Huber losses: 1.345 times the scale of the residuals.

    The scale is the median absolute deviation, corrected for the fitted parameters, which matters
    for 4 to 12 rows. A noise-free table gets a small positive value.

    Args:
        residual: residuals of a least-squares fit, shape (n_rows,).
        weights: row weights, shape (n_rows,); rows of weight 0 are ignored.
        n_parameters: number of fitted parameters.
    """
    size = np.abs(residual[weights > 0])
    spent = max(size.size - n_parameters, 1)
    scale = NORMAL_MAD * float(np.median(size)) * np.sqrt(size.size / spent)
    return max(HUBER_EFFICIENCY * scale, SMALLEST_DELTA)
