"""Real and synthetic texts of `worth`: who was written from whom, and what each arm reads.

Documents are held out by their ids before anything else. The stock of a draw is the beginning of a
random order of the other real documents; only texts written from documents within it count, so that
what stands behind it, which the oracle reads, is unknown to the synthetic text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.augment.texts.held_out import held_out_ids, is_held_out
from models.augment.texts.records import Record, read_records
from models.text.batches import evaluation_windows
from models.text.tokens import END_OF_TEXT_ID, tokenize_corpus

if TYPE_CHECKING:
    import tokenizers

NEEDED = ("method", "model", "source_ids")
"""Metadata without which it is not known what a synthetic text was made from."""

FEWEST_DOCUMENTS = 6
IDS_SHOWN = 3
TRAINS_ON_ALL = "sbp"
"""The method whose writer is trained on every real document that is not held out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WorthTexts:
    """Records of `worth`, none of which is both trained on and held out.

    Attributes:
        real: real documents to train on.
        validation: held-out real documents that weight decay and share are selected on.
        test: held-out real documents that losses are reported on.
        synthetic: synthetic texts, all with provenance, none from a held-out document.
        n_left_out: synthetic texts left out because they come from held-out documents.
    """

    real: tuple[Record, ...]
    validation: tuple[Record, ...]
    test: tuple[Record, ...]
    synthetic: tuple[Record, ...]
    n_left_out: int

    @property
    def has_oracle(self) -> bool:
        """Whether the writers have not read the real text held back from the stock."""
        return all(record.metadata["method"] != TRAINS_ON_ALL for record in self.synthetic)

    @property
    def provenance(self) -> str:
        """Methods, models and prompts of the synthetic text, in words."""
        kinds = {
            (
                record.metadata["method"],
                record.metadata["model"],
                record.metadata.get("prompt_version") or "none",
            )
            for record in self.synthetic
        }
        return "; ".join(f"{how} by {who}, prompts {text}" for how, who, text in sorted(kinds))


def worth_texts(real: Path, synthetic: Path, *, leave_out_overlap: bool = False) -> WorthTexts:
    """Return the real and the synthetic texts, checked for leakage.

    Args:
        real: file or folder of real texts.
        synthetic: file or folder of the records that `datawall augment` wrote from them.
        leave_out_overlap: leave out synthetic texts that come from held-out documents.

    Raises:
        CorpusError: a text cannot be read.
        ValueError: too few documents, a synthetic text without provenance or of an unknown source,
            or synthetic texts from held-out documents (with their ids).
    """
    records = list(read_records(real))
    if len(records) < FEWEST_DOCUMENTS:
        raise ValueError(
            f"{real} holds {len(records)} documents; {FEWEST_DOCUMENTS} are needed to train on "
            "some and hold out others"
        )
    by_id = {record.id: record for record in records}
    ranked = held_out_ids(by_id)
    texts = {by_id[id].text for id in ranked}
    # Another copy of a held-out text must not be trained on either.
    held_out = {record.id for record in records if record.text in texts}
    written = list(read_records(synthetic))
    _check_provenance(written, synthetic, set(by_id), real)
    leaked = [record for record in written if held_out & set(record.metadata["source_ids"])]
    if leaked and not leave_out_overlap:
        sources = {id for record in leaked for id in record.metadata["source_ids"]} & held_out
        raise ValueError(
            f"leakage: {len(leaked):,} of {len(written):,} synthetic texts come from documents "
            f"held out for evaluation ({_some(sources)}): {_some(r.id for r in leaked)}; leave "
            "them out with --leave-out-overlap, or generate with `datawall augment --hold-out`"
        )
    unsafe = {id for id in ranked if not is_held_out(id)}
    if unsafe and any(record.metadata["method"] == TRAINS_ON_ALL for record in written):
        raise ValueError(
            f"leakage: the text has so few documents that {_some(unsafe)} must be held out, which "
            "the synthesizer of `datawall augment sbp` was trained on; more documents are needed"
        )
    kept = [record for record in written if not held_out & set(record.metadata["source_ids"])]
    if not kept:
        raise ValueError(f"all texts of {synthetic} come from documents held out for evaluation")
    return WorthTexts(
        real=tuple(record for record in records if record.id not in held_out),
        validation=tuple(by_id[id] for id in ranked[1::2]),
        test=tuple(by_id[id] for id in ranked[::2]),
        synthetic=tuple(kept),
        n_left_out=len(leaked),
    )


def _check_provenance(
    written: Sequence[Record], synthetic: Path, known: set[str], real: Path
) -> None:
    for record in written:
        if not all(record.metadata.get(name) for name in NEEDED):
            raise ValueError(
                f"the record {record.id} of {synthetic} has no provenance ({', '.join(NEEDED)} in "
                "its metadata), so that leakage cannot be excluded; `datawall augment` writes it"
            )
        sources = record.metadata["source_ids"]
        if not (isinstance(sources, list | tuple) and all(isinstance(id, str) for id in sources)):
            raise ValueError(
                f"source_ids of the record {record.id} of {synthetic} must be a list of ids, such "
                f"as {[min(known)]}; not {sources!r}"
            )
    unknown = {id for record in written for id in record.metadata["source_ids"]} - known
    if unknown:
        raise ValueError(
            f"texts of {synthetic} come from {_some(unknown)}, which {real} does not hold; name "
            "the path that was given to `datawall augment`"
        )


def _some(ids: Iterable[str]) -> str:
    listed = sorted(ids)
    more = f" and {len(listed) - IDS_SHOWN:,} more" if len(listed) > IDS_SHOWN else ""
    return ", ".join(listed[:IDS_SHOWN]) + more


@dataclass(frozen=True, kw_only=True, eq=False)
class WorthTokens:
    """The texts as token ids, each document with its end-of-text id.

    Attributes:
        texts: the records.
        tokenizer: its byte-pair encoding.
    """

    texts: WorthTexts
    tokenizer: tokenizers.Tokenizer

    @classmethod
    def of(cls, texts: WorthTexts, real: Path, vocab_size: int) -> WorthTokens:
        """Return the texts in a vocabulary learned on the real ones.

        Args:
            texts: the records.
            real: path of the real ones.
            vocab_size: number of token ids.

        Raises:
            ValueError: the real text supports no vocabulary of that size.
        """
        tokens = tokenize_corpus(f"files:{real}", vocab_size=vocab_size)
        return cls(texts=texts, tokenizer=tokens.tokenizer())

    @cached_property
    def real(self) -> list[np.ndarray]:
        """Token ids of the real documents to train on, an array [n_tokens] each."""
        return self._encoded(self.texts.real)

    @cached_property
    def synthetic(self) -> list[np.ndarray]:
        """Token ids of the synthetic texts, an array [n_tokens] each."""
        return self._encoded(self.texts.synthetic)

    @property
    def n_real(self) -> int:
        """Tokens of all real documents to train on."""
        return sum(map(len, self.real))

    def held_out(self, *, n_tokens: int, context: int) -> dict[str, np.ndarray]:
        """Return windows [n_windows, context + 1] spread over all held-out documents, by part.

        Args:
            n_tokens: most tokens of a part that are scored.
            context: tokens scored in a window.

        Raises:
            ValueError: a part does not fill one window.
        """
        found = {}
        for part in ("validation", "test"):
            ids = np.concatenate([[END_OF_TEXT_ID], *self._encoded(getattr(self.texts, part))])
            windows = evaluation_windows(ids.astype(np.int32), context=context)
            n = min(len(windows), max(1, n_tokens // context))
            found[part] = windows[np.linspace(0, len(windows) - 1, n).round().astype(int)]
        return found

    def order(self, draw: int) -> np.ndarray:
        """Return the order [n_documents] of the real documents in which a draw takes them."""
        return np.random.default_rng((draw, 7)).permutation(len(self.real))

    def stock(self, n_tokens: int, draw: int) -> list[np.ndarray]:
        """Return the first real documents of a draw, an array of token ids [n_tokens] each.

        Args:
            n_tokens: tokens in all, at which the last document is cut.
            draw: random seed of the order.
        """
        taken, left = [], n_tokens
        for at in self.order(draw):
            taken.append(self.real[at][:left])
            left -= len(taken[-1])
            if not left:
                break
        return taken

    def written_from(self, n_tokens: int, draw: int) -> list[np.ndarray]:
        """Return the synthetic texts all of whose sources lie entirely in a draw's stock.

        Those of a writer trained on all real documents count whatever their sources.

        Args:
            n_tokens: tokens of the stock.
            draw: random seed of the order.

        Returns:
            Token ids [n_tokens] of each text.
        """
        order = self.order(draw)
        ends = np.cumsum([len(self.real[at]) for at in order])
        within = {self.texts.real[at].id for at in order[ends <= n_tokens]}
        return [
            ids
            for record, ids in zip(self.texts.synthetic, self.synthetic, strict=True)
            if record.metadata["method"] == TRAINS_ON_ALL
            or within.issuperset(record.metadata["source_ids"])
        ]

    def _encoded(self, records: Sequence[Record]) -> list[np.ndarray]:
        encoded = self.tokenizer.encode_batch([record.text for record in records])
        return [np.array([*one.ids, END_OF_TEXT_ID], np.int32) for one in encoded]


def mixed(
    real: Sequence[np.ndarray],
    synthetic: Sequence[np.ndarray],
    n_tokens: int,
    *,
    share: float,
    seed: int,
) -> np.ndarray:
    """Return a stream of real and synthetic documents in random order, int32 [n_tokens].

    Either kind is read in passes, each in a new order, until its share is full.

    Args:
        real: real documents.
        synthetic: synthetic documents.
        n_tokens: of the whole stream.
        share: synthetic part of the tokens, in [0, 1].
        seed: random seed of the order.
    """
    rng = np.random.default_rng((seed, 8))
    n_written = round(share * n_tokens)
    parts = [*_passes(real, n_tokens - n_written, rng), *_passes(synthetic, n_written, rng)]
    order = rng.permutation(len(parts))
    return np.concatenate([parts[at] for at in order]).astype(np.int32)


def _passes(
    documents: Sequence[np.ndarray], n_tokens: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    left = n_tokens
    if left and not documents:
        raise ValueError("there are no documents to read")
    while left > 0:
        for at in rng.permutation(len(documents)):
            part = documents[at][:left]
            left -= len(part)
            yield part
            if left <= 0:
                return
