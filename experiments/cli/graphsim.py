"""`datawall graphsim`: simulation, exact expectation and laws of EntiGraph's random graph."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from experiments.cli.options import readable

if TYPE_CHECKING:
    import pandas as pd

    from graphsim import CurveTable, EntityGraph

SAMPLED_ABOVE = 20_000
"""Number of entities above which the expectation samples sources by default."""


@readable
@dataclass(frozen=True, kw_only=True)
class Graphsim:
    """Compare simulation, exact expectation and laws on one random graph (CSV and PNG)."""

    entities: int = 1000
    """Number of entities V."""
    mean_degree: float = 3.0
    """Mean out-degree of the random graph; the laws need more than 1."""
    edges: Path | None = None
    """Read the graph from an edge list (two names per line), GraphML or GEXF file instead; the laws
    do not apply then."""
    runs: int | None = None
    """Number of simulated runs to average; by default 1 up to 5,000 entities, else 0 (the time
    grows as V^2)."""
    sources: int | None = None
    """Number of sources sampled for the expectation; by default all up to 20,000 entities, else
    64."""
    ties: Literal["fifo", "random_parent", "uniform_path"] = "fifo"
    """How to choose among several shortest paths."""
    max_time: float = 10.0
    """Last time, in steps per ordered pair."""
    points: int = 100
    """Number of times, spaced logarithmically."""
    seed: int = 0
    """Random seed of the graph, the sampled sources and the simulation."""
    out: Path = Path("out/graphsim")
    """Folder for graphsim.csv and graphsim.png."""

    def run(self) -> int:
        """Compute and write the curves, draw them and print a summary."""
        if self.runs is not None and self.runs < 0:
            raise ValueError(f"--runs must be 0 or more; not {self.runs}")
        from graphsim import CurveTable, EntityGraph

        graph = (
            EntityGraph.random(self.entities, self.mean_degree, self.seed)
            if self.edges is None
            else EntityGraph.from_edge_list(self.edges)
        )
        table = CurveTable(graph, max_time=self.max_time, n_points=self.points)
        csv = self.out / "graphsim.csv"
        self.out.mkdir(parents=True, exist_ok=True)  # fails before the work starts
        try:
            self._fill(table, csv)
        finally:
            _save(table.frame(), csv)  # also after Ctrl-C
        print(_summary(graph, table.frame()))
        print(csv)
        print(_draw(table.frame(), csv.with_suffix(".png")))
        return 0

    def _fill(self, table: CurveTable, csv: Path) -> None:
        from experiments.display.progress import WorkProgress

        graph = table.graph
        if self.edges is None:
            _add_laws(table, self.mean_degree)
        sampled = 64 if graph.n_entities > SAMPLED_ABOVE else None
        n_sources = sampled if self.sources is None else self.sources
        total = min(n_sources or graph.n_entities, graph.n_entities)
        with WorkProgress("exact expectation", n_jobs=total, work=total) as progress:
            for done in table.add_exact(n_sources=n_sources, ties=self.ties, seed=self.seed):
                progress.advance(done - progress.work_done)
                progress.jobs_done = done
        _save(table.frame(), csv)
        n_runs = self.runs if self.runs is not None else int(graph.n_entities <= 5000)
        if not n_runs:
            return
        n_steps = int(table.steps[-1])
        with WorkProgress("simulation", n_jobs=n_runs, work=n_runs * n_steps) as progress:
            for done in table.add_simulation(n_runs=n_runs, ties=self.ties, seed=self.seed):
                progress.advance(done - progress.work_done)
                progress.jobs_done = done // n_steps


def _add_laws(table: CurveTable, mean_degree: float) -> None:
    """Add the laws; if they do not apply or may be inaccurate, print the reason to stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            table.add_laws(mean_degree)
        except ValueError as error:
            print(f"the laws are left out: {error}", file=sys.stderr)
            return
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)


def _save(frame: pd.DataFrame, path: Path) -> None:
    from experiments.runs.files import replacing

    with replacing(path) as beside:
        frame.to_csv(beside, index=False)


def _summary(graph: EntityGraph, frame: pd.DataFrame) -> str:
    """Return eight rows of the table and the largest relative error of each law."""
    rows = frame.iloc[[round(i * (len(frame) - 1) / 7) for i in range(8)]]
    lines = [
        f"share of pairs known: {graph.n_entities:,} entities, {graph.n_edges:,} edges",
        rows.to_string(index=False, float_format=lambda value: f"{value:.4g}"),
    ]
    for law in ("printed", "corrected", "limit_this_graph"):
        if law in frame:
            late = frame[frame["s"] >= 0.01]
            error = (late[law] / late["exact"] - 1).to_numpy()
            worst = int(abs(error).argmax())
            lines.append(
                f"{law}: largest error {error[worst]:+.2%} for s >= 0.01 (at s = "
                f"{late['s'].iloc[worst]:.3g}), relative to the exact expectation on this graph"
            )
    return "\n".join(lines)


def _draw(frame: pd.DataFrame, path: Path) -> Path:
    """Draw all curves against s and return the path of the PNG file."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from experiments.runs.files import replacing

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
    low = frame["exact"] - 2 * frame["exact_stderr"]
    high = frame["exact"] + 2 * frame["exact_stderr"]
    ax.fill_between(frame["s"], low, high, color="#56B4E9", alpha=0.5, linewidth=0)
    ax.set(xscale="log", xlabel="steps per ordered pair, s", ylabel="share of pairs known")
    ax.legend(frameon=False)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=160)
    plt.close(figure)
    return path
