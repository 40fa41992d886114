"""Exact first and second derivatives of a law's basis functions, by forward differentiation.

A `Jet` stands for an array in a formula and carries the derivatives of that array in the parameters
through every operation. A basis function written for arrays so needs no derivatives of its own.

Source:
    Griewank and Walther 2008, Evaluating Derivatives, chapters 3 and 13.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pair = tuple[int, int]


class Jet:
    """An array with its derivatives in the parameters.

    Attributes:
        value: the array.
        first: parameter k -> first derivative; parameters without one are left out.
        second: (k, l), k >= l -> second derivative, or None if only first ones are wanted.
    """

    def __init__(
        self, value: Array, first: dict[int, Array], second: dict[Pair, Array] | None = None
    ) -> None:
        self.value, self.first, self.second = value, first, second

    def apply(self, change: Callable[[Array], Array]) -> Jet:
        """The jet with a linear map, such as a sum over rows, applied to each of its arrays."""
        second = self.second
        return Jet(
            change(self.value),
            {k: change(part) for k, part in self.first.items()},
            None if second is None else {pair: change(part) for pair, part in second.items()},
        )

    def through(self, value: Array, slope: Array, bend: Array | float) -> Jet:
        """A function of one variable, by the chain rule.

        Args:
            value: the function at this jet.
            slope: its first derivative there.
            bend: its second derivative there.
        """
        first = {k: slope * part for k, part in self.first.items()}
        if self.second is None:
            return Jet(value, first)
        second = {pair: slope * part for pair, part in self.second.items()}
        for k, part in self.first.items():
            bent = bend * part
            for other, factor in self.first.items():
                if k >= other:
                    product, pair = bent * factor, (k, other)
                    second[pair] = second[pair] + product if pair in second else product
        return Jet(value, first, second)

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise TypeError("a function that is not a numpy ufunc has no derivative here")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        rule = RULES.get(ufunc.__name__)
        return NotImplemented if rule is None or method != "__call__" or options else rule(*inputs)

    def __neg__(self) -> Jet:
        return self.apply(np.negative)

    def __add__(self, other: Any) -> Jet:
        return _add(self, other)

    def __sub__(self, other: Any) -> Jet:
        return _add(self, -other)

    def __rsub__(self, other: Any) -> Jet:
        return _add(-self, other)

    def __mul__(self, other: Any) -> Jet:
        return _multiply(self, other)

    def __truediv__(self, other: Any) -> Jet:
        return _divide(self, other)

    def __rtruediv__(self, other: Any) -> Jet:
        return _divide(other, self)

    def __pow__(self, other: Any) -> Jet:
        return _power(self, other)

    def __rpow__(self, other: Any) -> Jet:
        return _power(other, self)

    __radd__, __rmul__ = __add__, __mul__


def parameter(k: int, value: Array, *, log: bool, order: int) -> Jet:
    """Parameter k as a jet in its coordinate.

    Args:
        k: number of the parameter.
        value: its values, shape (n_fits, 1).
        log: whether the coordinate is the logarithm of the parameter.
        order: 1 for first derivatives, 2 for second ones too.
    """
    if log:
        return Jet(value, {k: value}, {(k, k): value} if order == 2 else None)
    return Jet(value, {k: np.ones_like(value)}, {} if order == 2 else None)


def composed(
    value: Array, parts: list[Jet], slopes: list[Array], bends: list[list[Array | float]]
) -> Jet:
    """A function of several jets, by the chain rule.

    Args:
        value: the function.
        parts: the jets on which it depends.
        slopes: its first derivative in each of them.
        bends: its second derivatives: row i holds those with the parts 0 to i.
    """
    first: dict[int, Array] = {}
    for part, slope in zip(parts, slopes, strict=True):
        _accumulate(first, part.first, slope)
    if any(part.second is None for part in parts):
        return Jet(value, first)
    second: dict[Pair, Array] = {}
    for i, (part, slope) in enumerate(zip(parts, slopes, strict=True)):
        assert part.second is not None
        _accumulate(second, part.second, slope)
        for j, bend in enumerate(bends[i]):
            if not (isinstance(bend, float) and bend == 0.0):
                _accumulate(second, _products(part.first, parts[j].first, same=i == j), bend)
    return Jet(value, first, second)


def _products(left: dict[int, Array], right: dict[int, Array], *, same: bool) -> dict[Pair, Array]:
    """Products of first derivatives that belong to the second derivative of two parts."""
    if same:
        return {(k, other): left[k] * left[other] for k in left for other in left if k >= other}
    out: dict[Pair, Array] = {}
    for k, one in left.items():
        for other, factor in right.items():
            pair = (max(k, other), min(k, other))
            product = one * factor if k != other else 2.0 * one * factor
            out[pair] = out[pair] + product if pair in out else product
    return out


def _accumulate(total: dict[Any, Array], parts: dict[Any, Array], factor: Array | float) -> None:
    for key, part in parts.items():
        scaled = factor * part
        total[key] = total[key] + scaled if key in total else scaled


def _add(a: Any, b: Any) -> Jet:
    if not isinstance(a, Jet):
        a, b = b, a
    if not isinstance(b, Jet):
        return Jet(a.value + b, a.first, a.second)
    first = dict(a.first)
    for k, part in b.first.items():
        first[k] = first[k] + part if k in first else part
    if a.second is None or b.second is None:
        return Jet(a.value + b.value, first)
    second = dict(a.second)
    for pair, part in b.second.items():
        second[pair] = second[pair] + part if pair in second else part
    return Jet(a.value + b.value, first, second)


def _subtract(a: Any, b: Any) -> Jet:
    return _add(a, -b)


def _multiply(a: Any, b: Any) -> Jet:
    if not isinstance(a, Jet):
        a, b = b, a
    if not isinstance(b, Jet):
        return a.apply(lambda part: part * b)
    return composed(a.value * b.value, [a, b], [b.value, a.value], [[0.0], [1.0, 0.0]])


def _divide(a: Any, b: Any) -> Jet:
    if not isinstance(b, Jet):
        return a.apply(lambda part: part / b)
    inverse = 1.0 / b.value
    square = inverse * inverse
    return _multiply(b.through(inverse, -square, 2.0 * inverse * square), a)


def _power(a: Any, b: Any) -> Jet:
    if isinstance(b, Jet):
        return _exp(b * np.log(a))
    value = a.value**b
    slope = b * a.value ** (b - 1.0)
    return a.through(value, slope, (b - 1.0) * slope / a.value)


def _exp(a: Jet) -> Jet:
    value = np.exp(a.value)
    return a.through(value, value, value)


def _expm1(a: Jet) -> Jet:
    value = np.expm1(a.value)
    return a.through(value, value + 1.0, value + 1.0)


def _log(a: Jet) -> Jet:
    inverse = 1.0 / a.value
    return a.through(np.log(a.value), inverse, -inverse * inverse)


def _log1p(a: Jet) -> Jet:
    inverse = 1.0 / (1.0 + a.value)
    return a.through(np.log1p(a.value), inverse, -inverse * inverse)


def _sqrt(a: Jet) -> Jet:
    root = np.sqrt(a.value)
    return a.through(root, 0.5 / root, -0.25 / (root * a.value))


def _tanh(a: Jet) -> Jet:
    value = np.tanh(a.value)
    slope = 1.0 - value * value
    return a.through(value, slope, -2.0 * value * slope)


def _logaddexp(a: Any, b: Any) -> Jet:
    gap = b - a  # ln(e^a + e^b) = a + ln(1 + e^(b - a))
    value = np.logaddexp(0.0, gap.value)
    share = np.exp(gap.value - value)
    return gap.through(value, share, share * (1.0 - share)) + a


def _choose(take_first: Callable[[Any, Any], NDArray[np.bool_]]) -> Callable[[Any, Any], Jet]:
    def rule(a: Any, b: Any) -> Jet:
        one, other = (part.value if isinstance(part, Jet) else part for part in (a, b))
        chosen = take_first(one, other)
        return _add(_where(chosen, a), _where(~chosen, b))

    return rule


def _where(mask: NDArray[np.bool_], part: Any) -> Any:
    if isinstance(part, Jet):
        return part.apply(lambda values: np.where(mask, values, 0.0))
    return np.where(mask, part, 0.0)


RULES: dict[str, Callable[..., Jet]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    "negative": lambda a: -a,
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "sqrt": _sqrt,
    "square": lambda a: a * a,
    "reciprocal": lambda a: 1.0 / a,
    "tanh": _tanh,
    "logaddexp": _logaddexp,
    "minimum": _choose(np.less_equal),
    "maximum": _choose(np.greater_equal),
    "absolute": lambda a: a * np.sign(a.value),
}
"""Numpy's functions that know their derivatives; a law that uses others is differenced."""
