"""The tokens that runs read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from experiments.runs.spec import DataConfig
from models.text.data_home import CorpusError
from models.text.held_out import HeldOut, opening_windows, spread_windows
from models.text.splits import FEWEST_TEXTS
from models.text.stock import draw_chunks
from models.text.tokens import TokenizedCorpus, draw_unique_tokens, tokenize_corpus

HELD_OUT = ("validation", "test")


@lru_cache(maxsize=8)
def tokens_of(data: DataConfig, vocab_size: int) -> TokenizedCorpus:
    """Find the text of a run on this machine.

    Raises:
        CorpusError: it cannot be had, or it is another one than the run was planned for.
    """
    tokens = tokenize_corpus(data.corpus, vocab_size=vocab_size)
    if tokens.sha256 != data.sha256:
        raise CorpusError(
            f"the text {data.corpus!r} differs on this machine: its {vocab_size} tokens have the "
            f"sha256 {tokens.sha256[:16]}, those of the runs {data.sha256[:16]} (the text "
            "'stdlib' differs between versions of Python)"
        )
    return tokens


@lru_cache(maxsize=8)
def unique_tokens(data: DataConfig, vocab_size: int) -> np.ndarray:
    """Return the unique tokens [D] of a run; see `tokens_of` for the errors raised."""
    tokens = tokens_of(data, vocab_size)
    if not data.chunk_tokens:
        return draw_unique_tokens(tokens, data.n_unique_tokens, draw_seed=data.draw_seed)
    return draw_chunks(
        tokens, data.n_unique_tokens, chunk_tokens=data.chunk_tokens, draw_seed=data.draw_seed
    )


def held_out(data: DataConfig, vocab_size: int, context: int) -> Mapping[str, np.ndarray]:
    """Return the windows [n_windows, context + 1] of the validation and of the test part."""
    scored = held_out_text(data, vocab_size, context)
    return {part: text.windows for part, text in scored.items()}


@lru_cache(maxsize=8)
def held_out_text(data: DataConfig, vocab_size: int, context: int) -> Mapping[str, HeldOut]:
    """Return the windows of the validation and of the test part and the documents they are of."""
    tokens = tokens_of(data, vocab_size)
    windows_of = spread_windows if data.chunk_tokens else opening_windows
    return {
        part: windows_of(tokens, part, n_tokens=data.n_eval_tokens, context=context)
        for part in HELD_OUT
    }


@dataclass(frozen=True, kw_only=True)
class TextFacts:
    """What plans and reports need to know of a tokenized corpus, without its tokens.

    Attributes:
        corpus: its name.
        vocab_size: entries of the vocabulary.
        sha256: hash of the tokens: text, split and vocabulary.
        corpus_sha256: hash of the text.
        n_tokens: tokens of each part.
        bytes_per_token: UTF-8 bytes of a test token.
        n_documents: documents of each part; empty in results that earlier versions shipped, which
            did not count them.
        is_cut: whether the text is one or two documents, whose pieces count as documents.
    """

    corpus: str
    vocab_size: int
    sha256: str
    corpus_sha256: str
    n_tokens: Mapping[str, int]
    bytes_per_token: float
    n_documents: Mapping[str, int] = field(default_factory=dict)
    is_cut: bool = False

    @classmethod
    def of(cls, tokens: TokenizedCorpus) -> TextFacts:
        """Describe a tokenized corpus."""
        return cls(
            corpus=tokens.corpus_name,
            vocab_size=tokens.vocab_size,
            sha256=tokens.sha256,
            corpus_sha256=tokens.corpus_sha256,
            n_tokens={part: len(getattr(tokens, part)) for part in ("train", *HELD_OUT)},
            bytes_per_token=tokens.bytes_per_token("test"),
            n_documents={part: len(starts) for part, starts in tokens.document_starts.items()},
            is_cut=tokens.n_documents < FEWEST_TEXTS,
        )
