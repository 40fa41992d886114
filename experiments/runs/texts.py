"""Text that runs read: tokens of a corpus, or a stream of tokens that a recipe has written.

    streams/SHA.npz    in the store: the training stream, and windows to score by name

A run identifies a stream by the hash of its tokens; the name of the writer is only a label. Tokens
that are read but not predicted (`models.text.batches.unscored`) are stored as negative ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from experiments.runs.files import replacing, storing
from experiments.runs.spec import DataConfig, RunSpec
from models.text.data_home import CorpusError
from models.text.held_out import HeldOut, opening_windows, spread_windows
from models.text.splits import FEWEST_TEXTS
from models.text.stock import draw_chunks
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
    if not data.chunk_tokens:
        return draw_unique_tokens(tokens, data.n_unique_tokens, draw_seed=data.draw_seed)
    return draw_chunks(
        tokens, data.n_unique_tokens, chunk_tokens=data.chunk_tokens, draw_seed=data.draw_seed
    )


def held_out(data: DataConfig, vocab_size: int, context: int) -> Mapping[str, np.ndarray]:
    """Return windows [n_windows, context + 1] of the validation and of the test part, by name.

    Args:
        data: text of the run, with the number of tokens to score.
        vocab_size: entries of the vocabulary.
        context: targets in a window.

    Raises:
        CorpusError: see `tokens_of`.
    """
    scored = held_out_text(data, vocab_size, context)
    return {part: text.windows for part, text in scored.items()}


@lru_cache(maxsize=8)
def held_out_text(data: DataConfig, vocab_size: int, context: int) -> Mapping[str, HeldOut]:
    """Return the windows of the validation and of the test part with their documents, by name.

    Args:
        data: as for `held_out`.
        vocab_size: as for `held_out`.
        context: as for `held_out`.

    Raises:
        CorpusError: see `tokens_of`.
    """
    tokens = tokens_of(data, vocab_size)
    windows_of = spread_windows if data.chunk_tokens else opening_windows
    return {
        part: windows_of(tokens, part, n_tokens=data.n_eval_tokens, context=context)
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
        """Return the description of a tokenized corpus."""
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


FOLDER = "streams"


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """A text as models read it.

    Attributes:
        tokens: int [D], in the order in which they are read.
        held_out: windows [n_windows, context + 1] to score, by name of the score, such as `test`.
    """

    tokens: np.ndarray
    held_out: Mapping[str, np.ndarray]

    @property
    def sha256(self) -> str:
        """Hash of all token ids, independent of their dtype."""
        digest = hashlib.sha256()
        for name, ids in _arrays(self).items():
            digest.update(f"{name}{ids.shape}".encode())
            digest.update(np.ascontiguousarray(ids, "<i4").tobytes())
        return digest.hexdigest()


def _arrays(stream: Stream) -> dict[str, np.ndarray]:
    return {"tokens": stream.tokens, **dict(sorted(stream.held_out.items()))}


def text_of(spec: RunSpec, root: Path) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Return the tokens [D] that a run reads and the windows [n, context + 1] to score it on.

    Args:
        spec: the run.
        root: folder of its store.

    Raises:
        CorpusError: the text is missing on this machine, or differs.
    """
    if spec.data.is_stream:
        stream = read_stream(root, spec.data)
        return stream.tokens, stream.held_out
    vocab_size, context = spec.model.vocab_size, spec.model.context
    return unique_tokens(spec.data, vocab_size), held_out(spec.data, vocab_size, context)


def documents_of(spec: RunSpec) -> Mapping[str, np.ndarray]:
    """Return the document of each scored token [n_windows, context] of a run, by part.

    Empty for a stream, whose documents are not numbered.

    Raises:
        CorpusError: as `text_of`.
    """
    if spec.data.is_stream:
        return {}
    scored = held_out_text(spec.data, spec.model.vocab_size, spec.model.context)
    return {part: text.documents for part, text in scored.items()}


def keep_stream(root: Path, stream: Stream) -> None:
    """Write a stream into a store atomically."""
    path = stream_path(root, stream.sha256)
    if path.is_file():
        return
    arrays = {name: _compact(ids) for name, ids in _arrays(stream).items()}
    with storing(root), replacing(path) as beside:
        np.savez_compressed(beside, **arrays)  # type: ignore[arg-type]


def read_stream(root: Path, data: DataConfig) -> Stream:
    """Return the stream of a run.

    Raises:
        CorpusError: the store does not hold it, or it is damaged.
    """
    return _read(stream_path(root, data.sha256), data)


@lru_cache(maxsize=8)
def _read(path: Path, data: DataConfig) -> Stream:
    try:
        with np.load(path) as arrays:
            held_out = {name: arrays[name] for name in arrays.files if name != "tokens"}
            stream = Stream(tokens=arrays["tokens"], held_out=held_out)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise CorpusError(
            f"the text {data.corpus!r} is not in the store, or damaged ({path}); run the recipe "
            "that wrote it to write it again"
        ) from error
    if stream.sha256 != data.sha256:
        raise CorpusError(f"the text {data.corpus!r} was changed on the disk: remove {path}")
    return stream


def stream_path(root: Path, sha256: str) -> Path:
    """Return where the stream of a hash is kept in the store at `root`."""
    return root / FOLDER / f"{sha256[:32]}.npz"


def _compact(ids: np.ndarray) -> np.ndarray:
    fits = ids.min(initial=0) >= -(2**15) and ids.max(initial=0) < 2**15
    return ids.astype(np.int16 if fits else np.int32)
