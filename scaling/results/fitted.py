"""The data and mathematics of a fit: parameters, intervals, profiles and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fitting.problem import Problem
from scaling.fitting.status import FitStatus
from scaling.fitting.table import law_columns
from scaling.laws.laws import Law
from scaling.uncertainty.bootstrap import Draws
from scaling.uncertainty.covariance import known_covariance, noise_scale, printed_covariance
from scaling.uncertainty.diagnostics import delta_sensitivity, influence
from scaling.uncertainty.ends import profile_ends
from scaling.uncertainty.family import (
    LEAST_EXPONENT,
    STEEPEST_EXPONENT,
    has_family,
    model_interval,
    model_predictions,
)
from scaling.uncertainty.intervals import METHODS, from_draws, from_spread
from scaling.uncertainty.predictions import prediction_intervals
from scaling.uncertainty.profiles import (
    Profile,
    check_level,
    profile_parameter,
    student,
)

Array = NDArray[np.float64]

STATUS_LEVEL = 0.95
"""Level of the interval on which a status rests."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The optimum of a law on a table, with its intervals and predictions.

    `FitResult` describes the attributes.
    """

    params: dict[str, float]
    stderr: dict[str, float]
    objective: float
    method: str
    draws: Draws | None = field(repr=False)
    problem: Problem = field(repr=False)
    coordinates: Array = field(repr=False)
    seed: int

    @property
    def law(self) -> Law:
        """The law that was fitted."""
        return self.problem.law

    @property
    def n_rows(self) -> int:
        """Number of fitted rows."""
        return self.problem.table.n_rows

    @property
    def excluded(self) -> dict[str, int]:
        """Reason -> number of rows excluded because they have no loss."""
        return dict(self.problem.table.excluded)

    @property
    def asymptote(self) -> float:
        """The loss at infinite scale; NaN for a law without an asymptote."""
        name = self.law.asymptote
        return float("nan") if name is None else self.params[name]

    @property
    def residuals(self) -> Array:
        """Residuals (n_rows,): ln(prediction / y) for log losses, else prediction - y."""
        return self.problem.objective().residuals(self.coordinates)

    @np.errstate(all="ignore")
    def interval(
        self,
        name: str,
        level: float = 0.95,
        method: str | None = None,
        *,
        least: float = LEAST_EXPONENT,
    ) -> tuple[float, float]:
        """Confidence interval of a parameter.

        All methods but "model" hold if the law holds. "model" is for the asymptote alone, and holds
        for every smooth decreasing law: a mixture of powers with exponents of at least `least`, or
        a curve that steepens. It contains the interval of the law unless the law is rejected.

        Args:
            name: a parameter of the law.
            level: confidence level, between 0 and 1.
            method: "profile" for few rows, "bootstrap" (needs draws) for many or clustered rows,
                "sandwich" for very many; by default the method of the fit. "model": see above.
            least: smallest exponent that method "model" reckons with, between 0 and 4.

        Returns:
            (low, high). An end that the data do not determine is the bound of the parameter, or
            infinite.

        Raises:
            ValueError: the parameter, level or method is unknown, the fit has no draws, or the law
                has no family of alternatives.
        """
        self._check_name(name)
        method = self._check_method(method, level)
        if method == "model":
            return self._interval_of_family(name, level, least)
        known = self._known_interval(name, level, method)
        if known is not None:
            return known
        index = self.law.parameters.index(name)
        if not self.problem.free[index]:
            return self.params[name], self.params[name]
        if method == "profile":
            # without noise, rounding may put the lowest point of the profile beside the estimate
            ends = profile_ends(self.problem, self.coordinates, name, level)
            low, high = ends or self.profile(name, level).interval(level)
            return min(low, self.params[name]), max(high, self.params[name])
        limits = self.law.limits[index]
        if method == "bootstrap":
            assert self.draws is not None
            values = self.draws.parameters[index]
            return from_draws(self.problem, self.draws, values, self.params[name], level, limits)
        robust = self.method != "profile"
        spread = printed_covariance(self.problem, self.coordinates, robust=robust)[index, index]
        return from_spread(self.problem, self.params[name], spread, level, limits)

    @np.errstate(all="ignore")
    def profile(self, name: str, level: float = 0.95) -> Profile:
        """Profile likelihood of a parameter, dense around the ends of its interval.

        Args:
            name: a parameter of the law.
            level: confidence level of that interval.

        Raises:
            ValueError: the parameter is unknown or was held fixed.
        """
        self._check_name(name)
        if not self.problem.free[self.law.parameters.index(name)]:
            raise ValueError(f"{name!r} is held at {self.params[name]:g}; it has no profile")
        known = self._profiles
        if (name, level) not in known:
            known[name, level] = profile_parameter(self.problem, self.coordinates, name, level)
        return known[name, level]

    @np.errstate(all="ignore")
    def evaluate(self, frame: Any) -> Array:
        """The fitted law at new sizes, without intervals: for the line of a plot.

        Args:
            frame: as in `predict`.

        Returns:
            Losses (n_rows,), in the units of the fitted ones.

        Raises:
            ValueError: a column is missing or holds bad values.
        """
        return self._law_at(self.columns_of(frame), self._printed())[0]

    @np.errstate(all="ignore")
    def predict(
        self,
        frame: Any,
        level: float = 0.95,
        *,
        method: str | None = None,
        observation: bool = False,
    ) -> pd.DataFrame:
        """Predictions of the law at new sizes, with intervals.

        Args:
            frame: a DataFrame or mapping with the columns of the fit, or arrays in the order of
                the law.
            level: confidence level, between 0 and 1.
            method: interval method, as in `interval`; "model" holds for every smooth decreasing
                law.
            observation: whether the interval is for the loss of a single run, which scatters
                around the law, instead of for the law itself.

        Returns:
            A row per row of `frame`, columns mean, low and high, in the units of the loss.

        Raises:
            ValueError: a column is missing or holds bad values, or as in `interval`.
        """
        method = self._check_method(method, level)
        if method == "model":
            return self._predict_by_family(frame, level, observation=observation)
        new = self.columns_of(frame)
        mean = self._law_at(new, self._printed())[0]
        if method == "profile":
            low, high = prediction_intervals(
                self.problem, self.coordinates, new, level, self._valley(level)
            )
        elif method == "bootstrap":
            assert self.draws is not None
            every = self._law_at(new, self.draws.parameters)
            pairs = [
                from_draws(self.problem, self.draws, every[:, i], mean[i], level, None)
                for i in range(len(mean))
            ]
            low, high = np.array(pairs).T
        else:
            spread = self._prediction_variance(new)
            pairs = [
                from_spread(self.problem, mean[i], spread[i], level, None) for i in range(len(mean))
            ]
            low, high = np.array(pairs).T
        if observation:
            low, high = self._with_scatter(mean, low, high, level)
        low, high = np.minimum(low, mean), np.maximum(high, mean)
        index = frame.index if isinstance(frame, pd.DataFrame) else None
        return pd.DataFrame({"mean": mean, "low": low, "high": high}, index=index)

    @np.errstate(all="ignore")
    def influence(self) -> pd.DataFrame:
        """Influence of each row on each parameter, in standard errors.

        Returns:
            A row per row of the table, a column per free parameter, and column residual; see
            `scaling.uncertainty.diagnostics.influence`.
        """
        return influence(self.problem, self.coordinates)

    @np.errstate(all="ignore")
    def delta_sensitivity(self) -> pd.DataFrame:
        """Parameters at the optimum for other transition points of the Huber loss.

        Returns:
            A row per delta, from 0.1 to 10 times that of the fit: columns delta, a column per
            parameter, and objective.

        Raises:
            ValueError: the loss has no delta.
        """
        return delta_sensitivity(self.problem, self.coordinates)

    def columns_of(self, frame: Any) -> dict[str, Array]:
        """Checked columns of the law in a new frame: column -> values (n_rows,)."""
        names = [self.problem.table.names[role] for role in self.law.columns]
        if isinstance(frame, Mapping):
            frame = pd.DataFrame({k: np.atleast_1d(np.asarray(v)) for k, v in frame.items()})
        if isinstance(frame, pd.DataFrame):
            return law_columns(frame, self.law, names)[1]
        if np.isscalar(frame):
            frame = np.array([frame], dtype=float)
        return law_columns(None, self.law, frame)[1]

    @cached_property
    def _profiles(self) -> dict[tuple[str, float], Profile]:
        """Profiles computed so far, by name and level; every prediction needs several."""
        return {}

    def _valley(self, level: float) -> Array:
        """Starts of prediction intervals, printed parameters (p, k): optimum, then profiles."""
        names = [self.law.asymptote, *(parameter.name for parameter in self.law.nonlinear)]
        free = dict(zip(self.law.parameters, self.problem.free, strict=True))
        profiles = [self.profile(name, level) for name in names if name is not None and free[name]]
        return np.concatenate([self._printed(), *(each.parameters for each in profiles)], axis=1)

    def _printed(self) -> Array:
        return np.array([self.params[name] for name in self.law.parameters])[:, None]

    def _law_at(self, new: dict[str, Array], printed: Array) -> Array:
        """The law at new columns for printed parameters (p, n_fits): shape (n_fits, n_rows)."""
        from scaling.fitting.evaluation import build_model

        model = build_model(self.law, new, frozenset(c.name for c in self.law.linear))
        with np.errstate(all="ignore"):
            return model.value(model.internal(printed), slice(None))

    def _prediction_variance(self, new: dict[str, Array]) -> Array:
        robust = self.method != "profile"
        spread = known_covariance(self.problem, self.coordinates, robust=robust)
        root = np.sqrt(np.maximum(np.diag(spread), 0.0))
        step = 1e-4 * np.where(root > 0, root, 0.0)
        moved = self.coordinates[:, None] + np.concatenate([np.diag(step), -np.diag(step)], axis=1)
        values = self._law_at(new, self.problem.model.printed(moved))
        p = len(step)
        slope = (values[:p] - values[p:]) / np.where(step > 0, 2 * step, 1.0)[:, None]
        return np.einsum("kn,kl,ln->n", slope, spread, slope)

    def _with_scatter(
        self, mean: Array, low: Array, high: Array, level: float
    ) -> tuple[Array, Array]:
        noise = noise_scale(self.problem, self.coordinates)
        noise = noise / 2.0 if self.problem.loss.name.startswith("squared") else noise
        reach = student(level, self.problem.degrees) * np.sqrt(noise)
        reach = reach * mean if self.problem.loss.log else reach
        return mean - np.hypot(mean - low, reach), mean + np.hypot(high - mean, reach)

    def _known_interval(self, name: str, level: float, method: str) -> tuple[float, float] | None:
        """An interval computed before, if there is one."""
        return None

    def _interval_of_family(self, name: str, level: float, least: float) -> tuple[float, float]:
        if name != self.law.asymptote or not has_family(self.law):
            raise ValueError(
                f"`method='model'` is for the asymptote of a law of power terms or of one column; "
                f"not for {name} of law {self.law.name!r}"
            )
        if not 0.0 < least < STEEPEST_EXPONENT:
            raise ValueError(f"`least` must lie between 0 and {STEEPEST_EXPONENT:g}; not {least!r}")
        known = self._known_interval(name, level, "model") if least == LEAST_EXPONENT else None
        if known is not None:
            return known
        own = self.interval(name, level)
        if name in self.problem.pinned or self.problem.degrees <= 0:
            return own
        low, high = model_interval(self.problem, self.coordinates, level, least)
        if self.problem.scales_are_units:  # the law is rejected, so its own interval says nothing
            return low, high
        return min(low, own[0]), max(high, own[1])

    def _predict_by_family(self, frame: Any, level: float, *, observation: bool) -> pd.DataFrame:
        if not has_family(self.law):
            raise ValueError(f"law {self.law.name!r} has no family of alternatives")
        own, new = self.predict(frame, level, observation=observation), self.columns_of(frame)
        low, high = model_predictions(self.problem, self.coordinates, new, level)
        if observation:
            low, high = self._with_scatter(own["mean"].to_numpy(), low, high, level)
        if not self.problem.scales_are_units:  # else the law is rejected: its interval says nothing
            low, high = np.minimum(low, own["low"]), np.maximum(high, own["high"])
        return own.assign(low=low, high=high)

    def _check_name(self, name: str) -> None:
        if name not in self.law.parameters:
            allowed = ", ".join(repr(known) for known in self.law.parameters)
            raise ValueError(f"law {self.law.name!r} has parameters {allowed}; not {name!r}")

    def _check_method(self, method: str | None, level: float) -> str:
        check_level(level)
        method = self.method if method is None else method
        if method not in METHODS:
            allowed = ", ".join(repr(known) for known in METHODS)
            raise ValueError(f"`method` must be one of {allowed}; not {method!r}")
        if method == "bootstrap" and self.draws is None:
            raise ValueError(
                "this fit has no draws; bootstrap intervals need a fit with n_boot > 0"
            )
        return method


@dataclass(frozen=True, kw_only=True)
class AssessedFit(Fitted):
    """A fit with its status, its warnings and the interval on which the status rests.

    `FitResult` describes the attributes.
    """

    status: FitStatus
    message: str
    warnings: tuple[str, ...]
    asymptote_interval: tuple[float, float] | None
    model_interval: tuple[float, float] | None
    seconds: float

    @property
    def limit_interval(self) -> tuple[float, float] | None:
        """95 % interval of the asymptote to quote: whatever law holds, or the law's own without it.

        None for a law without an asymptote.
        """
        return self.asymptote_interval if self.model_interval is None else self.model_interval

    def _known_interval(self, name: str, level: float, method: str) -> tuple[float, float] | None:
        if name != self.law.asymptote or level != STATUS_LEVEL:
            return None
        known = {self.method: self.asymptote_interval, "model": self.model_interval}
        return known.get(method)
