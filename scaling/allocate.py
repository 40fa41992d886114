"""Compute-optimal sizes from a fitted law of parameters and tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.status import FitStatus
from scaling.laws.laws import Law
from scaling.results import markup, report
from scaling.results.result import FitResult
from scaling.uncertainty.covariance import gaussian_draws
from scaling.uncertainty.diagnostics import at_bounds
from scaling.uncertainty.intervals import FEW, effective_degrees
from scaling.uncertainty.profiles import check_level, student

Array = NDArray[np.float64]

FLOPS_PER_TOKEN_PARAMETER = 6.0
"""Training FLOPs per parameter and token (Kaplan et al. 2020, arXiv 2001.08361)."""
COVARIANCE_DRAWS = 4000
ROUNDING = 1e-12
"""Share of the loss below which a term of a law is zero but for rounding."""


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """Compute-optimal parameters and tokens for a budget.

    Attributes:
        budget: FLOPs, of training and, if there is any, of inference.
        inference_tokens: tokens that the model will read or write after training.
        n_params: optimal number of parameters.
        n_tokens: optimal number of training tokens.
        loss: loss of the law at that optimum.
        exponent: a in N* ~ C^a, near this budget if there is inference.
        intervals: name -> (low, high), for n_params, n_tokens, loss and exponent; without a finite
            end where the runs do not bound the value.
        level: confidence level of the intervals.
        status: how far the fit can be trusted.
        message: the status in a sentence.
    """

    budget: float
    inference_tokens: float
    n_params: float
    n_tokens: float
    loss: float
    exponent: float
    intervals: dict[str, tuple[float, float]]
    level: float
    status: FitStatus
    message: str

    @property
    def title(self) -> str:
        """One line: what is optimal for which budget."""
        served = f" with {self.inference_tokens:.3g} inference tokens" * bool(self.inference_tokens)
        return f"Compute-optimal for {self.budget:.3g} FLOPs{served}"

    def __str__(self) -> str:
        lines = [f"{self.title}:"]
        for name in ("n_params", "n_tokens", "loss", "exponent"):
            low, high = self.intervals[name]
            lines.append(f"  {name:9s} {getattr(self, name):.4g} [{low:.4g}, {high:.4g}]")
        lines.append(f"Fit {self.status.name}: {self.message}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        found = [
            (name, report.number(getattr(self, name)), report.span(self.intervals[name]))
            for name in ("n_params", "n_tokens", "loss", "exponent")
        ]
        columns = ("", "optimum", f"{100 * self.level:g} % interval")
        return markup.fragment(
            self.title,
            tables=[markup.table(columns, found)],
            verdict=f"{self.status.name}: {self.message}",
        )


ALLOCATABLE = ("chinchilla", "tied_chinchilla", "skaling")
"""Laws with an optimum at every budget; the power k of `skaling` does not move it."""


def allocate(
    fit: FitResult,
    budget: float,
    *,
    inference_tokens: float = 0.0,
    level: float = 0.95,
    flops_per_token_parameter: float = FLOPS_PER_TOKEN_PARAMETER,
    seed: int = 0,
) -> Allocation:
    """Parameters N and tokens D that minimise a fitted law at a budget C = 6 N D.

    N* = G (C/6)^a, D* = (C/6)^b / G with G = (alpha A / (beta B))^(1/(alpha+beta)) and
    a = beta/(alpha+beta), b = alpha/(alpha+beta). With inference the budget is
    C = 6 N D + 2 N T for T tokens served, which favors smaller models.

    Args:
        fit: a fit of law "chinchilla", "tied_chinchilla" or "skaling".
        budget: compute C in FLOPs.
        inference_tokens: T, tokens read or written after training.
        level: confidence level of the intervals, between 0 and 1.
        flops_per_token_parameter: training FLOPs per parameter and token; inference costs a third.
        seed: random seed of the Gaussian draws, for a fit without bootstrap draws.

    Returns:
        The optimum, with the status of the fit. Its intervals are quantiles over the bootstrap
        draws of the fit, else over Gaussian draws from its covariance, widened to Student quantiles
        for few rows or clusters. They have no end where no row is left for the noise.

    Raises:
        ValueError: the fit is of another law or has no optimum, because a term of the law is zero
            or an exponent is at its bound; the budget is not a positive number; the inference
            tokens are negative; or the level is not between 0 and 1.

    Source:
        Hoffmann et al. 2022, arXiv 2203.15556, eq. 4; with inference: Sardana et al. 2023,
        arXiv 2401.00448, eq. 3.
    """
    if fit.law.name not in ALLOCATABLE:
        allowed = ", ".join(map(repr, ALLOCATABLE))
        raise ValueError(f"`fit` must be of one of the laws {allowed}; not {fit.law.name!r}")
    if not (np.isfinite(budget) and budget > 0):
        raise ValueError(f"`budget` must be a finite number of FLOPs above 0; not {budget!r}")
    if not (np.isfinite(inference_tokens) and inference_tokens >= 0):
        raise ValueError(
            f"`inference_tokens` must be a finite number, at least 0; not {inference_tokens!r}"
        )
    check_level(level)
    _check_optimum(fit)
    product, served = budget / flops_per_token_parameter, inference_tokens / 3.0
    point = np.array([fit.params[name] for name in fit.law.parameters])[:, None]
    best = {
        name: float(values[0]) for name, values in _optimum(fit.law, point, product, served).items()
    }
    drawn = _optimum(fit.law, parameter_draws(fit, seed), product, served)
    intervals = {name: _quantiles(fit, name, drawn[name], best[name], level) for name in ALLOCATED}
    return Allocation(
        budget=budget,
        inference_tokens=inference_tokens,
        **best,
        intervals=intervals,
        level=level,
        status=fit.status,
        message=fit.message,
    )


ALLOCATED = {
    "n_params": (0.0, np.inf),
    "n_tokens": (0.0, np.inf),
    "loss": (0.0, np.inf),
    "exponent": (0.0, 1.0),
}
"""What an allocation consists of, with the range of each."""


def _check_optimum(fit: FitResult) -> None:
    """Raise a ValueError that says why, if the fitted law has no optimum at a given budget."""
    table = fit.problem.table
    columns = table.names
    for name, exponent, column in (("A", "alpha", "n_params"), ("B", "beta", "n_tokens")):
        term = fit.params[name] * table.columns[column] ** -fit.params[exponent]
        if not (term > ROUNDING * table.y).any():
            other = columns["n_tokens" if column == "n_params" else "n_params"]
            found = (
                f"{name} of the fit is 0"
                if not fit.params[name]
                else (
                    f"{name} / {columns[column]}^{exponent} of the fit is at most {term.max():.2g}"
                )
            )
            raise ValueError(
                f"there is no compute-optimal size: {found}, so the loss does not depend on "
                f"{columns[column]} and all compute is best spent on {other}"
            )
    for name, sentence in at_bounds(fit.problem, fit.coordinates):
        if name in ("A", "B", "alpha", "beta"):
            raise ValueError(
                f"there is no compute-optimal size: {sentence} These runs do not identify the "
                f"exponents; vary {columns['n_params']} and {columns['n_tokens']} more widely"
            )


def _quantiles(
    fit: FitResult, name: str, values: Array, estimate: float, level: float
) -> tuple[float, float]:
    """Interval (low, high) of a part of the allocation from its draws (n_draws,)."""
    lowest, highest = ALLOCATED[name]
    degrees = effective_degrees(fit.problem)
    if degrees <= 0:
        return lowest, highest
    # a draw without an optimum bounds the value on neither side
    lost = np.isnan(values)
    tail = 0.5 - 0.5 * level
    low = float(np.quantile(np.where(lost, lowest, values), tail, method="nearest"))
    high = float(np.quantile(np.where(lost, highest, values), 1.0 - tail, method="nearest"))
    inflation = 1.0 if fit.draws is None else fit.problem.inflation  # a covariance has it already
    widen = np.sqrt(inflation) * student(level, degrees) / student(level, 10**9)
    if fit.draws is not None and fit.draws.resample != "wild":
        widen *= np.sqrt((degrees + fit.problem.n_free) / degrees)
    if (degrees >= FEW and inflation == 1.0) or not np.isfinite([low, high]).all():
        return low, high
    if highest == np.inf and low > 0:
        return estimate * (low / estimate) ** widen, estimate * (high / estimate) ** widen
    low, high = (estimate + widen * (end - estimate) for end in (low, high))
    return max(low, lowest), min(high, highest)


def parameter_draws(fit: FitResult, seed: int = 0) -> Array:
    """Draws of the printed parameters: of the bootstrap, else Gaussian from the covariance.

    Args:
        fit: the fit.
        seed: random seed of the Gaussian draws.

    Returns:
        Parameters in the order of the law, shape (n_parameters, n_draws).
    """
    if fit.draws is not None:
        return fit.draws.parameters
    robust = fit.method != "profile"
    places = gaussian_draws(fit.problem, fit.coordinates, COVARIANCE_DRAWS, seed, robust=robust)
    return fit.problem.model.printed(places)


def _optimum(law: Law, parameters: Array, product: float, served: float) -> dict[str, Array]:
    """Optimal sizes at N (D + served) = product, for printed parameters (n_parameters, k)."""
    p = dict(zip(law.parameters, parameters, strict=True))
    a, b, alpha = p["A"], p["B"], p["alpha"]
    beta = p.get("beta", alpha)

    def best(log_product: float) -> Array:
        with np.errstate(all="ignore"):
            log_n = (np.log(alpha * a / (beta * b)) + beta * log_product) / (alpha + beta)
            return log_n if served == 0.0 else _with_inference(log_n, p, log_product, served)

    centre, step = float(np.log(product)), 0.01
    log_n = best(centre)
    with np.errstate(all="ignore"):
        tokens = np.exp(centre - log_n) - served
        reducible = a * np.exp(-alpha * log_n) + b * tokens**-beta
        return {
            "n_params": np.exp(log_n),
            "n_tokens": tokens,
            "loss": p["E"] + reducible ** p.get("k", 1.0),
            "exponent": (best(centre + step) - best(centre - step)) / (2.0 * step),
        }


def _with_inference(upper: Array, p: dict[str, Array], log_product: float, served: float) -> Array:
    """Root in ln N of the slope of the loss, (k,), by bisection: the slope rises with ln N.

    Args:
        upper: the optimum without inference, (k,), which is larger.
        p: parameter -> values (k,).
        log_product: ln(N (D + served)).
        served: tokens of inference, in units of the FLOPs of a training token.
    """
    high = np.minimum(upper, log_product - np.log(served) - 1e-9)
    low = high - 50.0
    beta = p.get("beta", p["alpha"])
    with np.errstate(all="ignore"):
        for _ in range(80):
            middle = 0.5 * (low + high)
            share = served * np.exp(middle - log_product)
            tokens = np.exp(log_product - middle) - served
            rise = beta * p["B"] * tokens**-beta / (1.0 - share)
            past = rise > p["alpha"] * p["A"] * np.exp(-p["alpha"] * middle)
            low, high = np.where(past, low, middle), np.where(past, middle, high)
    return np.where(np.isnan(upper), np.nan, 0.5 * (low + high))
