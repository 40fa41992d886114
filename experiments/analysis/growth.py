"""Growth with the logarithm of size, in the lower and in the upper half of the sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_SIZES = 4
"""Fewest sizes: three up to the middle one, two from there on."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Straight lines in ln size up to a middle size and from there on.

    Attributes:
        middle: the size that both lines include.
        before: slope up to it, for each factor e of size.
        after: slope from there on.
        rise: what the first line gains from the smallest to the middle size.
        departure: root mean squared distance of the values up to the middle from that line.
    """

    middle: float
    before: float
    after: float
    rise: float
    departure: float


def growth_of(sizes: Sequence[float] | np.ndarray, values: np.ndarray) -> Growth:
    """Return the least-squares lines through both halves of a curve.

    Args:
        sizes: ascending, four or more [n].
        values: at these sizes [n].

    Raises:
        ValueError: fewer than four sizes.
    """
    if len(sizes) < LEAST_SIZES:
        raise ValueError(f"two lines need {LEAST_SIZES} sizes; there are {len(sizes)}")
    x, y, middle = np.log(np.asarray(sizes, float)), np.asarray(values, float), len(sizes) // 2
    lower, upper = slice(middle + 1), slice(middle, None)
    line = np.polyfit(x[lower], y[lower], 1)
    return Growth(
        middle=float(sizes[middle]),
        before=float(line[0]),
        after=float(np.polyfit(x[upper], y[upper], 1)[0]),
        rise=float(line[0] * (x[middle] - x[0])),
        departure=float(np.sqrt(np.mean((y[lower] - np.polyval(line, x[lower])) ** 2))),
    )
