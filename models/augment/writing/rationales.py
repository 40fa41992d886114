"""Stretch documents by rationales: before each passage, the thoughts that lead to it.

The passages stay as they are. A model that sees what is before a passage, and the passage, writes
why it follows; the document with all of these is one longer text, a megadoc of one generation.
Several samples of it may be stitched, see `megadocs`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from models.augment.texts.records import Record
from models.augment.writing.asking import Ask
from models.augment.writing.chunkwise import joined_record
from models.augment.writing.documents import Chunk
from models.augment.writing.prompts import PROMPT_VERSION, prompt_of
from models.augment.writing.rephrase import SEEDS_APART
from models.augment.writing.requests import (
    FailedRequest,
    GenerationRequest,
    Outcome,
    outcome_of,
)

NOTHING_BEFORE = "(This is where the document begins.)"


@dataclass(frozen=True, kw_only=True)
class Rationales:
    """Settings of rationales.

    Attributes:
        n_samples: texts of each document.
        n_tokens: most tokens of a rationale.
        temperature: sampling temperature.
        seed: random seed of the sampling.

    Raises:
        ValueError: no texts at all.
    """

    n_samples: int = 1
    n_tokens: int = 128
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_samples < 1:
            raise ValueError(f"n_samples must be at least 1; not {self.n_samples}")


def with_rationales(
    documents: Iterable[Chunk], ask: Ask, settings: Rationales, *, writer: str
) -> Iterator[Outcome]:
    """Yield each document with rationales before its passages, or a failure, for each sample.

    A document of which a passage has no rationale has no text in that sample.

    Args:
        documents: documents in passages, those of each one after another.
        ask: returns answers to requests, see `asking`.
        settings: samples.
        writer: name of the backend and model, for the provenance.

    Source:
        arXiv 2603.18534 (rationales inserted); where they stand and the wording are ours.
    """
    asked: list[list[Chunk]] = []

    def requests() -> Iterator[GenerationRequest]:
        for _, chunks in itertools.groupby(documents, lambda chunk: chunk.source_id):
            whole = list(chunks)
            for sample in range(settings.n_samples):
                asked.append(whole)
                yield from _requests(whole, settings, sample)

    outcomes: list[tuple[GenerationRequest, Outcome]] = []
    for answer in ask(requests()):
        outcomes.append((answer.request, outcome_of(answer, writer)))
        if len(outcomes) == len(asked[0]):
            yield _joined(asked.pop(0), outcomes, writer)
            outcomes = []


def _requests(
    chunks: list[Chunk], settings: Rationales, sample: int
) -> Iterator[GenerationRequest]:
    before = NOTHING_BEFORE
    for chunk in chunks:
        yield GenerationRequest(
            method="rationales",
            task="rationale",
            prompt=prompt_of("rationale", name=chunk.source_id, document=chunk.text, source=before),
            prompt_version=PROMPT_VERSION,
            source_id=chunk.source_id,
            part=chunk.part,
            document=chunk.text,
            seed=settings.seed * SEEDS_APART + sample,
            temperature=settings.temperature,
            n_tokens=settings.n_tokens,
        )
        before = chunk.text


def _joined(
    chunks: list[Chunk], outcomes: list[tuple[GenerationRequest, Outcome]], writer: str
) -> Outcome:
    """Return a document with its rationales, or the failure of the first that is missing."""
    answered: list[tuple[GenerationRequest, Record]] = []
    for request, outcome in outcomes:
        if isinstance(outcome, FailedRequest):
            return outcome
        answered.append((request, outcome))
    texts = [
        text
        for chunk, (_, record) in zip(chunks, answered, strict=True)
        for text in (record.text, chunk.text)
    ]
    return joined_record(answered, texts, writer, prompt_version=PROMPT_VERSION)
