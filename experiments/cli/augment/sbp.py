"""`datawall augment sbp`: train on pairs of related documents and sample related ones."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.cli.options import readable
from experiments.cli.output import print_next, print_quality

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import tokenizers

    from models.augment.sbp.embeddings import Embedder
    from models.augment.sbp.pipeline import Chunks, RelatedPairs
    from models.augment.texts.records import Record
    from models.augment.writing.output import OutputFolder
    from models.config import OptimizerConfig
    from models.language.language_model import LanguageModel
    from models.training.jobs import Job

FEWEST_PAIRS = 8
"""Minimum number of held-out pairs to evaluate a synthesizer."""

BASE_SETTINGS = (
    "base", "width", "layers", "context", "vocab", "base_epochs", "learning_rate", "weight_decay",
    "batch", "seed",
)  # fmt: skip
"""Settings that change the base model."""

MODEL_SETTINGS = (
    *BASE_SETTINGS, "epochs", "embedder", "embedder_model", "alpha", "neighbors"
)  # fmt: skip
"""Settings that change the synthesizer."""


@readable
@dataclass(frozen=True, kw_only=True)
class Sbp:
    """Train a synthesizer on pairs of related documents, and sample new ones from it."""

    input: Annotated[Path, tyro.conf.Positional]
    """A file or folder of texts: plain text, JSON, CSV or parquet with a field "text"; may be
    compressed."""
    out: Path
    """Folder for texts.jsonl; after an interruption, the same command resumes there."""
    base: Path | None = None
    """Folder of a trained base model with its tokenizer (default: one is trained on the input)."""
    width: int = 64
    """Width of the base model, if it is trained."""
    layers: int = 2
    """Layers of the base model."""
    context: int = 256
    """Context length of the base model, which must hold a pair of documents."""
    vocab: int = 512
    """Vocabulary size of the base model."""
    base_epochs: int = 16
    """Training epochs of the base model."""
    learning_rate: float = 4e-3
    """Peak learning rate of the base model; the synthesizer uses half of it."""
    weight_decay: float = 0.3
    """Weight decay of base model and synthesizer."""
    batch: int = 8
    """Sequences of the base model, or pairs of the synthesizer, in a training step."""
    epochs: int = 4
    """Epochs of the synthesizer over the pairs."""
    embedder: Literal["lsa", "hidden", "sentence-transformers"] = "lsa"
    """Embeddings for finding related documents: latent semantic analysis, hidden states of the base
    model, or a model of the sentence-transformers library."""
    embedder_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Name or folder of the sentence-transformers model."""
    alpha: float = 0.3
    """Minimum cosine similarity of related documents."""
    neighbors: int = 3
    """Maximum number of related documents per document."""
    samples: int | None = None
    """Number of texts to sample (default: the number of documents)."""
    temperature: float = 1.0
    """Sampling temperature of the model."""
    seed: int = 0
    """Random seed for initial weights, the order of data and sampled texts."""
    anyway: bool = False
    """Sample even if documents carry no information about their related documents."""
    dry_run: bool = False
    """Only print the number of pairs and the cost of training and sampling. Unless a base model
    exists, hidden states are those of an untrained model."""
    quality: bool = True
    """Measure repetition, duplicates, copying, relevance and novelty of the texts."""

    def run(self) -> int:
        """Train and evaluate the models, sample texts and print their quality."""
        from experiments.cli.trained import trained_and_kept
        from models.augment.writing.output import OutputFolder

        folder = OutputFolder.beside(self.input, self.out)
        state = self.out / ".augment"
        base = self._base(state / f"base-{self._fingerprint(BASE_SETTINGS)}")
        documents = self._documents(base)
        pairs = self._pairs(documents, base)
        n_samples = len(documents.ids) if self.samples is None else self.samples
        job = self._job(documents, pairs, base)
        if self.dry_run:
            print(_cost(job))
            n_tokens = n_samples * base.model.context // 2
            print(f"sampling {n_samples:,} texts: at most about {n_tokens:,} tokens")
            return 0
        name = f"synthesizer-{self._fingerprint(MODEL_SETTINGS)}"
        synthesizer = trained_and_kept(job, base.tokenizer, state / name)
        if not self._is_worth_it(documents, pairs, base, synthesizer):
            return 1
        self._sample(documents, synthesizer, folder, n_samples)
        if self.quality:
            print_quality(self.input, folder)
        print_next(self.input, self.out, hold_out=True)
        return 0

    def _fingerprint(self, names: Sequence[str]) -> str:
        """Return a hash of the text and of given settings."""
        from models.text.corpora import corpus_fingerprint

        settings = {name: getattr(self, name) for name in names}
        settings["text"] = corpus_fingerprint(f"files:{self.input}")
        return hashlib.sha256(json.dumps(settings, default=str).encode()).hexdigest()[:16]

    def _base_job(self) -> tuple[Job, tokenizers.Tokenizer]:
        """Return the training job and tokenizer of a base model for records not held out."""
        import numpy as np

        from models.augment.texts.held_out import is_held_out
        from models.augment.texts.records import read_records
        from models.config import ModelConfig, TrainConfig
        from models.text.tokens import END_OF_TEXT_ID, tokenize_corpus
        from models.training.jobs import Job

        tokenizer = tokenize_corpus(f"files:{self.input}", vocab_size=self.vocab).tokenizer()
        texts = (r.text for r in read_records(self.input) if not is_held_out(r.id))
        ids = [np.array([*tokenizer.encode(text).ids, END_OF_TEXT_ID], np.int32) for text in texts]
        job = Job(
            id="base model",
            model=ModelConfig.from_width(
                self.width, vocab_size=self.vocab, context=self.context, n_layers=self.layers
            ),
            optimizer=self._optimizer(self.learning_rate),
            train=TrainConfig(n_epochs=self.base_epochs, batch_size=self.batch),
            seed=self.seed,
            tokens=np.concatenate(ids) if ids else np.zeros(0, np.int32),
            held_out={},
        )
        return job, tokenizer

    def _base(self, path: Path) -> LanguageModel:
        """Return the base model: the given one, one trained earlier, or a new one."""
        from experiments.cli.trained import load_trained, trained_and_kept
        from models.language.language_model import LanguageModel

        if self.base is not None:
            return load_trained(self.base)
        if path.is_dir():
            return LanguageModel.load(path)
        job, tokenizer = self._base_job()
        if not self.dry_run:
            return trained_and_kept(job, tokenizer, path)
        from models.training.train import init_params

        print(_cost(job))
        params = init_params(job.model, self.seed)
        return LanguageModel(model=job.model, params=params, tokenizer=tokenizer)

    def _optimizer(self, learning_rate: float) -> OptimizerConfig:
        from models.config import OptimizerConfig

        return OptimizerConfig(learning_rate=learning_rate, weight_decay=self.weight_decay)

    def _documents(self, base: LanguageModel) -> Chunks:
        from experiments.display.progress import Notices
        from models.augment.sbp.pipeline import tokenized_chunks
        from models.augment.texts.records import read_records

        with Notices() as notices:
            on_empty = partial(notices.say, "blank text left out")
            documents = tokenized_chunks(read_records(self.input, on_empty=on_empty), base)
        if documents.n_cut:
            print(
                f"{documents.n_cut:,} documents are too long for pairs in a context of "
                f"{base.model.context} tokens and were split: {len(documents.ids):,} chunks",
                file=sys.stderr,
            )
        return documents

    def _pairs(self, documents: Chunks, base: LanguageModel) -> RelatedPairs:
        from models.augment.sbp.pipeline import related_pairs
        from models.augment.texts.held_out import is_held_out

        pairs = related_pairs(
            documents,
            base,
            self._embedder(documents, base),
            alpha=self.alpha,
            k=self.neighbors,
            is_held_out=is_held_out,
        )
        print(
            f"{len(pairs.train):,} pairs to train on and {len(pairs.held_out):,} held-out pairs of "
            f"{len(documents.ids):,} documents",
            file=sys.stderr,
        )
        return pairs

    def _embedder(self, documents: Chunks, base: LanguageModel) -> Embedder:
        from models.augment.sbp.embeddings import LSA, SentenceTransformer

        if self.embedder == "sentence-transformers":
            return SentenceTransformer(self.embedder_model)
        if self.embedder == "hidden":
            from models.augment.sbp.hidden_states import HiddenStates

            return HiddenStates.fit(base, documents.texts(base))
        return LSA.fit(documents.texts(base), seed=self.seed)

    def _job(self, documents: Chunks, pairs: RelatedPairs, base: LanguageModel) -> Job:
        from models.augment.sbp.synthesizer import synthesizer_job
        from models.config import TrainConfig

        return synthesizer_job(
            documents.ids,
            pairs.train,
            model=base.model,
            optimizer=self._optimizer(self.learning_rate / 2),
            train=TrainConfig(n_epochs=self.epochs, batch_size=self.batch),
            seed=self.seed,
            first_params=base.params,
        )

    def _is_worth_it(
        self,
        documents: Chunks,
        pairs: RelatedPairs,
        base: LanguageModel,
        synthesizer: LanguageModel,
    ) -> bool:
        """Print how much d1 lowers the loss of d2 on held-out pairs; return whether to sample."""
        from models.augment.sbp.synthesizer import pair_losses

        if len(pairs.held_out) < FEWEST_PAIRS:
            print("there are too few held-out pairs to evaluate the synthesizer", file=sys.stderr)
            return True
        found = pair_losses(base, synthesizer, documents.ids, pairs.held_out, seed=self.seed)
        n = found.n_tokens.sum()
        print(
            f"held-out pairs, nats per token: base model L(d2) = {found.alone.sum() / n:.3f}, "
            f"synthesizer L(d2|d1) = {found.given.sum() / n:.3f}, "
            f"{found.given_other.sum() / n:.3f} given another document\n"
            f"gain from d1: {found.specific_gain:.3f} +- {found.specific_gain_stderr:.3f}"
        )
        is_go = found.specific_gain > 2 * found.specific_gain_stderr
        if not is_go and not self.anyway:
            print(
                "not sampled: documents carry no information about their related documents that "
                "this model can use, so texts would be noise; --anyway samples regardless"
            )
        return is_go or self.anyway

    def _sample(
        self, documents: Chunks, synthesizer: LanguageModel, folder: OutputFolder, n_samples: int
    ) -> None:
        from experiments.display.progress import WorkProgress
        from models.augment.sbp.pipeline import sampled_records
        from models.augment.writing.output import write_outcomes

        name = f"sbp-{self._fingerprint((*MODEL_SETTINGS, 'temperature'))}"
        ids = {record.id for record in folder.records()}
        first = 0
        while f"{name}-{first}" in ids:
            first += 1
        n_left = max(0, n_samples - first)
        with WorkProgress("samples", n_jobs=n_left, work=n_left) as progress:

            def counted() -> Iterator[Record]:
                for record in sampled_records(
                    synthesizer,
                    documents,
                    n_samples,
                    writer=f"synthesizer of {self.base or 'a base model trained on the input'}",
                    name=name,
                    seed=self.seed,
                    temperature=self.temperature,
                    first_sample=first,
                ):
                    progress.finish_job()
                    progress.advance(1)
                    yield record

            written = write_outcomes(counted(), folder)
        before = f" and {written.n_before:,} earlier ones" if written.n_before else ""
        print(f"{written.n_new:,} new texts{before}: {folder.texts}")


def _cost(job: Job) -> str:
    return (
        f"training the {job.id}: {job.n_steps:,} steps of {job.tokens_per_step:,} tokens, "
        f"{job.flops:.2g} floating-point operations"
    )
