"""What is asked of a writer, and what it answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

Finish = Literal["stop", "length", "refusal"]


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One text to be written.

    Language models see `prompt` alone; a template writer goes by the other fields.

    Attributes:
        method: rephrase or entigraph.
        task: what is asked for, a key of `prompts.PROMPTS`.
        prompt: the whole prompt.
        prompt_version: version of its wording.
        source_id: record that it is about.
        part: which chunk of that record.
        document: text of the chunk.
        entities: entities that the text shall be about.
        seed: draws the text.
        temperature: of the sampling.
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
        """Return the hash of all that decides the answer of that writer; its id in the ledger."""
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
    """A text that was written, and paid for.

    Attributes:
        text: the text, or the reason of a refusal.
        finish: "stop"; "length" where it was cut; "refusal" where the writer declined.
        n_prompt_tokens: tokens read.
        n_reply_tokens: tokens written.
    """

    text: str
    finish: Finish = "stop"
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """No text: the reason, in a sentence. A later run asks again."""

    reason: str


@dataclass(frozen=True)
class Answer:
    """A request with what came of it."""

    request: GenerationRequest
    result: Reply | Failure
