"""Source documents, cut at natural boundaries into chunks that fit the context of a backend."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from models.augment.texts.records import Record
from models.augment.writing.requests import Backend
from models.text.rows import BREAKS

TOKENS_OF_ENTITIES = 64
"""Room left in a prompt for the names of two or three entities."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A part of a source document.

    Attributes:
        source_id: id of its record.
        part: index of the part, from 0.
        n_parts: number of parts of the record.
        text: its text.
    """

    source_id: str
    part: int
    n_parts: int
    text: str


def chunks_for(
    records: Iterable[Record],
    backend: Backend,
    *,
    prompts: Iterable[str],
    n_tokens: int,
    most_tokens: int | None = None,
    n_beside: int = 0,
    on_cut: Callable[[Record, int], None] = lambda record, n_parts: None,
) -> Iterator[Chunk]:
    """Yield records in chunks that the backend can read beside a prompt and its answer.

    Args:
        records: source documents.
        backend: gives the context and counts tokens.
        prompts: wording of the prompts that must fit.
        n_tokens: most tokens of an answer.
        most_tokens: most tokens of a chunk, whatever the context.
        n_beside: tokens of a prompt to be left for text beside the chunk, such as earlier ones.
        on_cut: called with each record that is cut and its number of parts.

    Raises:
        ValueError: the context is too short for a prompt and its answer.
    """
    longest = max(prompts, key=len)
    for record in records:
        room = _room(backend, longest + record.id, n_tokens, n_beside)
        limit = min(room, most_tokens or room)
        parts = chunks(record.text, partial(_fits, backend, limit))
        if len(parts) > 1:
            on_cut(record, len(parts))
        for part, text in enumerate(parts):
            yield Chunk(source_id=record.id, part=part, n_parts=len(parts), text=text)


def _room(backend: Backend, prompt: str, n_tokens: int, n_beside: int) -> float:
    """Return the tokens left for a text beside its prompt and the answer."""
    if backend.context is None:
        return math.inf
    n_prompt = backend.count_tokens(prompt) + TOKENS_OF_ENTITIES + n_beside
    if n_prompt + n_tokens >= backend.context:
        raise ValueError(
            f"{backend.name} reads {backend.context} tokens, but a prompt takes {n_prompt} and its "
            f"answer up to {n_tokens}: allow fewer tokens in an answer, or take a writer with a "
            "longer context"
        )
    return backend.context - n_prompt - n_tokens


def _fits(backend: Backend, limit: float, text: str) -> bool:
    return backend.count_tokens(text) <= limit


def chunks(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Return a text in parts that fit, of about equal length, complete except for white space.

    A part is cut at the paragraph, else line, else sentence, else word end nearest to its middle,
    and within a word only as a last resort.

    Args:
        text: the text to cut.
        fits: whether a part is short enough.

    Raises:
        ValueError: not even one character fits.
    """
    text = text.strip()
    if not text:
        return []
    if fits(text):
        return [text]
    if len(text) == 1:
        raise ValueError("there is no room for a text: not even one character fits")
    left, right = _halves(text)
    return [*chunks(left, fits), *chunks(right, fits)]


def end_of(text: str, fits: Callable[[str], bool]) -> str:
    """Return the end of a text that fits, at least half of what would, from a natural boundary on.

    Args:
        text: the text.
        fits: whether a part is short enough.
    """
    text = text.strip()
    while len(text) > 1 and not fits(text):
        _, text = _halves(text)
    return text


def _halves(text: str) -> tuple[str, str]:
    middle = len(text) / 2
    for pattern in BREAKS:
        # A break at either end would leave one half as long as the whole.
        found = [m for m in re.finditer(pattern, text) if m.start() > 0 and m.end() < len(text)]
        if found:
            best = min(found, key=lambda m: abs((m.start() + m.end()) / 2 - middle))
            # Prefer a lesser break near the middle to a better one far from it.
            if pattern == BREAKS[-1] or abs(best.start() - middle) <= len(text) / 4:
                return text[: best.start()], text[best.end() :]
    return text[: len(text) // 2], text[len(text) // 2 :]
