"""Accuracy curves of one entity graph: laws, exact expectation, simulation."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.files import replacing
from experiments.progress import WorkProgress
from graphsim import (
    AccuracyCurve,
    EntityGraph,
    accuracy_stream,
    finite_law,
    limit_law,
    printed_law,
    simulation_stream,
)


class GraphCurves:
    """Columns of accuracy at common times, filled one after the other.

    A column that is interrupted keeps its best estimate so far (the expectation, by then from
    fewer sources and with a standard error) or the times already passed (the simulation).
    """

    def __init__(self, graph: EntityGraph, *, max_time: float, n_points: int) -> None:
        self.graph = graph
        last = max_time * graph.n_pairs
        self.steps = np.unique(np.floor(np.geomspace(1, max(last, 2), n_points)))
        self._columns: dict[str, np.ndarray] = {}

    def frame(self) -> pd.DataFrame:
        """Return steps, s, and the columns so far."""
        times = {"steps": self.steps, "s": self.steps / self.graph.n_pairs}
        return pd.DataFrame({**times, **self._columns})

    def save(self, path: Path) -> None:
        """Write the CSV, whole or not at all."""
        with replacing(path) as beside:
            self.frame().to_csv(beside, index=False)

    def add_laws(self, mean_degree: float) -> None:
        """Add both laws where they exist: above a mean degree of 1."""
        if mean_degree <= 1:
            return
        size = self.graph.n_entities
        self._columns["printed"] = printed_law(mean_degree, size, self.steps)
        self._columns["corrected"] = finite_law(mean_degree, size, self.steps)
        self._columns["limit_this_graph"] = limit_law(
            mean_degree, size, self.steps, graph=self.graph
        )

    def add_exact(self, *, n_sources: int | None, ties: str, seed: int) -> None:
        """Add the expectation and its standard error."""
        curves = accuracy_stream(self.graph, self.steps, n_sources, ties, seed)
        total = min(n_sources or self.graph.n_entities, self.graph.n_entities)
        with WorkProgress("exact expectation", n_jobs=total, work=total) as progress:
            for curve in curves:
                progress.advance(curve.n_sources - progress.work_done)
                progress.jobs_done = curve.n_sources
                self._set("exact", curve)

    def add_simulation(self, *, n_runs: int, ties: str, seed: int) -> None:
        """Add the mean of simulated runs, and their standard error from the second run on."""
        n_steps = int(self.steps[-1])
        done: list[np.ndarray] = []
        with WorkProgress("simulation", n_jobs=n_runs, work=n_runs * n_steps) as progress:
            for run in range(n_runs):
                before, shown = 0, time.monotonic()
                stream = simulation_stream(
                    self.graph, n_steps, seed, run=run, times=self.steps, ties=ties
                )
                for trajectory in stream:
                    progress.advance(trajectory.n_steps - before)
                    before = trajectory.n_steps
                    if not done and time.monotonic() - shown > 1:
                        self._columns["simulation"] = self._padded(trajectory.accuracy)
                        shown = time.monotonic()
                done.append(trajectory.accuracy)
                progress.finish_job()
                self._columns["simulation"] = np.mean(done, axis=0)
                if len(done) > 1:
                    spread = np.std(done, axis=0, ddof=1) / np.sqrt(len(done))
                    self._columns["simulation_stderr"] = spread

    def _set(self, name: str, curve: AccuracyCurve) -> None:
        self._columns[name] = curve.accuracy
        self._columns[f"{name}_stderr"] = curve.stderr

    def _padded(self, accuracy: np.ndarray) -> np.ndarray:
        missing = np.full(len(self.steps) - len(accuracy), np.nan)
        return np.concatenate([accuracy, missing])


def draw_curves(frame: pd.DataFrame, path: Path) -> Path:
    """Draw all curves of a frame over s as a PNG; return its path."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    looks = {
        "simulation": {"color": "#0072B2", "marker": "o", "linestyle": "none", "markevery": 4},
        "exact": {"color": "#000000", "linestyle": "-"},
        "printed": {"color": "#D55E00", "linestyle": "--"},
        "corrected": {"color": "#009E73", "linestyle": "-."},
        "limit_this_graph": {"color": "#CC79A7", "linestyle": ":"},
    }
    figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for name, look in looks.items():
        if name in frame:
            ax.plot(frame["s"], frame[name], label=name.replace("_", " "), **look)  # type: ignore[arg-type]
    stderr = frame["exact_stderr"]
    ax.fill_between(
        frame["s"], frame["exact"] - 2 * stderr, frame["exact"] + 2 * stderr, color="#56B4E9",
        alpha=0.5, linewidth=0,
    )  # fmt: skip
    ax.set(xscale="log", xlabel="steps per ordered pair, s", ylabel="share of pairs known")
    ax.legend(frameon=False)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=160)
    plt.close(figure)
    return path
