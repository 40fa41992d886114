"""Requests for texts, and the replies of a backend."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

Finish = Literal["stop", "length", "refusal"]


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
    """

    text: str
    finish: Finish = "stop"
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request without a text, with the reason in a sentence; a later run retries it."""

    reason: str


@dataclass(frozen=True)
class Answer:
    """A request with its result."""

    request: GenerationRequest
    result: Reply | Failure
