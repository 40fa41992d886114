"""Synthetic bootstrapped pre-training, from documents to sampled documents.

`tokenized_chunks` -> `related_pairs` -> `synthesizer.train_synthesizer` ->
`synthesizer.pair_losses` (is sampling worthwhile?) -> `sampled_records`.

Source:
    Yang et al. 2025, arXiv 2509.15248.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from models.augment.sbp.embeddings import Embedder
from models.augment.sbp.neighbors import find_pairs
from models.augment.sbp.pair_rows import longest_document
from models.augment.sbp.synthesizer import sample_related
from models.augment.texts.minhash import HashedTexts, signatures
from models.augment.texts.records import Provenance, Record
from models.augment.writing.documents import chunks
from models.language.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunks:
    """Documents cut into parts of which any two fit the context of the synthesizer.

    Attributes:
        ids: token ids of each part, without end-of-text.
        source_ids: id of the record of each part.
        parts: index of the part within its record, from 0.
        n_cut: number of records that were cut.
    """

    ids: list[np.ndarray]
    source_ids: list[str]
    parts: list[int]
    n_cut: int

    def texts(self, base: LanguageModel) -> Iterator[str]:
        """Return an iterator over the decoded parts.

        Raises:
            ValueError: the model has no tokenizer.
        """
        if base.tokenizer is None:
            raise ValueError("decoding needs a model with its tokenizer")
        return (base.tokenizer.decode(ids.tolist()) for ids in self.ids)


def tokenized_chunks(records: Iterable[Record], base: LanguageModel) -> Chunks:
    """Return encoded records, cut where two of them would not fit the context.

    Raises:
        ValueError: the model has no tokenizer, or its context is too short for a pair.
    """
    most = longest_document(base.model)
    if most < 1:
        raise ValueError(
            f"a context of {base.model.context} tokens is too short for a pair of documents"
        )
    ids, source_ids, parts, n_cut = [], [], [], 0
    for record in records:
        found = chunks(record.text, lambda text: len(base.encode(text)) <= most)
        n_cut += len(found) > 1
        for part, text in enumerate(found):
            ids.append(np.array(base.encode(text), np.int32))
            source_ids.append(record.id)
            parts.append(part)
    return Chunks(ids=ids, source_ids=source_ids, parts=parts, n_cut=n_cut)


@dataclass(frozen=True, kw_only=True, eq=False)
class RelatedPairs:
    """Pairs of related chunks; no chunk of a held-out record is in a training pair.

    Attributes:
        train: positions [n_pairs, 2] of d1 and d2 to train on.
        held_out: positions [n_held_out, 2] for evaluation.
    """

    train: np.ndarray
    held_out: np.ndarray


def related_pairs(
    documents: Chunks,
    base: LanguageModel,
    embedder: Embedder,
    *,
    alpha: float,
    k: int,
    is_held_out: Callable[[str], bool],
) -> RelatedPairs:
    """Return pairs of each chunk with its nearest ones above alpha, near-duplicates left out.

    Args:
        documents: chunks.
        base: model whose tokenizer decodes them.
        embedder: see `embeddings`.
        alpha: inner product that a pair must exceed.
        k: most d2 for one d1.
        is_held_out: whether the record of this id is held out for evaluation.

    Raises:
        ValueError: fewer than two documents.
        NoNeighborsError: no pair is left.
    """
    if len(documents.ids) < 2:
        raise ValueError("related pairs need at least two documents")
    vectors = embedder.embed(documents.texts(base))
    hashed = HashedTexts.of(documents.texts(base))
    k = min(k, len(vectors) - 1)
    pairs = find_pairs(vectors, alpha=alpha, k=k, signatures=signatures(hashed))
    held_out = np.array([is_held_out(source) for source in documents.source_ids])[pairs]
    return RelatedPairs(train=pairs[~held_out.any(axis=1)], held_out=pairs[held_out[:, 1]])


def sampled_records(
    synthesizer: LanguageModel,
    documents: Chunks,
    n_samples: int,
    *,
    writer: str,
    name: str,
    seed: int,
    temperature: float,
    first_sample: int = 0,
) -> Iterator[Record]:
    """Yield samples d2 for uniformly drawn d1 as records.

    Args:
        synthesizer: the model of log p(d2 | d1).
        documents: real documents d1.
        n_samples: number of samples in all.
        writer: name of the model, for the provenance.
        name: prefix of the ids, before the number of the sample.
        seed: random seed of the choice of d1 and of the sampling.
        temperature: sampling temperature.
        first_sample: index of the first sample to yield.

    Raises:
        ValueError: the model has no tokenizer.
    """
    if synthesizer.tokenizer is None:
        raise ValueError("decoding needs a model with its tokenizer")
    drawn = sample_related(
        synthesizer,
        documents.ids,
        n_samples,
        seed=seed,
        temperature=temperature,
        first_sample=first_sample,
    )
    for at, sample in enumerate(drawn, start=first_sample):
        yield Record(
            id=f"{name}-{at}",
            text=synthesizer.tokenizer.decode(sample.ids.tolist()),
            metadata=Provenance(
                method="sbp",
                task="related",
                source_ids=(documents.source_ids[sample.source],),
                part=documents.parts[sample.source],
                model=writer,
                seed=seed,
                finish="stop" if sample.ended else "length",
            ).as_metadata(),
        )
