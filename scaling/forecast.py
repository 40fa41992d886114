"""Forecasts of a curve: an average over laws and windows, weighted by rolling hold-out.

No law is best on all curves, and choosing one by hold-out is worse than averaging. Each law is
fitted to the whole curve and to its last parts, evaluated on rows held out at the end of the curve,
and averaged in logarithms with a weight that falls with its hold-out error.

The settings below were chosen once, by forecasting the last half of the *fit* rows of the 36
development curves of Alabdulmohsin et al. 2022 from their first half, not by the rows to predict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fitting.evaluation import build_model
from scaling.fitting.losses import get_loss
from scaling.fitting.problem import Problem
from scaling.fitting.table import Table, numbers, read_table
from scaling.laws.laws import Law
from scaling.laws.registry import get_law
from scaling.results import markup
from scaling.uncertainty.profiles import check_level, student

Array = NDArray[np.float64]

FORECAST_LAWS = ("power", "shifted_power", "saturating_power", "bounded", "broken_power")
WINDOWS = (1.0, 0.5, 1 / 3)
"""Shares of the rows, counted from the last, to which candidates are fitted."""
HOLD_OUT = (0.5, 0.7)
"""Folds: the rows beyond each of these shares of the largest x are held out."""
WEIGHT_POWER = 0.5
"""The weight of a candidate is its hold-out error to minus this power."""
FEWEST_ROWS = 8
SMALLEST_ERROR = 1e-6
LARGEST_DEVIATION = 1.0
"""Largest deviation of a candidate from the median, in ln(loss); larger ones are clipped."""
POINT_FACTOR, CURVE_FACTOR = 0.677, 1.540
"""Factors on the Student quantile of the error of a forecast, for single points and whole curves.

`band_factors` derives them from the 36 development curves at level .95; a benchmark repeats it.
With the factors of the other 35, a curve has 94.8 % of its points inside, and 97 % of curves are
entirely inside.
"""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A law fitted to one window of the curve.

    Attributes:
        law: the law.
        window: share of the rows to which it was fitted.
        parameters: printed parameters (n_parameters, 1).
        error: root mean square of ln(prediction / y) over the held-out rows.
        weight: weight in the forecast; the weights sum to one.
    """

    law: Law
    window: float
    parameters: Array = field(repr=False)
    error: float
    weight: float

    def predict(self, x: Array) -> Array:
        """Losses of the law at sizes x, both of shape (n_sizes,); they are positive."""
        return evaluate_law(self.law, self.parameters, x)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A weighted average of fitted laws.

    Attributes:
        candidates: the fitted laws that are averaged, by descending weight.
        x_name: name of the size column.
        y_name: name of the loss column.
        x_max: largest size in the table.
        hold_out_error: error of the average on the held-out rows, in ln(loss).
    """

    candidates: tuple[Candidate, ...]
    x_name: str
    y_name: str
    x_max: float
    hold_out_error: float

    def predict(self, x: Any, level: float = 0.95) -> pd.DataFrame:
        """Forecast at new sizes, with intervals.

        The intervals combine the disagreement of the candidates with the error of the average on
        the held-out rows. `low` and `high` hold a share `level` of the points of a new curve;
        `curve_low` and `curve_high`, which are wider, hold all points of a share `level` of curves.

        Args:
            x: sizes, (n_sizes,), or a DataFrame with the size column.
            level: confidence level, between 0 and 1.

        Returns:
            A row per size, columns mean, low, high, curve_low and curve_high.

        Raises:
            ValueError: a size that is not a positive number, or a level outside (0, 1).
        """
        check_level(level)
        if isinstance(x, pd.DataFrame):
            x = x[self.x_name]
        centre, scale = self.spread(
            numbers(np.atleast_1d(np.asarray(x)), self.x_name, positive=True)
        )
        quantile = student(level, len(self.candidates))
        point, curve = quantile * POINT_FACTOR * scale, quantile * CURVE_FACTOR * scale
        ends = {"low": -point, "high": point, "curve_low": -curve, "curve_high": curve}
        columns = {name: np.exp(centre + end) for name, end in ends.items()}
        return pd.DataFrame({"mean": np.exp(centre), **columns})

    def spread(self, sizes: Array) -> tuple[Array, Array]:
        """Logarithm of the forecast and its uncalibrated error at sizes, each (n_sizes,)."""
        logs = np.log(np.stack([c.predict(sizes) for c in self.candidates]))
        weights = np.array([c.weight for c in self.candidates])
        centre = average(logs, weights)
        apart = np.clip(logs - centre, -LARGEST_DEVIATION, LARGEST_DEVIATION)
        return centre, np.hypot(np.sqrt(weights @ apart**2), self.hold_out_error)

    def table(self) -> pd.DataFrame:
        """A row per candidate: columns law, window, error, weight and the parameters."""
        return pd.DataFrame(
            [
                {
                    "law": c.law.name,
                    "window": c.window,
                    "error": c.error,
                    "weight": c.weight,
                    **dict(zip(c.law.parameters, c.parameters[:, 0], strict=True)),
                }
                for c in self.candidates
            ]
        )

    def summary(self) -> str:
        """Text with the candidates, their hold-out errors and weights."""
        lines = [
            f"forecast of {self.y_name} in {self.x_name} beyond {self.x_max:.4g}: "
            f"{len(self.candidates)} candidates, hold-out error {100 * self.hold_out_error:.2f} %"
        ]
        for c in self.candidates[:8]:
            lines.append(
                f"  {c.law.name:16s} last {100 * c.window:3.0f} % of rows  "
                f"error {100 * c.error:.2f} %  weight {c.weight:.3f}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            (
                c.law.name,
                f"last {100 * c.window:.0f} %",
                f"{100 * c.error:.2f}",
                f"{c.weight:.3f}",
            )
            for c in self.candidates
        ]
        columns = ("law", "rows", "hold-out error, %", "weight")
        return markup.fragment(self.summary().split("\n")[0], tables=[markup.table(columns, rows)])

    def __str__(self) -> str:
        return self.summary()


def band_factors(errors: Sequence[Array], level: float, n_candidates: int) -> tuple[float, float]:
    """Factors of the pointwise and of the whole-curve band that hold a share `level` of curves.

    The first is the smallest factor at which a curve has on average a share `level` of its points
    inside; the second is the conformal quantile of the largest error of a curve.

    Args:
        errors: for each curve, the absolute error of each point over its uncalibrated error
            (`Forecast.spread`).
        level: confidence level.
        n_candidates: degrees of freedom of the Student quantile that the factors multiply.

    Source:
        Vovk, Gammerman, Shafer 2005, Algorithmic Learning in a Random World.
    """
    order = np.argsort(np.concatenate(errors))
    shares = np.concatenate([np.full(len(e), 1.0 / (len(e) * len(errors))) for e in errors])[order]
    inside = np.searchsorted(np.cumsum(shares), level - 1e-12)
    largest = np.sort([e.max() for e in errors])
    rank = min(int(np.ceil(level * (len(errors) + 1))), len(errors))
    quantile = student(level, n_candidates)
    point = np.concatenate(errors)[order][inside]
    return float(point / quantile), float(largest[rank - 1] / quantile)


@np.errstate(all="ignore")  # as in `fit_law`
def forecast(
    frame: Any = None,
    x: Any = "n_params",
    y: Any = "loss",
    *,
    laws: Sequence[str | Law] = FORECAST_LAWS,
    windows: Sequence[float] = WINDOWS,
    hold_out: Sequence[float] = HOLD_OUT,
    weight_power: float = WEIGHT_POWER,
) -> Forecast:
    """Forecast of a curve beyond its largest size.

    Args:
        frame: DataFrame, mapping of columns, or None if x and y are arrays.
        x: size column, name or array (n_rows,).
        y: loss column, name or array (n_rows,).
        laws: laws of one column to average, names or `Law`s.
        windows: shares of the rows, counted from the last, to which each law is fitted.
        hold_out: folds; the rows beyond each of these shares of the largest x are held out.
        weight_power: the weight of a candidate is its hold-out error to minus this power.

    Returns:
        The weighted average of laws.

    Raises:
        ValueError: the table or a setting is bad, or there are fewer than 8 distinct sizes.
    """
    chosen = [get_law(law) for law in laws]
    for law in chosen:
        if len(law.columns) != 1:
            raise ValueError(f"`laws` must have one column; {law.name!r} has {len(law.columns)}")
    for name, shares in (("windows", windows), ("hold_out", hold_out)):
        if not shares or not all(0.0 < share <= 1.0 for share in shares):
            raise ValueError(f"`{name}` must hold shares in (0, 1]; not {list(shares)!r}")
    table = read_table(frame, chosen[0], x=x, y=y)
    size = table.columns[chosen[0].columns[0]]
    if len(np.unique(size)) < FEWEST_ROWS:
        raise ValueError(
            f"a forecast needs at least {FEWEST_ROWS} distinct sizes; "
            f"the table has {len(np.unique(size))}"
        )
    order = np.argsort(size, kind="stable")
    size, loss = size[order], table.y[order]
    folds = [_kept(size, share) for share in hold_out]
    fitted = [
        fit_windows(law, windows, [*folds, np.ones(len(size), bool)], size, loss) for law in chosen
    ]
    logs = []
    for fold, kept in enumerate(folds):
        rows = [
            _evaluate(law, found[fold], size[~kept])
            for law, found in zip(chosen, fitted, strict=True)
        ]
        logs.append(np.log(np.concatenate(rows) / loss[~kept]))
    errors = np.sqrt(np.mean([np.mean(fold**2, axis=1) for fold in logs], axis=0))
    weights = np.maximum(errors, SMALLEST_ERROR) ** -weight_power
    weights /= weights.sum()
    own = np.concatenate([average(fold, weights) for fold in logs])
    pairs = [(law, window) for law in chosen for window in windows]
    finals = [found[-1][:, [w]] for found in fitted for w in range(len(windows))]
    found = [
        Candidate(
            law=law,
            window=window,
            parameters=parameters,
            error=float(error),
            weight=float(weight),
        )
        for (law, window), parameters, error, weight in zip(
            pairs, finals, errors, weights, strict=True
        )
    ]
    return Forecast(
        candidates=tuple(sorted(found, key=lambda c: -c.weight)),
        x_name=table.names[chosen[0].columns[0]],
        y_name=table.y_name,
        x_max=float(size[-1]),
        hold_out_error=float(np.sqrt(np.mean(own**2))),
    )


def _kept(size: Array, share: float) -> NDArray[np.bool_]:
    """Rows up to a share of the largest size, or the first 70 % where these are too few."""
    kept = size <= share * size[-1]
    if len(np.unique(size[kept])) < FEWEST_ROWS - 2 or kept.all():
        kept = np.arange(len(size)) < max(FEWEST_ROWS - 2, int(0.7 * len(size)))
    return kept


def fit_windows(
    law: Law,
    windows: Sequence[float],
    folds: Sequence[NDArray[np.bool_]],
    size: Array,
    loss: Array,
) -> list[Array]:
    """Least-squares fits in logarithms to each window of each fold, all in one search.

    Args:
        law: a law of one column.
        windows: shares of the rows of a fold, counted from the last, to which it is fitted.
        folds: the rows to use, shape (n_rows,) each; only rows at the end may be left out.
        size: ascending sizes, shape (n_rows,).
        loss: losses, shape (n_rows,).

    Returns:
        For each fold, printed parameters (n_parameters, n_windows).
    """
    weights = []
    for kept in folds:
        n_kept = int(kept.sum())
        for window in windows:
            count = max(round(n_kept * window), FEWEST_ROWS, len(law.parameters) + 1)
            weights.append(kept & (np.arange(len(size)) >= n_kept - count))
    column = law.columns[0]
    table = Table(
        columns={column: size},
        y=loss,
        weights=np.ones(len(size)),
        groups=None,
        names={column: column},
        y_name="loss",
    )
    pinned = dict(law.fixed)
    if law.from_columns is not None:
        pinned |= law.from_columns(table.columns)
    problem = Problem(law=law, table=table, loss=get_loss("squared_log"), delta=1.0, pinned=pinned)
    found = problem.model.printed(problem.solve_each(np.array(weights, dtype=float)).coordinates)
    return np.split(found, len(folds), axis=1)


def fit_window(law: Law, window: float, size: Array, loss: Array) -> Array:
    """Printed parameters of a least-squares fit in logarithms, shape (n_parameters, 1).

    Args:
        law: a law of one column.
        window: share of the rows, counted from the last, to which it is fitted.
        size: ascending sizes, shape (n_rows,).
        loss: losses, shape (n_rows,).
    """
    return fit_windows(law, [window], [np.ones(len(size), dtype=bool)], size, loss)[0]


def evaluate_law(law: Law, parameters: Array, size: Array) -> Array:
    """Values of a law of one column, shape (n_sizes,); values below 1e-300 are raised to it.

    Args:
        law: a law of one column.
        parameters: printed parameters, shape (n_parameters, 1).
        size: sizes, shape (n_sizes,).
    """
    return _evaluate(law, parameters, size)[0]


def _evaluate(law: Law, parameters: Array, size: Array) -> Array:
    """As `evaluate_law`, for parameters (n_parameters, n_fits): shape (n_fits, n_sizes)."""
    model = build_model(law, {law.columns[0]: size}, frozenset(c.name for c in law.linear))
    with np.errstate(all="ignore"):
        value = model.value(model.internal(parameters), slice(None))
    return np.maximum(np.nan_to_num(value, nan=1e-300), 1e-300)


def average(logs: Array, weights: Array) -> Array:
    """Weighted mean over the first axis of logarithms (k, n), shape (n,).

    Values far from the weighted median are clipped to `LARGEST_DEVIATION` from it.
    """
    centre = weighted_median(logs, weights)
    kept = np.clip(logs - centre, -LARGEST_DEVIATION, LARGEST_DEVIATION)
    return centre + weights @ kept / weights.sum()


def weighted_median(values: Array, weights: Array) -> Array:
    """Weighted median over the first axis of values (k, n), interpolated: shape (n,)."""
    order = np.argsort(values, axis=0)
    ranked = np.take_along_axis(values, order, axis=0)
    mass = np.cumsum(weights[order], axis=0) - 0.5 * weights[order]
    out = np.empty(values.shape[1])
    for column in range(values.shape[1]):
        out[column] = np.interp(0.5 * weights.sum(), mass[:, column], ranked[:, column])
    return out
