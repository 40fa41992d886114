"""Arrays of random and stored graphs; `EntityGraph` wraps what these functions return."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphsim.checks import checked_entities, require_memory

_BYTES_PER_EDGE = 40  # two int64 temporaries, the row numbers, the targets and the sort


class Rows(TypedDict):
    """Compressed sparse rows: the arrays of an `EntityGraph`."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]


class LabelledRows(Rows):
    """Compressed sparse rows and the names of the entities."""

    labels: tuple[Hashable, ...] | None


def erdos_renyi(n_entities: int, mean_degree: float, seed: int) -> Rows:
    """Return a directed Erdős–Rényi graph, by geometric skipping over the ordered pairs.

    Args:
        n_entities: V.
        mean_degree: V times the probability of each ordered pair.
        seed: random seed.

    Raises:
        ValueError: for V < 2, a mean degree outside [0, V], or too little memory.
    """
    n_entities = checked_entities(n_entities)
    if not 0 <= mean_degree <= n_entities:
        raise ValueError(f"mean_degree must be in [0, {n_entities}], not {mean_degree!r}")
    require_memory(
        n_entities * (8 + _BYTES_PER_EDGE * mean_degree),
        f"a graph of {n_entities:,} entities with {mean_degree:g} edges each",
    )
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    positions = _hits(n_entities * (n_entities - 1), mean_degree / n_entities, rng)
    sources, targets = np.divmod(positions, n_entities - 1)
    targets += targets >= sources
    return _rows(n_entities, sources, targets)


def configuration(out_degrees: ArrayLike, in_degrees: ArrayLike, seed: int) -> Rows:
    """Return a graph of the directed configuration model, without self-loops and repeated edges.

    Args:
        out_degrees: requested out-degrees, shape (V,).
        in_degrees: requested in-degrees, shape (V,), with the same sum.
        seed: random seed.

    Raises:
        ValueError: for negative degrees, unequal lengths, or sums that differ.
    """
    outgoing = np.asarray(out_degrees, dtype=np.int64)
    incoming = np.asarray(in_degrees, dtype=np.int64)
    if outgoing.ndim != 1 or outgoing.shape != incoming.shape:
        raise ValueError(
            f"out_degrees and in_degrees must be equally long sequences, not of shapes "
            f"{outgoing.shape} and {incoming.shape}"
        )
    n_entities = checked_entities(len(outgoing))
    if outgoing.min() < 0 or incoming.min() < 0:
        raise ValueError("degrees must be 0 or more")
    if outgoing.sum() != incoming.sum():
        raise ValueError(
            f"out_degrees sum to {outgoing.sum()} and in_degrees to {incoming.sum()}: "
            "they must be equal"
        )
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    sources = np.repeat(np.arange(n_entities), outgoing)
    targets = rng.permutation(np.repeat(np.arange(n_entities), incoming))
    return from_pairs(n_entities, np.column_stack([sources, targets]))


def stochastic_block(sizes: Sequence[int], probabilities: ArrayLike, seed: int) -> Rows:
    """Return a graph of a directed stochastic block model, in time O(E).

    Args:
        sizes: numbers of entities in the blocks, length B.
        probabilities: probability of an edge from block a to block b, shape (B, B).
        seed: random seed.

    Raises:
        ValueError: for a matrix that is not square in the blocks or not within [0, 1].
    """
    matrix = np.asarray(probabilities, dtype=np.float64)
    if matrix.shape != (len(sizes), len(sizes)):
        raise ValueError(
            f"probabilities must have shape {(len(sizes), len(sizes))}, not {matrix.shape}"
        )
    if not np.all((matrix >= 0) & (matrix <= 1)):
        raise ValueError("probabilities must be in [0, 1]")
    if min(sizes, default=0) < 1:
        raise ValueError(f"sizes must be 1 or more, not {list(sizes)}")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    n_entities = checked_entities(int(starts[-1]))
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    pairs = []
    for a, n_sources in enumerate(sizes):
        for b, n_targets in enumerate(sizes):
            hits = _hits(n_sources * n_targets, matrix[a, b], rng)
            corner = np.array([starts[a], starts[b]])
            pairs.append(np.column_stack(np.divmod(hits, n_targets)) + corner)
    return from_pairs(n_entities, np.concatenate(pairs))


def from_pairs(n_entities: int, edges: ArrayLike) -> Rows:
    """Return the graph of integer pairs, shape (E, 2), without self-loops and repeated edges.

    Raises:
        ValueError: for an edge outside 0..V-1 or an array of another shape.
    """
    pairs = np.asarray(edges)
    if pairs.size == 0:
        pairs = pairs.reshape(0, 2).astype(np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(
            f"edges must be integer pairs of shape (E, 2), not {pairs.dtype} of shape {pairs.shape}"
        )
    outside = np.flatnonzero(np.any((pairs < 0) | (pairs >= n_entities), axis=1))
    if outside.size:
        source, target = pairs[outside[0]]
        raise ValueError(
            f"edge ({source}, {target}) is outside the graph: entities are 0..{n_entities - 1}"
        )
    pairs = pairs[pairs[:, 0] != pairs[:, 1]].astype(np.int64)
    codes = np.unique(pairs[:, 0] * n_entities + pairs[:, 1])
    return _rows(n_entities, *np.divmod(codes, n_entities))


def _rows(n_entities: int, sources: NDArray[np.int64], targets: NDArray[np.int64]) -> Rows:
    """Return compressed sparse rows of pairs that are already in row order."""
    indptr = np.zeros(n_entities + 1, dtype=np.int64)
    np.cumsum(np.bincount(sources, minlength=n_entities), out=indptr[1:])
    return {"indptr": indptr, "indices": targets.astype(np.int32)}


def _hits(n_trials: int, probability: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the ascending positions of successes among trials, in time O(successes)."""
    if probability <= 0:
        return np.zeros(0, dtype=np.int64)
    if probability >= 1:
        return np.arange(n_trials, dtype=np.int64)
    expected = n_trials * probability
    size = int(expected + 5 * np.sqrt(expected) + 10)
    chunks = []
    last = -1
    while last < n_trials:
        # A skip beyond the last trial ends the draw, so longer ones are clipped against overflow.
        skips = np.minimum(rng.geometric(probability, size=size), n_trials + 1)
        chunks.append(last + np.cumsum(skips))
        last = int(chunks[-1][-1])
    positions = np.concatenate(chunks)
    return positions[: np.searchsorted(positions, n_trials)]
