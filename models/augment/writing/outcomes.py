"""What a method makes of an answer: a record with its provenance, or a failure with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from models.augment.texts.records import Provenance, Record, without_surrogates
from models.augment.writing.requests import Answer, Failure, Request


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A request that led to no text.

    Attributes:
        request: what was asked.
        reason: why, in a sentence.
        is_final: whether asking again would bring the same; else a later run asks again.
    """

    request: Request
    reason: str
    is_final: bool


Outcome = Record | Failed


def outcome_of(answer: Answer, writer: str) -> Outcome:
    """Turn an answer into a record whose id is the hash of its request."""
    request, result = answer.request, answer.result
    if isinstance(result, Failure):
        return Failed(request=request, reason=result.reason, is_final=False)
    if result.finish == "refusal":
        return Failed(request=request, reason=f"refused: {result.text}", is_final=True)
    if not result.text.strip():
        return Failed(request=request, reason="the answer is empty", is_final=True)
    return record_of(request, result.text, writer, task=request.task, finish=result.finish)


def record_of(request: Request, text: str, writer: str, *, task: str, finish: str) -> Record:
    """Return a text that answers a request as a record."""
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
