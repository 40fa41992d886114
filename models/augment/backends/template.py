"""A backend without a language model: templates filled with source sentences or known facts.

It is free and needs no network: for dry runs, cost estimates, and worlds of known facts, in which
the content of every text must be certain.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from models.augment.writing.requests import Answer, GenerationRequest, Reply

Write = Callable[[GenerationRequest, np.random.Generator], str]
"""Returns the text for a request."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
_NAME = re.compile(r"\b[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)*")
_WORD = re.compile(r"[^\W\d_]{6,}")


@dataclass(frozen=True)
class TemplateBackend:
    """A `Backend` around any function that returns a text.

    Attributes:
        write: the function (default: `write_from_source`).
        name: for the provenance of texts.
        context: None, there is no limit.
    """

    write: Write | None = None
    name: str = "template:source"
    context: int | None = None

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield the answer to one request after another."""
        write = self.write or write_from_source
        for request in requests:
            seed = np.frombuffer(bytes.fromhex(request.key(self.name)), np.uint32)
            text = write(request, np.random.default_rng(seed))
            n_prompt, n_reply = self.count_tokens(request.document), self.count_tokens(text)
            yield Answer(
                request, Reply(text=text, n_prompt_tokens=n_prompt, n_reply_tokens=n_reply)
            )

    def count_tokens(self, text: str) -> int:
        """Return the number of words."""
        return len(text.split())


@dataclass(frozen=True)
class Fact:
    """A known relation of one entity to another."""

    subject: str
    relation: str
    object: str


@dataclass(frozen=True)
class KnownFacts:
    """Writes texts in a world of known facts, each stated by one of several templates.

    A pair or triple states every fact of which both entities are among its own; a rephrasing states
    every fact whose subject and object the document names.

    Attributes:
        facts: all known facts.
        templates: sentences with {subject}, {relation} and {object}.
    """

    facts: tuple[Fact, ...]
    templates: tuple[str, ...] = (
        "{subject} {relation} {object}.",
        "It is known that {subject} {relation} {object}.",
        "As for {object}: {subject} {relation} it.",
    )

    def __call__(self, request: GenerationRequest, rng: np.random.Generator) -> str:
        """Return the text for a request."""
        if request.entities:
            about = set(request.entities)
            stated = [f for f in self.facts if f.subject in about and f.object in about]
        else:
            stated = [
                f
                for f in self.facts
                if f.subject in request.document and f.object in request.document
            ]
        if request.task == "entities":
            names = dict.fromkeys(n for f in stated for n in (f.subject, f.object))
            return json.dumps({"summary": self._stated(stated, rng), "entities": [*names]})
        return self._stated(stated, rng)

    def _stated(self, facts: list[Fact], rng: np.random.Generator) -> str:
        order = rng.permutation(len(facts))
        choices = rng.integers(len(self.templates), size=len(facts))
        return " ".join(
            self.templates[choice].format(
                subject=facts[i].subject, relation=facts[i].relation, object=facts[i].object
            )
            for i, choice in zip(order, choices, strict=True)
        )


def write_from_source(request: GenerationRequest, rng: np.random.Generator) -> str:
    """Return sentences of the source, selected by the entities and shuffled."""
    sentences = [s.strip() for s in _SENTENCE.split(request.document) if s.strip()]
    if request.task == "entities":
        return json.dumps({"summary": sentences[0], "entities": names_in(request.document)})
    if request.task == "qa":
        subjects = names_in(request.document)[:5] or ["it"]
        answers = ((n, next((s for s in sentences if n in s), sentences[0])) for n in subjects)
        return "\n".join(
            f"Question: What is said of {name}?\nAnswer: {sentence}" for name, sentence in answers
        )
    shuffled = [sentences[i] for i in rng.permutation(len(sentences))]
    if not request.entities:
        return " ".join(shuffled)
    relevant = [s for s in shuffled if any(name in s for name in request.entities)]
    listed = " and ".join(request.entities)
    return f"{request.source_id} speaks of {listed}. " + " ".join(relevant or shuffled[:1])


def names_in(text: str, *, most: int = 30) -> list[str]:
    """Return capitalised names, most frequent first, then long words that occur repeatedly."""
    inside = Counter(
        match.group()
        for match in _NAME.finditer(text)
        # Words at the beginning of a sentence are always capitalised.
        if match.start()
        and text[max(0, match.start() - 9) : match.start()].rstrip()[-1:] not in '.!?:"“'
    )
    words = Counter(word.lower() for word in _WORD.findall(text))
    repeated = [word for word, count in words.most_common() if count > 1]
    known = {part.lower() for name in inside for part in name.split()}
    names = [name for name, _ in inside.most_common()]
    return [*names, *(word for word in repeated if word not in known)][:most]
