"""One table of all curves of a graph: simulation, exact expectation and laws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graphsim._html import curve_html
from graphsim.exact import accuracy_stream
from graphsim.graph import EntityGraph
from graphsim.laws import finite_law, limit_law, printed_law
from graphsim.process import simulation_stream

if TYPE_CHECKING:
    import pandas as pd


class CurveTable:
    """Accuracy at common log-spaced times, a column per method.

    The slow columns are added by iterators that yield after each part of the work. If an iterator
    is stopped early, its column keeps the estimate so far: the expectation from fewer sources with
    their standard error, or the simulation with NaN at the times not yet reached.
    """

    def __init__(self, graph: EntityGraph, *, max_time: float, n_points: int) -> None:
        """Choose the times.

        Args:
            graph: the graph.
            max_time: last time, in steps per ordered pair.
            n_points: number of times, log-spaced and rounded down to whole steps.

        Raises:
            ValueError: for a time that is not above 0, or fewer than two points.
        """
        if not 0 < max_time < np.inf:
            raise ValueError(f"max_time must be above 0 and finite, not {max_time!r}")
        if n_points < 2:
            raise ValueError(f"n_points must be 2 or more, not {n_points}")
        self.graph = graph
        last = max(max_time * graph.n_pairs, 2)
        self.steps = np.unique(np.floor(np.geomspace(1, last, n_points)))
        self._columns: dict[str, NDArray[np.float64]] = {}

    def _repr_html_(self) -> str:
        frame = self.frame()
        return curve_html("share of pairs known", {str(name): frame[name] for name in frame})

    def frame(self) -> pd.DataFrame:
        """Return a row per time: columns steps (t), s = t / (V (V - 1)) and those added so far."""
        import pandas as pd

        times = {"steps": self.steps, "s": self.steps / self.graph.n_pairs}
        return pd.DataFrame({**times, **self._columns})

    def add_laws(self, mean_degree: float) -> None:
        """Add columns printed, corrected and limit_this_graph (with the graph's components).

        Raises:
            ValueError: where no law exists: at a mean degree of 1 or less, or too few entities.
        """
        arguments = (mean_degree, self.graph.n_entities, self.steps)
        corrected = finite_law(*arguments)
        self._columns["printed"] = printed_law(*arguments)
        self._columns["corrected"] = corrected
        self._columns["limit_this_graph"] = limit_law(*arguments, graph=self.graph)

    def add_exact(self, *, n_sources: int | None, ties: str, seed: int) -> Iterator[int]:
        """Add columns exact and exact_stderr, and yield the number of sources done.

        Args:
            n_sources: number of sampled sources, or None for all.
            ties: rule for shortest paths; see `expected_accuracy`.
            seed: random seed of the sources and the random parents.
        """
        for curve in accuracy_stream(self.graph, self.steps, n_sources, ties, seed):
            self._columns["exact"] = curve.accuracy
            self._columns["exact_stderr"] = curve.stderr
            yield curve.n_sources

    def add_simulation(self, *, n_runs: int, ties: str, seed: int) -> Iterator[int]:
        """Add column simulation, the mean over runs, and yield the number of steps done.

        From the second run on, column simulation_stderr is the standard error of that mean.

        Args:
            n_runs: number of independent runs.
            ties: rule for shortest paths; see `expected_accuracy`.
            seed: random seed of the runs.
        """
        n_steps = int(self.steps[-1])
        done: list[NDArray[np.float64]] = []
        for run in range(n_runs):
            stream = simulation_stream(
                self.graph, n_steps, seed, run=run, times=self.steps, ties=ties
            )
            for trajectory in stream:
                accuracy = np.full(len(self.steps), np.nan)
                accuracy[: len(trajectory.accuracy)] = trajectory.accuracy
                if not done:
                    self._columns["simulation"] = accuracy
                yield run * n_steps + trajectory.n_steps
            done.append(accuracy)
            self._columns["simulation"] = np.mean(done, axis=0)
            if len(done) > 1:
                spread = np.std(done, axis=0, ddof=1) / np.sqrt(len(done))
                self._columns["simulation_stderr"] = spread
