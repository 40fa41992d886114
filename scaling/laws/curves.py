"""Laws that are not sums of power terms: repeated data, overfitting, bounded and broken curves.

Scales inside these laws (breaks, shifts) have the units of the data, so each law computes the
starts of the global search from the columns.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.laws.jets import Jet, composed
from scaling.laws.laws import Law, Linear, Nonlinear, coefficients, exponent

Array = NDArray[np.float64]
Columns = dict[str, Array]
Values = dict[str, Array]

SMALL, LARGE = 1e-30, 1e40


def scale(name: str, low: float = SMALL, high: float = LARGE) -> Nonlinear:
    """A positive scale, stepped in its logarithm.

    Args:
        name: name of the parameter.
        low: smallest value.
        high: largest value.
    """
    return Nonlinear(name=name, low=low, high=high, search=(low, high), log=True)


def product(*axes: Sequence[float] | Array) -> Array:
    """All combinations of the axes: shape (combinations, axes)."""
    return np.array(list(itertools.product(*axes)), dtype=float)


def effective_tokens(tokens: Array, unique: Array, decay: Array) -> Array:
    """Number of unique tokens that are worth as much as tokens with repetition.

    D' = U + U R (1 - exp(-(D/U - 1) / R)).

    Args:
        tokens: D, tokens seen, shape (n_rows,).
        unique: U, unique tokens, shape (n_rows,).
        decay: R, the number of repetitions after which they lose their value, (n_fits, 1).

    Returns:
        D', shape (n_fits, n_rows).

    Source:
        Muennighoff et al. 2023, arXiv 2305.16264, eq. 5.
    """
    return unique * (1.0 - decay * np.expm1(-np.maximum(tokens / unique - 1.0, 0.0) / decay))


def optimal_params(tokens: Array, p: Values) -> Array:
    """Compute-optimal number of parameters for D `tokens`, shape (n_fits, n_rows).

    (D G)^(beta/alpha) G with G = (alpha A / (beta B))^(1/(alpha+beta)).

    Source:
        Muennighoff et al. 2023, arXiv 2305.16264, appendix A.
    """
    # in logarithms, so that few operations have the size of the table
    log_g = np.log(p["alpha"] * p["A"] / (p["beta"] * p["B"])) / (p["alpha"] + p["beta"])
    power = p["beta"] / p["alpha"]
    return np.exp(power * np.log(tokens) + (power + 1.0) * log_g)


def _data_constrained(x: Columns, p: Values) -> list[Array | float]:
    params, tokens, unique = x["n_params"], x["n_tokens"], x["n_unique_tokens"]
    used_params = np.minimum(params, optimal_params(np.minimum(unique, tokens), p))
    params_left = effective_tokens(params, used_params, p["R_N"])
    tokens_left = effective_tokens(tokens, np.minimum(unique, tokens), p["R_D"])
    by_size = np.exp(np.log(p["A"]) - p["alpha"] * np.log(params_left))
    return [1.0, by_size + np.exp(np.log(p["B"]) - p["beta"] * np.log(tokens_left))]


def _data_constrained_starts(x: Columns, y: Array) -> Array:
    """Exponents and decays on a grid; A and B make each term a share of the observed fall."""
    exponents, decays = (0.2, 0.35, 0.55, 0.8), (0.5, 3.0, 15.0, 100.0, 1e4)
    fall = max(float(np.ptp(y)), 1e-3 * float(np.median(y)))
    params, tokens = (np.exp(np.mean(np.log(x[name]))) for name in ("n_params", "n_tokens"))
    grid = product(exponents, exponents, (0.15, 0.5), decays, decays)
    alpha, beta, share, r_n, r_d = grid.T
    a, b = share * fall * params**alpha, (0.65 - share) * fall * tokens**beta
    return np.stack([a, b, alpha, beta, r_n, r_d], axis=1)


DATA_CONSTRAINED = Law(
    name="data_constrained",
    formula="E + A / N'^alpha + B / D'^beta, D' = U + U R_D (1 - exp(-(D/U - 1) / R_D)), N' alike",
    columns=("n_params", "n_tokens", "n_unique_tokens"),
    linear=(Linear(name="E"),),
    nonlinear=(
        scale("A"),
        scale("B"),
        exponent("alpha"),
        exponent("beta"),
        scale("R_N", 1e-3, 1e9),
        scale("R_D", 1e-3, 1e9),
    ),
    basis=_data_constrained,
    offset=True,
    starts=_data_constrained_starts,
    source="Muennighoff et al. 2023, arXiv 2305.16264, eq. 5-6 and appendix A",
)


def _overfitting(x: Columns, p: Values) -> list[Array]:
    params, tokens, unique = x["n_params"], x["n_tokens"], x["n_unique_tokens"]
    h = p["a"] / params ** p["alpha"] + p["b"] / tokens ** p["beta"]
    h = h + p["c"] * params ** p["gamma"] / unique ** p["delta"]
    g = h / (1.0 + h)
    return [1.0 - g, g]


def _overfitting_starts(x: Columns, y: Array) -> Array:
    """Exponents and shares on a grid; a, b, c give each term its share at the middle sizes."""
    middle = {name: float(np.mean(np.log(values))) for name, values in x.items()}
    shares = product((0.05, 0.3), (0.05, 0.3), (0.005, 0.1))
    exponents = product((0.2, 0.5, 1.0), (0.2, 0.5, 1.0), (0.3, 0.8, 1.4), (0.3, 0.8, 1.4))
    rows = []
    for a, b, c in shares:
        alpha, beta, gamma, delta = exponents.T
        big = middle["n_params"]
        rows.append(
            np.stack(
                [
                    a * np.exp(alpha * big),
                    b * np.exp(beta * middle["n_tokens"]),
                    c * np.exp(delta * middle["n_unique_tokens"] - gamma * big),
                    alpha,
                    beta,
                    gamma,
                    delta,
                ],
                axis=1,
            )
        )
    return np.concatenate(rows)


OVERFITTING = Law(
    name="overfitting",
    formula="E + (L0 - E) h / (1 + h), h = a/N^alpha + b/T^beta + c N^gamma / D^delta",
    columns=("n_params", "n_tokens", "n_unique_tokens"),
    linear=coefficients("E", "L0"),
    nonlinear=(
        scale("a"),
        scale("b"),
        scale("c"),
        *(exponent(name) for name in ("alpha", "beta", "gamma", "delta")),
    ),
    basis=_overfitting,
    starts=_overfitting_starts,
    source="arXiv 2605.09189; T tokens seen, D unique tokens",
)


def _shifted_power(x: Columns, p: Values) -> list[Array | float]:
    return [1.0, (x["n_params"] + p["N0"]) ** -p["alpha"]]


def _shifted_power_starts(x: Columns, y: Array) -> Array:
    sizes = x["n_params"]
    shifts = np.geomspace(1e-3 * sizes.min(), sizes.max(), 16)
    return product(shifts, np.geomspace(0.02, 2.5, 24))


SHIFTED_POWER = Law(
    name="shifted_power",
    formula="E + A / (N + N0)^alpha",
    columns=("n_params",),
    linear=coefficients("E", "A"),
    nonlinear=(scale("N0"), exponent("alpha")),
    basis=_shifted_power,
    starts=_shifted_power_starts,
    source="Mikami et al. 2021, arXiv 2108.11018; the shift absorbs a warm-up or pre-training",
)


def _saturating_power(x: Columns, p: Values) -> list[Array]:
    return [(1.0 / x["n_params"] + 1.0 / p["N0"]) ** p["alpha"]]


def _saturating_power_starts(x: Columns, y: Array) -> Array:
    largest = x["n_params"].max()
    return product(np.geomspace(0.3 * largest, 1e4 * largest, 16), np.geomspace(0.02, 2.5, 24))


SATURATING_POWER = Law(
    name="saturating_power",
    formula="A (1/N + 1/N0)^alpha",
    columns=("n_params",),
    linear=coefficients("A"),
    nonlinear=(scale("N0"), exponent("alpha")),
    basis=_saturating_power,
    starts=_saturating_power_starts,
    asymptote=None,
    source="Bansal et al. 2022, arXiv 2202.01994; M3 of Alabdulmohsin et al. 2022, 2209.06640",
)


def bounded_share(log_ratio: Any, alpha: Any) -> Any:
    """Solution u in (0, 1) of u / (1 - u)^alpha = exp(log_ratio), shape (n_fits, n_rows).

    Derivatives follow from the implicit function theorem: with r = log_ratio, the equation
    ln u - alpha ln(1 - u) = r gives du/dr = u (1 - u) / (1 - u + alpha u).

    Args:
        log_ratio: array or `Jet`.
        alpha: array or `Jet`.
    """
    if not isinstance(log_ratio, Jet) or not isinstance(alpha, Jet):
        return _share(log_ratio, alpha)[0]
    power = alpha.value
    u, rest = _share(log_ratio.value, power)
    scale = 1.0 / (rest + power * u)
    slope = u * rest * scale
    slope_u = (rest - u) * scale - slope * (power - 1.0) * scale
    log_rest = np.log(rest)
    by_power = log_rest * slope
    cross = slope_u * by_power - slope * u * scale
    bend = log_rest * cross - slope * by_power / rest
    return composed(u, [log_ratio, alpha], [slope, by_power], [[slope_u * slope], [cross, bend]])


def _share(log_ratio: Array, alpha: Array) -> tuple[Array, Array]:
    """u and 1 - u of `bounded_share` by Newton's method on the logit of u.

    The equation is convex or concave in the logit, so the method cannot diverge.
    """
    logit = np.where(log_ratio < 0, log_ratio, log_ratio / alpha)
    for _ in range(30):
        small = np.exp(-np.abs(logit))
        tail, scale = np.log1p(small), 1.0 / (1.0 + small)
        u = np.where(logit > 0, scale, small * scale)
        value = alpha * (tail + np.maximum(logit, 0.0)) - tail + np.minimum(logit, 0.0) - log_ratio
        step = value / (1.0 + (alpha - 1.0) * u)
        logit = logit - step
        # the error after a step is about the square of the step
        if np.max(np.abs(step), initial=0.0) < 1e-8:
            break
    small = np.exp(-np.abs(logit))
    near, far = 1.0 / (1.0 + small), small / (1.0 + small)
    return np.where(logit > 0, near, far), np.where(logit > 0, far, near)


def _bounded(x: Columns, p: Values) -> list[Array]:
    share = bounded_share(-p["c"] * np.log(x["n_params"] / p["N0"]), p["alpha"])
    return [1.0 - share, share]


def _bounded_starts(x: Columns, y: Array) -> Array:
    sizes = x["n_params"]
    scales = np.geomspace(1e-3 * sizes.min(), 10 * sizes.max(), 12)
    return product(scales, np.geomspace(0.1, 2.5, 10), (0.3, 1.0, 2.0, 4.0))


BOUNDED = Law(
    name="bounded",
    formula="(L - E) (E0 - E)^(alpha-1) / (E0 - L)^alpha = (N0 / N)^c",
    columns=("n_params",),
    linear=coefficients("E", "E0"),
    nonlinear=(scale("N0"), exponent("c"), scale("alpha", 1e-2, 1e2)),
    basis=_bounded,
    starts=_bounded_starts,
    source="M4 of Alabdulmohsin et al. 2022, arXiv 2209.06640, with beta = N0^c (E0-E)^(1-alpha)",
)


def _broken_power(x: Columns, p: Values) -> list[Array | float]:
    size = np.log(x["n_params"])
    bend = np.logaddexp(0.0, (size - np.log(p["d"])) / p["f"]) * p["f"]
    start = np.log(p["d"])
    return [1.0, np.exp(-p["c0"] * (size - start) - p["c1"] * bend)]


def _broken_power_starts(x: Columns, y: Array) -> Array:
    sizes = x["n_params"]
    breaks = np.geomspace(sizes.min(), 4 * sizes.max(), 9)
    return product((0.003, 0.05, 0.15, 0.4, 0.9), (-0.3, 0.1, 0.3, 0.8), breaks, (0.1, 0.5, 1.5))


BROKEN_POWER = Law(
    name="broken_power",
    formula="E + A (N/d)^-c0 (1 + (N/d)^(1/f))^(-c1 f)",
    columns=("n_params",),
    linear=coefficients("E", "A"),
    nonlinear=(
        Nonlinear(name="c0", low=0.0, high=10.0, search=(0.02, 2.5)),
        Nonlinear(name="c1", low=-10.0, high=10.0, search=(0.02, 2.5)),
        scale("d"),
        scale("f", 1e-2, 10.0),
    ),
    basis=_broken_power,
    starts=_broken_power_starts,
    source="BNSL with one break, Caballero et al. 2022, arXiv 2210.14891, A = b d^-c0",
)


def _sigmoid(x: Columns, p: Values) -> list[Array | float]:
    return [1.0, 1.0 / (1.0 + np.exp((x["task_loss"] - p["L0"]) / p["s"]))]


def _sigmoid_starts(x: Columns, y: Array) -> Array:
    losses = x["task_loss"]
    middles = np.linspace(0.9 * losses.min(), 1.1 * losses.max(), 16)
    return product(middles, np.ptp(losses) * np.geomspace(0.02, 1.0, 12))


SIGMOID = Law(
    name="sigmoid",
    formula="b + a / (1 + exp((L - L0) / s)), accuracy b by guessing and b + a at best",
    columns=("task_loss",),
    linear=coefficients("b", "a"),
    nonlinear=(scale("L0", 1e-6, 1e6), scale("s", 1e-6, 1e6)),
    basis=_sigmoid,
    starts=_sigmoid_starts,
    asymptote=None,
    source="step two of Bhagia et al. 2024, arXiv 2412.04403: accuracy from the loss of answers",
)

N_RATES = 61
"""Ten a decade. With four, a rate between two of the grid is missed by more than the noise of usual
tables, the asymptote is biased and its intervals are too narrow."""
RATE_DECADES = (-3.0, 3.0)
RATES = np.logspace(*RATE_DECADES, N_RATES)


def _mixture(x: Columns, p: Values) -> list[Array | float]:
    time = x["time"] / p["t0"]
    return [1.0, *(np.exp(-rate * time) for rate in RATES)]


def _middle_time(x: Columns) -> dict[str, float]:
    return {"t0": float(np.exp(np.mean(np.log(x["time"]))))}


MIXTURE_OF_EXPONENTIALS = Law(
    name="mixture_of_exponentials",
    formula="E + sum_j c_j exp(-r_j t / t0), c_j >= 0, 61 rates r_j from 1e-3 to 1e3",
    columns=("time",),
    linear=coefficients("E", *(f"c{j:02d}" for j in range(1, N_RATES + 1))),
    nonlinear=(scale("t0"),),
    basis=_mixture,
    from_columns=_middle_time,
    n_effective=6,
    source="Yang et al. 2024, arXiv 2409.07431, section 6: EntiGraph's error 1 - accuracy",
)
