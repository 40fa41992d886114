"""Fidelity: whether each passage of a synthetic text speaks of what its source speaks of.

A passage is compared with the passages of its source and with those of other documents. What counts
is not how similar they are, which depends on the embedder, but whether the source is nearer:
the nearest of its k passages must be nearer than the nearest of k passages drawn at random from
other documents in at least 95 of 100 draws. If F is the share of the others that are less similar
than the nearest passage of the source (ties count one half), that probability is F^k, without
drawing. A passage of foreign origin reaches .95 by chance in about 5 of 100 cases, however long the
source is; without the power k, a long source would have some passage near to anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from models.augment.sbp.embeddings import Embedder
from models.augment.texts.minhash import UNSPACED, spaced
from models.augment.texts.records import Record
from models.augment.writing.documents import chunks
from models.augment.writing.judging import Judgement

PASSAGE_WORDS = 128
"""Most words of a passage, as `minhash` counts them."""

LEAST_ALIGNMENT = 0.95
"""Smallest alignment of a passage that is aligned with its source."""

MOST_OTHERS = 10_000
"""Passages of other documents that a passage is compared with, drawn once from more."""

TEXTS_TOGETHER = 1024
QUOTED = 60
"""Characters of a passage that a reason quotes."""

Read = Callable[[], Iterable[Record]]
"""Returns an iterable over the records; called once for each pass."""


def passages(text: str) -> list[str]:
    """Return a text cut at natural boundaries into passages of at most `PASSAGE_WORDS` words."""
    return chunks(text, lambda part: len(spaced(part).split()) <= PASSAGE_WORDS)


@dataclass(frozen=True, eq=False)
class WordVectors:
    """An embedder by words: TF-IDF vectors of unit length, sparse.

    Words are those of `models.augment.sbp.embeddings.LSA`. Without its reduction to few dimensions,
    names and rare words count fully, by which short passages are recognized.
    """

    _tfidf: Any = field(repr=False)

    @classmethod
    def fit(cls, texts: Iterable[str]) -> WordVectors:
        """Learn vocabulary and word weights from texts.

        Raises:
            ValueError: the texts have no words.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        tfidf = TfidfVectorizer(
            sublinear_tf=True,
            max_features=2**16,
            dtype=np.float32,
            preprocessor=lambda text: spaced(text.lower()),
            token_pattern=rf"[{UNSPACED}]+|\b\w\w+\b",
        )
        try:
            return cls(tfidf.fit(texts))
        except ValueError as error:  # its message mentions stop words
            raise ValueError("fidelity needs words of two characters or more") from error

    def embed(self, texts: Iterable[str]) -> Any:
        """Return a sparse array float32 [n_texts, n_words] of unit rows, zeros without a word."""
        return self._tfidf.transform(texts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """The alignment of a text with its source.

    Attributes:
        id: id of its record.
        passages: its passages.
        alignments: alignment of each passage [n_passages], in [0, 1].
    """

    id: str
    passages: list[str]
    alignments: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Fidelity:
    """The passages of the source documents, with which synthetic texts are compared.

    Attributes:
        embedder: gives the vectors of passages.
        vectors: unit vectors [n_passages, n_dimensions] of all passages, dense or sparse.
        places: rows of the passages of each document, by its id.
        others: int [n_others] rows of the passages drawn for comparison.
    """

    embedder: Embedder | WordVectors
    vectors: Any
    places: dict[str, range]
    others: np.ndarray

    @classmethod
    def of(cls, read: Read, *, embedder: Embedder | None = None, seed: int = 0) -> Fidelity:
        """Return the passages of source documents.

        Args:
            read: reads the source documents; called several times.
            embedder: gives the vectors; by default `WordVectors` of the documents.
            seed: random seed of the passages drawn for comparison.

        Raises:
            ValueError: fewer than two documents, or no words.
        """
        places: dict[str, range] = {}

        def all_passages() -> Iterator[str]:
            n = 0
            for record in read():
                parts = passages(record.text)
                places[record.id] = range(n, n := n + len(parts))
                yield from parts

        found = embedder or WordVectors.fit(all_passages())
        vectors = found.embed(all_passages())
        if len(places) < 2:
            raise ValueError(
                "fidelity compares texts with their own source and with other documents: it needs "
                f"two source documents or more; not {len(places)}"
            )
        rows = np.arange(vectors.shape[0])
        if len(rows) > MOST_OTHERS:
            rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_OTHERS, replace=False))
        return cls(embedder=found, vectors=vectors, places=places, others=rows)

    @cached_property
    def _others_transposed(self) -> Any:
        return _transposed(self.vectors[self.others])

    def alignments(self, records: Iterable[Record]) -> Iterator[Aligned]:
        """Yield the alignment of each text with its source.

        Args:
            records: synthetic texts with a `Provenance`.

        Raises:
            ValueError: a text without provenance, or of a document that is not among the sources.
        """
        iterator = iter(records)
        while batch := list(itertools.islice(iterator, TEXTS_TOGETHER)):
            rows = [self._rows_of(record) for record in batch]
            parts = [passages(record.text) for record in batch]
            vectors = self.embedder.embed([passage for part in parts for passage in part])
            starts = np.cumsum([0, *map(len, parts)])
            for record, own, part, start in zip(batch, rows, parts, starts, strict=False):
                found = self._alignment(vectors[start : start + len(part)], own)
                yield Aligned(id=record.id, passages=part, alignments=found)

    def _alignment(
        self, vectors: Any, own: np.ndarray, *, left_out: range = range(0)
    ) -> np.ndarray:
        """Return F^k [n], see the module, of passages whose source has the rows `own` [k].

        Rows of `left_out` count as neither the source's nor others'.
        """
        counted = ~np.isin(self.others, np.concatenate([own, np.array(left_out, int)]))
        if not counted.any():
            raise ValueError(
                "a text whose sources are all documents cannot be compared with others"
            )
        nearest = _products(vectors, _transposed(self.vectors[own])).max(axis=1)[:, None]
        theirs = _products(vectors, self._others_transposed)[:, counted]
        shares = ((theirs < nearest) + 0.5 * (theirs == nearest)).mean(axis=1)
        return shares ** len(own)

    def _rows_of(self, record: Record) -> np.ndarray:
        return np.concatenate([np.array(self.places[id]) for id in sources_of(record, self.places)])

    def judgements(
        self, records: Iterable[Record], *, least: float = LEAST_ALIGNMENT
    ) -> Iterator[Judgement]:
        """Yield a judgement of each text: its score is the alignment of its worst passage.

        Args:
            records: synthetic texts with a `Provenance`.
            least: smallest alignment of a text that is kept; reasons mention it.
        """
        for text in self.alignments(records):
            found = text.alignments
            worst = int(found.argmin())
            n_low = int((found < least).sum())
            reason = f"{len(found)} of {len(found)} passages are aligned with the source"
            if n_low:
                quoted = " ".join(text.passages[worst].split())[:QUOTED]
                reason = (
                    f"{n_low} of {len(found)} passages are not aligned with the source (at least "
                    f'{least:g}); the worst, {found[worst]:.2g}, begins "{quoted}"'
                )
            yield Judgement(id=text.id, score=float(found[worst]), reason=reason)

    def chance(
        self, *, least: float = LEAST_ALIGNMENT, n: int = 200, seed: int = 0
    ) -> float | None:
        """Return the share of real passages that are aligned with a document not their own.

        Args:
            least: smallest alignment of a passage that is aligned.
            n: passages drawn, each compared with another document drawn at random.
            seed: random seed of the draws.

        Returns:
            The share; None with fewer than three documents, where it cannot be measured.
        """
        rng = np.random.default_rng((seed, 1))
        ids = [id for id, rows in self.places.items() if rows]
        if len(ids) < 3:
            return None
        found = []
        for _ in range(n):
            owner, wrong = (self.places[ids[at]] for at in rng.choice(len(ids), 2, replace=False))
            row = int(rng.choice(np.array(owner)))
            # A passage of foreign origin has no copy among the others.
            passage, own = self.vectors[row : row + 1], np.array(wrong)
            found.append(self._alignment(passage, own, left_out=owner)[0] >= least)
        return float(np.mean(found))


def sources_of(record: Record, known: Container[str]) -> list[str]:
    """Return the ids of the documents that a synthetic text was written from, each once.

    Args:
        record: the text, with a `Provenance`.
        known: ids of the source documents.

    Raises:
        ValueError: a text without provenance, or of a document that is not among the sources.
    """
    sources = record.metadata.get("source_ids")
    if not sources or not isinstance(sources, list | tuple):
        raise ValueError(
            f"the record {record.id} has no provenance (source_ids in its metadata), so that "
            "it is not known what to compare it with; `datawall augment` writes it"
        )
    unknown = [id for id in sources if id not in known]
    if unknown:
        raise ValueError(
            f"the record {record.id} comes from {unknown[0]}, which is not among the source "
            "documents; name the path that was given to `datawall augment`"
        )
    return list(dict.fromkeys(sources))


class Sources:
    """What synthetic texts were written from, for a judge to read beside them.

    Args:
        documents: the source documents.
        texts: the synthetic texts, with a `Provenance`.
        fits: whether a source is short enough for the judge.

    Raises:
        ValueError: a text without provenance, or of a document that is not among the sources.
    """

    def __init__(
        self, documents: Iterable[Record], texts: Iterable[Record], *, fits: Callable[[str], bool]
    ) -> None:
        self._documents = {record.id: record.text.strip() for record in documents}
        self._ids = {record.id: sources_of(record, self._documents) for record in texts}
        self._fits = fits

    def of(self, id: str, text: str) -> str:
        """Return the sources of a text, or those of their passages that are nearest to it.

        Args:
            id: of the synthetic text.
            text: all of it or a part, which decides on the passages of a long source.

        Returns:
            The sources, in their order; "[...]" stands where passages do not fit.

        Raises:
            ValueError: not even one passage fits.
        """
        whole, parts, words = self._cut(tuple(self._ids[id]))
        if not parts:
            return whole
        nearest = np.zeros(len(parts))
        if words is not None:
            embedder, vectors = words
            nearest = _products(vectors, _transposed(embedder.embed([text])))[:, 0]
        chosen: list[int] = []
        for at in np.argsort(-nearest, kind="stable").tolist():
            more = sorted([*chosen, at])
            if not self._fits(_joined(parts, more)):
                break
            chosen = more
        if not chosen:
            raise ValueError(
                f"no passage of the source of {id} fits beside the text: take a judge with a "
                "longer context"
            )
        return _joined(parts, chosen)

    @lru_cache(maxsize=8)  # noqa: B019 - lives as long as one command
    def _cut(self, ids: tuple[str, ...]) -> tuple[str, list[str], tuple[WordVectors, Any] | None]:
        """Return sources as one text; if that does not fit, its passages and their vectors.

        There are no vectors of sources without words.
        """
        whole = "\n\n".join(self._documents[id] for id in ids)
        if self._fits(whole):
            return whole, [], None
        parts = passages(whole)
        try:
            words = WordVectors.fit(parts)
        except ValueError:
            return whole, parts, None
        return whole, parts, (words, words.embed(parts))


def _joined(parts: list[str], chosen: list[int]) -> str:
    """Return some passages in their order, with a mark wherever others are missing."""
    pieces: list[str] = []
    for before, at in zip([-1, *chosen], [*chosen, len(parts)], strict=True):
        if at - before > 1:
            pieces.append("[...]")
        if at < len(parts):
            pieces.append(parts[at])
    return "\n\n".join(pieces)


def _transposed(vectors: Any) -> Any:
    """Return [n_dimensions, n] of vectors [n, n_dimensions], sparse ones in rows."""
    return vectors.T.tocsr() if hasattr(vectors, "tocsr") else vectors.T


def _products(first: Any, second: Any) -> np.ndarray:
    """Return the inner products [n, m] of vectors [n, n_dimensions] and [n_dimensions, m]."""
    found = first @ second
    return found.toarray() if hasattr(found, "toarray") else np.asarray(found)
