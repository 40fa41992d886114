"""A fitting problem: a law, a table and a loss, with its global and local solvers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.evaluation import Model, build_model
from scaling.fitting.losses import Loss
from scaling.fitting.newton import Minimum
from scaling.fitting.objective import Objective
from scaling.fitting.search import (
    global_minima,
    global_minimum,
    global_minimum_of_each,
    grid,
    polish,
)
from scaling.fitting.table import Table
from scaling.laws.laws import Law

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A law on a table under a loss.

    Attributes:
        law: the law.
        table: its rows.
        loss: the row loss.
        delta: transition point of the loss.
        pinned: parameter -> value at which it is held.
        uncentred: coefficients kept in printed units internally, so that they can be held there.
        inflation: factor on all variances.
        scales_are_units: whether scales, and not rows, are what scatters around a rejected law.
        size_error: standard error that all rows of a scale share, in units of the loss.
        model: the law on the rows (derived).
        low: lower bounds of the internal coordinates (n_parameters,) (derived).
        high: upper bounds (n_parameters,) (derived).
    """

    law: Law
    table: Table
    loss: Loss
    delta: float
    pinned: Mapping[str, float] = field(default_factory=dict)
    uncentred: frozenset[str] = frozenset()
    inflation: float = 1.0
    scales_are_units: bool = False
    size_error: float = 0.0
    model: Model = field(init=False, repr=False)
    low: Array = field(init=False, repr=False)
    high: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        awkward = {c.name for c in self.law.linear if c.low not in (0.0, -np.inf)}
        awkward |= {c.name for c in self.law.linear if c.high not in (0.0, np.inf)}
        awkward |= {name for name in self.pinned if self.pinned[name] != 0.0}
        model = build_model(self.law, self.table.columns, self.uncentred | awkward, self.pinned)
        bounds = [(c.low, c.high) for c in self.law.linear]
        bounds += [(t.low, t.high) for t in self.law.nonlinear]
        for i, name in enumerate(self.law.parameters):
            if name in self.pinned:
                bounds[i] = (self.pinned[name], self.pinned[name])
        low, high = np.array(bounds).T
        n_linear = len(self.law.linear)
        for k, parameter in enumerate(self.law.nonlinear):
            if parameter.log:
                low[n_linear + k] = np.log(low[n_linear + k])
                high[n_linear + k] = np.log(high[n_linear + k])
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def free(self) -> NDArray[np.bool_]:
        """Whether each parameter is fitted, shape (n_parameters,)."""
        return self.low < self.high

    @property
    def n_free(self) -> int:
        """Number of fitted parameters, at most `n_effective` of the law."""
        count = int(self.free.sum())
        return count if self.law.n_effective is None else min(count, self.law.n_effective)

    @cached_property
    def degrees(self) -> int:
        """Rows of positive weight less free parameters; of a rejected law, scales less parameters.

        Not positive where the law can pass through every scale, whatever the repeats there say:
        nothing in such a table could contradict the law.
        """
        used = self.table.weights > 0
        scales = len(np.unique(self.table.scales[used]))
        if scales <= self.n_free or self.scales_are_units:
            return scales - self.n_free
        return int(used.sum()) - self.n_free

    def with_delta(self, delta: float) -> Problem:
        """The same problem with another transition point of the loss."""
        return replace(self, delta=delta)

    def with_inflation(self, inflation: float, *, scales_are_units: bool) -> Problem:
        """The same problem with all variances multiplied by a factor."""
        return replace(self, inflation=inflation, scales_are_units=scales_are_units)

    def holding(self, name: str) -> Problem:
        """The same problem in coordinates in which parameter `name` can be held at a value."""
        return replace(self, uncentred=self.uncentred | {name})

    def objective(self, weights: Array | None = None, target: Array | None = None) -> Objective:
        """The objective, if given with other weights or targets, (n_rows,) or (n_fits, n_rows)."""
        return Objective(
            model=self.model,
            loss=self.loss,
            delta=self.delta,
            target=self.table.y if target is None else target,
            weights=self.table.weights if weights is None else weights,
        )

    def box(self, n_fits: int) -> tuple[Array, Array]:
        """Lower and upper bounds of `n_fits` fits, each of shape (n_parameters, n_fits)."""
        return np.repeat(self.low[:, None], n_fits, 1), np.repeat(self.high[:, None], n_fits, 1)

    def cells(self) -> Array:
        """Starts of the global search: nonlinear coordinates, shape (n_nonlinear, n_cells)."""
        n_linear = len(self.law.linear)
        low, high = self.low[n_linear:].copy(), self.high[n_linear:].copy()
        for k, parameter in enumerate(self.law.nonlinear):
            if low[k] < high[k]:
                low[k], high[k] = np.log(parameter.search)
        cells = grid(low, high)
        for k, parameter in enumerate(self.law.nonlinear):
            if self.free[n_linear + k] and not parameter.log:
                cells[k] = np.exp(cells[k])
        return cells

    def solve(
        self,
        weights: Array | None = None,
        target: Array | None = None,
        extra: Array | None = None,
    ) -> Minimum:
        """Global optimum, a `Minimum` of one fit.

        Args:
            weights: row weights (n_rows,), instead of those of the table.
            target: observations (n_rows,), instead of those of the table.
            extra: further starts, internal coordinates (n_parameters, n_starts).
        """
        objective = self.objective(weights, target)
        cells = self._starts(objective.target)
        return global_minimum(objective, cells, self.low, self.high, extra)

    def solve_targets(self, targets: Array) -> Minimum:
        """Global optima for several observations (n_fits, n_rows), as `solve` finds each."""
        cells = [self._starts(target) for target in targets]
        return global_minimum_of_each(self.objective(target=targets), cells, self.low, self.high)

    def solve_each(self, weights: Array) -> Minimum:
        """Global optima under several row weights (n_fits, n_rows), searched at once."""
        cells = [self._starts(self.table.y, used) for used in weights > 0]
        return global_minima(self.objective(weights), cells, self.low, self.high)

    def _starts(self, target: Array, used: NDArray[np.bool_] | slice = slice(None)) -> Array:
        """Cells of the global search, for the rows `used`."""
        if self.law.starts is None:
            return self.cells()
        columns = {name: values[used] for name, values in self.table.columns.items()}
        return self._as_cells(self.law.starts(columns, target[used]))

    def _as_cells(self, starts: Array) -> Array:
        """Nonlinear parameters (k, q) as coordinates (q, k), pinned ones replaced."""
        n_linear = len(self.law.linear)
        full = np.concatenate([np.ones((n_linear, len(starts))), starts.T])
        inner = self.model.internal(full)
        cells = np.clip(inner[n_linear:], self.low[n_linear:, None], self.high[n_linear:, None])
        return np.unique(cells, axis=1)

    def refine(
        self,
        start: Array,
        weights: Array | None = None,
        target: Array | None = None,
        bounds: tuple[Array, Array] | None = None,
        sharpening: tuple[float, ...] = (8.0, 2.5, 1.0),
        beat: Array | None = None,
    ) -> Minimum:
        """Local optimum of each fit, from one start each.

        Args:
            start: internal coordinates (n_parameters, n_fits).
            weights: row weights, (n_rows,) or (n_fits, n_rows), instead of those of the table.
            target: observations, (n_rows,) or (n_fits, n_rows), instead of those of the table.
            bounds: lower and upper bounds, each (n_parameters, n_fits), instead of the problem's.
            sharpening: factors on delta, from a nearly quadratic loss to the loss itself.
            beat: objectives (n_fits,); a fit that will not get below its value is given up.
        """
        low, high = self.box(start.shape[1]) if bounds is None else bounds
        objective = self.objective(weights, target)
        return polish(objective, start, low, high, sharpening=sharpening, beat=beat)
