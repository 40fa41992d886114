"""Judge texts by a language model: a score and a reason for each, by which a filter keeps them.

Texts are judged by themselves, or beside what they were written from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from models.augment.writing.asking import Ask
from models.augment.writing.documents import Chunk
from models.augment.writing.prompts import PROMPT_VERSION, OwnPrompt, prompt_of
from models.augment.writing.requests import (
    FailedRequest,
    GenerationRequest,
    Reply,
    outcome_of,
)

SourceOf = Callable[[str, str], str]
"""Returns what a text was written from, given the id of its record and the text."""
LOWEST, HIGHEST = 1.0, 5.0
"""The scores that a judge may give."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a judge says of a text.

    Attributes:
        id: id of the record.
        score: the score; None if the judge gave none.
        reason: why, in the judge's words, or why there is no score.
    """

    id: str
    score: float | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Settings of judging.

    Attributes:
        own: a prompt of one's own, which must ask for the same form of answer.
        source_of: gives the sources of texts; None to judge texts by themselves.
        n_tokens: most tokens of an answer.
        temperature: sampling temperature.
        seed: random seed of the sampling.
    """

    own: OwnPrompt | None = None
    source_of: SourceOf | None = None
    n_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0


def judge(
    documents: Iterable[Chunk], ask: Ask, settings: Judge
) -> Iterator[Judgement | FailedRequest]:
    """Yield a judgement, or a failure, for each record whose chunks are given, in order.

    A record in several chunks has the lowest of their scores, and its reason.

    Args:
        documents: texts to judge, the chunks of a record one after another.
        ask: returns answers to requests, see `asking`.
        settings: prompt and sampling.
    """
    parts: list[Judgement | FailedRequest] = []
    n_parts: list[int] = []

    def requests() -> Iterator[GenerationRequest]:
        for document in documents:
            if document.part == 0:
                n_parts.append(document.n_parts)
            yield _request(document, settings)

    for answer in ask(requests()):
        outcome = outcome_of(answer, "")
        if isinstance(outcome, FailedRequest):
            parts.append(outcome)
        else:
            assert isinstance(answer.result, Reply)
            score, reason = parsed_score(answer.result.text)
            parts.append(Judgement(id=answer.request.source_id, score=score, reason=reason))
        if len(parts) == n_parts[0]:
            yield min(parts, key=_badness)
            parts.clear()
            n_parts.pop(0)


def _badness(part: Judgement | FailedRequest) -> tuple[int, float]:
    """Order failures before missing scores before low ones."""
    if isinstance(part, FailedRequest):
        return 0, 0.0
    return (1, 0.0) if part.score is None else (2, part.score)


def _request(document: Chunk, settings: Judge) -> GenerationRequest:
    own, name, text = settings.own, document.source_id, document.text
    source = settings.source_of(name, text) if settings.source_of else ""
    task = "faithful" if settings.source_of else "judge"
    prompt = (
        prompt_of(task, name=name, document=text, source=source)
        if own is None
        else own.prompt(name=name, document=text, source=source)
    )
    return GenerationRequest(
        method="filter",
        task=task,
        prompt=prompt,
        prompt_version=PROMPT_VERSION if own is None else own.version,
        source_id=name,
        part=document.part,
        document=text,
        seed=settings.seed,
        temperature=settings.temperature,
        n_tokens=settings.n_tokens,
    )


def parsed_score(text: str) -> tuple[float | None, str]:
    """Return the score and reason in an answer such as {"reason": "...", "score": 4}.

    Text around the object is ignored. Without a score between `LOWEST` and `HIGHEST`, the score is
    None and the reason quotes the answer.
    """
    decoder = json.JSONDecoder()
    for at in (match.start() for match in re.finditer(r"\{", text)):
        try:
            values, _ = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        score = _number(values.get("score"))
        if score is not None:
            reason = values.get("reason")
            return score, " ".join(reason.split()) if isinstance(reason, str) else ""
    score = _number(text)
    if score is not None:
        return score, ""
    return (
        None,
        f"no score from {LOWEST:g} to {HIGHEST:g} in the answer {' '.join(text.split())[:200]!r}",
    )


def _number(value: Any) -> float | None:
    """Return the score that a number, or a text such as "4" or "4/5", states; else None."""
    if isinstance(value, str):
        found = re.fullmatch(rf"\s*(\d(?:\.\d+)?)\s*(?:/\s*{HIGHEST:g})?\s*\.?\s*", value)
        value = float(found[1]) if found else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if LOWEST <= value <= HIGHEST else None
