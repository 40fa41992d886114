"""A backend without a language model: templates filled with sentences of the source.

It is free and needs no network: for dry runs and cost estimates.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from models.augment.writing.requests import Answer, GenerationRequest, Reply

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
_NAME = re.compile(r"\b[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)*")
_POSSESSIVE = re.compile(r"['’]s$")
_WORD = re.compile(r"[^\W\d_]{6,}")


@dataclass(frozen=True)
class TemplateBackend:
    """A `Backend` that answers with `write_from_source`.

    Attributes:
        name: for the provenance of texts.
        context: None, there is no limit.
    """

    name: str = "template:source"
    context: int | None = None

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield the answer to one request after another."""
        for request in requests:
            seed = np.frombuffer(bytes.fromhex(request.key(self.name)), np.uint32)
            text = write_from_source(request, np.random.default_rng(seed))
            n_prompt, n_reply = self.count_tokens(request.document), self.count_tokens(text)
            yield Answer(
                request, Reply(text=text, n_prompt_tokens=n_prompt, n_reply_tokens=n_reply)
            )

    def count_tokens(self, text: str) -> int:
        """Return the number of words."""
        return len(text.split())


def write_from_source(request: GenerationRequest, rng: np.random.Generator) -> str:
    """Return sentences of the source, selected by the entities and shuffled."""
    sentences = [s.strip() for s in _SENTENCE.split(request.document) if s.strip()]
    if request.task in ("judge", "faithful"):  # for estimates; templates have no opinion
        return json.dumps({"reason": "", "score": 3})
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
        _POSSESSIVE.sub("", match.group())
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
