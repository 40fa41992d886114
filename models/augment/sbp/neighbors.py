"""Related documents: nearest neighbours by inner product of unit vectors, and pairs of them.

The search is exact and runs in blocks, so that memory is bounded by the block size; see
`approximate` for collections too large for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.augment.texts.minhash import without_near_copies

QUERY_BLOCK, KEY_BLOCK = 1024, 4096
"""Documents compared at a time, so that their similarities stay in the CPU cache."""

SORTED_HITS = 2**18
"""Candidate similarities that are sorted together."""

FLOOR_KEYS = 1024
"""Documents compared first, for lower bounds that let most similarities be skipped."""


class NoNeighborsError(ValueError):
    """No document has a neighbour above alpha; the message shows the similarities."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbors:
    """The nearest documents of each document, nearest first.

    Attributes:
        ids: int32 [n_documents, k] their positions, -1 where there are fewer than k.
        similarities: float32 [n_documents, k] inner products, -inf where there are fewer than k.
    """

    ids: np.ndarray
    similarities: np.ndarray


def nearest_neighbors(vectors: np.ndarray, *, k: int, above: float = -np.inf) -> Neighbors:
    """Return the k documents with the largest inner product to each document, itself excluded.

    Exact up to rounding. Every block of similarities serves its rows and, transposed, its columns;
    within a block only similarities that exceed a document's current k-th best are sorted.

    Args:
        vectors: float32 [n_documents, n_dimensions], of unit length for cosine similarity.
        k: neighbours wanted, fewer than there are documents.
        above: only similarities greater than this count.

    Raises:
        ValueError: k out of range, or vectors that are not finite.
    """
    vectors = checked_vectors(vectors, k)
    n_documents = len(vectors)
    best = _Best(vectors, k, _floors(vectors, k, above))
    for rows in _blocks(0, n_documents, QUERY_BLOCK):
        for columns in _blocks(rows.start, n_documents, KEY_BLOCK):
            best.look_at(rows, columns)
    best.merge()
    return Neighbors(ids=best.ids, similarities=best.similarities)


def nearest_among(queries: np.ndarray, keys: np.ndarray, *, k: int) -> Neighbors:
    """Return the k keys (other documents) nearest to each query; exact, in blocks.

    Args:
        queries: float32 [n_queries, n_dimensions].
        keys: float32 [n_keys, n_dimensions].
        k: neighbours wanted, at most n_keys.

    Raises:
        ValueError: k out of range.
    """
    if not 1 <= k <= len(keys):
        raise ValueError(f"k must lie between 1 and {len(keys)} (documents); not {k}")
    ids = np.empty((len(queries), k), np.int32)
    similarities = np.empty((len(queries), k), np.float32)
    for rows in _blocks(0, len(queries), QUERY_BLOCK):
        scores = queries[rows] @ keys.T
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        best = np.take_along_axis(
            best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable"), 1
        )
        ids[rows], similarities[rows] = best, np.take_along_axis(scores, best, 1)
    return Neighbors(ids=ids, similarities=similarities)


def find_pairs(
    vectors: np.ndarray,
    *,
    alpha: float,
    k: int = 3,
    signatures: np.ndarray | None = None,
    duplicate_above: float = 0.8,
    neighbors: Neighbors | None = None,
) -> np.ndarray:
    """Return pairs of each document d1 with those of its k nearest whose similarity exceeds alpha.

    Near-copies of an earlier document are left out before neighbours are counted: otherwise the
    copies of a document would be all of its neighbours, and several copies of another one count as
    several.

    Args:
        vectors: unit vectors [n_documents, n_dimensions].
        alpha: inner product that a pair must exceed.
        k: most d2 for one d1.
        signatures: MinHash signatures [n_documents, n_hashes] (`minhash.signatures`) by which
            near-copies are known; without them none is left out.
        duplicate_above: estimated Jaccard similarity from which two documents are near-copies.
        neighbors: precomputed neighbours of the documents left (default: `nearest_neighbors`).

    Returns:
        int64 [n_pairs, 2] positions of d1 and d2, by d1 and then nearest first.

    Raises:
        NoNeighborsError: no pair is left.
        ValueError: as `nearest_neighbors`.
    """
    kept = np.arange(len(vectors))
    if signatures is not None:
        checked_vectors(vectors, k)
        kept = without_near_copies(signatures, jaccard=duplicate_above)
        if len(kept) < 2:
            raise NoNeighborsError(
                f"all {len(vectors):,} documents are near-duplicates of one (estimated Jaccard "
                f"similarity of {duplicate_above:g} or more)"
            )
        k = min(k, len(kept) - 1)
    found = neighbors or nearest_neighbors(vectors[kept], k=k)
    first, rank = np.nonzero((found.ids >= 0) & (found.similarities > alpha))
    if not len(first):
        n_copies = len(vectors) - len(kept)
        copies = f"{n_copies:,} near-copies left out, " if n_copies else ""
        raise NoNeighborsError(
            f"{copies}no document has a neighbour with an inner product above alpha = {alpha:g}; "
            f"similarities of nearest neighbours:\n{similarity_histogram(found.similarities[:, 0])}"
        )
    return np.stack([kept[first], kept[found.ids[first, rank]]], axis=1)


def similarity_histogram(similarities: np.ndarray, *, n_bins: int = 10, width: int = 40) -> str:
    """Return a histogram of similarities as lines of text.

    Args:
        similarities: similarities of any shape; infinite ones are left out.
        n_bins: number of bins, a line each.
        width: characters of the longest bar.
    """
    finite = similarities[np.isfinite(similarities)]
    if not len(finite):
        return "(no similarities)"
    counts, edges = np.histogram(finite, bins=n_bins)
    return "\n".join(
        f"{low:6.3f} to {high:6.3f}  {count:>7,}  {'#' * -(-width * count // counts.max())}"
        for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
    )


def checked_vectors(vectors: np.ndarray, k: int) -> np.ndarray:
    """Return vectors as float32 [n_documents, n_dimensions].

    Raises:
        ValueError: vectors that are not finite, or no more than k of them.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if not 1 <= k < len(vectors):
        raise ValueError(f"k must lie between 1 and {len(vectors) - 1} (documents - 1); not {k}")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors must be finite")
    return vectors


def _floors(vectors: np.ndarray, k: int, above: float) -> np.ndarray:
    """Return, for each document, a lower bound on the similarity of its k-th neighbour."""
    n_documents = len(vectors)
    floors = np.full(n_documents, np.nextafter(np.float32(above), np.float32(np.inf)))
    step = max(1, n_documents // max(FLOOR_KEYS, 8 * k))
    keys = vectors[::step]
    for rows in _blocks(0, n_documents, QUERY_BLOCK):
        scores = vectors[rows] @ keys.T
        # One more than k, because the document itself may be among them; a little less, because
        # products in blocks of another shape are rounded differently.
        if scores.shape[1] > k:
            reached = np.partition(scores, -k - 1, axis=1)[:, -k - 1] - np.float32(1e-5)
            floors[rows] = np.maximum(floors[rows], reached)
    floors[~vectors.any(axis=1)] = np.inf  # a text without known words has no neighbours
    return floors


class _Best:
    """The k best neighbours of each document so far, and the similarity a new one must reach.

    All blocks are computed in the same memory: fresh pages cost more than the arithmetic.
    """

    def __init__(self, vectors: np.ndarray, k: int, floors: np.ndarray) -> None:
        self.vectors, self.k, self.floors = vectors, k, floors
        self.ids = np.full((len(vectors), k), -1, np.int32)
        self.similarities = np.full((len(vectors), k), -np.inf, np.float32)
        size = min(QUERY_BLOCK, len(vectors)) * min(KEY_BLOCK, len(vectors))
        self._scores = np.empty(size, np.float32)
        self._mask = np.empty(-(-size // 8) * 8, bool)
        self._kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._n_kept = 0

    def look_at(self, rows: slice, columns: slice) -> None:
        """Compare the documents of rows with those of columns, which begin no earlier."""
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        scores = self._scores[: shape[0] * shape[1]].reshape(shape)
        np.matmul(self.vectors[rows], self.vectors[columns].T, out=scores)
        if columns.start == rows.start:
            np.fill_diagonal(scores, -np.inf)
        row, column = self._hits(scores, self.floors[rows][:, None])
        self._keep(rows.start + row, columns.start + column, scores[row, column])
        # Pairs in the diagonal square have already been counted for the rows.
        floors = self.floors[columns].copy()
        floors[: max(0, rows.stop - columns.start)] = np.inf
        row, column = self._hits(scores, floors)
        self._keep(columns.start + column, rows.start + row, scores[row, column])

    def _hits(self, scores: np.ndarray, floors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and columns of the (few) scores that reach the floors."""
        size = scores.size
        mask = self._mask[: -(-size // 8) * 8]
        np.greater_equal(scores, floors, out=mask[:size].reshape(scores.shape))
        mask[size:] = False
        # Eight at a time: `nonzero` of bytes takes longer than computing them.
        words = np.flatnonzero(mask.view(np.uint64) != 0)
        near = (8 * words[:, None] + np.arange(8)).ravel()
        return np.divmod(near[mask[near]], scores.shape[1])

    def _keep(self, owners: np.ndarray, others: np.ndarray, similarities: np.ndarray) -> None:
        """Collect hits until there are enough to sort."""
        self._kept.append((owners, others, similarities))
        self._n_kept += len(owners)
        if self._n_kept > SORTED_HITS:
            self.merge()

    def merge(self) -> None:
        """Update the best neighbours with the collected hits."""
        owners, others, similarities = map(np.concatenate, zip(*self._kept, strict=True))
        self._kept, self._n_kept = [], 0
        touched = np.unique(owners)
        owners = np.concatenate([np.repeat(touched, self.k), owners])
        others = np.concatenate([self.ids[touched].ravel(), others])
        similarities = np.concatenate([self.similarities[touched].ravel(), similarities])
        # Nearest first; ties by order of arrival.
        order = np.lexsort((-similarities, owners))
        owners, others, similarities = owners[order], others[order], similarities[order]
        starts = np.searchsorted(owners, touched)
        kept = starts[:, None] + np.arange(self.k)
        self.ids[touched], self.similarities[touched] = others[kept], similarities[kept]
        # Later candidates must be strictly nearer, or copies of one text would all be sorted.
        reached = np.nextafter(similarities[kept[:, -1]], np.float32(np.inf))
        self.floors[touched] = np.maximum(self.floors[touched], reached)


def _blocks(first: int, last: int, size: int) -> Iterator[slice]:
    for start in range(first, last, size):
        yield slice(start, min(start + size, last))
