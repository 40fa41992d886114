"""Laws of parameters and tokens beyond a sum of two power terms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling.laws.curves import Columns, Values, product, scale
from scaling.laws.laws import Law, Linear, Nonlinear, coefficients, exponent

Array = NDArray[np.float64]

KEPT_STARTS = 16
"""Starts of the global search of `skaling`: those that fit best, of a grid of 1,200."""


def _skaling(x: Columns, p: Values) -> list[Array | float]:
    by_size = np.exp(np.log(p["A"]) - p["alpha"] * np.log(x["n_params"]))
    by_data = np.exp(np.log(p["B"]) - p["beta"] * np.log(x["n_tokens"]))
    return [1.0, np.exp(p["k"] * np.log(by_size + by_data))]


def _skaling_starts(x: Columns, y: Array) -> Array:
    """Best of a grid over k, the exponents k alpha and k beta, and the share of N at mean sizes.

    E and the scale of the bracket follow by least squares, so that A and B need no grid.
    """
    middle = {name: np.exp(np.log(values).mean()) for name, values in x.items()}
    log_n, log_d = (np.log(x[name] / middle[name]) for name in ("n_params", "n_tokens"))
    powers = (0.1, 0.2, 0.35, 0.6, 1.0)
    grid = product(
        (0.15, 0.3, 0.5, 0.7, 1.0, 2.0),
        powers,
        powers,
        (0.02, 0.1, 0.25, 0.4, 0.6, 0.75, 0.9, 0.98),
    )
    k, alpha, beta, share = grid.T
    alpha, beta = alpha / k, beta / k
    bracket = share[:, None] * np.exp(-np.outer(alpha, log_n))
    bracket += (1.0 - share)[:, None] * np.exp(-np.outer(beta, log_d))
    shape = bracket ** k[:, None]
    away = shape - shape.mean(axis=1, keepdims=True)
    size = (away @ y) / np.maximum((away**2).sum(axis=1), 1e-300)
    asymptote = np.maximum(y.mean() - size * shape.mean(axis=1), 0.0)
    size = np.maximum(((y - asymptote[:, None]) * shape).sum(axis=1) / (shape**2).sum(axis=1), 0.0)
    misfit = ((asymptote[:, None] + size[:, None] * shape - y) ** 2).sum(axis=1)
    kept = np.argsort(np.where(size > 0.0, misfit, np.inf))[:KEPT_STARTS]
    k, alpha, beta, share = k[kept], alpha[kept], beta[kept], share[kept]
    size = np.maximum(size[kept], 1e-6 * y.mean()) ** (1.0 / k)
    a = size * share * middle["n_params"] ** alpha
    b = size * (1.0 - share) * middle["n_tokens"] ** beta
    return np.stack([a, b, alpha, beta, k], axis=1)


SKALING = Law(
    name="skaling",
    formula="E + (A / N^alpha + B / D^beta)^k",
    columns=("n_params", "n_tokens"),
    linear=(Linear(name="E"),),
    nonlinear=(
        scale("A", 1e-100, 1e100),
        scale("B", 1e-100, 1e100),
        exponent("alpha"),
        exponent("beta"),
        Nonlinear(name="k", low=0.02, high=20.0, search=(0.1, 3.0), log=True),
    ),
    basis=_skaling,
    offset=True,
    starts=_skaling_starts,
    source="arXiv 2608.07222; k = 1 is the law of Hoffmann et al. 2022",
)


def _lovelace(x: Columns, p: Values) -> list[Array | float]:
    repeated = x["n_tokens"] / x["n_unique_tokens"] - 1.0
    some = repeated > 0.0
    log_repeated = np.log(np.where(some, repeated, 1.0))
    crowding = np.log(x["n_params"] / x["n_unique_tokens"])
    return [
        1.0,
        x["n_params"] ** -p["alpha"],
        x["n_tokens"] ** -p["beta"],
        some.astype(float) * np.exp(p["delta"] * log_repeated + p["kappa"] * crowding),
    ]


def _lovelace_starts(x: Columns, y: Array) -> Array:
    return product((0.2, 0.4, 0.8), (0.2, 0.4, 0.8), (0.3, 0.8, 1.6), (0.2, 0.6, 1.2))


LOVELACE = Law(
    name="lovelace",
    formula="E + A / N^alpha + B / D^beta + P R^delta (N / U)^kappa, R = D / U - 1",
    columns=("n_params", "n_tokens", "n_unique_tokens"),
    linear=coefficients("E", "A", "B", "P"),
    nonlinear=tuple(exponent(name) for name in ("alpha", "beta", "delta", "kappa")),
    basis=_lovelace,
    starts=_lovelace_starts,
    source="arXiv 2605.01640; the penalty grows with repetitions and with parameters per token",
)
