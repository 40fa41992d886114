"""`design`: the next runs that narrow the interval of a limit most for a budget of compute.

The information that a run adds is that of its linearised law, averaged over draws of the parameters
from the fit's own distribution, so that runs are not chosen for one guess of the truth.

Source:
    Atkinson, Donev and Tobias 2007, Optimum Experimental Designs, chapters 10 (c-optimality), 17
    and 18 (nonlinear models, expectation over a prior).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.allocate import FLOPS_PER_TOKEN_PARAMETER
from scaling.fitting.evaluation import Model
from scaling.results import markup
from scaling.results.report import number
from scaling.results.result import FitResult
from scaling.uncertainty.covariance import gaussian_draws, noise_scale
from scaling.uncertainty.profiles import check_level, student

Array = NDArray[np.float64]

DRAWS = 64
SIZES = 24
"""Numbers of parameters that are tried for a run."""
SIZES_BEYOND = 10.0
"""Largest model and most tokens to suggest, as factors on the largest of the table."""
SPLITS = (1.0, 2.0, 4.0, 16.0)
"""Ratios of the budgets of consecutive runs that are tried; 1 divides the budget evenly."""
SWEEPS = 4
RIDGE = 1e-10


@dataclass(frozen=True, kw_only=True)
class Design:
    """Suggested runs, and what they are expected to achieve.

    Attributes:
        runs: a row per run, columns n_params, n_tokens (by the names of the fit), flops and loss
            (predicted).
        uniform: a uniform design of the same number of runs and FLOPs, with the same columns.
        parameter: the parameter whose interval is narrowed.
        half_width: expected half-width of its interval without further runs.
        expected: the same after the suggested runs.
        expected_uniform: the same after the uniform design.
        level: confidence level of the interval.
        warnings: what makes the expectation unreliable, one sentence each.
    """

    runs: pd.DataFrame
    uniform: pd.DataFrame
    parameter: str
    half_width: float
    expected: float
    expected_uniform: float
    level: float
    warnings: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """What the runs are expected to achieve, a sentence each."""
        return [
            f"{100 * self.level:g} % interval of {self.parameter}, the loss in the limit, if the "
            f"law holds: ± {number(self.half_width)} now, ± {number(self.expected)} expected after "
            f"these runs, ± {number(self.expected_uniform)} after a uniform design of equal FLOPs.",
            *self.warnings,
        ]

    def to_dict(self) -> dict[str, Any]:
        """The design as JSON types."""
        return {
            "runs": self.runs.to_dict("records"),
            "uniform": self.uniform.to_dict("records"),
            "parameter": self.parameter,
            "half_width": self.half_width,
            "expected": self.expected,
            "expected_uniform": self.expected_uniform,
            "level": self.level,
            "warnings": list(self.warnings),
        }

    def _repr_html_(self) -> str:
        rows = [[number(value) for value in row] for row in self.runs.to_numpy(dtype=float)]
        table = markup.table([str(name) for name in self.runs], rows)
        return markup.fragment("Next runs", tables=[table], notes=self.sentences())

    def __str__(self) -> str:
        return "\n".join([self.runs.to_string(index=False), *self.sentences()])


@np.errstate(all="ignore")
def design(
    fit: FitResult,
    budget: float,
    *,
    n_runs: int = 3,
    level: float = 0.95,
    flops_per_token_parameter: float = FLOPS_PER_TOKEN_PARAMETER,
    seed: int = 0,
) -> Design:
    """Runs that are expected to narrow the interval of the asymptote most.

    Sizes reach from the smallest of the table to ten times the largest. Budgets of the runs add up
    to `budget`; several divisions are tried. The uniform design has runs of equal FLOPs, with sizes
    evenly spaced in their logarithm over the sizes of the table that the budget allows.

    Args:
        fit: a fit of a law whose columns are n_params and n_tokens.
        budget: training FLOPs of all runs together, 6 N D each.
        n_runs: number of runs.
        level: confidence level of the interval.
        flops_per_token_parameter: training FLOPs per parameter and token.
        seed: random seed of the draws.

    Returns:
        The runs, with the expected interval before and after.

    Raises:
        ValueError: the law has other columns or no asymptote, nothing is left for the noise, an
            argument has a bad value, or the budget is too small or too large for such sizes.
    """
    if set(fit.law.columns) != {"n_params", "n_tokens"} or fit.law.asymptote is None:
        raise ValueError(
            "`fit` must be of a law of n_params and n_tokens, such as 'chinchilla' or 'skaling'; "
            f"not {fit.law.name!r}"
        )
    if not (np.isfinite(budget) and budget > 0):
        raise ValueError(f"`budget` must be a finite number of FLOPs above 0; not {budget!r}")
    if int(n_runs) != n_runs or not 1 <= n_runs <= 20:
        raise ValueError(f"`n_runs` must be a whole number from 1 to 20; not {n_runs!r}")
    check_level(level)
    if fit.problem.degrees <= 0:
        raise ValueError(f"the expected interval is not known: {fit.message}")
    world = Information(fit, seed)
    product = budget / flops_per_token_parameter
    best, chosen = np.inf, None
    for ratio in SPLITS if n_runs > 1 else SPLITS[:1]:
        shares = ratio ** -np.arange(float(n_runs))
        found = _exchanged(world, product * shares / shares.sum())
        if found is not None and found[1] < best:
            chosen, best = found
    even = np.full(n_runs, product / n_runs)
    spread = _spread(world, even)
    if chosen is None or spread is None:
        n, d = (world.table.columns[name] for name in ("n_params", "n_tokens"))
        fewest = flops_per_token_parameter * n_runs * n.min() * d.min()
        most = flops_per_token_parameter * n_runs * n.max() * d.max() * SIZES_BEYOND**2
        raise ValueError(
            f"{budget:.3g} FLOPs are too {'few' if budget < most else 'many'} for {n_runs} runs "
            f"with sizes from the smallest {' and '.join(fit.problem.table.names.values())} of the "
            f"table to {SIZES_BEYOND:g} times the largest: {fewest:.2g} to {most:.2g} are possible"
        )
    factor = student(level, fit.problem.degrees)
    return Design(
        runs=_as_runs(fit, chosen, flops_per_token_parameter),
        uniform=_as_runs(fit, spread, flops_per_token_parameter),
        parameter=fit.law.asymptote,
        half_width=factor * world.error(np.empty((0, 2))),
        expected=factor * best,
        expected_uniform=factor * world.error(spread),
        level=level,
        warnings=() if fit.status.usable else (f"The fit is not sound: {fit.message}",),
    )


class Information:
    """Expected error of the asymptote after further runs, the median over draws of parameters."""

    def __init__(self, fit: FitResult, seed: int) -> None:
        problem = fit.problem
        self.table, self.log = problem.table, problem.loss.log
        self.free = np.flatnonzero(problem.free)
        index = fit.law.parameters.index(str(fit.law.asymptote))
        if index not in self.free:
            raise ValueError(f"{fit.law.asymptote} is fixed, so that no run can narrow it")
        self.place = int(np.flatnonzero(self.free == index)[0])
        self.points = gaussian_draws(
            problem, fit.coordinates, DRAWS, seed, robust=fit.method != "profile"
        )
        noise = noise_scale(problem, fit.coordinates)
        self.noise = noise / 2.0 if problem.loss.name.startswith("squared") else noise
        self.model: Model = problem.model
        self.roles = fit.law.columns
        weights = self.table.weights / self.table.weights.mean()
        slopes = self._slopes(self.table.columns)
        self.known = np.einsum("knp,n,knq->kpq", slopes, weights, slopes)

    def _slopes(self, columns: dict[str, Array]) -> Array:
        """Slopes of the (logarithmic) law in its free coordinates, (n_draws, n_rows, n_free)."""
        value, first, _ = self.model.at(columns).derivatives(self.points, slice(None), second=False)
        stacked = np.stack([np.broadcast_to(first[k], value.shape) for k in self.free], axis=-1)
        return stacked / value[:, :, None] if self.log else stacked

    def of_runs(self, sizes: Array) -> Array:
        """Slopes of runs with sizes (n_runs, 2) of N and D: shape (n_draws, n_runs, n_free)."""
        return self._slopes({"n_params": sizes[:, 0], "n_tokens": sizes[:, 1]})

    def error(self, sizes: Array) -> float:
        """Expected standard error of the asymptote after runs with sizes (n_runs, 2)."""
        if not len(sizes):
            return float(self.errors(self.known))
        slopes = self.of_runs(sizes)
        return float(self.errors(self.known + np.einsum("krp,krq->kpq", slopes, slopes)))

    def errors(self, information: Array) -> Array:
        """Expected standard error for information (..., n_draws, n_free, n_free): shape (...)."""
        scale = np.sqrt(np.maximum(np.einsum("...pp->...p", information), 1e-290))
        unit = information / (scale[..., :, None] * scale[..., None, :])
        unit = unit + RIDGE * np.eye(unit.shape[-1])
        inverse = np.linalg.inv(unit)[..., self.place, self.place]
        variance = self.noise * np.maximum(inverse, 0.0) / scale[..., self.place] ** 2
        return np.median(np.sqrt(variance), axis=-1)


def _possible(world: Information, product: float) -> Array:
    """Sizes of N and D with N D = product, within reach of the table: shape (n_sizes, 2)."""
    n, d = world.table.columns["n_params"], world.table.columns["n_tokens"]
    low = max(n.min(), product / (SIZES_BEYOND * d.max()))
    high = min(SIZES_BEYOND * n.max(), product / d.min())
    if low > high:
        return np.empty((0, 2))
    sizes = np.geomspace(low, high, SIZES)
    return np.stack([sizes, product / sizes], axis=1)


def _exchanged(world: Information, products: Array) -> tuple[Array, float] | None:
    """Best sizes of runs with given N D (n_runs,), by exchanging one run at a time.

    Returns:
        Sizes (n_runs, 2) and the expected error, or None where a run has no possible size.
    """
    options = [_possible(world, product) for product in products]
    if not all(len(one) for one in options):
        return None
    slopes = [world.of_runs(one) for one in options]
    parts = [np.einsum("krp,krq->rkpq", one, one) for one in slopes]
    chosen = [len(one) // 2 for one in options]
    best = np.inf
    for _ in range(SWEEPS):
        before = list(chosen)
        for k in range(len(options)):
            others = sum(parts[j][chosen[j]] for j in range(len(options)) if j != k)
            errors = world.errors(world.known + others + parts[k])
            chosen[k] = int(np.argmin(errors))
            best = float(errors[chosen[k]])
        if chosen == before:
            break
    return np.stack([one[place] for one, place in zip(options, chosen, strict=True)]), best


def _spread(world: Information, products: Sequence[float] | Array) -> Array | None:
    """Sizes (n_runs, 2) of runs of equal FLOPs, evenly spaced over the sizes of the table."""
    options = _possible(world, float(products[0]))
    n = world.table.columns["n_params"]
    inside = options[options[:, 0] <= n.max() * (1.0 + 1e-9)]
    if not len(inside):
        return options[: len(products)] if len(options) else None
    places = np.geomspace(inside[0, 0], inside[-1, 0], len(products))
    return np.stack([places, float(products[0]) / places], axis=1)


def _as_runs(fit: FitResult, sizes: Array, flops_per_token_parameter: float) -> pd.DataFrame:
    names = fit.problem.table.names
    order = sizes[np.argsort(sizes.prod(axis=1), kind="stable")]
    runs = pd.DataFrame({names["n_params"]: order[:, 0], names["n_tokens"]: order[:, 1]})
    predicted = fit.evaluate(runs)
    return runs.assign(
        flops=flops_per_token_parameter * order.prod(axis=1),
        **{fit.problem.table.y_name: predicted},
    )
