"""Compute-optimal sizes: from a Chinchilla fit, and from isoFLOP parabolas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fitting.status import FitStatus
from scaling.fitting.table import numbers, without_loss
from scaling.results import markup, report
from scaling.results.result import FitResult
from scaling.uncertainty.covariance import known_covariance
from scaling.uncertainty.diagnostics import at_bounds
from scaling.uncertainty.intervals import FEW, effective_degrees
from scaling.uncertainty.profiles import student

Array = NDArray[np.float64]

FLOPS_PER_TOKEN_PARAMETER = 6.0
"""Training FLOPs per parameter and token (Kaplan et al. 2020, arXiv 2001.08361)."""
COVARIANCE_DRAWS = 4000

PARABOLA_WARNING = (
    "IsoFLOP parabolas are biased: the loss is not a parabola in ln N, so sampling that is wide or "
    "off centre moves the minimum, even without noise. Prefer a chinchilla fit of all runs."
)


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """Compute-optimal parameters and tokens for a budget.

    Attributes:
        budget: training FLOPs.
        n_params: optimal number of parameters.
        n_tokens: optimal number of training tokens.
        loss: loss of the law at that optimum.
        exponent: a in N* ~ C^a.
        intervals: name -> (low, high), for n_params, n_tokens, loss and exponent; without a finite
            end where the runs do not bound the value.
        level: confidence level of the intervals.
        status: how far the fit can be trusted.
        message: the status in a sentence.
    """

    budget: float
    n_params: float
    n_tokens: float
    loss: float
    exponent: float
    intervals: dict[str, tuple[float, float]]
    level: float
    status: FitStatus
    message: str

    def __str__(self) -> str:
        lines = [f"Compute-optimal for {self.budget:.3g} FLOPs:"]
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
            f"Compute-optimal for {self.budget:.3g} FLOPs",
            tables=[markup.table(columns, found)],
            verdict=f"{self.status.name}: {self.message}",
        )


def allocate(
    fit: FitResult,
    budget: float,
    *,
    level: float = 0.95,
    flops_per_token_parameter: float = FLOPS_PER_TOKEN_PARAMETER,
    seed: int = 0,
) -> Allocation:
    """Parameters N and tokens D that minimise a fitted Chinchilla law at a budget C = 6 N D.

    N* = G (C/6)^a, D* = (C/6)^b / G with G = (alpha A / (beta B))^(1/(alpha+beta)) and
    a = beta/(alpha+beta), b = alpha/(alpha+beta).

    Args:
        fit: a fit of law "chinchilla" or "tied_chinchilla".
        budget: training compute C in FLOPs.
        level: confidence level of the intervals, between 0 and 1.
        flops_per_token_parameter: training FLOPs per parameter and token.
        seed: random seed of the Gaussian draws, for a fit without bootstrap draws.

    Returns:
        The optimum, with the status of the fit. Its intervals are quantiles over the bootstrap
        draws of the fit, else over Gaussian draws from its covariance, widened to Student quantiles
        for few rows or clusters. They have no end where no row is left for the noise.

    Raises:
        ValueError: the fit is of another law or has no optimum, because a term of the law is zero
            or an exponent is at its bound; the budget is not a positive number; or the level is not
            between 0 and 1.

    Source:
        Hoffmann et al. 2022, arXiv 2203.15556, eq. 4.
    """
    if fit.law.name not in ("chinchilla", "tied_chinchilla"):
        raise ValueError(
            f"`fit` must be of law 'chinchilla' or 'tied_chinchilla'; not {fit.law.name!r}"
        )
    if not (np.isfinite(budget) and budget > 0):
        raise ValueError(f"`budget` must be a finite number of FLOPs above 0; not {budget!r}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"`level` must lie between 0 and 1; not {level!r}")
    _check_optimum(fit)
    product = budget / flops_per_token_parameter
    point = np.array([fit.params[name] for name in fit.law.parameters])[:, None]
    best = {name: float(values[0]) for name, values in _optimum(point, product).items()}
    drawn = _optimum(parameter_draws(fit, seed), product)
    intervals = {name: _quantiles(fit, name, drawn[name], best[name], level) for name in ALLOCATED}
    return Allocation(
        budget=budget,
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
    columns = fit.problem.table.names
    for name, column in (("A", "n_params"), ("B", "n_tokens")):
        if not fit.params[name] > 0:
            other = columns["n_tokens" if column == "n_params" else "n_params"]
            raise ValueError(
                f"there is no compute-optimal size: {name} of the fit is 0, so the loss does not "
                f"depend on {columns[column]} and all compute is best spent on {other}"
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
    spread = known_covariance(fit.problem, fit.coordinates, robust=fit.method != "profile")
    rng = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(spread)
    noise = rng.standard_normal((COVARIANCE_DRAWS, len(values))) * np.sqrt(np.maximum(values, 0.0))
    places = fit.coordinates[:, None] + vectors @ noise.T
    places = np.clip(places, fit.problem.low[:, None], fit.problem.high[:, None])
    return fit.problem.model.printed(places)


def _optimum(parameters: Array, product: float) -> dict[str, Array]:
    """Optimal sizes at N D = product, for parameters (5, k), or (4, k) with one exponent."""
    asymptote, a, b, alpha = parameters[:4]
    beta = parameters[4] if len(parameters) > 4 else alpha
    with np.errstate(all="ignore"):
        log_g = np.log(alpha * a / (beta * b)) / (alpha + beta)
        share = beta / (alpha + beta)
        log_n = log_g + share * np.log(product)
        log_d = np.log(product) - log_n
        loss = asymptote + a * np.exp(-alpha * log_n) + b * np.exp(-beta * log_d)
        return {
            "n_params": np.exp(log_n),
            "n_tokens": np.exp(log_d),
            "loss": loss,
            "exponent": share,
        }


@dataclass(frozen=True, kw_only=True)
class PowerOfCompute:
    """Power law N* = k C^a between optimal size and compute, fitted in logarithms.

    Attributes:
        exponent: a.
        interval: 95 % interval of the exponent.
        coefficient: k.
        table: a row per budget, columns flops and n_params, and weight or loss.
        warnings: known weaknesses of the estimate, one sentence each.
    """

    exponent: float
    interval: tuple[float, float]
    coefficient: float
    table: pd.DataFrame
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self._sentence(), *(f"Warning: {text}" for text in self.warnings)])

    def _sentence(self) -> str:
        low, high = self.interval
        return (
            f"N* = {self.coefficient:.4g} C^{self.exponent:.4g}, exponent in "
            f"[{low:.4g}, {high:.4g}]; {len(self.table)} budgets"
        )

    def _repr_html_(self) -> str:
        rows = [[report.number(value) for value in row] for row in self.table.to_numpy()]
        return markup.fragment(
            self._sentence(),
            tables=[markup.table([str(name) for name in self.table], rows)],
            notes=self.warnings,
        )


def compute_exponent(
    frame: pd.DataFrame,
    *,
    flops: str = "flops",
    n_params: str = "n_params",
    log_stderr: str | None = None,
) -> PowerOfCompute:
    """Power law N* = k C^a through optimal sizes, by weighted least squares in logarithms.

    Args:
        frame: a row per budget.
        flops: column of budgets C in FLOPs.
        n_params: column of optimal numbers of parameters N*.
        log_stderr: column of standard errors of ln N*; rows are then weighted by 1 / stderr^2 and
            the interval treats these errors as known. Without it all rows weigh the same and the
            interval is a Student interval.

    Returns:
        The fitted power law; its table has columns flops, n_params and weight.

    Raises:
        ValueError: a column is missing or holds bad values, or there are fewer than 3 budgets.

    Source:
        Porian et al. 2024, arXiv 2406.19146, section 3.
    """
    for name in (flops, n_params, *([log_stderr] if log_stderr else [])):
        if name not in frame.columns:
            allowed = ", ".join(repr(str(column)) for column in frame.columns)
            raise ValueError(f"column {name!r} is missing; the table has {allowed}")
    x = np.log(numbers(frame[flops], flops, positive=True))
    y = np.log(numbers(frame[n_params], n_params, positive=True))
    weights = np.ones(len(x))
    if log_stderr is not None:
        weights = 1.0 / numbers(frame[log_stderr], log_stderr, positive=True) ** 2
    if len(np.unique(x)) < 3:
        raise ValueError(f"at least 3 budgets are needed; the table has {len(np.unique(x))}")
    centre = np.average(x, weights=weights)
    spread = float(np.sum(weights * (x - centre) ** 2))
    slope = float(np.sum(weights * (x - centre) * y) / spread)
    start = float(np.average(y, weights=weights) - slope * centre)
    degrees = len(x) - 2
    if log_stderr is None:
        noise = float(np.sum((y - start - slope * x) ** 2)) / degrees
        reach = student(0.95, degrees) * np.sqrt(noise / spread)
    else:
        reach = student(0.95, 10**9) / np.sqrt(spread)
    table = pd.DataFrame({"flops": np.exp(x), "n_params": np.exp(y), "weight": weights})
    return PowerOfCompute(
        exponent=slope,
        interval=(slope - float(reach), slope + float(reach)),
        coefficient=float(np.exp(start)),
        table=table,
    )


SAME_BUDGET = 0.05
"""Relative difference of training FLOPs up to which runs count as of one budget."""


def isoflop(
    frame: pd.DataFrame,
    *,
    flops: str = "flops",
    n_params: str = "n_params",
    y: str = "loss",
    tolerance: float = SAME_BUDGET,
) -> PowerOfCompute:
    """Power law N* = k C^a through the minima of isoFLOP parabolas.

    At each budget a parabola in ln N is fitted to the loss. The estimate is biased even on
    noise-free data, which the first warning of the result states; prefer `allocate` on a
    `chinchilla` fit of all runs.

    Args:
        frame: a row per run. Rows without a loss (diverged runs) are left out, with a warning.
        flops: column of training compute C in FLOPs.
        n_params: column of parameters N.
        y: column of losses.
        tolerance: relative difference up to which runs are of one budget: each run is at most this
            share above the smallest run of its budget. The budget is their geometric mean.

    Returns:
        The fitted power law; its table has columns flops, n_params and loss of each minimum.

    Raises:
        ValueError: a column is missing or holds bad values, the tolerance is not between 0 and 1,
            or fewer than 3 budgets have a minimum inside the range of their sizes.

    Source:
        Approach 2 of Hoffmann et al. 2022, arXiv 2203.15556, section 3.2.
    """
    for name in (flops, n_params, y):
        if name not in frame.columns:
            allowed = ", ".join(repr(str(column)) for column in frame.columns)
            raise ValueError(f"column {name!r} is missing; the table has {allowed}")
    if not 0.0 <= tolerance < 1.0:
        raise ValueError(f"`tolerance` must be at least 0 and below 1; not {tolerance!r}")
    without = without_loss(frame[y])
    spent = numbers(frame[flops], flops, positive=True, ignored=without)[~without]
    size = np.log(numbers(frame[n_params], n_params, positive=True, ignored=without)[~without])
    loss = numbers(frame[y], y, positive=False, ignored=without)[~without]
    budgets = _budgets(spent, tolerance)
    minima = [
        {"flops": np.exp(np.log(spent[part]).mean()), **found}
        for part in (budgets == budget for budget in range(budgets.max(initial=-1) + 1))
        if (found := _minimum(size[part], loss[part])) is not None
    ]
    if len(minima) < 3:
        raise ValueError(
            f"only {len(minima)} of {budgets.max(initial=-1) + 1} budgets have a minimum inside "
            f"their sizes; at least 3 are needed (runs whose {flops} differ by up to "
            f"{100 * tolerance:g} % are of one budget, see `tolerance`)"
        )
    fitted = compute_exponent(pd.DataFrame(minima))
    warnings = [PARABOLA_WARNING]
    if without.any():
        warnings.append(
            f"{int(without.sum())} of {len(without)} rows have no {y} and are left out."
        )
    if len(np.unique(spent)) > budgets.max() + 1:
        warnings.append(
            f"{len(np.unique(spent))} values of {flops} are {budgets.max() + 1} budgets: runs that "
            f"differ by up to {100 * tolerance:g} % count as of one."
        )
    if len(minima) < budgets.max() + 1:
        skipped = budgets.max() + 1 - len(minima)
        warnings.append(f"{skipped} budget(s) without a minimum inside their sizes were left out.")
    return PowerOfCompute(
        exponent=fitted.exponent,
        interval=fitted.interval,
        coefficient=fitted.coefficient,
        table=pd.DataFrame(minima),
        warnings=tuple(warnings),
    )


def _budgets(flops: Array, tolerance: float) -> NDArray[np.int64]:
    """Number of the budget of each run (n_rows,), in ascending order of compute."""
    order = np.argsort(flops)
    number, smallest = np.empty(len(flops), dtype=np.int64), 0.0
    budget = -1
    for row in order:
        if flops[row] > smallest * (1.0 + tolerance):
            budget, smallest = budget + 1, flops[row]
        number[row] = budget
    return number


def _minimum(size: Array, loss: Array) -> dict[str, float] | None:
    """Size and loss at the minimum of a parabola in ln N, if it is inside the sizes."""
    if len(np.unique(size)) < 3:
        return None
    middle = size.mean()
    a, b, c = np.polyfit(size - middle, loss, 2)
    if a <= 0 or not size.min() <= middle - b / (2 * a) <= size.max():
        return None
    return {
        "n_params": float(np.exp(middle - b / (2 * a))),
        "loss": float(c - b * b / (4 * a)),
    }
