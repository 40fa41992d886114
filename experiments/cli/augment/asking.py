"""`datawall augment rephrase` and `entigraph`: methods that prompt a language model."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.cli.options import readable
from experiments.cli.output import print_quality

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
    """Settings of the methods that prompt a language model."""

    input: Annotated[Path, tyro.conf.Positional]
    """A file or folder of texts: plain text, JSON lines or parquet with a column "text"; may be
    compressed."""
    out: Path
    """Folder for texts.jsonl; after an interruption, the same command resumes there."""
    backend: Literal["template", "openai", "hf", "ours"] = "template"
    """What generates texts: templates filled with sentences of the source, an OpenAI-compatible
    server, a Hugging Face transformers model, or a model trained here."""
    model: str = ""
    """Name of the model on the server, name or folder of a transformers model, or folder of a
    run."""
    base_url: str | None = None
    """URL of the server's API, such as http://localhost:8000/v1 (default: that of OpenAI)."""
    api_key_variable: str = "OPENAI_API_KEY"
    """Environment variable with the API key."""
    concurrency: int = 8
    """Maximum number of concurrent requests to the server."""
    requests_per_minute: float | None = None
    """Maximum number of requests to the server per minute."""
    timeout: float = 120.0
    """Timeout of a request in seconds."""
    context: int = 16_384
    """Context length of the server's model in tokens; longer documents are split into chunks."""
    chunk_tokens: int | None = None
    """Maximum number of tokens of a chunk (default: as many as the context allows)."""
    tokens: int = 1024
    """Maximum number of tokens of a generated text."""
    temperature: float = 1.0
    """Sampling temperature of the model."""
    seed: int = 0
    """Random seed for sampling pairs, triples and texts."""
    dry_run: bool = False
    """Only print the estimated number of calls and tokens."""
    price_prompt: float | None = None
    """Price per million prompt tokens, for the estimate."""
    price_reply: float | None = None
    """Price per million generated tokens, for the estimate."""
    parquet: bool = False
    """Also write the texts as a parquet table."""
    quality: bool = True
    """Measure repetition, duplicates, copying, relevance and novelty of the texts."""

    def run(self) -> int:
        """Print the estimate; unless `dry_run`, generate the texts and print their quality."""
        from models.augment.writing.output import OutputFolder

        folder = OutputFolder.beside(self.input, self.out)
        backend = self._backend()
        estimate = self._estimated(backend, folder)
        self._print_estimate(estimate, backend)
        if self.dry_run:
            return 0
        self._write(backend, folder, n_calls=estimate.n_asked)
        return 0

    @abstractmethod
    def _outcomes(self, documents: Iterator[Chunk], ask: Ask, writer: str) -> Iterator[Outcome]:
        """Yield the results of the method."""

    @abstractmethod
    def _tasks(self) -> tuple[str, ...]:
        """Return the tasks whose prompts the method uses."""

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
                notices.say("blank text left out", place)

        def on_cut(record: Record, n_parts: int) -> None:
            if notices:
                notices.say("text split to fit the context", f"{record.id}, {n_parts} chunks")

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

    def _print_estimate(self, tally: Tally, backend: Backend) -> None:
        known = f"; {tally.n_known:,} answers are already stored" if tally.n_known else ""
        print(
            f"{backend.name}: about {tally.n_asked:,} calls, {tally.n_prompt_tokens:,} prompt "
            f"tokens and at most {tally.n_reply_tokens:,} generated tokens{known}",
            file=sys.stdout if self.dry_run else sys.stderr,
        )
        if self.price_prompt is not None or self.price_reply is not None:
            cost = (
                tally.n_prompt_tokens * (self.price_prompt or 0)
                + tally.n_reply_tokens * (self.price_reply or 0)
            ) / 1e6
            out = sys.stdout if self.dry_run else sys.stderr
            print(f"cost: at most {cost:,.2f}", file=out)

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
                progress.note = f"{tally.n_reply_tokens:,} tokens generated"
                progress.advance(1)

            asker = Asker(backend=backend, ledger=ledger, on_answer=on_answer)
            documents = self._chunks(backend)
            written = write_outcomes(self._outcomes(documents, asker, backend.name), folder)
            if self.parquet:
                print(write_table(folder))
        before = f" and {written.n_before:,} earlier ones" if written.n_before else ""
        print(f"{written.n_new:,} new texts{before}: {folder.texts}")
        if written.n_failed:
            print(f"{written.n_failed:,} requests without a text: {folder.failures}")
        if self.quality and written.n_new + written.n_before:
            print_quality(self.input, folder)


@readable
@dataclass(frozen=True, kw_only=True)
class Rephrase(_Asking):
    """Rephrase every document in several styles."""

    styles: tuple[Literal["easy", "medium", "hard", "qa"], ...] = ("easy", "medium", "hard", "qa")
    """Styles to use."""
    samples: int = 1
    """Number of texts in each style."""

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
    """Write about each pair of entities of every document (EntiGraph)."""

    max_entities: int = 30
    """Maximum number of entities per document."""
    max_pairs: int | None = None
    """Maximum number of pairs per document; more are sampled down (default: all)."""
    triples: int = 0
    """Number of triples to sample per document."""

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
