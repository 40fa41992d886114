"""Compute-optimal sizes from runs at fixed budgets: isoFLOP parabolas and a power of compute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fitting.table import check_columns, numbers, without_loss
from scaling.results import markup, report
from scaling.uncertainty.profiles import student

Array = NDArray[np.float64]

PARABOLA_WARNING = (
    "IsoFLOP parabolas are biased: the loss is not a parabola in ln N, so sampling that is wide or "
    "off centre moves the minimum, even without noise. Prefer a chinchilla fit of all runs."
)


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
            f"N* = {self.coefficient:.4g} C^{self.exponent:.4g}, 95 % interval of the "
            f"exponent [{low:.4g}, {high:.4g}]; {len(self.table)} budgets"
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
    check_columns(frame, flops, n_params, *([log_stderr] if log_stderr else []))
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
    check_columns(frame, flops, n_params, y)
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
