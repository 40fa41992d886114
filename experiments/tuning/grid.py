"""Grids of hyperparameters: what a search may try, and what lies next to what."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Point = tuple[float, ...]
"""One value for each axis, in the order of the grid's axes."""

Direction = tuple[str, ...]
"""Axes along which a step moves by one value each, all up or all down."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values to try along each axis; an axis of one value is held fixed.

    Attributes:
        axes: values, ascending and not negative.
        widest: the least and the greatest value to which an axis may be widened; it grows by the
            ratio of its last two values at that end, only as far as a search goes.
        together: axes along which a point has neighbours in step too, beside those along each axis
            by itself; a search tries them where none of those is better. Where two axes make up for
            each other, the objective has a ridge, on which a point can be better than its
            neighbours along both and yet far from the best.

    Raises:
        ValueError: values that are not finite, not ascending or negative; a widening of no axis,
            or a direction along no axis.
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
        """Every value that a search may reach, by axis."""
        return {
            name: _widened(values, *self.widest.get(name, (values[0], values[-1])))
            for name, values in self.axes.items()
        }

    def named(self, point: Point) -> dict[str, Any]:
        """Return a point's values (numbers) by axis, to be passed on as keyword arguments."""
        return dict(zip(self.axes, point, strict=True))

    def nearest(self, point: Point) -> Point:
        """Move each coordinate to the nearest value of its axis, by ratio.

        Zero is near to nothing but itself: it moves to an axis's least value, and nothing moves
        to it.
        """
        return tuple(
            min(values, key=lambda v: _ratio(v, x))
            for values, x in zip(self.values.values(), point, strict=True)
        )

    def directions(self, axes: Collection[str] | None = None) -> list[Direction]:
        """Return these axes, each by itself; by default all, and then those in step."""
        alone: list[Direction] = [(axis,) for axis in axes or self.axes]
        return alone if axes else [*alone, *self.together]

    def step(self, point: Point, direction: Direction, by: int) -> Point | None:
        """Return the point `by` values along a direction (-1 or 1), or None beyond an end."""
        there = list(point)
        for axis in direction:
            i, values = list(self.axes).index(axis), self.values[axis]
            at = values.index(point[i]) + by
            if not 0 <= at < len(values):
                return None
            there[i] = values[at]
        return tuple(there)

    def neighbors(self, point: Point, axes: Collection[str] | None = None) -> list[Point]:
        """Return the points a step away along these axes; by default along all directions."""
        steps = (self.step(point, to, by) for to in self.directions(axes) for by in (-1, 1))
        return [found for found in steps if found is not None]

    def edges(self, point: Point) -> tuple[str, ...]:
        """Name the axes at an end of which the point lies, though values lie beyond that end.

        Nothing lies beyond zero, and an axis held fixed has no ends.
        """
        return tuple(
            name
            for (name, values), x in zip(self.values.items(), point, strict=True)
            if len(values) > 1 and (x == values[-1] or 0 < x == values[0])
        )

    def widened(self, point: Point) -> tuple[str, ...]:
        """Name the axes along which the point lies beyond the values that they list."""
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
    """Add values at both ends by the ratio of the last two there, up to the caps."""
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
