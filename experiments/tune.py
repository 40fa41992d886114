"""Coordinate descent on a grid, with the certificate that its optimum carries.

A point is **certified** when every neighbour along every axis has been tried and none is better
(Kim et al. 2025, arXiv 2509.14786). An optimum at an end of an axis has a neighbour that the grid
does not hold: it is reported as lying on that edge and is not certified.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Point = tuple[float, ...]
"""One value for each axis, in the order of the grid's axes."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values to try along each axis, ascending."""

    axes: Mapping[str, tuple[float, ...]]

    def nearest(self, point: Point) -> Point:
        """Move each coordinate to the nearest value of its axis, by ratio."""
        return tuple(
            min(values, key=lambda v: max(v / x, x / v))
            for values, x in zip(self.axes.values(), point, strict=True)
        )

    def neighbors(self, point: Point) -> list[Point]:
        """Return the points one step away along one axis."""
        found = []
        for i, values in enumerate(self.axes.values()):
            at = values.index(point[i])
            for j in (at - 1, at + 1):
                if 0 <= j < len(values):
                    found.append((*point[:i], values[j], *point[i + 1 :]))
        return found

    def edges(self, point: Point) -> tuple[str, ...]:
        """Name the axes at an end of which the point lies."""
        return tuple(
            name
            for (name, values), x in zip(self.axes.items(), point, strict=True)
            if x in (values[0], values[-1])
        )


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """Where a descent ended.

    Attributes:
        point: the best point.
        values: objective at every point tried.
        certified: all neighbours have been tried, none is better, none is missing, and the
            optimum itself did not diverge.
        edges: axes at an end of which the optimum lies.
    """

    point: Point
    values: Mapping[Point, float]
    certified: bool
    edges: tuple[str, ...]


Key = TypeVar("Key")
Evaluate = Callable[[Mapping[Key, list[Point]]], Mapping[Key, Mapping[Point, float]]]


def descend(starts: Mapping[Key, Point], grid: Grid, evaluate: Evaluate[Key]) -> dict[Key, Tuned]:
    """Find a certified minimum for each of several problems, all in step.

    Problems (model sizes, say) share rounds, so that every call of `evaluate` has as many
    independent points as there are to be had.

    Args:
        starts: first point of each problem, on the grid or near it.
        grid: the axes.
        evaluate: returns the objective (lower is better) of the points asked for; it may return
            others too. A point is asked for once.

    Returns:
        The optimum of each problem.

    Raises:
        ValueError: `evaluate` left out a point.
    """
    points = {key: grid.nearest(start) for key, start in starts.items()}
    values: dict[Key, dict[Point, float]] = {key: {} for key in starts}
    moving = set(starts)
    while moving:
        wanted = {
            key: [p for p in (points[key], *grid.neighbors(points[key])) if p not in values[key]]
            for key in starts
            if key in moving
        }
        for key, found in evaluate({key: ps for key, ps in wanted.items() if ps}).items():
            # A cell that diverged is infinitely bad, not incomparable.
            values[key].update({p: v if math.isfinite(v) else math.inf for p, v in found.items()})
        for key in list(moving):
            missing = [p for p in wanted[key] if p not in values[key]]
            if missing:
                raise ValueError(f"no objective was returned for {missing} of {key!r}")
            near = [points[key], *grid.neighbors(points[key])]
            best = min(near, key=lambda p: values[key][p])
            if best == points[key]:
                moving.discard(key)
            points[key] = best
    return {
        key: Tuned(
            point=points[key],
            values=values[key],
            certified=not grid.edges(points[key]) and math.isfinite(values[key][points[key]]),
            edges=grid.edges(points[key]),
        )
        for key in starts
    }
