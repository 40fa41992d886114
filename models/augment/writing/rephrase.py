"""Rephrase documents in several styles: the same facts in other words (Maini et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from models.augment.writing.asking import Ask
from models.augment.writing.documents import Chunk
from models.augment.writing.prompts import (
    PERSPECTIVES,
    PROMPT_VERSION,
    PROMPTS,
    STYLES,
    OwnPrompt,
    prompt_of,
)
from models.augment.writing.requests import GenerationRequest, Outcome, outcome_of

SEEDS_APART = 1_000_000
"""Offset between the seeds of two runs, so that a larger n_samples only adds samples."""


@dataclass(frozen=True, kw_only=True)
class Rephrase:
    """Settings of rephrasing.

    Attributes:
        styles: styles in which each document is rephrased, of `prompts.STYLES` and
            `prompts.PERSPECTIVES`.
        own: prompts of one's own, further styles.
        n_samples: texts in each style.
        n_tokens: most tokens of a text.
        temperature: sampling temperature.
        seed: random seed of the sampling.

    Raises:
        ValueError: an unknown style, two prompts of one name, or no texts at all.
    """

    styles: Sequence[str] = STYLES
    own: Sequence[OwnPrompt] = ()
    n_samples: int = 1
    n_tokens: int = 1024
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        known = (*STYLES, *PERSPECTIVES)
        if not {*self.styles} <= {*known} or not (self.styles or self.own):
            raise ValueError(f"styles must be some of {known}; not {tuple(self.styles)}")
        names = [prompt.task for prompt in self.own]
        if len({*names}) < len(names):
            raise ValueError(f"prompts must have different names; not {', '.join(names)}")
        if self.n_samples < 1:
            raise ValueError(f"n_samples must be at least 1; not {self.n_samples}")

    @property
    def prompts(self) -> tuple[str, ...]:
        """The wording of the prompts that are used."""
        return (*(PROMPTS[style] for style in self.styles), *(own.template for own in self.own))


def rephrase(
    documents: Iterable[Chunk], ask: Ask, settings: Rephrase, *, writer: str
) -> Iterator[Outcome]:
    """Yield a text, or a failure, for each document, style and sample, in that order.

    Args:
        documents: documents to rephrase.
        ask: returns answers to requests, see `asking`.
        settings: styles and samples.
        writer: name of the backend and model, for the provenance.

    Source:
        Maini et al. 2024, arXiv 2401.16380.
    """
    requests = (request for document in documents for request in requests_for(document, settings))
    for answer in ask(requests):
        yield outcome_of(answer, writer)


def requests_for(document: Chunk, settings: Rephrase) -> Iterator[GenerationRequest]:
    """Yield a request for each style and sample of a document."""
    prompts = {
        style: (
            prompt_of(style, name=document.source_id, document=document.text),
            PROMPT_VERSION,
        )
        for style in settings.styles
    } | {
        own.task: (own.prompt(name=document.source_id, document=document.text), own.version)
        for own in settings.own
    }
    for task, (prompt, version) in prompts.items():
        request = GenerationRequest(
            method="rephrase",
            task=task,
            prompt=prompt,
            prompt_version=version,
            source_id=document.source_id,
            part=document.part,
            document=document.text,
            # Samples differ by seed, because equal requests share one recorded answer.
            seed=settings.seed * SEEDS_APART,
            temperature=settings.temperature,
            n_tokens=settings.n_tokens,
        )
        for sample in range(settings.n_samples):
            yield replace(request, seed=request.seed + sample)
