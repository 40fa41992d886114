"""`datawall augment rephrase` and `entigraph`: methods that ask a writer for texts."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.cli.augment.output import say_quality
from experiments.cli.options import readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.display.progress import Notices
    from models.augment.texts.records import Record
    from models.augment.writing import entigraph, rephrase
    from models.augment.writing.asking import Ask, Tally
    from models.augment.writing.documents import Chunk
    from models.augment.writing.output import OutputFolder
    from models.augment.writing.requests import Backend, Outcome


@readable
@dataclass(frozen=True, kw_only=True)
class _Asking(ABC):
    """Settings of the methods that ask a writer for texts."""

    input: Annotated[Path, tyro.conf.Positional]
    """A file or folder of texts: plain (packed or not), JSON lines or parquet with a "text"."""
    out: Path
    """Folder for texts.jsonl; the same command goes on there where it stopped."""
    backend: Literal["template", "openai", "hf", "ours"] = "template"
    """Who writes: templates filled with the source's sentences, an OpenAI-compatible server, a
    model of transformers, or a model trained here."""
    model: str = ""
    """The server's name of the model; name or folder of a transformers model; a run's folder."""
    base_url: str | None = None
    """Address of the server's API, as in http://localhost:8000/v1 (default: OpenAI's)."""
    api_key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key of the server."""
    concurrency: int = 8
    """Requests to the server under way at a time."""
    requests_per_minute: float | None = None
    """Most requests to the server in a minute."""
    timeout: float = 120.0
    """Seconds to wait for an answer of the server."""
    context: int = 16_384
    """Tokens that the server's model takes; longer documents are cut into chunks."""
    chunk_tokens: int | None = None
    """Most tokens of a chunk (default: as many as the context allows)."""
    tokens: int = 1024
    """Most tokens of a written text."""
    temperature: float = 1.0
    """Sampling temperature of the model."""
    seed: int = 0
    """Random seed for sampling pairs, triples and texts."""
    dry_run: bool = False
    """Only say how many calls and tokens it would take."""
    price_prompt: float | None = None
    """Price of a million tokens read, for the estimate."""
    price_reply: float | None = None
    """Price of a million tokens written, for the estimate."""
    parquet: bool = False
    """Write the texts as a parquet table too."""
    quality: bool = True
    """Measure repetition, duplicates, copying, relevance and novelty at the end."""

    def run(self) -> int:
        """Estimate; unless that is all, write the texts and say what they are like."""
        from models.augment.writing.output import OutputFolder

        folder = OutputFolder.beside(self.input, self.out)
        backend = self._backend()
        estimate = self._estimated(backend, folder)
        self._say_estimate(estimate, backend)
        if self.dry_run:
            return 0
        self._write(backend, folder, n_calls=estimate.n_asked)
        return 0

    @abstractmethod
    def _outcomes(self, documents: Iterator[Chunk], ask: Ask, writer: str) -> Iterator[Outcome]:
        """Apply the method."""

    @abstractmethod
    def _tasks(self) -> tuple[str, ...]:
        """Return the tasks whose prompts are used."""

    def _backend(self) -> Backend:
        if self.backend != "template" and not self.model:
            raise ValueError(f"--backend {self.backend} needs --model")
        if self.backend == "openai":
            from models.augment.backends.openai import OpenAIBackend

            return OpenAIBackend(
                model=self.model,
                base_url=self.base_url,
                api_key_variable=self.api_key_variable,
                concurrency=self.concurrency,
                requests_per_minute=self.requests_per_minute,
                timeout=self.timeout,
                context=self.context,
            )
        if self.backend == "hf":
            from models.augment.backends.transformers import TransformersBackend

            return TransformersBackend(model=self.model)
        if self.backend == "ours":
            from experiments.cli.trained import load_trained
            from models.augment.backends.ours import OurBackend

            model = load_trained(Path(self.model))
            return OurBackend(language_model=model, name=f"ours:{Path(self.model).name}")
        from models.augment.backends.template import TemplateBackend

        return TemplateBackend()

    def _chunks(self, backend: Backend, notices: Notices | None = None) -> Iterator[Chunk]:
        from models.augment.texts.records import read_records
        from models.augment.writing.documents import chunks_for

        def on_empty(place: str) -> None:
            if notices:
                notices.say("blank, left out", place)

        def on_cut(record: Record, n_parts: int) -> None:
            if notices:
                notices.say("cut into chunks that fit", f"{record.id}, {n_parts} chunks")

        return chunks_for(
            read_records(self.input, on_empty=on_empty),
            backend,
            tasks=self._tasks(),
            n_tokens=self.tokens,
            most_tokens=self.chunk_tokens,
            on_cut=on_cut,
        )

    def _estimated(self, backend: Backend, folder: OutputFolder) -> Tally:
        from experiments.display.progress import Notices
        from models.augment.backends.template import TemplateBackend
        from models.augment.writing.asking import Estimator
        from models.augment.writing.ledger import Ledger

        with Ledger(folder.calls, read_only=True) as ledger, Notices() as notices:
            estimator = Estimator(backend=backend, ledger=ledger, guess=TemplateBackend())
            documents = self._chunks(backend, notices)
            for _ in self._outcomes(documents, estimator, backend.name):
                pass
        return estimator.tally

    def _say_estimate(self, tally: Tally, backend: Backend) -> None:
        known = f"; {tally.n_known:,} answers are there already" if tally.n_known else ""
        print(
            f"{backend.name}: about {tally.n_asked:,} calls, {tally.n_prompt_tokens:,} tokens to "
            f"read and at most {tally.n_reply_tokens:,} to write{known}",
            file=sys.stdout if self.dry_run else sys.stderr,
        )
        if self.price_prompt is not None or self.price_reply is not None:
            cost = (
                tally.n_prompt_tokens * (self.price_prompt or 0)
                + tally.n_reply_tokens * (self.price_reply or 0)
            ) / 1e6
            out = sys.stdout if self.dry_run else sys.stderr
            print(f"at most {cost:,.2f} at the prices given", file=out)

    def _write(self, backend: Backend, folder: OutputFolder, *, n_calls: int) -> None:
        from experiments.display.progress import WorkProgress
        from models.augment.writing.asking import Asker
        from models.augment.writing.ledger import Ledger
        from models.augment.writing.output import write_outcomes, write_table

        with (
            Ledger(folder.calls) as ledger,
            WorkProgress("calls", n_jobs=n_calls, work=n_calls) as progress,
        ):

            def on_answer(tally: Tally) -> None:
                progress.jobs_done = tally.n_asked + tally.n_failed
                progress.note = f"{tally.n_reply_tokens:,} tokens written"
                progress.advance(1)

            asker = Asker(backend=backend, ledger=ledger, on_answer=on_answer)
            documents = self._chunks(backend)
            written = write_outcomes(self._outcomes(documents, asker, backend.name), folder)
            if self.parquet:
                print(write_table(folder))
        before = f", beside {written.n_before:,} from before" if written.n_before else ""
        print(f"{written.n_new:,} new texts{before}: {folder.texts}")
        if written.n_failed:
            print(f"{written.n_failed:,} requests led to no text: {folder.failures}")
        if self.quality and written.n_new + written.n_before:
            say_quality(self.input, folder)


@readable
@dataclass(frozen=True, kw_only=True)
class Rephrase(_Asking):
    """Rephrase every document in several styles."""

    styles: tuple[Literal["easy", "medium", "hard", "qa"], ...] = ("easy", "medium", "hard", "qa")
    """Styles."""
    samples: int = 1
    """Texts in each style."""

    def _settings(self) -> rephrase.Rephrase:
        from models.augment.writing.rephrase import Rephrase as Settings

        return Settings(
            styles=self.styles,
            n_samples=self.samples,
            n_tokens=self.tokens,
            temperature=self.temperature,
            seed=self.seed,
        )

    def _tasks(self) -> tuple[str, ...]:
        return tuple(self._settings().tasks)

    def _outcomes(self, documents: Iterator[Chunk], ask: Ask, writer: str) -> Iterator[Outcome]:
        from models.augment.writing import rephrase

        return rephrase.rephrase(documents, ask, self._settings(), writer=writer)


@readable
@dataclass(frozen=True, kw_only=True)
class Entigraph(_Asking):
    """Discuss every document from the angle of each pair of its entities."""

    max_entities: int = 30
    """Entities of a document used."""
    max_pairs: int | None = None
    """Pairs of a document, drawn where there are more (default: all)."""
    triples: int = 0
    """Triples of a document, drawn."""

    def _settings(self) -> entigraph.EntiGraph:
        from models.augment.writing.entigraph import EntiGraph

        return EntiGraph(
            max_entities=self.max_entities,
            max_pairs=self.max_pairs,
            n_triples=self.triples,
            n_tokens=self.tokens,
            n_entity_tokens=self.tokens,
            temperature=self.temperature,
            seed=self.seed,
        )

    def _tasks(self) -> tuple[str, ...]:
        return self._settings().tasks

    def _outcomes(self, documents: Iterator[Chunk], ask: Ask, writer: str) -> Iterator[Outcome]:
        from models.augment.writing import entigraph

        return entigraph.entigraph(documents, ask, self._settings(), writer=writer)
