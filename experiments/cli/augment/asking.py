"""What the subcommands that prompt a language model share: options, estimate, preview, calls."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from experiments.cli.options import readable

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from experiments.display.progress import Notices
    from models.augment.texts.records import Record
    from models.augment.writing.asking import Ask, Prices, Tally
    from models.augment.writing.documents import Chunk
    from models.augment.writing.output import OutputFolder
    from models.augment.writing.requests import Backend

EXIT_FAILED = 1
REASONS_SHOWN = 3
"""Most frequent reasons of failures that are printed."""


@readable
@dataclass(frozen=True, kw_only=True)
class Asking(ABC):
    """Settings of the methods that prompt a language model."""

    input: Annotated[Path, tyro.conf.Positional]
    """A file or folder of texts: plain text, JSON, CSV or parquet with a field "text"; may be
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
    batch: bool = False
    """Send requests to the server in batches, which it answers within 24 hours, at OpenAI for half
    the price; after an interruption, the same command goes on waiting for them."""
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
    preview: int = 0
    """Only print that many requests as they would be sent, with their answers where these are
    recorded or cost nothing."""
    price_prompt: float | None = None
    """Price per million prompt tokens."""
    price_reply: float | None = None
    """Price per million generated tokens."""
    max_cost: float | None = None
    """Maximum cost of all answers in the output folder at these prices; requests that could exceed
    it are not sent."""

    def run(self) -> int:
        """Print the estimate; unless `dry_run`, generate the texts and print their quality."""
        from models.augment.writing.output import OutputFolder

        folder = OutputFolder.beside(self.input, self.out)
        prices = self._prices()
        backend = self._backend(folder)
        if self.preview:
            self._print_preview(backend, folder)
            return 0
        estimate = self._estimated(backend, folder)
        self._print_estimate(estimate, backend, prices)
        if self.dry_run:
            return 0
        return self._write(backend, folder, prices, n_calls=estimate.n_asked)

    def _prices(self) -> Prices:
        from models.augment.writing.asking import Prices

        if self.max_cost is not None and not (self.price_prompt or self.price_reply):
            raise ValueError("--max-cost needs --price-prompt and --price-reply")
        if self.preview < 0:
            raise ValueError(f"--preview must be 0 or more; not {self.preview}")
        return Prices(
            prompt=self.price_prompt or 0.0, reply=self.price_reply or 0.0, most=self.max_cost
        )

    @abstractmethod
    def _outcomes(
        self,
        documents: Iterator[Chunk],
        ask: Ask,
        backend: Backend,
        *,
        keep: OutputFolder | None = None,
    ) -> Iterator[Any]:
        """Yield the results of the method; write to `keep` what it finds besides texts."""

    @abstractmethod
    def _written(self, outcomes: Iterator[Any], folder: OutputFolder) -> Any:
        """Write the results of the method as they arrive; return what was written."""

    @abstractmethod
    def _report(self, written: Any, folder: OutputFolder) -> bool:
        """Print what was written; return whether all of it failed."""

    def _left_out(self) -> set[str]:
        """Return ids of documents that are left out."""
        return set()

    @abstractmethod
    def _prompts(self) -> tuple[str, ...]:
        """Return the wording of the prompts that the method uses."""

    def _most_chunk_tokens(self) -> int | None:
        """Return the most tokens of a chunk; None if only the context limits it."""
        return self.chunk_tokens

    def _n_beside(self, backend: Backend) -> int:
        """Return the tokens of a prompt that are left for text beside the chunk."""
        return 0

    def _backend(self, folder: OutputFolder) -> Backend:
        if self.batch and self.backend != "openai":
            raise ValueError(f"--batch needs --backend openai; not {self.backend}")
        if self.backend != "template" and not self.model:
            raise ValueError(f"--backend {self.backend} needs --model")
        if self.backend == "openai":
            from models.augment.backends.openai import OpenAIBackend

            server = OpenAIBackend(
                model=self.model,
                base_url=self.base_url,
                api_key_variable=self.api_key_variable,
                concurrency=self.concurrency,
                requests_per_minute=self.requests_per_minute,
                timeout=self.timeout,
                context=self.context,
            )
            if not self.batch:
                return server
            from models.augment.backends.batch import BatchBackend

            return BatchBackend(server=server, folder=folder.batches, say=_say)
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

    @property
    def _n_together(self) -> int | None:
        """Requests, or documents, that are sent together: a whole batch, or as many as usual."""
        from models.augment.backends.batch import MOST_REQUESTS

        return MOST_REQUESTS if self.batch else None

    def _chunks(self, backend: Backend, notices: Notices | None = None) -> Iterator[Chunk]:
        from models.augment.texts.records import read_records
        from models.augment.writing.documents import chunks_for

        def on_empty(place: str) -> None:
            if notices:
                notices.say("blank text left out", place)

        def on_cut(record: Record, n_parts: int) -> None:
            if notices:
                notices.say("text split to fit the context", f"{record.id}, {n_parts} chunks")

        left_out = self._left_out()
        records = read_records(self.input, on_empty=on_empty)
        return chunks_for(
            (record for record in records if record.id not in left_out),
            backend,
            prompts=self._prompts(),
            n_tokens=self.tokens,
            most_tokens=self._most_chunk_tokens(),
            n_beside=self._n_beside(backend),
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
            for _ in self._outcomes(documents, estimator, backend):
                pass
        return estimator.tally

    def _print_estimate(self, tally: Tally, backend: Backend, prices: Prices) -> None:
        known = f"; {tally.n_known:,} answers are already stored" if tally.n_known else ""
        out = sys.stdout if self.dry_run else sys.stderr
        print(
            f"{backend.name}: about {tally.n_asked:,} calls, {tally.n_prompt_tokens:,} prompt "
            f"tokens and at most {tally.n_reply_tokens:,} generated tokens{known}",
            file=out,
        )
        if self.price_prompt is not None or self.price_reply is not None:
            cost = prices.cost(tally.n_prompt_tokens, tally.n_reply_tokens)
            print(f"cost: at most {cost:,.2f}", file=out)

    def _print_preview(self, backend: Backend, folder: OutputFolder) -> None:
        from models.augment.backends.template import TemplateBackend
        from models.augment.writing.asking import Previewer
        from models.augment.writing.ledger import Ledger

        with Ledger(folder.calls, read_only=True) as ledger:
            guess = TemplateBackend()
            ask = Previewer(backend=backend, ledger=ledger, guess=guess, n_shown=self.preview)
            outcomes = self._outcomes(self._chunks(backend), ask, backend)
            while not ask.is_complete and next(outcomes, None):
                pass
        for number, (request, reply) in enumerate(ask.shown, start=1):
            about = f", on {' and '.join(request.entities)}" if request.entities else ""
            print(
                f"--- request {number}: {request.task}, source {request.source_id}{about}\n"
                f"{request.prompt.strip()}"
            )
            if reply is not None:
                print(f"--- answer {number}, {reply.finish}\n{reply.text.strip()}")

    def _write(
        self, backend: Backend, folder: OutputFolder, prices: Prices, *, n_calls: int
    ) -> int:
        """Generate the texts; return the exit status, 1 if every request failed."""
        from experiments.display.progress import WorkProgress
        from models.augment.writing.asking import WINDOW, Asker
        from models.augment.writing.ledger import Ledger

        with (
            Ledger(folder.calls) as ledger,
            WorkProgress("calls", n_jobs=n_calls, work=n_calls) as progress,
        ):
            if ledger.n_unreadable:
                print(
                    f"{ledger.n_unreadable:,} stored answers cannot be read and are asked for "
                    f"again: {folder.calls}",
                    file=sys.stderr,
                )

            def on_answer(tally: Tally) -> None:
                progress.jobs_done = tally.n_asked + tally.n_failed
                progress.note = f"{tally.n_reply_tokens:,} tokens generated"
                if prices.prompt or prices.reply:
                    most = "" if prices.most is None else f" of at most {prices.most:,.2f}"
                    progress.note += f", cost so far {asker.cost:,.2f}{most}"
                progress.advance(1)

            asker = Asker(
                backend=backend,
                ledger=ledger,
                prices=prices,
                window=self._n_together or WINDOW,
                defers_interrupts=not self.batch,
                on_answer=on_answer,
            )
            documents = self._chunks(backend)
            outcomes = self._outcomes(documents, asker, backend, keep=folder)
            written = self._written(outcomes, folder)
        tally = asker.tally
        has_failed = self._report(written, folder)
        if tally.n_unaffordable:
            print(
                f"{tally.n_unaffordable:,} requests were not sent: all answers so far cost "
                f"{asker.cost:,.2f}, and another could exceed --max-cost {self.max_cost:g}"
            )
        return EXIT_FAILED if has_failed or (tally.n_failed and not tally.n_asked) else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def print_reasons(reasons: Counter[str]) -> None:
    """Print the most frequent reasons of failures."""
    for reason, count in reasons.most_common(REASONS_SHOWN):
        print(f"  {count:,}: {reason}")
