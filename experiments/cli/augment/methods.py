"""`datawall augment rephrase`, `rationales` and `entigraph`: methods that write new texts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from experiments.cli.augment.asking import Asking, print_reasons
from experiments.cli.options import readable
from experiments.cli.output import print_next, print_quality

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.augment.writing import entigraph, rationales, rephrase
    from models.augment.writing.asking import Ask, Prices
    from models.augment.writing.documents import Chunk
    from models.augment.writing.output import OutputFolder, Written
    from models.augment.writing.relations import SourceGraph
    from models.augment.writing.requests import Backend, Outcome

Style = Literal[
    "easy", "medium", "hard", "qa", "lecture", "dialogue", "notes", "causes", "practice"
]


@readable
@dataclass(frozen=True, kw_only=True)
class _Writing(Asking):
    """Settings of the methods that write new texts."""

    hold_out: bool = False
    """Generate nothing from the documents that `datawall worth` holds out for evaluation."""
    parquet: bool = False
    """Also write the texts as a parquet table."""
    quality: bool = True
    """Measure repetition, duplicates, copying, relevance and novelty of the texts."""

    def _left_out(self) -> set[str]:
        from models.augment.texts.held_out import held_out_ids
        from models.augment.texts.records import read_records

        ids = [record.id for record in read_records(self.input)] if self.hold_out else []
        return set(held_out_ids(ids))

    def _written(self, outcomes: Iterator[Outcome], folder: OutputFolder) -> Written:
        from models.augment.writing.output import write_outcomes, write_table

        written = write_outcomes(outcomes, folder)
        if self.parquet:
            print(write_table(folder))
        return written

    def _report(self, written: Written, folder: OutputFolder) -> bool:
        before = f" and {written.n_before:,} earlier ones" if written.n_before else ""
        print(f"{written.n_new:,} new texts{before}: {folder.texts}")
        if written.n_failed:
            print(f"{written.n_failed:,} requests without a text: {folder.failures}")
            print_reasons(written.reasons)
        n_texts = written.n_new + written.n_before
        if self.quality and n_texts:
            print_quality(self.input, folder)
        if n_texts:
            print_next(self.input, self.out, hold_out=self.hold_out)
        return bool(written.n_failed) and not n_texts


@readable
@dataclass(frozen=True, kw_only=True)
class Rephrase(_Writing):
    """Rephrase every document in several styles."""

    styles: tuple[Style, ...] = ()
    """Styles to use (default: easy, medium, hard and qa, or none with --prompt). The others are
    perspectives: a lecture, a dialogue, a student's notes, causes as a historian sees them, and
    practice."""
    prompt: tuple[Path, ...] = ()
    """Text files with prompts of your own, in which [[DOCUMENT]] stands for the text and [[NAME]]
    for its name; the provenance holds their hashes."""
    samples: int = 1
    """Number of texts in each style."""
    chunkwise: bool = False
    """Rewrite documents that are longer than a chunk one chunk after another, each with the end of
    what is rewritten in its prompt, and join the answers to one text. Chunks have half of --tokens
    unless --chunk-tokens says otherwise."""
    earlier_tokens: int | None = None
    """With --chunkwise: maximum number of tokens of the rewritten text in a prompt (default: as
    many as --tokens)."""

    def _settings(self) -> rephrase.Rephrase:
        from models.augment.writing.prompts import STYLES, OwnPrompt
        from models.augment.writing.rephrase import Rephrase as Settings

        return Settings(
            styles=self.styles or (() if self.prompt else STYLES),
            own=tuple(map(OwnPrompt.read, self.prompt)),
            n_samples=self.samples,
            n_tokens=self.tokens,
            temperature=self.temperature,
            seed=self.seed,
        )

    def _prompts(self) -> tuple[str, ...]:
        from models.augment.writing.prompts import continued

        prompts = self._settings().prompts
        return tuple(continued(prompt, "") for prompt in prompts) if self.chunkwise else prompts

    def _most_chunk_tokens(self) -> int | None:
        if self.chunk_tokens is None and self.chunkwise:
            # A rewritten chunk may be twice as long as its source before it is cut.
            return max(1, self.tokens // 2)
        return self.chunk_tokens

    def _n_beside(self, backend: Backend) -> int:
        if not self.chunkwise:
            if self.earlier_tokens is not None:
                raise ValueError("--earlier-tokens belongs to --chunkwise")
            return 0
        n_earlier = self.tokens if self.earlier_tokens is None else self.earlier_tokens
        if n_earlier < 1:
            raise ValueError(
                f"--earlier-tokens must be at least 1; not {n_earlier}: without --chunkwise, "
                "chunks are rewritten independently"
            )
        return n_earlier

    def _outcomes(
        self,
        documents: Iterator[Chunk],
        ask: Ask,
        backend: Backend,
        *,
        keep: OutputFolder | None = None,
    ) -> Iterator[Outcome]:
        from models.augment.writing import chunkwise, rephrase

        if not self.chunkwise:
            return rephrase.rephrase(documents, ask, self._settings(), writer=backend.name)
        n_earlier = self._n_beside(backend)
        return chunkwise.rephrase_chunkwise(
            documents,
            ask,
            self._settings(),
            writer=backend.name,
            fits=lambda text: backend.count_tokens(text) <= n_earlier,
            n_together=self._n_together or chunkwise.DOCUMENTS_TOGETHER,
        )


@readable
@dataclass(frozen=True, kw_only=True)
class Rationales(_Writing):
    """Insert before each passage of every document the thoughts that lead to it."""

    samples: int = 1
    """Number of texts from each document."""
    tokens: int = 128
    """Maximum number of tokens of a rationale."""
    chunk_tokens: int | None = 256
    """Maximum number of tokens of a passage."""

    def _settings(self) -> rationales.Rationales:
        from models.augment.writing.rationales import Rationales as Settings

        return Settings(
            n_samples=self.samples,
            n_tokens=self.tokens,
            temperature=self.temperature,
            seed=self.seed,
        )

    def _prompts(self) -> tuple[str, ...]:
        from models.augment.writing.prompts import PROMPTS

        return (PROMPTS["rationale"],)

    def _n_beside(self, backend: Backend) -> int:
        return self.chunk_tokens or 0  # the passage before

    def _outcomes(
        self,
        documents: Iterator[Chunk],
        ask: Ask,
        backend: Backend,
        *,
        keep: OutputFolder | None = None,
    ) -> Iterator[Outcome]:
        from models.augment.writing.rationales import with_rationales

        return with_rationales(documents, ask, self._settings(), writer=backend.name)


@readable
@dataclass(frozen=True, kw_only=True)
class Entigraph(_Writing):
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

    def _prompts(self) -> tuple[str, ...]:
        return self._settings().prompts

    def _outcomes(
        self,
        documents: Iterator[Chunk],
        ask: Ask,
        backend: Backend,
        *,
        keep: OutputFolder | None = None,
    ) -> Iterator[Outcome]:
        from models.augment.writing import entigraph
        from models.augment.writing.relations import SourceGraph

        graph = SourceGraph()
        yield from entigraph.entigraph(
            documents,
            ask,
            self._settings(),
            writer=backend.name,
            n_together=self._n_together or entigraph.DOCUMENTS_TOGETHER,
            on_entities=graph.add,
        )
        if keep is not None:
            self._keep_graph(graph, keep)

    def _keep_graph(self, graph: SourceGraph, folder: OutputFolder) -> None:
        """Write the graph of the entities with the mean tokens of all recorded answers."""
        from models.augment.writing.ledger import Ledger

        with Ledger(folder.calls, read_only=True) as ledger:
            graph.prompt_tokens = ledger.n_prompt_tokens / max(len(ledger), 1)
            graph.reply_tokens = ledger.n_reply_tokens / max(len(ledger), 1)
        graph.write(folder.graph, folder.edges)

    def _write(
        self, backend: Backend, folder: OutputFolder, prices: Prices, *, n_calls: int
    ) -> int:
        status = super()._write(backend, folder, prices, n_calls=n_calls)
        print(f"graph of the entities: {folder.graph} and {folder.edges.name}", file=sys.stderr)
        return status
