"""Requests for texts, the backends that answer them, and what becomes of an answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from models.augment.texts.records import Provenance, Record, without_surrogates

Finish = Literal["stop", "length", "refusal"]

CUT_WHILE_REASONING = "the answer was cut before any text, within its reasoning: allow more tokens"


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """A request for one text.

    Language models see `prompt` alone; template backends use the other fields.

    Attributes:
        method: rephrase or entigraph.
        task: kind of text, a key of `prompts.PROMPTS`.
        prompt: the whole prompt.
        prompt_version: version of its wording.
        source_id: id of the record that it is about.
        part: index of the chunk of that record.
        document: text of the chunk.
        entities: entities to discuss.
        seed: random seed of the sampling.
        temperature: sampling temperature.
        n_tokens: most tokens of the answer.
    """

    method: str
    task: str
    prompt: str
    prompt_version: str
    source_id: str
    part: int
    document: str
    entities: tuple[str, ...] = ()
    seed: int
    temperature: float
    n_tokens: int

    def key(self, writer: str) -> str:
        """Return the hash of all that determines the writer's answer, its key in the ledger."""
        asked = {
            "writer": writer,
            "prompt": self.prompt,
            "seed": self.seed,
            "temperature": self.temperature,
            "n_tokens": self.n_tokens,
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A text that a backend returned, possibly at a cost.

    Attributes:
        text: the text, or the reason of a refusal.
        finish: "stop"; "length" if cut at the token limit; "refusal" if the model declined.
        n_prompt_tokens: tokens read.
        n_reply_tokens: tokens written.

    Raises:
        TypeError: a text or a number of another type.
        ValueError: another finish, or a negative number.
    """

    text: str
    finish: Finish = "stop"
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0

    def __post_init__(self) -> None:
        # What is recorded is looked up for ever, so it is checked before.
        if not isinstance(self.text, str):
            raise TypeError(f"the text of a reply must be a string; not {self.text!r}")
        if self.finish not in get_args(Finish):
            raise ValueError(f"finish must be one of {get_args(Finish)}; not {self.finish!r}")
        for n in (self.n_prompt_tokens, self.n_reply_tokens):
            if not isinstance(n, int):
                raise TypeError(f"a number of tokens must be an integer; not {n!r}")
            if n < 0:
                raise ValueError(f"a number of tokens must not be negative; not {n}")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request without a text, with the reason in a sentence; a later run retries it."""

    reason: str


@dataclass(frozen=True)
class Answer:
    """A request with its result."""

    request: GenerationRequest
    result: Reply | Failure


class BackendError(RuntimeError):
    """A backend that cannot answer any request: no key, no such model, no server."""


class Backend(Protocol):
    """A text generation backend."""

    @property
    def name(self) -> str:
        """Backend and model, for the provenance of texts."""
        ...

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt and its answer together; None if unlimited."""
        ...

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield the answers to all requests in any order, as they become available.

        An error that concerns one request is the `Failure` of its answer; other requests continue.

        Raises:
            BackendError: no request can be answered.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, or an upper bound."""
        ...


@dataclass(frozen=True, kw_only=True)
class FailedRequest:
    """A request that led to no text.

    Attributes:
        request: the request.
        reason: the reason, in a sentence.
        is_final: whether a retry would give the same result; otherwise a later run retries it.
    """

    request: GenerationRequest
    reason: str
    is_final: bool


Outcome = Record | FailedRequest


def outcome_of(answer: Answer, writer: str) -> Outcome:
    """Return an answer as a record whose id holds the hash of its request, or as a failure."""
    request, result = answer.request, answer.result
    if isinstance(result, Failure):
        return FailedRequest(request=request, reason=result.reason, is_final=False)
    if result.finish == "refusal":
        return FailedRequest(request=request, reason=f"refused: {result.text}", is_final=True)
    if not result.text.strip():
        reason = CUT_WHILE_REASONING if result.finish == "length" else "the answer is empty"
        return FailedRequest(request=request, reason=reason, is_final=True)
    return record_of(request, result.text, writer, task=request.task, finish=result.finish)


def record_of(
    request: GenerationRequest, text: str, writer: str, *, task: str, finish: str
) -> Record:
    """Return a generated text as a record with its provenance.

    Args:
        request: the request that it answers.
        text: the text.
        writer: name of the backend and model.
        task: kind of text, part of the id.
        finish: "stop", or "length" if it was cut at the token limit.
    """
    return Record(
        id=f"{request.method}-{task}-{request.key(writer)}",
        text=without_surrogates(text).strip(),
        metadata=Provenance(
            method=request.method,
            task=task,
            source_ids=(request.source_id,),
            part=request.part,
            entities=request.entities,
            model=writer,
            prompt_version=request.prompt_version,
            seed=request.seed,
            finish=finish,
        ).as_metadata(),
    )
