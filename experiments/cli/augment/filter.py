"""`datawall augment filter`: keep the texts that are found good, or faithful to their sources."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from experiments.cli.augment.asking import EXIT_FAILED, Asking, print_reasons
from experiments.cli.options import readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.augment.texts.records import Record
    from models.augment.writing import judging
    from models.augment.writing.asking import Ask
    from models.augment.writing.documents import Chunk
    from models.augment.writing.output import Filtered, OutputFolder
    from models.augment.writing.requests import Backend, FailedRequest


@readable
@dataclass(frozen=True, kw_only=True)
class Filter(Asking):
    """Keep the texts that a judge scores highly, that a model trained here finds probable, or whose
    every passage is aligned with its source."""

    prompt: Path | None = None
    """Text file with a prompt of your own, in which [[DOCUMENT]] stands for the text, and with
    --source [[SOURCE]] for what it was written from; it must ask for a JSON object with a score
    from 1 to 5 and a reason."""
    least_score: float = 4.0
    """Minimum score of a text that is kept; a judge gives 1 to 5."""
    most_loss: float | None = None
    """With --backend ours: maximum loss of a text that is kept, in nats per token."""
    source: Path | None = None
    """The real texts, as given to `datawall augment`: a judge compares each text with its source.
    Without a judge, keep texts all of whose passages are aligned with their source, by the
    similarity of embeddings."""
    least_alignment: float = 0.95
    """Without a judge: minimum probability that a passage is nearer to its source than to as many
    passages of other documents."""
    embedder: Literal["words", "sentence-transformers"] = "words"
    """Without a judge: embed passages by weighted words, or by a pretrained model (needs
    sentence-transformers)."""
    embedder_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Name or folder of the sentence-transformers model."""
    tokens: int = 256
    """Maximum number of tokens of a judgement."""
    temperature: float = 0.0
    """Sampling temperature of the judge."""

    def run(self) -> int:
        """Judge the texts, and write those that are kept."""
        from models.augment.quality.fidelity import LEAST_ALIGNMENT
        from models.augment.writing.prompts import SOURCE_MARK, OwnPrompt

        if self.backend == "ours" and self.source is not None:
            raise ValueError(
                "--backend ours looks at texts alone: leave out --source, or choose openai or hf"
            )
        if self.backend == "template" and self.source is not None:
            if self.prompt is not None:
                raise ValueError("--prompt is for a judge: name its --backend and --model too")
            if self.most_loss is not None:
                raise ValueError("--most-loss looks at texts alone: leave out --source")
            return self._by_alignment(self.source)
        if (self.least_alignment, self.embedder) != (LEAST_ALIGNMENT, "words"):
            raise ValueError(
                "--least-alignment and --embedder belong to --source without a judge: leave them "
                "out, or --backend"
            )
        if self.backend == "template":
            raise ValueError(
                "--backend template cannot judge: choose openai, hf or ours, or name the --source "
                "of the texts"
            )
        if (self.most_loss is not None) != (self.backend == "ours"):
            raise ValueError("--most-loss belongs to --backend ours, which needs it")
        if self.prompt is not None:
            n_marks = OwnPrompt.read(self.prompt).template.count(SOURCE_MARK)
            wanted = 0 if self.source is None else 1
            if n_marks != wanted:
                raise ValueError(
                    f"{self.prompt} must have {SOURCE_MARK} "
                    + ("once, as --source is given" if wanted else "only if --source is given")
                    + f"; it has it {n_marks} times"
                )
        return self._by_loss(self.most_loss) if self.most_loss is not None else super().run()

    def _settings(self, source_of: judging.SourceOf | None = None) -> judging.Judge:
        from models.augment.writing.judging import Judge
        from models.augment.writing.prompts import OwnPrompt

        return Judge(
            own=None if self.prompt is None else OwnPrompt.read(self.prompt),
            source_of=source_of,
            n_tokens=self.tokens,
            temperature=self.temperature,
            seed=self.seed,
        )

    def _prompts(self) -> tuple[str, ...]:
        from models.augment.writing.prompts import PROMPTS

        own = self._settings().own
        if own is not None:
            return (own.template,)
        return (PROMPTS["judge" if self.source is None else "faithful"],)

    def _n_beside(self, backend: Backend) -> int:
        # Half of what is read may be the source, whole or its nearest passages.
        return 0 if self.source is None or backend.context is None else backend.context // 2

    def _outcomes(
        self,
        documents: Iterator[Chunk],
        ask: Ask,
        backend: Backend,
        *,
        keep: OutputFolder | None = None,
    ) -> Iterator[judging.Judgement | FailedRequest]:
        from models.augment.quality.fidelity import Sources
        from models.augment.texts.records import read_records
        from models.augment.writing.judging import judge

        if self.source is None:
            return judge(documents, ask, self._settings())
        most = self._n_beside(backend)
        sources = Sources(
            read_records(self.source),
            read_records(self.input),
            fits=lambda text: backend.context is None or backend.count_tokens(text) <= most,
        )
        return judge(documents, ask, self._settings(sources.of))

    def _written(
        self, outcomes: Iterator[judging.Judgement | FailedRequest], folder: OutputFolder
    ) -> Filtered:
        from models.augment.texts.records import read_records
        from models.augment.writing.output import write_filtered

        return write_filtered(
            read_records(self.input), outcomes, folder, is_kept=lambda s: s >= self.least_score
        )

    def _report(self, written: Filtered, folder: OutputFolder) -> bool:
        """Print what was kept and dropped; return whether no text could be judged."""
        print(f"{written.n_kept:,} texts kept: {folder.texts}")
        print(
            f"{written.n_dropped:,} dropped; all decisions and their reasons: {folder.judgements}"
        )
        if written.reasons:
            print(f"{written.reasons.total():,} without a judgement: {folder.failures}")
            print_reasons(written.reasons)
        return bool(written.reasons) and not written.n_kept + written.n_dropped

    def _by_loss(self, most_loss: float) -> int:
        """Score every text by its loss under a model trained here."""
        from experiments.cli.trained import load_trained
        from models.augment.texts.records import read_records
        from models.augment.writing.judging import Judgement
        from models.augment.writing.output import OutputFolder, write_filtered
        from models.evals.perplexity import evaluate_texts

        if not self.model:
            raise ValueError("--backend ours needs --model")
        folder = OutputFolder.beside(self.input, self.out)
        predictor = load_trained(Path(self.model))

        def judged(record: Record) -> Judgement:
            loss = evaluate_texts(predictor, [record.text]).loss.value
            reason = f"a loss of {loss:.4g} nats per token; kept are at most {most_loss:g}"
            return Judgement(id=record.id, score=loss, reason=reason)

        written = write_filtered(
            read_records(self.input),
            map(judged, read_records(self.input)),
            folder,
            is_kept=lambda loss: loss <= most_loss,
        )
        return EXIT_FAILED if self._report(written, folder) else 0

    def _by_alignment(self, source: Path) -> int:
        """Score every text by the alignment of its worst passage with its source."""
        from models.augment.quality.fidelity import Fidelity
        from models.augment.sbp.embeddings import SentenceTransformer
        from models.augment.texts.records import read_records
        from models.augment.writing.output import OutputFolder, write_filtered

        least = self.least_alignment
        if not 0 < least < 1:
            raise ValueError(f"--least-alignment must lie between 0 and 1; not {least:g}")
        folder = OutputFolder.beside(self.input, self.out)
        fidelity = Fidelity.of(
            lambda: read_records(source),
            embedder=None if self.embedder == "words" else SentenceTransformer(self.embedder_model),
            seed=self.seed,
        )
        written = write_filtered(
            read_records(self.input),
            fidelity.judgements(read_records(self.input), least=least),
            folder,
            is_kept=lambda alignment: alignment >= least,
        )
        chance = fidelity.chance(least=least, seed=self.seed)
        if chance is not None:
            print(
                f"{chance:.0%} of real passages are aligned with another document than their own, "
                f"{1 - least:.0%} expected",
                file=sys.stderr,
            )
        return EXIT_FAILED if self._report(written, folder) else 0
