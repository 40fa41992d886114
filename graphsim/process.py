"""Simulation of EntiGraph's process on a graph (arXiv 2409.07431, section 6.1).

Each step draws an ordered pair (x, y) uniformly and searches M_0 (never the growing M_t) from x. If
a path x, z1, ..., zk, y exists, it learns the star (x, z1), ..., (x, zk), (x, y).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphsim._backend import kernels, tie_key
from graphsim._html import curve_html
from graphsim.checks import checked_ties, checked_times, require_memory
from graphsim.exact import AccuracyCurve
from graphsim.graph import EntityGraph

_CHUNK = 1 << 20  # steps drawn at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """One run of the process, recorded at chosen times.

    Attributes:
        times: steps t, shape (n_times,); the state is that after floor(t) steps.
        accuracy: ||M_t||_1 / (V (V - 1)), shape (n_times,).
        learned: pairs known after `n_steps`, M_t as a boolean matrix, shape (V, V).
        n_steps: number of steps taken.
    """

    times: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    learned: NDArray[np.bool_]
    n_steps: int

    def _repr_html_(self) -> str:
        title = f"one run of {self.n_steps:,} steps on {len(self.learned):,} entities"
        return curve_html(title, {"steps": self.times, "accuracy": self.accuracy})


def simulate(
    graph: EntityGraph,
    n_steps: int,
    seed: int = 0,
    *,
    times: ArrayLike | None = None,
    ties: str = "fifo",
) -> Trajectory:
    """Return one run of the process.

    Args:
        graph: the source corpus M_0.
        n_steps: number of synthesis steps t.
        seed: random seed of the drawn pairs, and of the random parents as in `expected_accuracy`.
        times: steps at which accuracy is recorded, at most n_steps, shape (n_times,); by default 0
            and 100 log-spaced steps.
        ties: ``fifo``, ``random_parent`` or ``uniform_path``; see `expected_accuracy`.

    Raises:
        ValueError: for n_steps < 0, times beyond n_steps, an unknown tie rule, or a graph whose
            V^2 matrices do not fit in memory.
    """
    *_, last = simulation_stream(graph, n_steps, seed, times=times, ties=ties)
    return last


def simulation_stream(
    graph: EntityGraph,
    n_steps: int,
    seed: int = 0,
    *,
    run: int = 0,
    times: ArrayLike | None = None,
    ties: str = "fifo",
) -> Iterator[Trajectory]:
    """Yield the trajectory of one run after every million steps; the last is that of `simulate`.

    Earlier trajectories contain the times reached so far. All share one `learned` matrix, which is
    updated in place.

    Args:
        graph: the source corpus M_0.
        n_steps: number of synthesis steps t.
        seed: random seed, as in `simulate`.
        run: number of the independent run of this seed, as in `simulate_runs`.
        times: steps at which accuracy is recorded, as in `simulate`.
        ties: rule for shortest paths; see `expected_accuracy`.

    Raises:
        ValueError: as for `simulate`.
    """
    recorded = _checked_run(n_steps, times)
    stepper = _Stepper(graph, ties, seed)
    yield from _one_run(stepper, recorded, n_steps, np.random.SeedSequence([seed, run]))


def simulate_runs(
    graph: EntityGraph,
    n_steps: int,
    n_runs: int,
    seed: int = 0,
    *,
    times: ArrayLike | None = None,
    ties: str = "fifo",
) -> AccuracyCurve:
    """Return the mean accuracy over independent runs on one graph, with its standard error.

    Use it to check `expected_accuracy`, which is exact and faster.

    Args:
        graph: the source corpus M_0.
        n_steps: number of synthesis steps t of each run.
        n_runs: number of runs, at least 2.
        seed: random seed, as in `simulate`.
        times: steps at which accuracy is recorded, as in `simulate`.
        ties: rule for shortest paths; see `expected_accuracy`.

    Raises:
        ValueError: as for `simulate`, and for n_runs < 2.
    """
    if n_runs < 2:
        raise ValueError(f"n_runs must be 2 or more, not {n_runs}")
    recorded = _checked_run(n_steps, times)
    stepper = _Stepper(graph, ties, seed)
    total = np.zeros(len(recorded))
    squares = np.zeros(len(recorded))
    start = graph.n_edges / graph.n_pairs
    for run in range(n_runs):
        *_, last = _one_run(stepper, recorded, n_steps, np.random.SeedSequence([seed, run]))
        total += last.accuracy - start
        squares += (last.accuracy - start) ** 2
    mean = total / n_runs
    variance = np.maximum(squares / n_runs - mean**2, 0.0) / (n_runs - 1)
    return AccuracyCurve(
        times=recorded, accuracy=start + mean, stderr=np.sqrt(variance), n_sources=n_runs
    )


def _checked_run(n_steps: int, times: ArrayLike | None) -> NDArray[np.float64]:
    if int(n_steps) != n_steps or n_steps < 0:
        raise ValueError(f"n_steps must be a whole number of 0 or more, not {n_steps!r}")
    if times is None:
        spaced = np.geomspace(1, max(n_steps, 1), 100)
        return np.unique(np.concatenate([[0], np.floor(spaced), [n_steps]]).clip(max=n_steps))
    recorded = checked_times(times)
    if recorded[-1] > n_steps:
        raise ValueError(f"times must not exceed n_steps = {n_steps}, found {recorded[-1]:g}")
    return recorded


def _one_run(
    stepper: _Stepper,
    times: NDArray[np.float64],
    n_steps: int,
    stream: np.random.SeedSequence,
) -> Iterator[Trajectory]:
    """Yield the trajectory of one run; the state recorded at time t is after floor(t) steps."""
    rng = np.random.Generator(np.random.Philox(stream))
    whole = np.floor(times).astype(np.int64)
    counts = np.zeros(len(times), dtype=np.int64)
    learned = stepper.stated()
    n_learned, passed, done = stepper.n_stated, 0, 0
    while True:
        size = min(_CHUNK, n_steps - done)
        n_learned, passed = stepper.advance(
            rng, size, done, whole, learned, n_learned, passed, counts
        )
        done += size
        if done == n_steps:
            counts[passed:] = n_learned
            passed = len(times)
        yield Trajectory(
            times=times[:passed],
            accuracy=counts[:passed] / stepper.n_pairs,
            learned=learned,
            n_steps=done,
        )
        if done == n_steps:
            return


class _Stepper:
    """The shortest paths of a graph, stored for the simulation of steps."""

    def __init__(self, graph: EntityGraph, ties: str, seed: int) -> None:
        checked_ties(ties)
        n_entities = graph.n_entities
        per_pair = 13 if ties == "uniform_path" else 5
        require_memory(per_pair * n_entities**2, f"simulating {n_entities:,} entities")
        self.n_pairs = graph.n_pairs
        self.n_stated = graph.n_edges
        self._graph = graph
        self._shape = (n_entities, n_entities)
        self._paths: tuple[NDArray[Any], ...]
        with kernels() as loops:
            if ties == "uniform_path":
                backward = graph.to_sparse().T.tocsr()
                in_rows = (backward.indptr.astype(np.int64), backward.indices.astype(np.int32))
                depths = np.empty(self._shape, dtype=np.int32)
                n_paths = np.zeros(self._shape)
                loops.all_path_counts(graph.indptr, graph.indices, depths, n_paths)
                self._paths = (*in_rows, depths, n_paths)
                return
            parents = np.empty(self._shape, dtype=np.int32)
            if ties == "fifo":
                loops.fifo_parents(graph.indptr, graph.indices, parents)
            else:
                loops.random_parents(graph.indptr, graph.indices, tie_key(seed), parents)
            self._paths = (parents,)

    def stated(self) -> NDArray[np.bool_]:
        """Return M_0 as a new boolean matrix."""
        matrix = np.zeros(self._shape, dtype=np.bool_)
        sources, targets = self._graph.edges().T
        matrix[sources, targets] = True
        return matrix

    def advance(
        self, rng: np.random.Generator, size: int, first_step: int, *state: Any
    ) -> tuple[int, int]:
        """Draw and apply `size` steps; return the number of learned pairs and of times passed."""
        draws = (rng.integers(0, self.n_pairs, size=size),)
        if len(self._paths) > 1:
            draws += (rng.random(size),)  # type: ignore[assignment]
        with kernels() as loops:
            advance = loops.path_steps if len(self._paths) > 1 else loops.tree_steps
            n_learned, passed = advance(*self._paths, *draws, first_step, *state)
        return int(n_learned), int(passed)
