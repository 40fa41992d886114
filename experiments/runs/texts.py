"""Tokens of a corpus that runs read and are scored on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from experiments.runs.spec import DataConfig
from models.text.batches import evaluation_windows
from models.text.data_home import CorpusError
from models.text.tokens import TokenizedCorpus, draw_unique_tokens, tokenize_corpus

HELD_OUT = ("validation", "test")


@lru_cache(maxsize=8)
def tokens_of(data: DataConfig, vocab_size: int) -> TokenizedCorpus:
    """Return the tokenized text of a run.

    Raises:
        CorpusError: it is missing on this machine, or differs from the one the run was planned for.
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
    return draw_unique_tokens(tokens, data.n_unique_tokens, draw_seed=data.draw_seed)


@lru_cache(maxsize=8)
def held_out(data: DataConfig, vocab_size: int, context: int) -> Mapping[str, np.ndarray]:
    """Return windows [n_windows, context + 1] of the validation and of the test part, by name.

    Args:
        data: text of the run, with the number of tokens to score.
        vocab_size: entries of the vocabulary.
        context: targets in a window.

    Raises:
        CorpusError: see `tokens_of`.
    """
    tokens, n_tokens = tokens_of(data, vocab_size), data.n_eval_tokens + 1
    return {
        part: evaluation_windows(getattr(tokens, part)[:n_tokens], context=context)
        for part in HELD_OUT
    }


@dataclass(frozen=True, kw_only=True)
class TextFacts:
    """Description of a tokenized corpus for plans and reports, without its tokens.

    Attributes:
        corpus: its name.
        vocab_size: entries of the vocabulary.
        sha256: hash of the tokens: text, split and vocabulary.
        corpus_sha256: hash of the text.
        n_tokens: number of tokens of each part.
        bytes_per_token: UTF-8 bytes of a test token.
    """

    corpus: str
    vocab_size: int
    sha256: str
    corpus_sha256: str
    n_tokens: Mapping[str, int]
    bytes_per_token: float

    @classmethod
    def of(cls, tokens: TokenizedCorpus) -> TextFacts:
        """Return the description of a tokenized corpus."""
        return cls(
            corpus=tokens.corpus_name,
            vocab_size=tokens.vocab_size,
            sha256=tokens.sha256,
            corpus_sha256=tokens.corpus_sha256,
            n_tokens={part: len(getattr(tokens, part)) for part in ("train", *HELD_OUT)},
            bytes_per_token=tokens.bytes_per_token("test"),
        )
