"""All curves of one graph in one table: simulation, exact expectation and laws."""

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
    """Columns of accuracy at common log-spaced times, filled one after the other.

    The long ones are iterators that yield after each part of the work. A column whose iterator is
    left early keeps its best estimate so far: the expectation from fewer sources, with their
    standard error; the simulation at the times already passed, else NaN.
    """

    def __init__(self, graph: EntityGraph, *, max_time: float, n_points: int) -> None:
        """Choose ``n_points`` whole steps up to ``max_time`` steps per ordered pair.

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
        """Return steps t, s = t / (V (V - 1)) and the columns so far."""
        import pandas as pd

        times = {"steps": self.steps, "s": self.steps / self.graph.n_pairs}
        return pd.DataFrame({**times, **self._columns})

    def add_laws(self, mean_degree: float) -> None:
        """Add ``printed``, ``corrected`` and ``limit_this_graph`` (with realised components).

        Raises:
            ValueError: where no law exists: at a mean degree of 1 or less, or too few entities.
        """
        arguments = (mean_degree, self.graph.n_entities, self.steps)
        corrected = finite_law(*arguments)
        self._columns["printed"] = printed_law(*arguments)
        self._columns["corrected"] = corrected
        self._columns["limit_this_graph"] = limit_law(*arguments, graph=self.graph)

    def add_exact(self, *, n_sources: int | None, ties: str, seed: int) -> Iterator[int]:
        """Add ``exact`` and ``exact_stderr``; yield the number of sources done."""
        for curve in accuracy_stream(self.graph, self.steps, n_sources, ties, seed):
            self._columns["exact"] = curve.accuracy
            self._columns["exact_stderr"] = curve.stderr
            yield curve.n_sources

    def add_simulation(self, *, n_runs: int, ties: str, seed: int) -> Iterator[int]:
        """Add ``simulation``, the mean over runs (and its error from two on); yield steps done."""
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
