"""Documents as unit vectors, whose inner product measures how related two documents are.

An embedder has a method `embed(texts) -> float32 [n_texts, n_dimensions]` that returns unit rows.
Texts are read one batch at a time; only the vectors are kept in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from models.augment.texts.minhash import UNSPACED, spaced

BATCH_TEXTS = 4096
"""Texts held in memory at a time."""

FIT_TEXTS = 20_000
"""Most texts from which the vocabulary and directions of an LSA are learned."""


class Embedder(Protocol):
    """Interface of embedders: turns texts into unit vectors."""

    def embed(self, texts: Iterable[str]) -> np.ndarray:
        """Return float32 [n_texts, n_dimensions]; a text without known words is a row of zeros."""
        ...


@dataclass(frozen=True, eq=False)
class LSA:
    """Latent semantic analysis: truncated singular value decomposition of TF-IDF vectors.

    Words are weighted by (1 + log count) times inverse document frequency. In scripts without
    spaces, every three consecutive characters are a word, as in `minhash`.

    Source:
        Deerwester et al. 1990, J. Am. Soc. Inf. Sci. 41, 391.
    """

    _tfidf: Any = field(repr=False)
    _svd: Any = field(repr=False)

    @classmethod
    def fit(cls, texts: Iterable[str], *, n_dimensions: int = 128, seed: int = 0) -> LSA:
        """Learn vocabulary, word weights and directions from (a uniform sample of) the texts.

        Args:
            texts: the corpus; if it has more than `FIT_TEXTS` texts, a sample of that many is used.
            n_dimensions: length of the vectors; reduced if the rank of the corpus is lower.
            seed: random seed of the sample and of the decomposition.

        Raises:
            ValueError: fewer than two distinct words or texts.
        """
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        tfidf = TfidfVectorizer(
            sublinear_tf=True,
            max_features=2**16,
            dtype=np.float32,
            preprocessor=_lower_and_spaced,
            token_pattern=rf"[{UNSPACED}]+|\b\w\w+\b",
        )
        sample = _sample(texts, FIT_TEXTS, seed)
        try:
            weights = tfidf.fit_transform(sample)
        except ValueError as error:  # its message mentions stop words
            raise ValueError(
                "LSA needs words of two characters or more; the texts have none"
            ) from error
        n_dimensions = min(n_dimensions, min(weights.shape) - 1)
        if n_dimensions < 1:
            raise ValueError("LSA needs two different texts and two different words or more")
        svd = TruncatedSVD(n_dimensions, n_iter=3, random_state=seed)
        svd.fit(weights)
        return cls(tfidf, svd)

    def embed(self, texts: Iterable[str]) -> np.ndarray:
        """Return unit vectors float32 [n_texts, n_dimensions]."""
        parts = [
            self._svd.transform(self._tfidf.transform(batch)) for batch in batches_of_texts(texts)
        ]
        return normalized(stacked(parts, self._svd.n_components))


@dataclass(frozen=True)
class SentenceTransformer:
    """A pretrained embedder of the sentence-transformers library (the extra `embed`).

    Attributes:
        name: name or folder of the model.
    """

    name: str

    def embed(self, texts: Iterable[str]) -> np.ndarray:
        """Return unit vectors float32 [n_texts, n_dimensions].

        Raises:
            ValueError: the library is not installed.
        """
        try:
            import sentence_transformers
        except ImportError as error:
            raise ValueError(
                "this embedder needs the sentence-transformers library: "
                "pip install sentence-transformers"
            ) from error
        model = sentence_transformers.SentenceTransformer(self.name)
        parts = [model.encode(batch, convert_to_numpy=True) for batch in batches_of_texts(texts)]
        return normalized(stacked(parts, 1))


def _lower_and_spaced(text: str) -> str:
    return spaced(text.lower())


def normalized(vectors: np.ndarray) -> np.ndarray:
    """Return rows [n, n_dimensions] scaled to unit length, float32; rows of zeros stay zero."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def stacked(parts: list[np.ndarray], n_dimensions: int) -> np.ndarray:
    """Return the vectors of all batches as one array float32 [n_texts, n_dimensions]."""
    return np.concatenate(parts) if parts else np.zeros((0, n_dimensions), np.float32)


def batches_of_texts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield lists of at most `BATCH_TEXTS` texts."""
    iterator = iter(texts)
    while batch := list(itertools.islice(iterator, BATCH_TEXTS)):
        yield batch


def _sample(texts: Iterable[str], n: int, seed: int) -> list[str]:
    """Draw n texts uniformly in one pass, or all of them (reservoir sampling)."""
    iterator = iter(texts)
    kept = list(itertools.islice(iterator, n))
    rng = np.random.default_rng(seed)
    for seen, text in enumerate(iterator, start=n + 1):
        place = int(rng.integers(seen))
        if place < n:
            kept[place] = text
    return kept
