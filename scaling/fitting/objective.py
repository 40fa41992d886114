"""The objective of a fit, sum over rows of weight x row loss, for many fits at once.

A *fit* here is one column of an array (n_parameters, n_fits): a start of the global search, a
bootstrap draw with its own row weights or targets, or a point of a profile with one parameter held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.evaluation import Model
from scaling.fitting.losses import Loss

Array = NDArray[np.float64]

BLOCK = 16_384
"""Elements per block: fits into the second-level cache and bounds the memory."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Sum of weighted row losses of a model.

    Attributes:
        model: the law on the rows.
        loss: the row loss.
        delta: transition point of the loss, one number or one per row (n_rows,).
        target: observations y, shape (n_rows,) or (n_fits, n_rows).
        weights: row weights, shape (n_rows,) or (n_fits, n_rows).
        exact: whether Hessians include the second derivatives of the law. Without them they are
            Gauss-Newton Hessians, many times cheaper for laws with many nonlinear parameters.
    """

    model: Model
    loss: Loss
    delta: float | Array
    target: Array
    weights: Array
    exact: bool = True

    def take(self, fits: NDArray[np.int64]) -> Objective:
        """The same objective for some of the fits, given by their indices."""
        return replace(
            self,
            target=self.target if self.target.ndim == 1 else self.target[fits],
            weights=self.weights if self.weights.ndim == 1 else self.weights[fits],
        )

    def subset(self, rows: NDArray[np.int64]) -> Objective:
        """The same objective on some of the rows; targets and weights must have shape (n_rows,)."""
        return replace(
            self,
            model=self.model.subset(rows),
            delta=self.delta[rows] if isinstance(self.delta, np.ndarray) else self.delta,
            target=self.target[rows],
            weights=self.weights[rows],
        )

    def with_delta(self, delta: float | Array) -> Objective:
        """The same objective with another transition point."""
        return replace(self, delta=delta)

    def gauss_newton(self) -> Objective:
        """The same objective with Gauss-Newton Hessians."""
        return replace(self, exact=False)

    def value(self, coordinates: Array) -> Array:
        """Objective of each fit, shape (n_fits,); infinite where a log loss has a law <= 0."""
        out = np.zeros(coordinates.shape[1])
        with np.errstate(all="ignore"):
            for fits, rows in self._blocks(coordinates.shape[1]):
                predicted = self.model.value(coordinates[:, fits], rows)
                residual, legal = self._residual(predicted, fits, rows)
                cost = self.loss.rows(residual, _rows_of(self.delta, rows))[0]
                total = (cost * _part(self.weights, fits, rows)).sum(axis=1)
                out[fits] += np.where(legal & np.isfinite(total), total, np.inf)
        return out

    def value_at(self, predicted: Array) -> Array:
        """Objective of each fit, (n_fits,), from its predictions (n_fits, n_rows); see `value`."""
        every = slice(None)
        with np.errstate(all="ignore"):
            residual, legal = self._residual(predicted, every, every)
            total = (self.loss.rows(residual, self.delta)[0] * self.weights).sum(axis=1)
        return np.where(legal & np.isfinite(total), total, np.inf)

    def derivatives(self, coordinates: Array) -> tuple[Array, Array, Array]:
        """Objective (n_fits,), gradient (p, n_fits) and Hessian (p, p, n_fits)."""
        p, n_fits = coordinates.shape
        value, gradient = np.zeros(n_fits), np.zeros((p, n_fits))
        hessian = np.zeros((p, p, n_fits))
        with np.errstate(all="ignore"):
            for fits, rows in self._blocks(n_fits):
                part = self._block_derivatives(coordinates[:, fits], fits, rows)
                value[fits] += part[0]
                gradient[:, fits] += part[1]
                hessian[:, :, fits] += part[2]
        legal = np.isfinite(value) & np.isfinite(gradient).all(axis=0)
        legal &= np.isfinite(hessian).all(axis=(0, 1))
        return np.where(legal, value, np.inf), gradient, hessian

    def _block_derivatives(
        self, coordinates: Array, fits: slice, rows: slice
    ) -> tuple[Array, Array, Array]:
        predicted, first, curvature = self.model.derivatives(coordinates, rows, second=self.exact)
        residual, legal = self._residual(predicted, fits, rows)
        cost, score, bend = self.loss.rows(residual, _rows_of(self.delta, rows))
        weights = _part(self.weights, fits, rows)
        total = np.einsum("bn,bn->b", cost, np.broadcast_to(weights, cost.shape))
        if not self.exact:
            # the weights of iterative reweighting bound the loss from above, its curvature does not
            bend = np.where(np.abs(residual) > 1e-300, score / residual, bend)
        slope = score * weights
        if self.loss.log:
            inverse = 1.0 / predicted
            slope *= inverse
            bend = (bend - score if self.exact else bend) * weights * inverse * inverse
        else:
            bend = bend * weights
        every = np.empty((len(total), len(first), slope.shape[1]))
        for k, part in enumerate(first):
            every[:, k] = part
        gradient = np.matmul(every, slope[:, :, None])[:, :, 0].T
        hessian = np.matmul(every * bend[:, None], every.transpose(0, 2, 1)).transpose(1, 2, 0)
        if self.exact:
            hessian = hessian + curvature(slope)
        return np.where(legal, total, np.inf), gradient, hessian

    def scores(self, coordinates: Array) -> tuple[Array, Array, Array]:
        """Derivatives of each row at one fit (p,), without the row weights.

        Returns:
            Gradients of the rows (n_rows, p), and first and second derivatives of the row loss
            (n_rows,).
        """
        single = coordinates[:, None]
        gradients, scores, bends = [], [], []
        with np.errstate(all="ignore"):
            for _, rows in self._blocks(1):
                predicted, first, _ = self.model.derivatives(single, rows, second=False)
                residual, _ = self._residual(predicted, slice(0, 1), rows)
                _, score, bend = self.loss.rows(residual, _rows_of(self.delta, rows))
                scale = predicted[0] if self.loss.log else 1.0
                gradients.append(np.stack([part[0] / scale for part in first], axis=1))
                scores.append(score[0])
                bends.append(bend[0])
        return np.concatenate(gradients), np.concatenate(scores), np.concatenate(bends)

    def residuals(self, coordinates: Array) -> Array:
        """Residuals of one fit (p,): shape (n_rows,)."""
        out = np.empty(self.model.n_rows)
        with np.errstate(all="ignore"):
            for _, rows in self._blocks(1):
                predicted = self.model.value(coordinates[:, None], rows)
                out[rows] = self._residual(predicted, slice(0, 1), rows)[0][0]
        return out

    def _residual(
        self, predicted: Array, fits: slice, rows: slice
    ) -> tuple[Array, NDArray[np.bool_]]:
        target = _part(self.target, fits, rows)
        if not self.loss.log:
            return predicted - target, np.ones(len(predicted), dtype=bool)
        legal: NDArray[np.bool_] = np.all(predicted > 0, axis=1)
        return np.log(predicted / target), legal

    def _blocks(self, n_fits: int) -> Iterator[tuple[slice, slice]]:
        n_rows = self.model.n_rows
        row_step = min(n_rows, BLOCK)
        fit_step = max(1, BLOCK // row_step)
        for fit in range(0, n_fits, fit_step):
            for row in range(0, n_rows, row_step):
                yield slice(fit, min(fit + fit_step, n_fits)), slice(row, row + row_step)


def _part(values: Array, fits: slice, rows: slice) -> Array:
    return values[rows] if values.ndim == 1 else values[fits, rows]


def _rows_of(delta: float | Array, rows: slice) -> float | Array:
    return delta[rows] if isinstance(delta, np.ndarray) else delta
