"""Grids of hyperparameters: the values of each axis and the neighbours of a point."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Point = tuple[float, ...]
"""One value per axis, in the order of the grid's axes."""

Direction = tuple[str, ...]
"""Axes that a step changes by one value each, all up or all down."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values to try along each axis; an axis with one value is held fixed.

    Attributes:
        axes: values of each axis, ascending and not negative.
        widest: smallest and largest value to which an axis may be extended. It is extended by the
            ratio of its last two values at that end, and only as far as a search goes.
        together: axes that a point has diagonal neighbours along, in addition to its neighbours
            along single axes; a search tries them if none of those is better. Two axes that
            compensate for each other form a ridge, on which a point can be better than its
            neighbours along both axes and still be far from the optimum.

    Raises:
        ValueError: values that are negative, not finite or not ascending, or an unknown axis in
            `widest` or `together`.
    """

    axes: Mapping[str, tuple[float, ...]]
    widest: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    together: tuple[Direction, ...] = ()

    def __post_init__(self) -> None:
        for name, values in self.axes.items():
            ascending = list(values) == sorted(set(values))
            if not values or not ascending or values[0] < 0 or not math.isfinite(values[-1]):
                raise ValueError(f"{name} must list ascending values >= 0; not {values}")
        for name in self.widest:
            if name not in self.axes:
                raise ValueError(f"widest must name one of {', '.join(self.axes)}; not {name!r}")
        for name in {name for direction in self.together for name in direction}:
            if name not in self.axes:
                raise ValueError(f"together must name some of {', '.join(self.axes)}; not {name!r}")

    @cached_property
    def values(self) -> dict[str, tuple[float, ...]]:
        """All values that a search may reach, by axis."""
        return {
            name: _widened(values, *self.widest.get(name, (values[0], values[-1])))
            for name, values in self.axes.items()
        }

    def named(self, point: Point) -> dict[str, Any]:
        """Return the values of a point by axis, to be used as keyword arguments."""
        return dict(zip(self.axes, point, strict=True))

    def nearest(self, point: Point) -> Point:
        """Return the point of the grid that is nearest to a point, by ratio along each axis.

        Only zero is near zero: other values never move to it, and zero moves to the smallest value
        of an axis that does not contain it.
        """
        return tuple(
            min(values, key=lambda v: _ratio(v, x))
            for values, x in zip(self.values.values(), point, strict=True)
        )

    def directions(self, axes: Collection[str] | None = None) -> list[Direction]:
        """Return the directions along given axes; by default all axes, then the diagonals."""
        alone: list[Direction] = [(axis,) for axis in axes or self.axes]
        return alone if axes else [*alone, *self.together]

    def step(self, point: Point, direction: Direction, by: int) -> Point | None:
        """Return the point one step along a direction, or None beyond the end of an axis.

        Args:
            point: where the step starts.
            direction: axes to change.
            by: -1 (lower) or 1 (higher).
        """
        there = list(point)
        for axis in direction:
            i, values = list(self.axes).index(axis), self.values[axis]
            at = values.index(point[i]) + by
            if not 0 <= at < len(values):
                return None
            there[i] = values[at]
        return tuple(there)

    def neighbors(self, point: Point, axes: Collection[str] | None = None) -> list[Point]:
        """Return the points one step away along given axes; by default in all directions."""
        steps = (self.step(point, to, by) for to in self.directions(axes) for by in (-1, 1))
        return [found for found in steps if found is not None]

    def edges(self, point: Point) -> tuple[str, ...]:
        """Return the axes on whose first or last value the point lies.

        A first value of zero does not count, and neither does an axis held fixed.
        """
        return tuple(
            name
            for (name, values), x in zip(self.values.items(), point, strict=True)
            if len(values) > 1 and (x == values[-1] or 0 < x == values[0])
        )

    def widened(self, point: Point) -> tuple[str, ...]:
        """Return the axes along which the point lies outside the values of `axes`."""
        return tuple(
            name
            for (name, values), x in zip(self.axes.items(), point, strict=True)
            if not values[0] <= x <= values[-1]
        )


def _ratio(a: float, b: float) -> float:
    if a == b:
        return 1.0
    return max(a, b) / min(a, b) if min(a, b) > 0 else math.inf


def _widened(values: tuple[float, ...], least: float, greatest: float) -> tuple[float, ...]:
    """Extend values at both ends by the ratio of the last two there, up to the caps."""
    if len(values) < 2:
        return values
    below, above = [values[0]], [values[-1]]
    if values[0] > 0:
        ratio = values[1] / values[0]
        while (following := below[-1] / ratio) >= least:
            below.append(following)
    if values[-2] > 0:
        ratio = values[-1] / values[-2]
        while (following := above[-1] * ratio) <= greatest:
            above.append(following)
    return (*below[:0:-1], *values, *above[1:])
