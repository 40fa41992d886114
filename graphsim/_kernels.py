"""Inner loops over breadth-first trees, compiled by numba if it is installed.

Each function has exactly one signature (see `_backend`), so two processes that compile at the same
time write the same cache entry. Without numba the same code runs as plain Python.

Conventions: a tree is stored in queue order; ``parent[i]`` is the queue position of the parent of
the i-th vertex, so subtree sizes are one reverse sweep over contiguous memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

try:
    import numba

    HAS_NUMBA = True
except ImportError:
    HAS_NUMBA = False


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    if not HAS_NUMBA:
        return function
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder to cache in: compile in every process
        return numba.njit(nogil=True)(function)


@_compiled
def fifo_histogram(indptr, indices, sources, histogram, seen, queue, parent, size):  # type: ignore[no-untyped-def]
    """Add the subtree sizes of all vertices at depth 2 or more to ``histogram``.

    The tree of each source is the one a first-in-first-out search builds.
    """
    for source in sources:
        seen[source] = 1
        queue[0] = source
        size[0] = 1
        filled = 1
        head = 0
        while head < filled:
            vertex = queue[head]
            for edge in range(indptr[vertex], indptr[vertex + 1]):
                target = indices[edge]
                if seen[target] == 0:
                    seen[target] = 1
                    queue[filled] = target
                    parent[filled] = head
                    size[filled] = 1
                    filled += 1
            head += 1
        first_implicit = 1 + indptr[source + 1] - indptr[source]
        for i in range(filled - 1, first_implicit - 1, -1):
            histogram[size[i]] += 1
            size[parent[i]] += size[i]
        for i in range(filled):
            seen[queue[i]] = 0


def mix_bits(bits, number):  # type: ignore[no-untyped-def]
    """Return 64 bits mixed with a number, by the finaliser of splitmix64."""
    mixed = (bits ^ number) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


_mix = _compiled(mix_bits)


@_compiled
def _edge_hash(key, source, vertex, target):  # type: ignore[no-untyped-def]
    """64 uniform bits for one edge in the tree of one source."""
    return _mix(_mix(_mix(key, np.uint64(source)), np.uint64(vertex)), np.uint64(target))


@_compiled
def random_parent_tree(indptr, indices, source, key, depth, place, queue, parent, best):  # type: ignore[no-untyped-def]
    """Build one tree in which each vertex picks its parent uniformly; return the vertex count.

    A parent is the candidate with the smallest hash, so a tree depends on the key alone.
    ``depth`` must hold -1 throughout on entry and holds the depths of the queue on return.
    """
    depth[source] = 0
    queue[0] = source
    filled = 1
    head = 0
    while head < filled:
        vertex = queue[head]
        for edge in range(indptr[vertex], indptr[vertex + 1]):
            target = indices[edge]
            if depth[target] < 0:
                depth[target] = depth[vertex] + 1
                place[target] = filled
                queue[filled] = target
                parent[filled] = head
                best[filled] = _edge_hash(key, source, vertex, target)
                filled += 1
            elif depth[target] == depth[vertex] + 1:
                rank = _edge_hash(key, source, vertex, target)
                if rank < best[place[target]]:
                    best[place[target]] = rank
                    parent[place[target]] = head
        head += 1
    return filled


@_compiled
def random_parent_histogram(  # type: ignore[no-untyped-def]
    indptr, indices, sources, key, histogram, depth, place, queue, parent, best, size
):
    """Add the subtree sizes at depth 2 or more for trees with uniformly chosen parents."""
    for source in sources:
        filled = random_parent_tree(indptr, indices, source, key, depth, place, queue, parent, best)
        for i in range(filled):
            size[i] = 1
        first_implicit = 1 + indptr[source + 1] - indptr[source]
        for i in range(filled - 1, first_implicit - 1, -1):
            histogram[size[i]] += 1
            size[parent[i]] += size[i]
        for i in range(filled):
            depth[queue[i]] = -1


@_compiled
def count_paths(indptr, indices, source, depth, n_paths, queue):  # type: ignore[no-untyped-def]
    """Search from one source and count the shortest paths to each vertex; return the count reached.

    ``depth`` must hold -1 throughout on entry.
    """
    depth[source] = 0
    n_paths[source] = 1.0
    queue[0] = source
    filled = 1
    head = 0
    while head < filled:
        vertex = queue[head]
        for edge in range(indptr[vertex], indptr[vertex + 1]):
            target = indices[edge]
            if depth[target] < 0:
                depth[target] = depth[vertex] + 1
                n_paths[target] = 0.0
                queue[filled] = target
                filled += 1
            if depth[target] == depth[vertex] + 1:
                n_paths[target] += n_paths[vertex]
        head += 1
    return filled


@_compiled
def uniform_path_histogram(  # type: ignore[no-untyped-def]
    indptr, indices, sources, bin_width, counts, sums, depth, n_paths, queue, rate
):
    """Add the mean number of pairs that teach each vertex at depth 2 or more, in bins of its log.

    The rate of w is 1 + Brandes' dependency of the source on w. Each bin keeps the count and the
    sum, so that the mean rate of a bin is exact.
    """
    for source in sources:
        filled = count_paths(indptr, indices, source, depth, n_paths, queue)
        for i in range(filled - 1, -1, -1):
            vertex = queue[i]
            total = 1.0
            for edge in range(indptr[vertex], indptr[vertex + 1]):
                target = indices[edge]
                if depth[target] == depth[vertex] + 1:
                    total += n_paths[vertex] / n_paths[target] * rate[target]
            rate[vertex] = total
            if depth[vertex] >= 2:
                place = int(math.log(total) / bin_width)
                counts[place] += 1
                sums[place] += total
        for i in range(filled):
            depth[queue[i]] = -1


@_compiled
def fifo_parents(indptr, indices, parents):  # type: ignore[no-untyped-def]
    """Fill ``parents[x, w]`` with the parent of w in the first-in-first-out tree of x, else -1."""
    n_entities = len(indptr) - 1
    queue = np.empty(n_entities, np.int32)
    for source in range(n_entities):
        row = parents[source]
        row[:] = -1
        queue[0] = source
        filled = 1
        head = 0
        while head < filled:
            vertex = queue[head]
            for edge in range(indptr[vertex], indptr[vertex + 1]):
                target = indices[edge]
                if row[target] < 0 and target != source:
                    row[target] = vertex
                    queue[filled] = target
                    filled += 1
            head += 1


@_compiled
def random_parents(indptr, indices, key, parents):  # type: ignore[no-untyped-def]
    """Fill ``parents[x, w]`` with the parent of w in the random-parent tree of x, else -1."""
    n_entities = len(indptr) - 1
    queue = np.empty(n_entities, np.int32)
    parent = np.empty(n_entities, np.int32)
    place = np.empty(n_entities, np.int32)
    depth = np.full(n_entities, -1, np.int32)
    best = np.empty(n_entities, np.uint64)
    for source in range(n_entities):
        filled = random_parent_tree(indptr, indices, source, key, depth, place, queue, parent, best)
        parents[source, :] = -1
        for i in range(1, filled):
            parents[source, queue[i]] = queue[parent[i]]
        for i in range(filled):
            depth[queue[i]] = -1


@_compiled
def all_path_counts(indptr, indices, depths, n_paths):  # type: ignore[no-untyped-def]
    """Fill the depth (-1 if unreachable) and the number of shortest paths of every pair."""
    queue = np.empty(len(indptr) - 1, np.int32)
    for source in range(len(indptr) - 1):
        depths[source, :] = -1
        count_paths(indptr, indices, source, depths[source], n_paths[source], queue)


@_compiled
def tree_steps(parents, draws, first_step, times, learned, n_learned, next_time, counts):  # type: ignore[no-untyped-def]
    """Apply one step per drawn pair; return the learned pairs and the next time to record.

    The walk ends at a learned vertex: the step that taught it also taught its ancestors.
    """
    others = parents.shape[0] - 1
    step = first_step
    for draw in draws:
        while next_time < len(times) and times[next_time] <= step:
            counts[next_time] = n_learned
            next_time += 1
        source = draw // others
        vertex = draw % others
        if vertex >= source:
            vertex += 1
        if parents[source, vertex] >= 0:
            while vertex != source and not learned[source, vertex]:
                learned[source, vertex] = True
                n_learned += 1
                vertex = parents[source, vertex]
        step += 1
    return n_learned, next_time


@_compiled
def path_steps(  # type: ignore[no-untyped-def]
    in_indptr, in_indices, depths, n_paths, draws, choices, first_step, times, learned, n_learned,
    next_time, counts,
):  # fmt: skip
    """Apply one step per drawn pair along a new, uniformly drawn shortest path.

    The path is followed backwards. ``choices`` in [0, 1) is the rank of the path among all shortest
    paths; each predecessor uses up one digit of it.
    """
    others = depths.shape[0] - 1
    step = first_step
    for i in range(len(draws)):
        while next_time < len(times) and times[next_time] <= step:
            counts[next_time] = n_learned
            next_time += 1
        source = draws[i] // others
        vertex = draws[i] % others
        if vertex >= source:
            vertex += 1
        if depths[source, vertex] >= 1:
            rank = choices[i]
            while vertex != source:
                if not learned[source, vertex]:
                    learned[source, vertex] = True
                    n_learned += 1
                rank *= n_paths[source, vertex]
                before = vertex
                for edge in range(in_indptr[vertex], in_indptr[vertex + 1]):
                    candidate = in_indices[edge]
                    if depths[source, candidate] == depths[source, vertex] - 1:
                        before = candidate
                        if rank < n_paths[source, candidate]:
                            break
                        rank -= n_paths[source, candidate]
                rank = min(rank / n_paths[source, before], 1.0)
                vertex = before
        step += 1
    return n_learned, next_time
