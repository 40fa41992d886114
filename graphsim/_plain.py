"""The histograms of `_kernels` in scipy and numpy, for installations without numba."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from graphsim._kernels import mix_bits

Ints = NDArray[np.int64]


def fifo_histogram(adjacency: csr_array, sources: Ints, histogram: Ints) -> None:
    """Add the subtree sizes at depth 2 or more of first-in-first-out trees."""
    for source in sources:
        order, _, parent, starts = _tree(adjacency, int(source))
        _add_sizes(histogram, _sizes(parent, starts), starts, len(order))


def random_parent_histogram(
    adjacency: csr_array, sources: Ints, key: np.uint64, histogram: Ints
) -> None:
    """Add the subtree sizes at depth 2 or more of trees with uniformly chosen parents."""
    for source in sources:
        order, depth, parent, starts = _tree(adjacency, int(source))
        tails, heads = _forward_edges(adjacency, order, depth)
        ranks = _edge_hashes(key, int(source), order[tails], order[heads])
        by_rank = np.lexsort((ranks, heads))
        heads, first = np.unique(heads[by_rank], return_index=True)
        parent[heads] = tails[by_rank][first]
        _add_sizes(histogram, _sizes(parent, starts), starts, len(order))


def uniform_path_histogram(
    adjacency: csr_array,
    sources: Ints,
    bin_width: float,
    counts: Ints,
    sums: NDArray[np.float64],
) -> None:
    """Add 1 + Brandes' dependencies at depth 2 or more, in bins of their log."""
    for source in sources:
        order, depth, _, starts = _tree(adjacency, int(source))
        tails, heads = _forward_edges(adjacency, order, depth)
        levels = np.searchsorted(tails, starts)
        n_paths = np.zeros(len(order))
        n_paths[0] = 1.0
        for low, high in pairwise(levels):
            np.add.at(n_paths, heads[low:high], n_paths[tails[low:high]])
        rate = np.ones(len(order))
        for low, high in zip(levels[-2::-1], levels[:0:-1], strict=True):
            tail, head = tails[low:high], heads[low:high]
            np.add.at(rate, tail, n_paths[tail] / n_paths[head] * rate[head])
        implicit = rate[starts[2] :] if len(starts) > 2 else rate[:0]
        places = (np.log(implicit) / bin_width).astype(np.int64)
        np.add.at(counts, places, 1)
        np.add.at(sums, places, implicit)


def _tree(adjacency: csr_array, source: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Return queue order, depth and parent position of each entry, and the start of each level.

    The last entry of the starts is the length of the queue.
    """
    order, predecessors = breadth_first_order(adjacency, source, directed=True)
    place = np.zeros(adjacency.shape[0], dtype=np.int64)
    place[order] = np.arange(len(order))
    parent = np.zeros(len(order), dtype=np.int64)
    parent[1:] = place[predecessors[order[1:]]]
    starts = [0, 1]
    while starts[-1] < len(order):
        # Parents never decrease along the queue: a level ends before the children of the next.
        starts.append(int(np.searchsorted(parent, starts[-1])))
    bounds = np.array(starts)
    depth = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    return order.astype(np.int64), depth, parent, bounds


def _sizes(parent: Ints, starts: Ints) -> Ints:
    sizes = np.ones(len(parent), dtype=np.int64)
    for low, high in zip(starts[-2:0:-1], starts[:1:-1], strict=True):
        np.add.at(sizes, parent[low:high], sizes[low:high])
    return sizes


def _add_sizes(histogram: Ints, sizes: Ints, starts: Ints, n_reached: int) -> None:
    first_implicit = starts[2] if len(starts) > 2 else n_reached
    np.add.at(histogram, sizes[first_implicit:], 1)


def _forward_edges(adjacency: csr_array, order: Ints, depth: Ints) -> tuple[Ints, Ints]:
    """Return the edges that lead one level down, as queue positions, ordered by their tails."""
    n_entities = adjacency.shape[0]
    place = np.full(n_entities, -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    degrees = np.diff(adjacency.indptr)[order]
    tails = np.repeat(np.arange(len(order)), degrees)
    within = np.arange(len(tails)) - np.repeat(np.cumsum(degrees) - degrees, degrees)
    heads = place[adjacency.indices[np.repeat(adjacency.indptr[order], degrees) + within]]
    down = depth[heads] == depth[tails] + 1
    return tails[down], heads[down]


def _edge_hashes(key: np.uint64, source: int, tails: Ints, heads: Ints) -> NDArray[np.uint64]:
    """Return the same 64 bits per edge as `_kernels._edge_hash`."""
    bits = np.full(len(tails), key, dtype=np.uint64)
    for numbers in (np.full(len(tails), source), tails, heads):
        bits = mix_bits(bits, numbers.astype(np.uint64))
    return bits
