"""Compute-optimal sizes: from a Chinchilla fit, and from isoFLOP parabolas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fitting.table import numbers
from scaling.results import markup, report
from scaling.results.result import FitResult
from scaling.uncertainty.covariance import known_covariance
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
        intervals: name -> (low, high), for n_params, n_tokens, loss and exponent.
        level: confidence level of the intervals.
    """

    budget: float
    n_params: float
    n_tokens: float
    loss: float
    exponent: float
    intervals: dict[str, tuple[float, float]]
    level: float

    def __str__(self) -> str:
        lines = [f"Compute-optimal for {self.budget:.3g} FLOPs:"]
        for name in ("n_params", "n_tokens", "loss", "exponent"):
            low, high = self.intervals[name]
            lines.append(f"  {name:9s} {getattr(self, name):.4g} [{low:.4g}, {high:.4g}]")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        found = [
            (name, report.number(getattr(self, name)), report.span(self.intervals[name]))
            for name in ("n_params", "n_tokens", "loss", "exponent")
        ]
        columns = ("", "optimum", f"{100 * self.level:g} % interval")
        return markup.fragment(
            f"Compute-optimal for {self.budget:.3g} FLOPs", tables=[markup.table(columns, found)]
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
        The optimum. Its intervals are quantiles over the bootstrap draws of the fit, else over
        Gaussian draws from its covariance.

    Raises:
        ValueError: the fit is of another law, the budget is not a positive number, or the level is
            not between 0 and 1.

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
    point = np.array([fit.params[name] for name in fit.law.parameters])[:, None]
    best = {
        name: float(v[0]) for name, v in _optimum(point, budget / flops_per_token_parameter).items()
    }
    drawn = _optimum(parameter_draws(fit, seed), budget / flops_per_token_parameter)
    ends = [0.5 - 0.5 * level, 0.5 + 0.5 * level]
    intervals = {}
    for name, values in drawn.items():
        low, high = np.quantile(values[np.isfinite(values)], ends)
        intervals[name] = (float(low), float(high))
    return Allocation(budget=budget, **best, intervals=intervals, level=level)


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


def isoflop(
    frame: pd.DataFrame, *, flops: str = "flops", n_params: str = "n_params", y: str = "loss"
) -> PowerOfCompute:
    """Power law N* = k C^a through the minima of isoFLOP parabolas.

    At each budget a parabola in ln N is fitted to the loss. The estimate is biased even on
    noise-free data, which the first warning of the result states; prefer `allocate` on a
    `chinchilla` fit of all runs.

    Args:
        frame: a row per run.
        flops: column of training compute C in FLOPs; rows of one value form a budget.
        n_params: column of parameters N.
        y: column of losses.

    Returns:
        The fitted power law; its table has columns flops, n_params and loss of each minimum.

    Raises:
        ValueError: a column is missing or holds bad values, or fewer than 3 budgets have a minimum
            inside the range of their sizes.

    Source:
        Approach 2 of Hoffmann et al. 2022, arXiv 2203.15556, section 3.2.
    """
    for name in (flops, n_params, y):
        if name not in frame.columns:
            allowed = ", ".join(repr(str(column)) for column in frame.columns)
            raise ValueError(f"column {name!r} is missing; the table has {allowed}")
    rows: list[dict[str, Any]] = []
    skipped = 0
    for budget, part in frame.groupby(flops):
        size = np.log(numbers(part[n_params], n_params, positive=True))
        loss = numbers(part[y], y, positive=False)
        if len(np.unique(size)) < 3:
            skipped += 1
            continue
        middle = size.mean()
        a, b, c = np.polyfit(size - middle, loss, 2)
        if a <= 0 or not size.min() <= middle - b / (2 * a) <= size.max():
            skipped += 1
            continue
        rows.append(
            {"flops": budget, "n_params": np.exp(middle - b / (2 * a)), "loss": c - b * b / (4 * a)}
        )
    if len(rows) < 3:
        raise ValueError(
            f"only {len(rows)} budgets have a minimum inside their sizes; at least 3 are needed"
        )
    fitted = compute_exponent(pd.DataFrame(rows))
    warnings = [PARABOLA_WARNING]
    if skipped:
        warnings.append(f"{skipped} budget(s) without a minimum inside their sizes were left out.")
    return PowerOfCompute(
        exponent=fitted.exponent,
        interval=fitted.interval,
        coefficient=fitted.coefficient,
        table=pd.DataFrame(rows),
        warnings=tuple(warnings),
    )
