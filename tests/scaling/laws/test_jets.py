"""Exact derivatives of formulas against differences in extended precision."""

from __future__ import annotations

import numpy as np
import pytest

from scaling.laws.curves import bounded_share
from scaling.laws.jets import parameter

FORMULAS = {
    "arithmetic": lambda a, b: (2.0 - a) / (1.0 + b * b) - a**2.5 + 3.0**b + a**b,
    "exponentials": lambda a, b: np.exp(-a * b) + np.expm1(a) - np.tanh(b),
    "logarithms": lambda a, b: np.log(a) + np.log1p(b) * np.sqrt(a * b) + np.logaddexp(a, -b),
    "choices": lambda a, b: np.minimum(a, 1.3) * b + np.maximum(a * b, 0.2) + np.abs(-a) / b,
    "implicit": lambda a, b: bounded_share(np.log(b) - 0.3 * a, a),
}


def derivatives(formula, a, b, *, log):
    jets = [parameter(k, np.array([[v]]), log=log, order=2) for k, v in enumerate((a, b))]
    found = formula(*jets)
    first = [found.first[k].item() for k in (0, 1)]
    return found.value.item(), first, {k: v.item() for k, v in found.second.items()}


@pytest.mark.parametrize("name", list(FORMULAS))
@pytest.mark.parametrize("log", [False, True])
def test_first_and_second_derivatives(name, log):
    formula, place = FORMULAS[name], np.array([0.7, 1.9])

    def at(shift):
        moved = place * np.exp(shift) if log else place + shift
        return np.asarray(formula(*(np.array([[v]]) for v in moved))).item()

    value, first, second = derivatives(formula, *place, log=log)
    h = 1e-4
    steps = np.eye(2) * h
    assert value == pytest.approx(at(np.zeros(2)), rel=1e-13)
    for k in (0, 1):
        assert first[k] == pytest.approx((at(steps[k]) - at(-steps[k])) / (2 * h), rel=1e-6)
        for other in range(k + 1):
            one, two = steps[k], steps[other]
            numeric = at(one + two) - at(one - two) - at(two - one) + at(-one - two)
            expected = numeric / (4 * h * h)
            assert second.get((k, other), 0.0) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_an_unknown_function_is_refused():
    with pytest.raises(TypeError):
        np.where([True], parameter(0, np.ones((1, 1)), log=False, order=1), 0.0)
    with pytest.raises(TypeError):
        np.arctan(parameter(0, np.ones((1, 1)), log=False, order=1))
