"""A language model of this package as a backend: it continues the prompt."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from models.augment.writing.requests import Answer, Failure, GenerationRequest, Reply
from models.language.generate import BATCH_SAMPLES, generate
from models.language.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True, eq=False)
class OurBackend:
    """A `Backend` around a trained model with its tokenizer.

    Requests of one batch are sampled together, so a text depends on the other requests in its
    batch.

    Attributes:
        language_model: the model; the prompt follows the token that texts begin with.
        name: for the provenance of texts.

    Raises:
        ValueError: the model has no tokenizer.
    """

    language_model: LanguageModel
    name: str = "ours"

    def __post_init__(self) -> None:
        self.language_model.encode("")

    @property
    def context(self) -> int:
        """Context of the model; the token before a prompt takes one position of it."""
        return self.language_model.model.context

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return len(self.language_model.encode(text))

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield answers, batch by batch."""
        iterator = iter(requests)
        while batch := list(itertools.islice(iterator, BATCH_SAMPLES)):
            by_knobs: dict[tuple[int, float], list[tuple[GenerationRequest, list[int]]]] = {}
            for request in batch:
                ids = [self.language_model.model.start_id]
                ids += self.language_model.encode(request.prompt)
                if len(ids) + request.n_tokens > self.context + 1:
                    reason = (
                        f"prompt and answer take {len(ids) + request.n_tokens} tokens, more than "
                        f"the context {self.context}"
                    )
                    yield Answer(request, Failure(reason=reason))
                else:
                    knobs = (request.n_tokens, request.temperature)
                    by_knobs.setdefault(knobs, []).append((request, ids))
            for (n_tokens, temperature), group in by_knobs.items():
                yield from self._written(group, n_tokens, temperature)

    def _written(
        self, group: list[tuple[GenerationRequest, list[int]]], n_tokens: int, temperature: float
    ) -> Iterator[Answer]:
        model, tokenizer = self.language_model.model, self.language_model.tokenizer
        keys = "".join(request.key(self.name) for request, _ in group)
        drawn = generate(
            [(model, self.language_model.params)],
            prompts=[ids for _, ids in group],
            n_tokens=n_tokens,
            temperature=temperature,
            seed=zlib.crc32(keys.encode()) >> 1,
            stop_at_end=True,
        )
        for (request, ids), written in zip(group, drawn.texts(), strict=True):
            ended = len(written) > 0 and written[-1] == model.end_of_text_id
            kept = written[:-1] if ended else written
            yield Answer(
                request,
                Reply(
                    text=tokenizer.decode(kept.tolist()) if tokenizer else "",
                    finish="stop" if ended else "length",
                    n_prompt_tokens=len(ids),
                    n_reply_tokens=len(kept),
                ),
            )
