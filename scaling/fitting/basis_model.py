"""Laws given by a basis function, evaluated on the rows of a table for many parameter vectors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.laws.jets import Jet, parameter
from scaling.laws.laws import Law

Array = NDArray[np.float64]
Columns = dict[str, Array]
Curvature = Callable[[Array], Array]


def _contract(weights: Array, factor: Array) -> Array:
    """Sum over rows of weights (n_fits, n_rows) times a factor that broadcasts to that shape."""
    if factor.shape == weights.shape:
        return np.einsum("bn,bn->b", weights, factor)
    return np.einsum("bn,bn->b", weights, np.broadcast_to(factor, weights.shape))


def _usable(part: Array) -> Array:
    """Absolute value; 1 where it is not finite or nearly zero."""
    sizes = np.abs(part)
    return np.where(np.isfinite(sizes) & (sizes > 1e-200), sizes, 1.0)


FEW_LINEAR = 4
FIRST_STEP = 6e-6
SECOND_STEP = 1e-4


class BasisModel:
    """A law given by a basis function; derivatives in the nonlinear parameters by differences.

    Internally each basis function is divided by its value at the geometric mean of the columns,
    which corresponds to the centring of power terms; `uncentred` lists the coefficients without it.
    Derivatives in the parameters listed in `pinned` are not needed and are zero.
    """

    def __init__(
        self,
        law: Law,
        columns: Columns,
        uncentred: Collection[str] = (),
        pinned: Collection[str] = (),
    ) -> None:
        assert law.basis is not None
        self.function = law.basis
        self.names = [parameter.name for parameter in law.nonlinear]
        self.log = np.array([parameter.log for parameter in law.nonlinear], dtype=bool)
        self.n_linear, self.n_nonlinear = len(law.linear), len(law.nonlinear)
        self.moving = [k for k, name in enumerate(self.names) if name not in pinned]
        self.costly_curvature = len(self.moving) > 2
        self.curved = bool(self.moving)
        self.many_linear = not self.moving and self.n_linear > FEW_LINEAR
        self.offset = law.offset
        self.centred = [j for j, c in enumerate(law.linear) if c.name not in uncentred]
        self.middle = {
            name: np.array([values.mean() if name in law.flags else np.exp(np.log(values).mean())])
            for name, values in columns.items()
        }
        self.columns = columns
        self.n_rows = len(next(iter(columns.values())))

    def subset(self, rows: NDArray[np.int64]) -> BasisModel:
        """See `Model`."""
        return self.at({name: values[rows] for name, values in self.columns.items()})

    def at(self, columns: Columns) -> BasisModel:
        """See `Model`."""
        out = copy.copy(self)
        out.columns, out.n_rows = columns, len(next(iter(columns.values())))
        return out

    def _natural(self, theta: Array) -> Array:
        return np.where(self.log[:, None], np.exp(np.where(self.log[:, None], theta, 0.0)), theta)

    def basis(self, theta: Array, rows: slice) -> list[Array]:
        """See `Model`."""
        columns = self._with_middle(rows)
        if not self.moving:  # all fits have the same parameters
            one = self._raw(theta[:, :1], columns)
            shape = theta.shape[1], one[0].shape[1] - 1
            return [np.broadcast_to(part[:, :-1], shape) for part in one]
        found = self._raw(theta, columns)
        return [
            part[:, :-1] / _usable(part[:, -1:]) if j in self.centred else part[:, :-1]
            for j, part in enumerate(found)
        ]

    def _with_middle(self, rows: slice) -> Columns:
        """Columns of some rows, with a last row at which the size of basis functions is taken."""
        return {n: np.append(values[rows], self.middle[n]) for n, values in self.columns.items()}

    def _raw(self, theta: Array, columns: Columns) -> list[Array]:
        natural = self._natural(theta)
        shape = (theta.shape[1], len(next(iter(columns.values()))))
        parameters = {name: natural[k][:, None] for k, name in enumerate(self.names)}
        found = self.function(columns, parameters)
        return [np.broadcast_to(np.asarray(part, dtype=float), shape) for part in found]

    def _sizes(self, theta: Array) -> Array:
        """Absolute value of each basis function at the middle of the table: shape (m, fits)."""
        middle = self._raw(theta, self.middle)[: self.n_linear]
        return np.stack([_usable(part[:, 0]) for part in middle])

    def _linear(self, coordinates: Array) -> Array:
        """Coefficients of all basis functions: the linear ones, and one for an offset."""
        linear = coordinates[: self.n_linear]
        return np.concatenate([linear, np.ones_like(coordinates[:1])]) if self.offset else linear

    def _combine(self, coordinates: Array, terms: list[Array]) -> Array:
        total = coordinates[0][:, None] * terms[0]
        if self.offset:
            total = total + terms[self.n_linear]
        for j in range(1, self.n_linear):
            total = total + coordinates[j][:, None] * terms[j]
        return total

    def value(self, coordinates: Array, rows: slice) -> Array:
        """See `Model`."""
        terms = self.basis(coordinates[self.n_linear :], rows)
        if self.many_linear:
            return self._linear(coordinates).T @ np.stack([part[0] for part in terms])
        return self._combine(coordinates, terms)

    def _moved(self, coordinates: Array, steps: dict[int, float], rows: slice) -> list[Array]:
        theta = coordinates[self.n_linear :].copy()
        for k, step in steps.items():
            theta[k] += step * self._unit(theta[k], k)
        return self.basis(theta, rows)

    def _unit(self, theta: Array, k: int) -> Array:
        return np.ones_like(theta) if self.log[k] else np.maximum(np.abs(theta), 1e-3)

    def derivatives(
        self, coordinates: Array, rows: slice, *, second: bool = True
    ) -> tuple[Array, list[Array], Curvature]:
        """See `Model`."""
        m, q = self.n_linear, self.n_nonlinear
        terms = self.basis(coordinates[m:], rows)
        first: list[Array] = list(terms[:m])
        still = np.zeros_like(terms[0])
        for k in range(q):
            if k not in self.moving:
                first.append(still)
                continue
            ahead = self._combine(coordinates, self._moved(coordinates, {k: FIRST_STEP}, rows))
            behind = self._combine(coordinates, self._moved(coordinates, {k: -FIRST_STEP}, rows))
            unit = self._unit(coordinates[m + k], k)[:, None]
            first.append((ahead - behind) / (2 * FIRST_STEP * unit))

        def curvature(weights: Array) -> Array:
            return self._curvature(coordinates, terms, weights, rows)

        return self._combine(coordinates, terms), first, curvature

    def _curvature(
        self, coordinates: Array, terms: list[Array], weights: Array, rows: slice
    ) -> Array:
        """Second differences, contracted with `weights` over rows: shape (p, p, fits)."""
        m, q, h = self.n_linear, self.n_nonlinear, SECOND_STEP

        def contract(moved: list[Array]) -> Array:
            return np.stack([_contract(weights, part) for part in moved])

        here = contract(terms)
        moving = self.moving
        ahead = {k: contract(self._moved(coordinates, {k: h}, rows)) for k in moving}
        behind = {k: contract(self._moved(coordinates, {k: -h}, rows)) for k in moving}
        units = [self._unit(coordinates[m + k], k) for k in range(q)]
        linear = self._linear(coordinates)
        out = np.zeros((m + q, m + q, weights.shape[0]))
        for k in moving:
            mixed = (ahead[k] - behind[k]) / (2 * h * units[k])
            out[:m, m + k] = out[m + k, :m] = mixed[:m]
            second = (ahead[k] - 2 * here + behind[k]) / (h * units[k]) ** 2
            out[m + k, m + k] = (linear * second).sum(axis=0)
            for other in moving[: moving.index(k)]:
                both = contract(self._moved(coordinates, {k: h, other: h}, rows))
                cross = both - ahead[k] - ahead[other] + here
                cross = (linear * cross).sum(axis=0) / (h * h * units[k] * units[other])
                out[m + k, m + other] = out[m + other, m + k] = cross
        return out

    def printed(self, coordinates: Array) -> Array:
        """See `Model`."""
        out = coordinates.copy()
        out[self.n_linear :] = self._natural(coordinates[self.n_linear :])
        if self.moving:
            with np.errstate(all="ignore"):
                sizes = self._sizes(coordinates[self.n_linear :])
            out[self.centred] /= sizes[self.centred]
        return out

    def internal(self, parameters: Array) -> Array:
        """See `Model`."""
        out = parameters.copy()
        theta = parameters[self.n_linear :]
        logged = np.log(np.where(self.log[:, None], theta, 1.0))
        out[self.n_linear :] = np.where(self.log[:, None], logged, theta)
        if self.moving:
            with np.errstate(all="ignore"):
                sizes = self._sizes(out[self.n_linear :])
            out[self.centred] *= sizes[self.centred]
        return out


class JetModel(BasisModel):
    """A law given by a basis function of numpy ufuncs, with exact derivatives; see `Jet`."""

    def differentiable(self) -> bool:
        """Whether the basis function consists of operations that know their derivatives.

        If so, those that are one everywhere, as that of E, are not divided by their size again.
        """
        try:
            found = self._jets(np.ones((self.n_nonlinear, 1)), self.middle, order=1)
        except (TypeError, AttributeError):
            return False
        self.centred = [j for j in self.centred if found[j].first or np.any(found[j].value != 1.0)]
        return True

    def derivatives(
        self, coordinates: Array, rows: slice, *, second: bool = True
    ) -> tuple[Array, list[Array], Curvature]:
        """See `Model`."""
        m, order = self.n_linear, 2 if second else 1
        columns = self._with_middle(rows)
        shape = (coordinates.shape[1], len(next(iter(columns.values()))) - 1)
        linear = self._linear(coordinates)[:, :, None]
        raw = self._jets(coordinates[m:], columns, order=order)
        sizes = self._jet_sizes(raw, shape[0])
        raw = [part.apply(_without_middle) for part in raw]
        total, by_coefficient = np.zeros(shape), []
        slopes = [np.zeros(shape) for _ in range(self.n_nonlinear)]
        for j, (part, size) in enumerate(zip(raw, sizes, strict=True)):
            term = Jet(part.value, part.first)
            if size is not None:
                term = term / Jet(size.value, size.first).apply(lambda values: values[:, None])
            by_coefficient.append(np.broadcast_to(term.value, shape))
            total += linear[j] * term.value
            for k, slope in term.first.items():
                slopes[k] += linear[j] * slope

        def curvature(weights: Array) -> Array:
            return self._exact_curvature(self._linear(coordinates), raw, sizes, weights)

        return total, [*by_coefficient[:m], *slopes], curvature

    def _exact_curvature(
        self, linear: Array, raw: list[Jet], sizes: list[Jet | None], weights: Array
    ) -> Array:
        """Second derivatives contracted with `weights` over rows: shape (p, p, fits)."""
        m, p = self.n_linear, self.n_linear + self.n_nonlinear
        out = np.zeros((p, p, len(weights)))
        if not self.moving:
            return out
        for j, (part, size) in enumerate(zip(raw, sizes, strict=True)):
            # the size of a basis function is the same for all rows, so they are summed first
            term = part.apply(lambda values: _contract(weights, values))
            term = term if size is None else term / size
            if j < m:
                for k, slope in term.first.items():
                    out[j, m + k] = out[m + k, j] = slope
            assert term.second is not None
            for (k, other), bend in term.second.items():
                out[m + k, m + other] += linear[j] * bend
                if k != other:
                    out[m + other, m + k] += linear[j] * bend
        return out

    def _jets(self, theta: Array, columns: Columns, *, order: int) -> list[Jet]:
        natural = self._natural(theta)[:, :, None]
        parameters: dict[str, Any] = {
            name: parameter(k, natural[k], log=bool(self.log[k]), order=order)
            if k in self.moving
            else natural[k]
            for k, name in enumerate(self.names)
        }
        empty: dict[Any, Array] | None = {} if order == 2 else None
        return [
            part if isinstance(part, Jet) else Jet(np.asarray(part, dtype=float), {}, empty)
            for part in self.function(columns, parameters)
        ]

    def _jet_sizes(self, raw: list[Jet], n_fits: int) -> list[Jet | None]:
        """Absolute value of each basis function in the last row; None if it is not divided."""
        sizes: list[Jet | None] = [None] * len(raw)
        for j in self.centred if self.moving else ():
            part = raw[j].apply(lambda v: np.broadcast_to(np.atleast_1d(v)[..., -1], n_fits))
            sizes[j] = _usable_size(part)
        return sizes


def _without_middle(values: Array) -> Array:
    """Values without the last row, unless they are the same for all rows."""
    return values[..., :-1] if values.ndim and values.shape[-1] > 1 else values


def _usable_size(part: Jet) -> Jet:
    """Absolute value of a jet; constant 1 where it is not finite or nearly zero, as in `_sizes`."""
    size = np.abs(part.value)
    usable = np.isfinite(size) & (size > 1e-200)
    sign = np.sign(part.value)
    scaled = part.apply(lambda values: np.where(usable, sign * values, 0.0))
    return Jet(np.where(usable, size, 1.0), scaled.first, scaled.second)
