"""Selection of the inner loops: compiled by numba, or scipy and plain Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphsim.graph import EntityGraph

BIN_WIDTH = 0.005  # of the log rate; the mean rate of a bin is kept exactly


@contextmanager
def kernels() -> Iterator[Any]:
    """Yield the module of inner loops; print a line to stderr if numba compiles one of them."""
    from graphsim import _kernels

    if not _kernels.HAS_NUMBA:
        with np.errstate(over="ignore"):  # hashes wrap around
            yield _kernels
        return
    from numba.core import event

    with event.install_listener("numba:compile", _compile_notice()):
        yield _kernels


@cache
def _compile_notice() -> Any:
    """Return a listener that prints one line per process when a kernel is not in the cache."""
    from numba.core.event import Event, Listener

    class CompileNotice(Listener):
        printed = False

        def on_start(self, event: Event) -> None:
            if not self.printed:
                self.printed = True
                print("graphsim: compiling kernels, once (a few seconds)", file=sys.stderr)

        def on_end(self, event: Event) -> None:
            sys.stderr.flush()

    return CompileNotice()


def tie_key(seed: int) -> np.uint64:
    """Return the key of the random-parent trees: the same for simulation and expectation."""
    return np.random.SeedSequence([seed, 0x7169]).generate_state(1, np.uint64)[0]


class SubtreeCounter:
    """Number of vertices taught at each rate, over the trees of given sources.

    The rate k of a vertex w in the tree of x is the number of pairs (x, y) whose path passes
    through w or ends there. Only vertices at depth 2 or more count; the others are stated by the
    source.
    """

    def __init__(self, graph: EntityGraph, ties: str, seed: int) -> None:
        with kernels() as loops:
            compiled = loops.HAS_NUMBA
        n_entities = graph.n_entities
        self._rows = (graph.indptr, graph.indices)
        self._adjacency = None if compiled else graph.to_sparse()
        self._ties = ties
        self._key = tie_key(seed)
        if ties == "uniform_path":
            n_bins = int(np.log(n_entities) / BIN_WIDTH) + 2
            self._histogram = np.zeros(n_bins, dtype=np.int64)
            self._sums = np.zeros(n_bins)
        else:
            self._histogram = np.zeros(n_entities + 1, dtype=np.int64)
        if compiled:
            self._scratch = _scratch(n_entities, ties)

    def count(self, sources: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return distinct rates and the number of vertices at each, summed over the sources."""
        self._histogram[:] = 0
        with kernels() as loops:
            self._fill(loops, np.ascontiguousarray(sources, dtype=np.int64))
        used = np.flatnonzero(self._histogram)
        counts = self._histogram[used]
        if self._ties == "uniform_path":
            rates = self._sums[used] / counts
            self._sums[:] = 0
            return rates, counts
        return used.astype(np.float64), counts

    def _fill(self, loops: Any, sources: NDArray[np.int64]) -> None:
        arguments: tuple[Any, ...] = {
            "fifo": (self._histogram,),
            "random_parent": (self._key, self._histogram),
            "uniform_path": (BIN_WIDTH, self._histogram, getattr(self, "_sums", None)),
        }[self._ties]
        name = f"{self._ties}_histogram"
        if self._adjacency is not None:
            from graphsim import _plain

            with np.errstate(over="ignore"):
                getattr(_plain, name)(self._adjacency, sources, *arguments)
        else:
            getattr(loops, name)(*self._rows, sources, *arguments, *self._scratch)


def _scratch(n_entities: int, ties: str) -> tuple[NDArray[Any], ...]:
    """Working arrays of the histogram kernels, initialised as they expect."""

    def empty(dtype: type) -> NDArray[Any]:
        return np.empty(n_entities, dtype=dtype)

    if ties == "fifo":
        seen = np.zeros(n_entities, dtype=np.uint8)
        return (seen, empty(np.int32), empty(np.int32), empty(np.int32))
    depth = np.full(n_entities, -1, dtype=np.int32)
    if ties == "random_parent":
        place, queue, parent, size = (empty(np.int32) for _ in range(4))
        return (depth, place, queue, parent, empty(np.uint64), size)
    return (depth, empty(np.float64), empty(np.int32), empty(np.float64))
