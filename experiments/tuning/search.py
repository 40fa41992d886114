"""Coordinate descent on a noisy grid, and the certificate of its optimum.

**Search** (Kim et al. 2025, arXiv 2509.14786, with safeguards against noise). The search evaluates
a point and its neighbours along every axis and moves to the best of them until none is better.
Weight decay and epochs compensate for each other, so a point also has diagonal neighbours that
change both (`Grid.together`); without them, the search would stop on the ridge that the two axes
form. They are tried last. Far from the optimum, every neighbour gets one look (few seeds). Near it,
the point and every neighbour that its look does not show to be worse get all seeds. The search
moves only to a lower mean, and compares looks with looks, means over all seeds with means over all
seeds.

**Termination.** Settings and seed determine a run, so each point has one mean over the seeds of a
look and one over all seeds. Every move of the first phase lowers the former, every move of the
second phase the latter: neither phase visits a point twice, and the grid is finite.

**Noise.** All points are trained with the same seeds and compared seed by seed. Let x[p, s] be the
objective of seed s at point p, over the points of this search that have all n seeds, none of them
diverged. The noise is the residual standard deviation of the additive model x[p, s] = point + seed,
which removes the effect that a seed has at every point. It is pooled over all these points, because
the spread of three seeds at one point is a poor estimate, and has (points - 1) * (n - 1) degrees of
freedom. The mean difference of two points (the margin) has the standard error noise * sqrt(2 / n).
A neighbour is **better (or worse) by more than the noise** if its margin lies below (above) zero by
more than t standard errors, where t is the 97.5 % quantile of Student's distribution for these
degrees of freedom (about 2.2), for each neighbour by itself; otherwise it is a **tie**.

**Certificate.** A point is certified if all its neighbours have been run, none of them is better by
more than the noise, the noise is known (two seeds or more), no seed diverged at the point, and it
does not lie on an edge of the grid, beyond which a better neighbour may exist. The ties show how
sharply the optimum is determined. (The search itself continues as long as any neighbour has a lower
mean, whether or not the difference exceeds the noise: small steps down a long slope add up.)

**Optimism.** The lowest of several noisy means is biased low. Each seed in turn is left out of the
selection and evaluates the point selected without it. The mean of these held-out values minus the
plain mean at the optimum estimates the bias.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any, Literal, TypeVar

import numpy as np
from scipy.special import stdtrit

from experiments.tuning.grid import Direction, Grid, Point

LEVEL = 0.95
"""Confidence level of comparisons between two points."""

Verdict = Literal["better", "tie", "worse"]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How a search spends its runs.

    Attributes:
        n_look: seeds of the first look at a point.
        n_seeds: seeds of the optimum and of every neighbour that its look does not show to be
            worse by more than the noise.
        last: axes whose neighbours are tried only if no neighbour along the other axes is better.
            For an axis whose best value is roughly known, this saves runs at every other point.
    """

    n_look: int = 1
    n_seeds: int = 3
    last: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Residual standard deviation of the model point + seed; NaN if it is unknown.

    Attributes:
        sd: the standard deviation.
        df: its degrees of freedom.
    """

    sd: float
    df: int

    def stderr(self, n_seeds: int) -> float:
        """Return the standard error of the difference of two means over the same seeds."""
        return self.sd * math.sqrt(2 / n_seeds)

    @property
    def quantile(self) -> float:
        """Number of standard errors beyond which points differ; infinite if noise is unknown."""
        return float(stdtrit(self.df, (1 + LEVEL) / 2)) if self.df else math.inf


@dataclass(frozen=True, kw_only=True)
class Neighbor:
    """A point one step from the optimum, compared with it seed by seed.

    Attributes:
        direction: axes along which it lies.
        step: -1 below the optimum, 1 above.
        point: its values.
        margin: its mean objective minus that of the optimum, over the seeds of both.
        stderr: standard error of the margin; NaN if the noise is unknown.
        n_seeds: number of seeds that both have.
        verdict: better or worse by more than the noise, or a tie.
    """

    direction: Direction
    step: int
    point: Point
    margin: float
    stderr: float
    n_seeds: int
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The optimum that a search found, with everything that the search evaluated.

    Attributes:
        grid: the grid that was searched.
        n_look: seeds of a look.
        path: the points that the search moved through, from its start to the optimum.
        looks: mean objective over the seeds of a look at every point tried; infinite if a seed
            diverged.
        values: objective of each seed at the points that were run with all seeds.
    """

    grid: Grid
    n_look: int
    path: tuple[Point, ...]
    looks: Mapping[Point, float]
    values: Mapping[Point, tuple[float, ...]]

    @property
    def point(self) -> Point:
        """The best point."""
        return self.path[-1]

    @property
    def best(self) -> dict[str, Any]:
        """The best point's values by axis."""
        return self.grid.named(self.point)

    @property
    def loss(self) -> float:
        """Mean objective at the best point."""
        return fmean(self.values[self.point])

    @property
    def stderr(self) -> float:
        """Standard error of that mean, including the effects of seeds; NaN with one seed."""
        at_best = self.values[self.point]
        if len(at_best) < 2 or not math.isfinite(self.loss):
            return math.nan
        return float(np.std(at_best, ddof=1) / math.sqrt(len(at_best)))

    @cached_property
    def noise(self) -> Noise:
        """Noise between seeds, pooled over the points with all seeds."""
        return estimate_noise(self.values.values())

    @property
    def edges(self) -> tuple[str, ...]:
        """Axes on whose first or last value the optimum lies."""
        return self.grid.edges(self.point)

    @cached_property
    def neighbors(self) -> tuple[Neighbor, ...]:
        """Neighbours that were run, in the order of directions, lower before higher."""
        steps = [
            (direction, by, self.grid.step(self.point, direction, by))
            for direction in self.grid.directions()
            for by in (-1, 1)
        ]
        return tuple(
            self._compare(direction, by, near)
            for direction, by, near in steps
            if near is not None and near in self.looks
        )

    def _compare(self, direction: Direction, by: int, near: Point) -> Neighbor:
        if near in self.values:
            n_seeds = len(self.values[near])
            margin = fmean(self.values[near]) - self.loss
        else:
            n_seeds, margin = self.n_look, self.looks[near] - self.looks[self.point]
        stderr = self.noise.stderr(n_seeds)
        verdict: Verdict = "tie"
        if abs(margin) > self.noise.quantile * stderr or margin == math.inf:
            verdict = "better" if margin < 0 else "worse"
        return Neighbor(
            direction=direction, step=by, point=near, margin=margin, stderr=stderr, n_seeds=n_seeds,
            verdict=verdict,
        )  # fmt: skip

    def bracket(self, axis: str) -> tuple[float, float]:
        """Return the nearest values of an axis that are worse by more than the noise.

        All other axes stay at the optimum.

        Args:
            axis: name of an axis.

        Returns:
            The value below the optimum and that above it; 0 and infinity where none was run.
        """
        ends = {-1: 0.0, 1: math.inf}
        for by in ends:
            near = self.grid.step(self.point, (axis,), by)
            while near is not None:
                if near in self.looks and self._compare((axis,), by, near).verdict == "worse":
                    ends[by] = float(self.grid.named(near)[axis])
                    break
                near = self.grid.step(near, (axis,), by)
        return ends[-1], ends[1]

    @cached_property
    def flaws(self) -> tuple[str, ...]:
        """Reasons why the point is not certified, one phrase each; empty if it is certified."""
        flaws = [f"edge of {', '.join(self.edges)}"] if self.edges else []
        if not math.isfinite(self.loss):
            flaws.append("diverged")
        elif not self.noise.df:
            flaws.append("noise unknown: one seed")
        n_missing = len(self.grid.neighbors(self.point)) - len(self.neighbors)
        if n_missing:
            flaws.append(f"{n_missing} neighbours not run")
        flaws += [
            f"{self._place(near)} better by {-near.margin:.3f}"
            for near in self.neighbors
            if near.verdict == "better"
        ]
        return tuple(flaws)

    def _place(self, near: Neighbor) -> str:
        named = self.grid.named(near.point)
        return ", ".join(f"{axis} {named[axis]:g}" for axis in near.direction)

    @property
    def certified(self) -> bool:
        """Whether the point fulfils every condition of a certificate, see the module docstring."""
        return not self.flaws

    @property
    def optimism(self) -> float:
        """Estimated selection bias: how far the loss of the best point is too low."""
        points = np.array([v for v in self.values.values() if np.isfinite(v).all()])
        if points.ndim < 2 or points.shape[1] < 2:
            return math.nan
        others = points.sum(axis=1, keepdims=True) - points
        judged = points[others.argmin(axis=0), np.arange(points.shape[1])]
        return float(judged.mean() - points.mean(axis=1).min())


def estimate_noise(values: Iterable[Sequence[float]]) -> Noise:
    """Return the noise between seeds, pooled over points that were run with the same seeds.

    Points where a seed diverged are left out. With a single point, it is the standard deviation
    over its seeds, which includes the effects of seeds.
    """
    x_PxS = np.array([v for v in values if np.isfinite(v).all()])
    if x_PxS.ndim < 2 or x_PxS.shape[1] < 2:
        return Noise(sd=math.nan, df=0)
    residuals_PxS = x_PxS - x_PxS.mean(axis=1, keepdims=True)
    df = x_PxS.shape[1] - 1
    if len(x_PxS) > 1:
        residuals_PxS -= residuals_PxS.mean(axis=0)
        df *= len(x_PxS) - 1
    return Noise(sd=float(np.sqrt((residuals_PxS**2).sum() / df)), df=df)


@dataclass(frozen=True, kw_only=True)
class Request:
    """The points that a search needs the objective of, with the first `n_seeds` seeds."""

    points: tuple[Point, ...]
    n_seeds: int


Key = TypeVar("Key")
Evaluate = Callable[[Mapping[Key, Request]], Mapping[Key, Mapping[Point, Sequence[float]]]]
Asking = Generator[Request, Mapping[Point, tuple[float, ...]], None]


def descend(
    starts: Mapping[Key, Point], grid: Grid, evaluate: Evaluate[Key], effort: Effort
) -> dict[Key, Tuned]:
    """Return the minimum of each of several problems, such as model sizes.

    The searches advance together, so that each call of `evaluate` gets as many independent runs as
    possible.

    Args:
        starts: first point of each problem; it is moved to the nearest point of the grid.
        grid: the axes.
        evaluate: returns the objective (lower is better) of the requested points, one value per
            seed, with the seeds in the same order at every point; a look may return one value. A
            point is requested at most twice: for a look, and for all seeds.
        effort: how many seeds to run, and which axes to try last.

    Returns:
        The optimum of each problem.

    Raises:
        ValueError: `evaluate` left out a point or a seed, or an axis of `effort.last` is unknown.
    """
    unknown = ", ".join(name for name in effort.last if name not in grid.axes)
    if unknown:
        raise ValueError(f"last must name axes of {', '.join(grid.axes)}; not {unknown}")
    searches = {key: _Search(start, grid, effort) for key, start in starts.items()}
    asking = {key: search.run() for key, search in searches.items()}
    requests = {key: next(ask) for key, ask in asking.items()}
    while requests:
        answers = evaluate(requests)
        following: dict[Key, Request] = {}
        for key, request in requests.items():
            answer = _checked(key, request, answers.get(key, {}))
            with contextlib.suppress(StopIteration):
                following[key] = asking[key].send(answer)
        requests = following
    return {key: search.result() for key, search in searches.items()}


def measure(
    points: Mapping[Key, Point], grid: Grid, evaluate: Evaluate[Key], effort: Effort
) -> dict[Key, Tuned]:
    """Return what each of several problems reaches at a given point, without a search.

    Its neighbours are not run, so that no point is certified.

    Args:
        points: the point of each problem, on the grid.
        grid: the axes.
        evaluate: as for `descend`; asked once, for all seeds.
        effort: how many seeds.

    Raises:
        ValueError: `evaluate` left out a point.
    """
    requests = {
        key: Request(points=(point,), n_seeds=effort.n_seeds) for key, point in points.items()
    }
    answers = evaluate(requests)
    found = {}
    for key, point in points.items():
        values = _checked(key, requests[key], answers.get(key, {}))
        looks = {point: fmean(values[point][: effort.n_look])}
        found[key] = Tuned(
            grid=grid, n_look=effort.n_look, path=(point,), looks=looks, values=values
        )
    return found


def _checked(
    key: object, request: Request, answer: Mapping[Point, Sequence[float]]
) -> dict[Point, tuple[float, ...]]:
    """Return the objective of the requested points; diverged seeds are infinite, not NaN."""
    missing = [p for p in request.points if not len(answer.get(p, ()))]
    if missing:
        raise ValueError(f"no objective was returned for {missing} of {key!r}")
    return {
        p: tuple(float(v) if math.isfinite(v) else math.inf for v in answer[p])
        for p in request.points
    }


class _Search:
    """Search of one problem; its methods yield requests and are sent the objective."""

    def __init__(self, start: Point, grid: Grid, effort: Effort) -> None:
        self.grid, self.effort = grid, effort
        self.path = [grid.nearest(start)]
        self.looks: dict[Point, float] = {}
        self.values: dict[Point, tuple[float, ...]] = {}

    def result(self) -> Tuned:
        return Tuned(
            grid=self.grid, n_look=self.effort.n_look, path=tuple(self.path), looks=self.looks,
            values=self.values,
        )  # fmt: skip

    def run(self) -> Asking:
        """Descend with looks to the region of the optimum, then with all seeds to the optimum."""
        first = [name for name in self.grid.axes if name not in self.effort.last]
        while True:
            near = self.grid.neighbors(self.path[-1], first)
            yield from self._look([self.path[-1], *near])
            if not self._move(near, self.looks):
                break
        stages = [first, None] if self.effort.last or self.grid.together else [first]
        stage = 0
        while stage < len(stages):
            near = self.grid.neighbors(self.path[-1], stages[stage])
            yield from self._look([self.path[-1], *near])
            yield from self._settle(near)
            means = {p: fmean(v) for p, v in self.values.items()}
            stage = 0 if self._move(near, means) else stage + 1

    def _move(self, near: Sequence[Point], means: Mapping[Point, float]) -> bool:
        """Move to the best of the neighbours that have a mean; return False if none is better."""
        best = min((p for p in (self.path[-1], *near) if p in means), key=means.__getitem__)
        moved = best != self.path[-1]
        if moved:
            self.path.append(best)
        return moved

    def _look(self, points: Iterable[Point]) -> Asking:
        """Run the seeds of a look at the points that have none."""
        new = tuple(p for p in points if p not in self.looks)
        if new:
            answer = yield Request(points=new, n_seeds=self.effort.n_look)
            self.looks.update((p, fmean(answer[p])) for p in new)

    def _settle(self, near: Sequence[Point]) -> Asking:
        """Run all seeds at the point and at every neighbour that may be as good."""
        n_seeds = self.effort.n_seeds
        while new := self._contenders(near):
            answer = yield Request(points=new, n_seeds=n_seeds)
            for p in new:
                if len(answer[p]) != n_seeds:
                    raise ValueError(f"{len(answer[p])} of {n_seeds} seeds were returned for {p}")
                self.values[p] = answer[p]

    def _contenders(self, near: Sequence[Point]) -> tuple[Point, ...]:
        """Return those of the point and the neighbours not ruled out that lack some seeds."""
        point = self.path[-1]
        noise = estimate_noise(self.values.values())
        limit = self.looks[point]
        if not math.isfinite(fmean(self.values.get(point, (0.0,)))):
            limit = math.inf  # a later seed diverged, so any neighbour may be better
        elif noise.df:
            limit += noise.quantile * noise.stderr(self.effort.n_look)
        may_be_best = [p for p in near if math.isfinite(self.looks[p]) and self.looks[p] <= limit]
        return tuple(p for p in (point, *may_be_best) if p not in self.values)
