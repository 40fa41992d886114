"""The exact expected accuracy on a given graph, over all sources or a stratified sample.

The pair (x, w) is learned by step t with probability 1 - (1 - k_xw / n)^t, where k_xw is the number
of pairs (x, y) whose path teaches w (README.md, section 2). One histogram of k therefore gives the
accuracy at every t.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphsim._backend import SubtreeCounter
from graphsim._html import curve_html
from graphsim.checks import checked_ties, checked_times, require_memory
from graphsim.graph import EntityGraph

Floats = NDArray[np.float64]

_BLOCKS = 64  # enough for the standard error of their mean
_EDGES_PER_CALL = 50_000_000  # about half a second, so that Ctrl-C takes effect
_EDGES_OF_A_BLOCK = 1_000_000  # where all sources are used: calls of less cost more than the search
_TABLE = 256  # subtree sizes whose curves are tabulated


@dataclass(frozen=True, kw_only=True, eq=False)
class AccuracyCurve:
    """Expected accuracy at chosen times.

    Attributes:
        times: steps t, shape (n_times,).
        accuracy: share of the V (V - 1) ordered pairs known after t steps, shape (n_times,).
        stderr: standard error from sampling sources or runs, shape (n_times,); 0 if exact.
        n_sources: number of sources (or runs) used.
        complete: False for an intermediate estimate of a stream.
    """

    times: Floats
    accuracy: Floats
    stderr: Floats
    n_sources: int
    complete: bool = True

    def _repr_html_(self) -> str:
        title = f"expected accuracy from {self.n_sources:,} sources"
        columns = {"steps": self.times, "accuracy": self.accuracy, "s.e.": self.stderr}
        return curve_html(title if self.complete else f"{title} so far", columns)


def expected_accuracy(
    graph: EntityGraph,
    times: ArrayLike,
    n_sources: int | None = None,
    ties: str = "fifo",
    seed: int = 0,
    *,
    per_pair: bool = False,
    n_drawn: int | None = None,
) -> AccuracyCurve:
    """Return the expected accuracy E[Acc(M_t)] of the synthesis on one graph.

    Args:
        graph: the source corpus M_0.
        times: steps t, sorted, shape (n_times,); with `per_pair` they are s = t / (V (V - 1)).
        n_sources: None for all sources (exact, stderr 0), the choice up to some 10,000 entities.
            Otherwise this many sources are sampled without replacement from the giant in-component,
            and all sources outside it, whose trees are tiny, are counted exactly. The standard
            error includes the finite-population correction.
        ties: which shortest path is used: ``fifo`` (the tree of a first-in-first-out search),
            ``random_parent`` (one tree per source, with parents drawn uniformly from the seed) or
            ``uniform_path`` (a new uniformly drawn shortest path at each step).
        seed: random seed of the sampled sources and the random parents.
        per_pair: whether `times` are steps per ordered pair.
        n_drawn: number of ordered pairs that steps are drawn from, if they leave out pairs without
            a path between them, such as those of entities of different documents; all by default.

    Raises:
        ValueError: for bad times, an unknown tie rule, n_sources < 2, n_drawn < 1, or too little
            memory.

    Source:
        Yang et al. 2024, arXiv 2409.07431, section 6; README.md, section 2.
    """
    stream = accuracy_stream(
        graph, times, n_sources, ties, seed, per_pair=per_pair, n_drawn=n_drawn
    )
    *_, last = stream
    return last


def accuracy_stream(
    graph: EntityGraph,
    times: ArrayLike,
    n_sources: int | None = None,
    ties: str = "fifo",
    seed: int = 0,
    *,
    per_pair: bool = False,
    n_drawn: int | None = None,
    seconds: float = 0.5,
) -> Iterator[AccuracyCurve]:
    """Yield increasingly accurate estimates of `expected_accuracy`, which is the last one.

    Sources are used in random order, so that each estimate is unbiased with a valid standard error
    and a long run may be stopped at any time.

    Args:
        graph: the source corpus M_0.
        times: steps t, sorted, shape (n_times,); with `per_pair` they are s = t / (V (V - 1)).
        n_sources: number of sampled sources, or None for all; see `expected_accuracy`.
        ties: rule for shortest paths; see `expected_accuracy`.
        seed: random seed of the order of sources and the random parents.
        per_pair: whether `times` are steps per ordered pair.
        n_drawn: pairs that steps are drawn from; see `expected_accuracy`.
        seconds: least time between two estimates.

    Raises:
        ValueError: as for `expected_accuracy`.
    """
    n_drawn = graph.n_pairs if n_drawn is None else n_drawn
    if n_drawn < 1:
        raise ValueError(f"n_drawn must be 1 or more, not {n_drawn}")
    steps = checked_times(times) * (n_drawn if per_pair else 1)
    checked_ties(ties)
    if n_sources is not None and n_sources < 2:
        raise ValueError(f"n_sources must be 2 or more (or None for all), not {n_sources}")
    require_memory(40 * graph.n_entities + 13 * graph.n_edges, f"{graph.n_entities:,} entities")

    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x50C5]))
    counter = SubtreeCounter(graph, ties, seed)
    curve = _CurveOf(steps, n_drawn)
    block_cap = max(1, _EDGES_PER_CALL // max(1, graph.n_edges))
    if n_sources is None:
        outside = np.zeros(0, dtype=np.int64)
        inside = rng.permutation(graph.n_entities)
        chosen = inside
    else:
        incoming = graph.giant_components().incoming
        outside = np.flatnonzero(~incoming)
        inside = np.flatnonzero(incoming)
        chosen = rng.choice(inside, size=min(n_sources, len(inside)), replace=False)
    exact_part = curve(*counter.count(outside)) if outside.size else np.zeros_like(steps)

    total = _StratumTotal(len(inside), steps.shape)
    last_shown = time.monotonic()
    least = 1 if n_sources is not None else _EDGES_OF_A_BLOCK // max(1, graph.n_edges)
    block = min(block_cap, max(least, -(-len(chosen) // _BLOCKS)))
    for start in range(0, len(chosen), block):
        sources = chosen[start : start + block]
        total.add(len(sources), curve(*counter.count(sources)))
        done = start + len(sources)
        if done == len(chosen) or time.monotonic() - last_shown > seconds:
            mean, stderr = total.estimate()
            yield AccuracyCurve(
                times=steps,
                accuracy=(graph.n_edges + exact_part + mean) / graph.n_pairs,
                stderr=stderr / graph.n_pairs,
                n_sources=done,
                complete=done == len(chosen),
            )
            last_shown = time.monotonic()


def average_accuracy(
    n_entities: int,
    mean_degree: float,
    times: ArrayLike,
    *,
    n_graphs: int,
    n_sources: int | None = None,
) -> tuple[Floats, Floats]:
    """Return the mean of `expected_accuracy` over random graphs, and its standard error.

    Args:
        n_entities: V.
        mean_degree: V times the probability of each ordered pair.
        times: steps per ordered pair, sorted, shape (n_times,).
        n_graphs: number of graphs, two or more, of the seeds 0, 1, 2, ...
        n_sources: sources sampled on each graph, or None for all.

    Returns:
        Mean and standard error over graphs, both of shape (n_times,).

    Raises:
        ValueError: fewer than two graphs, or as for `expected_accuracy`.
    """
    if n_graphs < 2:
        raise ValueError(f"n_graphs must be 2 or more, not {n_graphs}")
    curves = [
        expected_accuracy(
            EntityGraph.random(n_entities, mean_degree, seed), times, n_sources, per_pair=True
        ).accuracy
        for seed in range(n_graphs)
    ]
    return np.mean(curves, axis=0), np.std(curves, axis=0, ddof=1) / n_graphs**0.5


class _CurveOf:
    """Expected number of learned pairs at each time, from rates and their counts."""

    def __init__(self, steps: Floats, n_pairs: int) -> None:
        self._steps = steps
        self._n_pairs = n_pairs
        self._table = self._learned(np.arange(_TABLE, dtype=np.float64))

    def __call__(self, rates: Floats, counts: NDArray[np.int64]) -> Floats:
        whole = (rates < _TABLE) & (rates == np.floor(rates))
        weights = counts.astype(np.float64)
        small = weights[whole] @ self._table[rates[whole].astype(np.int64)]
        return small + weights[~whole] @ self._learned(rates[~whole])

    def _learned(self, rates: Floats) -> Floats:
        share = np.minimum(rates / self._n_pairs, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):  # share 1 is learned at step 1
            exponent = np.log1p(-share)[:, None] * self._steps
        return -np.expm1(np.nan_to_num(exponent, nan=0.0, neginf=-np.inf))


class _StratumTotal:
    """Total over a stratum, from blocks of sources sampled from it without replacement."""

    def __init__(self, n_members: int, shape: tuple[int, ...]) -> None:
        self._n_members = n_members
        self._n_blocks = 0
        self._n_sources = 0
        self._sum = np.zeros(shape)
        self._sum_of_squares = np.zeros(shape)

    def add(self, n_sources: int, learned: Floats) -> None:
        """Add the summed curve of one block."""
        self._n_blocks += 1
        self._n_sources += n_sources
        self._sum += learned
        self._sum_of_squares += learned**2 / n_sources

    def estimate(self) -> tuple[Floats, Floats]:
        """Return the estimated total and its standard error, infinite from a single block."""
        mean = self._sum / self._n_sources
        left_out = 1 - self._n_sources / self._n_members
        if left_out == 0:
            return self._sum, np.zeros_like(mean)
        if self._n_blocks < 2:
            return self._n_members * mean, np.full_like(mean, np.inf)
        spread = np.maximum(self._sum_of_squares - self._n_sources * mean**2, 0.0)
        variance = spread / (self._n_blocks - 1)
        return (
            self._n_members * mean,
            self._n_members * np.sqrt(left_out * variance / self._n_sources),
        )
