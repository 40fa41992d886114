"""Outcomes of requests: a record with its provenance, or a failure with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from models.augment.texts.records import Provenance, Record, without_surrogates
from models.augment.writing.requests import Answer, Failure, GenerationRequest


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
        return FailedRequest(request=request, reason="the answer is empty", is_final=True)
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
