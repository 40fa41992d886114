"""The streams that models of a world of concepts read, and the control of neighbouring pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


def random_pairs(n_documents: int, *, n_neighbors: int, seed: int) -> np.ndarray:
    """Return every document paired with others drawn at random, int [n_documents * n_neighbors, 2].

    Args:
        n_documents: number of documents.
        n_neighbors: pairs of each.
        seed: random seed.
    """
    rng = np.random.default_rng(seed)
    first = np.repeat(np.arange(n_documents), n_neighbors)
    step = rng.integers(1, n_documents, size=len(first))
    return np.column_stack([first, (first + step) % n_documents])


def joined_by_source(
    documents: Sequence[np.ndarray], sources: np.ndarray, n: int
) -> list[np.ndarray]:
    """Join documents written from one source, n at a time in their order, to one document each.

    (`models.augment.writing.megadocs` joins texts with their provenance, in random order.)

    Args:
        documents: token ids of each, with the end-of-text token, which only the last one keeps.
        sources: int [n_documents] what each was written from.
        n: documents joined; the last ones of a source may be fewer.

    Returns:
        Documents, token ids [n] each, in the order of their first parts.
    """
    joined: dict[tuple[int, int], list[np.ndarray]] = {}
    seen: Counter[int] = Counter()
    for source, document in zip(sources.tolist(), documents, strict=True):
        joined.setdefault((source, seen[source] // n), []).append(document)
        seen[source] += 1
    return [
        np.concatenate([*(part[:-1] for part in parts[:-1]), parts[-1]])
        for parts in joined.values()
    ]


def stream_of(documents: Sequence[np.ndarray] | np.ndarray, n_tokens: int) -> np.ndarray:
    """Write documents one after another, int32 [n_tokens].

    Raises:
        ValueError: they have fewer tokens.
    """
    stream = np.concatenate(list(documents)).astype(np.int32)[:n_tokens]
    if len(stream) < n_tokens:
        raise ValueError(f"a stream of {n_tokens:,} tokens needs more than {len(stream):,}")
    return stream


def mixed_stream(
    real: np.ndarray,
    synthetic: Sequence[np.ndarray],
    n_tokens: int,
    *,
    share: float,
    seed: int,
) -> np.ndarray:
    """Write real documents, repeated, and synthetic ones, as they are given, in random order.

    Args:
        real: documents [n, length]; every pass over them has a new order.
        synthetic: documents; those that no longer fit into their share are left out.
        n_tokens: of the whole stream.
        share: synthetic part of the tokens, as far as there are so many.
        seed: draws the order.

    Returns:
        int32 [n_tokens].

    Raises:
        ValueError: a share outside [0, 1], or one that is less than a document.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1]; not {share!r}")
    if synthetic and 0 < share * n_tokens <= len(synthetic[0]):
        raise ValueError(
            f"a share of {share:g} of {n_tokens:,} tokens is less than a document of "
            f"{len(synthetic[0]):,} tokens; raise it, or join fewer documents"
        )
    rng = np.random.default_rng((seed, 6))
    ends = np.cumsum([len(document) for document in synthetic])
    n_written = int(np.searchsorted(ends, share * n_tokens))
    written = list(synthetic[:n_written])
    n_left = n_tokens - (int(ends[n_written - 1]) if n_written else 0)
    n_passes = -(-n_left // real.size)
    read = np.concatenate([rng.permutation(real) for _ in range(n_passes)])
    read = read[: -(-n_left // real.shape[1])]
    documents = [*read, *written]
    order = rng.permutation(len(documents))
    return stream_of([documents[at] for at in order], n_tokens)
