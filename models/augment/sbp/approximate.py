"""Approximate nearest neighbours by an index of FAISS (extra `faiss`), with measured recall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.augment.sbp.neighbors import Neighbors, checked_vectors


@dataclass(frozen=True, kw_only=True, eq=False)
class Approximate:
    """Neighbours found by an approximate index, and their measured recall.

    Attributes:
        neighbors: the neighbours found.
        recall_at_1: share of sampled documents whose exact nearest neighbour came first.
        n_probe: cells of the index that each query searches.
        n_cells: cells of the index.
    """

    neighbors: Neighbors
    recall_at_1: float
    n_probe: int
    n_cells: int


def approximate_neighbors(
    vectors: np.ndarray, *, k: int, recall: float = 0.95, n_measured: int = 1000, seed: int = 0
) -> Approximate:
    """Return neighbours from an inverted-file index of FAISS that reaches a wanted recall.

    The number of cells searched is doubled until, on sampled documents, the exact nearest
    neighbour comes first in at least `recall` of the cases (an equally similar one counts).

    Args:
        vectors: float32 [n_documents, n_dimensions].
        k: neighbours wanted.
        recall: wanted share of exact nearest neighbours.
        n_measured: documents on which recall is measured.
        seed: random seed of that sample and of the index.

    Raises:
        ValueError: FAISS is not installed, or as `nearest_neighbors`.
    """
    try:
        import faiss
    except ImportError as error:
        raise ValueError(
            "the approximate search needs the FAISS library: pip install faiss-cpu"
        ) from error
    vectors = checked_vectors(vectors, k)
    n_documents, n_dimensions = vectors.shape
    n_cells = max(1, int(np.sqrt(n_documents)))
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(n_dimensions), n_dimensions, n_cells, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed = seed
    rng = np.random.default_rng(seed)
    n_training = min(n_documents, 64 * n_cells)
    index.train(vectors[rng.choice(n_documents, n_training, replace=False)])
    index.add(vectors)
    asked = rng.choice(n_documents, min(n_measured, n_documents), replace=False)
    exact = _best_similarities(vectors, asked)
    index.nprobe = 1
    while True:
        _, similarities = _searched(index, vectors, asked, k)
        found = float(np.mean(similarities[:, 0] >= exact - 1e-5))
        if found >= recall or index.nprobe >= n_cells:
            break
        index.nprobe = min(2 * index.nprobe, n_cells)
    ids, similarities = _searched(index, vectors, np.arange(n_documents), k)
    return Approximate(
        neighbors=Neighbors(ids=ids, similarities=similarities),
        recall_at_1=found,
        n_probe=index.nprobe,
        n_cells=n_cells,
    )


def _searched(
    index: Any, vectors: np.ndarray, asked: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return k neighbours [n_asked, k] of documents, ids and similarities, excluding themselves."""
    similarities, ids = index.search(vectors[asked], k + 1)
    is_self = ids == asked[:, None]
    # If rounding pushed a document out of its own neighbours, drop the last neighbour.
    is_self[~is_self.any(axis=1), -1] = True
    shape = (len(asked), k)
    ids, similarities = ids[~is_self].reshape(shape), similarities[~is_self].reshape(shape)
    return ids.astype(np.int32), np.where(ids < 0, -np.inf, similarities).astype(np.float32)


def _best_similarities(vectors: np.ndarray, asked: np.ndarray) -> np.ndarray:
    best = []
    for part in np.array_split(asked, max(1, len(asked) // 256)):
        scores = vectors[part] @ vectors.T
        scores[np.arange(len(part)), part] = -np.inf
        best.append(scores.max(axis=1))
    return np.concatenate(best)
