"""Rephrase long documents chunk by chunk, each after the rewritten chunks before it.

The chunks of a document are written one after another, those of all documents, styles and samples
of a group side by side. The answers are joined to one text; a document that fits one chunk is
rephrased as `rephrase` does it, by the same request.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from models.augment.texts.records import Provenance, Record
from models.augment.writing.asking import Ask
from models.augment.writing.documents import Chunk, end_of
from models.augment.writing.prompts import CHUNKWISE_VERSION, continued
from models.augment.writing.rephrase import Rephrase, requests_for
from models.augment.writing.requests import (
    Answer,
    FailedRequest,
    GenerationRequest,
    Outcome,
    outcome_of,
)

DOCUMENTS_TOGETHER = 64
"""Documents whose chunks are asked for side by side."""

BETWEEN = "\n\n"
"""What stands between two texts that are joined."""


def rephrase_chunkwise(
    documents: Iterable[Chunk],
    ask: Ask,
    settings: Rephrase,
    *,
    writer: str,
    fits: Callable[[str], bool],
    n_together: int = DOCUMENTS_TOGETHER,
) -> Iterator[Outcome]:
    """Yield a joined text, or a failure, for each document, style and sample, in that order.

    If a chunk has no answer, its document has no text in that style and sample, and its later
    chunks are not requested. Earlier answers are recorded: a later run continues at that chunk.

    Args:
        documents: documents to rephrase, the chunks of each one after another.
        ask: returns answers to requests, see `asking`.
        settings: styles and samples.
        writer: name of the backend and model, for the provenance.
        fits: whether the end of the rewritten text is short enough to stand in a prompt.
        n_together: documents whose chunks are asked for side by side.

    Source:
        Kimi Team 2025, arXiv 2507.20534, section 2.2.
    """
    whole = (list(chunks) for _, chunks in itertools.groupby(documents, lambda c: c.source_id))
    while group := list(itertools.islice(whole, n_together)):
        texts = [text for chunks in group for text in _texts_of(chunks, settings)]
        while waiting := [text for text in texts if text.is_waiting]:
            answers = list(ask(text.request(fits) for text in waiting))
            # A preview ends before all are asked.
            for text, answer in zip(waiting, answers, strict=False):
                text.add(answer, writer)
            if len(answers) < len(waiting):
                return
        for text in texts:
            yield text.outcome(writer)


def _texts_of(chunks: list[Chunk], settings: Rephrase) -> Iterator[_Text]:
    requests = (requests_for(chunk, settings) for chunk in chunks)
    return (_Text([*parts]) for parts in zip(*requests, strict=True))


@dataclass
class _Text:
    """A text of which some chunks are rewritten.

    Attributes:
        alone: the request for each chunk as if it stood alone.
        answered: requests and answers so far.
        failure: that of the first chunk without an answer.
    """

    alone: list[GenerationRequest]
    answered: list[tuple[GenerationRequest, Record]] = field(default_factory=list)
    failure: FailedRequest | None = None

    @property
    def is_waiting(self) -> bool:
        return self.failure is None and len(self.answered) < len(self.alone)

    def request(self, fits: Callable[[str], bool]) -> GenerationRequest:
        """Return the request for the next chunk, with the end of the text so far."""
        request = self.alone[len(self.answered)]
        if not self.answered:
            return request
        return replace(request, prompt=continued(request.prompt, self._end(fits)))

    def _end(self, fits: Callable[[str], bool]) -> str:
        """Return the end of the text so far, of whole answers as long as they fit."""
        end = self.answered[-1][1].text
        for _, record in reversed(self.answered[:-1]):
            if not fits(end):
                break
            end = f"{record.text}{BETWEEN}{end}"
        return end_of(end, fits)

    def add(self, answer: Answer, writer: str) -> None:
        """Add the answer for the next chunk."""
        outcome = outcome_of(answer, writer)
        if isinstance(outcome, FailedRequest):
            self.failure = outcome
        else:
            self.answered.append((answer.request, outcome))

    def outcome(self, writer: str) -> Outcome:
        """Return the joined text, or the failure of the chunk that has no answer."""
        if self.failure is not None:
            return self.failure
        first, record = self.answered[0]
        if len(self.answered) == 1:
            return record
        version = f"{first.prompt_version}+chunkwise-{CHUNKWISE_VERSION}"
        texts = [record.text for _, record in self.answered]
        return joined_record(self.answered, texts, writer, prompt_version=version)


def joined_record(
    answered: Sequence[tuple[GenerationRequest, Record]],
    texts: Iterable[str],
    writer: str,
    *,
    prompt_version: str,
) -> Record:
    """Return the text that several answers on one document make, with its provenance.

    Args:
        answered: requests with their answers, in the order of the document.
        texts: what is joined: the answers, perhaps with what stands between them.
        writer: name of the backend and model.
        prompt_version: version of the wording.
    """
    first = answered[0][0]
    keys = tuple(request.key(writer) for request, _ in answered)
    was_cut = any(record.metadata["finish"] == "length" for _, record in answered)
    return Record(
        id=f"{first.method}-{first.task}-{digest_of(keys)}",
        text=BETWEEN.join(texts),
        metadata=Provenance(
            method=first.method,
            task=first.task,
            source_ids=(first.source_id,),
            model=writer,
            prompt_version=prompt_version,
            seed=first.seed,
            finish="length" if was_cut else "stop",
            joined=keys,
        ).as_metadata(),
    )


def digest_of(names: Iterable[str]) -> str:
    """Return a hash of several names in their order, as part of an id."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
