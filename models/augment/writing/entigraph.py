"""EntiGraph: list a document's entities, then discuss each pair of them.

Yang et al. 2024 (arXiv 2409.07431): one call names a document's entities and summarises it; then a
text is written for every pair of entities, and for sampled triples. Relations that the document
only implies are thus stated explicitly, in diverse texts.
"""

from __future__ import annotations

import itertools
import json
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.augment.texts.records import without_surrogates
from models.augment.writing.asking import Ask
from models.augment.writing.documents import Chunk
from models.augment.writing.prompts import PROMPT_VERSION, PROMPTS, prompt_of
from models.augment.writing.requests import (
    Answer,
    FailedRequest,
    GenerationRequest,
    Outcome,
    Reply,
    outcome_of,
    record_of,
)

NAME_KEYS = ("name", "entity", "entity_name", "title", "label", "text")
"""Fields of an entity that is an object which may hold its name."""

DOCUMENTS_TOGETHER = 64
"""Documents whose entities are asked for before any of their pairs."""


@dataclass(frozen=True, kw_only=True)
class EntiGraph:
    """Settings of EntiGraph.

    Attributes:
        max_entities: most entities of a document used, the first ones in its list.
        max_pairs: most pairs of a document, drawn uniformly from more (default: all).
        n_triples: triples of a document, drawn uniformly without replacement.
        n_tokens: most tokens of a text.
        n_entity_tokens: most tokens of the answer that lists the entities.
        temperature: sampling temperature.
        seed: random seed of pairs, triples and texts.

    Raises:
        ValueError: a number out of range.
    """

    max_entities: int = 30
    max_pairs: int | None = None
    n_triples: int = 0
    n_tokens: int = 1024
    n_entity_tokens: int = 1024
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_entities < 2:
            raise ValueError(f"max_entities must be at least 2; not {self.max_entities}")
        if self.n_triples < 0 or (self.max_pairs is not None and self.max_pairs < 0):
            raise ValueError("max_pairs and n_triples must not be negative")

    @property
    def prompts(self) -> tuple[str, ...]:
        """The wording of the prompts that are used."""
        return tuple(PROMPTS[task] for task in ("entities", "pair", "triple"))


@dataclass(frozen=True, kw_only=True)
class Entities:
    """The summary and entities of a document."""

    summary: str
    names: tuple[str, ...]


def entigraph(
    documents: Iterable[Chunk],
    ask: Ask,
    settings: EntiGraph,
    *,
    writer: str,
    n_together: int = DOCUMENTS_TOGETHER,
    on_entities: Callable[[Chunk, tuple[str, ...]], None] = lambda document, names: None,
) -> Iterator[Outcome]:
    """Yield each document's summary and the texts on its pairs and triples, or failures.

    If the list of entities is not the JSON that was asked for, the backend is asked once to repair
    it; if that fails too, the document is a failure and the others continue.

    Args:
        documents: documents to write about.
        ask: returns answers to requests, see `asking`.
        settings: numbers of texts.
        writer: name of the backend and model, for the provenance.
        n_together: documents whose entities are asked for together.
        on_entities: called with each document and the entities of it that are used.

    Source:
        Yang et al. 2024, arXiv 2409.07431, section 2.
    """
    iterator = iter(documents)
    while group := list(itertools.islice(iterator, n_together)):
        found: list[tuple[Chunk, Entities]] = []
        for document, (answer, outcome) in zip(
            group, _entities_of(group, ask, settings), strict=False
        ):  # a preview ends before all are asked
            if isinstance(outcome, FailedRequest):
                yield outcome
                continue
            found.append((document, outcome))
            on_entities(document, outcome.names[: settings.max_entities])
            if outcome.summary:
                yield record_of(
                    answer.request, outcome.summary, writer, task="summary", finish="stop"
                )
            if len(outcome.names) < 2:
                reason = f"no pairs: the answer names {len(outcome.names)} different entities"
                yield FailedRequest(request=answer.request, reason=reason, is_final=True)
        for answer in ask(_discussions(found, settings)):
            yield outcome_of(answer, writer)


def _entities_of(
    documents: list[Chunk], ask: Ask, settings: EntiGraph
) -> list[tuple[Answer, Entities | FailedRequest]]:
    answers = list(ask(_request("entities", document, (), settings) for document in documents))
    broken = [
        (at, document, answer.result.text)
        for at, (document, answer) in enumerate(zip(documents, answers, strict=False))
        if isinstance(answer.result, Reply)
        and answer.result.finish != "refusal"
        and answer.result.text.strip()
        and parsed_entities(answer.result.text) is None
    ]
    repairs = ask(
        _request("repair", replace(document, text=text), (), settings)
        for _, document, text in broken
    )
    for (at, _, _), answer in zip(broken, repairs, strict=False):
        answers[at] = answer
    return [(answer, _outcome_of_entities(answer)) for answer in answers]


def _outcome_of_entities(answer: Answer) -> Entities | FailedRequest:
    if isinstance(answer.result, Reply) and answer.result.finish != "refusal":
        found = parsed_entities(answer.result.text)
        if found is not None:
            return found
        if answer.result.text.strip():
            reason = "no JSON with a summary and entities, even after a request to repair it"
            if answer.result.finish == "length":
                reason += f"; it was cut at {answer.request.n_tokens} tokens: allow more"
            return FailedRequest(request=answer.request, reason=reason, is_final=True)
    outcome = outcome_of(answer, "")
    assert isinstance(outcome, FailedRequest)
    return outcome


def parsed_entities(text: str) -> Entities | None:
    """Return the object {"summary": ..., "entities": [...]} in an answer, or None.

    Text around the object (such as a Markdown fence) is ignored. Entities may be strings, objects
    with a name, or lists or objects of these; names that differ only in case, width or white space
    are one, by its first spelling.
    """
    decoder = json.JSONDecoder()
    for at, character in enumerate(text):
        if character != "{":
            continue
        try:
            values, _ = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        summary, entities = values.get("summary"), values.get("entities")
        if not isinstance(summary, str) or not isinstance(entities, list | dict):
            continue
        spellings: dict[str, str] = {}
        for name in _names(entities):
            spelling = " ".join(without_surrogates(name).split())
            # "..." is the prompt's own example, said again.
            if any(map(str.isalnum, spelling)):
                spellings.setdefault(folded(spelling), spelling)
        if spellings or not entities:
            return Entities(summary=summary.strip(), names=tuple(spellings.values()))
    return None


def _names(values: Any) -> Iterator[str]:
    """Yield the names in a list of entities, in any of the forms that models give it."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, list):
        for value in values:
            if isinstance(value, dict):
                yield from [value[k] for k in NAME_KEYS if isinstance(value.get(k), str)][:1]
            else:
                yield from _names(value)
    elif isinstance(values, dict):
        for key, value in values.items():
            # By kind, {"people": [...]}, or with more on each, {"Ada": "a person"}.
            yield from _names(value) if isinstance(value, list) else (key,)


def folded(name: str) -> str:
    """Return a name without differences of case and of compatible characters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _discussions(
    found: Iterable[tuple[Chunk, Entities]], settings: EntiGraph
) -> Iterator[GenerationRequest]:
    for document, entities in found:
        names = entities.names[: settings.max_entities]
        rng = np.random.default_rng((settings.seed, *document.source_id.encode(), document.part))
        for size, task, wanted in (
            (2, "pair", settings.max_pairs),
            (3, "triple", settings.n_triples),
        ):
            for chosen in combinations(len(names), size, wanted, rng):
                yield _request(task, document, tuple(names[i] for i in chosen), settings)


def combinations(
    n: int, size: int, wanted: int | None, rng: np.random.Generator
) -> Iterator[tuple[int, ...]]:
    """Yield combinations of `size` of the numbers 0 to n - 1.

    Args:
        n: how many numbers there are.
        size: numbers in a combination.
        wanted: combinations to draw uniformly without replacement; all in order if None or too
            many.
        rng: random generator of the draws.
    """
    n_all = math.comb(n, size)
    if wanted is None or wanted >= n_all:
        yield from itertools.combinations(range(n), size)
        return
    seen: set[tuple[int, ...]] = set()
    while len(seen) < wanted:
        chosen = tuple(sorted(rng.choice(n, size, replace=False).tolist()))
        if chosen not in seen:
            seen.add(chosen)
            yield chosen


def _request(
    task: str, document: Chunk, entities: tuple[str, ...], settings: EntiGraph
) -> GenerationRequest:
    is_discussion = bool(entities)
    return GenerationRequest(
        method="entigraph",
        task=task,
        prompt=prompt_of(task, name=document.source_id, document=document.text, entities=entities),
        prompt_version=PROMPT_VERSION,
        source_id=document.source_id,
        part=document.part,
        document=document.text,
        entities=entities,
        seed=settings.seed,
        temperature=settings.temperature,
        n_tokens=settings.n_tokens if is_discussion else settings.n_entity_tokens,
    )
