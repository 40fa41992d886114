"""A writer without a language model: templates filled with sentences of the source, or known facts.

It costs nothing and needs no network: for trying a pipeline out, for estimates, and for worlds
whose facts are known, where what a text states must be certain.
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
"""Writes the text that a request asks for."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
_NAME = re.compile(r"\b[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)*")
_WORD = re.compile(r"[^\W\d_]{6,}")


@dataclass(frozen=True)
class TemplateBackend:
    """A `Backend` around any function that writes.

    Attributes:
        write: what writes (default: `write_from_source`).
        name: for the provenance of texts.
        context: None, there is no limit.
    """

    write: Write | None = None
    name: str = "template:source"
    context: int | None = None

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Answer one request after another."""
        write = self.write or write_from_source
        for request in requests:
            seed = np.frombuffer(bytes.fromhex(request.key(self.name)), np.uint32)
            text = write(request, np.random.default_rng(seed))
            n_prompt, n_reply = self.count_tokens(request.document), self.count_tokens(text)
            yield Answer(
                request, Reply(text=text, n_prompt_tokens=n_prompt, n_reply_tokens=n_reply)
            )

    def count_tokens(self, text: str) -> int:
        """Count words."""
        return len(text.split())


@dataclass(frozen=True)
class Fact:
    """Something known: a relation of one entity to another."""

    subject: str
    relation: str
    object: str


@dataclass(frozen=True)
class KnownFacts:
    """Writes for a world of known facts, each stated by one of several templates.

    A pair or triple is told every fact in which two of its entities, or all that is known between
    them, meet; a rephrasing every fact whose subject and object the document names.

    Attributes:
        facts: all that is known.
        templates: sentences with {subject}, {relation} and {object}.
    """

    facts: tuple[Fact, ...]
    templates: tuple[str, ...] = (
        "{subject} {relation} {object}.",
        "It is known that {subject} {relation} {object}.",
        "As for {object}: {subject} {relation} it.",
    )

    def __call__(self, request: GenerationRequest, rng: np.random.Generator) -> str:
        """Write what a request asks for."""
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
            return json.dumps({"summary": self._told(stated, rng), "entities": [*names]})
        return self._told(stated, rng)

    def _told(self, facts: list[Fact], rng: np.random.Generator) -> str:
        order = rng.permutation(len(facts))
        choices = rng.integers(len(self.templates), size=len(facts))
        return " ".join(
            self.templates[choice].format(
                subject=facts[i].subject, relation=facts[i].relation, object=facts[i].object
            )
            for i, choice in zip(order, choices, strict=True)
        )


def write_from_source(request: GenerationRequest, rng: np.random.Generator) -> str:
    """Answer with sentences of the source, chosen by the entities and put in another order."""
    sentences = [s.strip() for s in _SENTENCE.split(request.document) if s.strip()]
    if request.task == "entities":
        return json.dumps({"summary": sentences[0], "entities": names_in(request.document)})
    if request.task == "qa":
        asked = names_in(request.document)[:5] or ["it"]
        told = ((name, next((s for s in sentences if name in s), sentences[0])) for name in asked)
        return "\n".join(
            f"Question: What is said of {name}?\nAnswer: {sentence}" for name, sentence in told
        )
    shuffled = [sentences[i] for i in rng.permutation(len(sentences))]
    if not request.entities:
        return " ".join(shuffled)
    relevant = [s for s in shuffled if any(name in s for name in request.entities)]
    listed = " and ".join(request.entities)
    return f"{request.source_id} speaks of {listed}. " + " ".join(relevant or shuffled[:1])


def names_in(text: str, *, most: int = 30) -> list[str]:
    """List capitalised names, the most frequent first, then long words that occur repeatedly."""
    inside = Counter(
        match.group()
        for match in _NAME.finditer(text)
        # At the beginning of a sentence any word has a capital.
        if match.start()
        and text[max(0, match.start() - 9) : match.start()].rstrip()[-1:] not in '.!?:"“'
    )
    words = Counter(word.lower() for word in _WORD.findall(text))
    repeated = [word for word, count in words.most_common() if count > 1]
    known = {part.lower() for name in inside for part in name.split()}
    names = [name for name, _ in inside.most_common()]
    return [*names, *(word for word in repeated if word not in known)][:most]
