"""Token ids of a corpus: byte-pair encoding trained on the training part, cached on disk."""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from models.text.corpora import Corpus, Document, corpus_fingerprint, load_corpus
from models.text.data_home import cache_home
from models.text.splits import split_documents

if TYPE_CHECKING:
    import tokenizers

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
SMALLEST_VOCAB = 257  # every byte, and the end of text
PARTS = ("train", "validation", "test")

# Part of every cache key: increased when reading, splitting or the cached layout changes.
_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class TokenizedCorpus:
    """Token ids of the three parts of a corpus, memory-mapped read-only from the cache.

    Documents come in an order shuffled by the split seed, each followed by the end-of-text id 0.

    Attributes:
        corpus_name: name of the corpus.
        corpus_sha256: hash of its documents.
        n_documents: documents of the corpus; one or two are cut into more, see `split_documents`.
        vocab_size: number of token ids.
        tokenizer_path: file of the tokenizer.
        train: token ids [n_train] (uint16, or uint32 above 65,536 ids); validation and test alike.
        validation: token ids [n_validation].
        test: token ids [n_test].
        n_bytes: UTF-8 bytes of the texts of each part (end of text counts none).
        document_starts: int64 [n_documents] offset of each document, for each part.
        sha256: hash of the ids and the tokenizer.
    """

    corpus_name: str
    corpus_sha256: str
    n_documents: int
    vocab_size: int
    tokenizer_path: Path
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    n_bytes: Mapping[str, int]
    document_starts: Mapping[str, np.ndarray]
    sha256: str

    def tokenizer(self) -> "tokenizers.Tokenizer":
        """Return the tokenizer; it encodes "<|endoftext|>" in a text as plain text."""
        return load_tokenizer(self.tokenizer_path)

    def bytes_per_token(self, part: str) -> float:
        """Return the mean UTF-8 bytes per token of a part, end-of-text tokens included.

        Raises:
            ValueError: an unknown part.
        """
        if part not in PARTS:
            raise ValueError(f"part must be one of {PARTS}; not {part!r}")
        return self.n_bytes[part] / len(getattr(self, part))


def tokenize_corpus(
    name: str, *, vocab_size: int = 512, split_seed: int = 0, cache_dir: Path | None = None
) -> TokenizedCorpus:
    """Return the token ids of a corpus, encoded by byte-level BPE learned on its training part.

    The result is cached, keyed by the corpus sha256 and the settings; the corpus itself is read
    again only when its fingerprint (`models.text.corpora.corpus_fingerprint`) changes. A damaged
    cache is rebuilt.

    Args:
        name: name of the corpus, see `models.text.corpora.load_corpus`.
        vocab_size: number of token ids, at least 257 (256 bytes and the end of text).
        split_seed: seed of the split and of the order of documents.
        cache_dir: cache folder (default: `models.text.data_home.cache_home()`).

    Raises:
        ValueError: a vocabulary below 257 or larger than the training part supports.
        CorpusError: the corpus cannot be read.
    """
    if vocab_size < SMALLEST_VOCAB:
        raise ValueError(
            f"vocab_size must be at least {SMALLEST_VOCAB} (256 bytes and the end of text); "
            f"not {vocab_size}"
        )
    cache = Path(cache_dir) if cache_dir is not None else cache_home()
    settings = {"format": _FORMAT, "vocab_size": vocab_size, "split_seed": split_seed}
    fingerprint = corpus_fingerprint(name)
    note = cache / "corpora" / f"{_digest(_FORMAT, name, fingerprint)}.json"
    corpus_sha256 = _noted_sha256(note) if fingerprint is not None else None
    if corpus_sha256 is not None:
        folder = _folder(cache, corpus_sha256, settings)
        if _intact(folder):
            return _open(folder, name, corpus_sha256, vocab_size)
    corpus = load_corpus(name)
    folder = _folder(cache, corpus.sha256, settings)
    if not _intact(folder):
        _build(folder, corpus, vocab_size=vocab_size, split_seed=split_seed)
    if fingerprint is not None:
        _write_note(note, corpus)
    return _open(folder, name, corpus.sha256, vocab_size)


def load_tokenizer(path: Path) -> "tokenizers.Tokenizer":
    """Return the tokenizer in a file; it encodes names of special tokens in a text as plain text.

    Raises:
        ValueError: the file is missing or is not a tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{path} cannot be read as a tokenizer: {error}") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def draw_unique_tokens(tokens: TokenizedCorpus, n_unique: int, *, draw_seed: int = 0) -> np.ndarray:
    """Return training tokens of one draw of the corpus in whole documents, ids [n_unique].

    Documents of the training part in an order shuffled by `draw_seed`, concatenated (each with its
    end-of-text id) and cut at `n_unique`; a smaller draw of the same seed is a prefix of a larger
    one. Where documents are long, few tokens are the opening of a single one: `stock.draw_chunks`
    mixes many.

    Args:
        tokens: the tokenized corpus.
        n_unique: number of tokens D.
        draw_seed: random seed of the order of documents.

    Raises:
        ValueError: the training part has fewer tokens, or `n_unique` is below 1.
    """
    check_n_unique(tokens, n_unique)
    starts = tokens.document_starts["train"]
    ends = np.append(starts[1:], len(tokens.train))
    order = np.random.default_rng(draw_seed).permutation(len(starts))
    n_documents = int(np.searchsorted(np.cumsum((ends - starts)[order]), n_unique)) + 1
    chosen = [tokens.train[starts[i] : ends[i]] for i in order[:n_documents]]
    return np.concatenate(chosen)[:n_unique]


def check_n_unique(tokens: TokenizedCorpus, n_unique: int) -> None:
    """Raise ValueError unless the training part holds `n_unique` tokens, 1 or more."""
    available = len(tokens.train)
    if not 1 <= n_unique <= available:
        raise ValueError(
            f"n_unique must lie between 1 and the {available:,} tokens that the training part of "
            f"{tokens.corpus_name!r} holds at a vocabulary of {tokens.vocab_size:,}; "
            f"not {n_unique:,}"
        )


_Number = TypeVar("_Number", float, np.ndarray)


def nats_per_token_to_bits_per_byte(loss: _Number, *, bytes_per_token: float) -> _Number:
    """Return a cross-entropy in bits per UTF-8 byte, comparable across vocabularies.

    Args:
        loss: cross-entropy in nats per token, a number or an array.
        bytes_per_token: mean bytes of a token, see `TokenizedCorpus.bytes_per_token`.

    Raises:
        ValueError: `bytes_per_token` is not positive.
    """
    if not bytes_per_token > 0:
        raise ValueError(f"bytes_per_token must be positive; not {bytes_per_token}")
    return loss / (math.log(2) * bytes_per_token)


# --- byte-pair encoding


def _train_tokenizer(documents: Iterable[Document], *, vocab_size: int) -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((document.text for document in documents), trainer)
    learned = tokenizer.get_vocab_size()
    if learned < vocab_size:
        raise ValueError(
            f"vocab_size {vocab_size:,} is more than the training text supports: "
            f"{learned:,} tokens could be learned from it"
        )
    return tokenizer


def _shuffled(documents: Sequence[Document], *, seed: int) -> list[Document]:
    order = np.random.default_rng(seed).permutation(len(documents))
    return [documents[i] for i in order]


_BATCH_BYTES = 2**20  # bounds the memory of one encoding call


def _encode(
    tokenizer: "tokenizers.Tokenizer", documents: Sequence[Document], dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the documents, each followed by the end of text, and where each begins."""
    pieces: list[np.ndarray] = []
    for batch in _batches(documents):
        for encoding in tokenizer.encode_batch_fast([document.text for document in batch]):
            pieces.append(np.array([*encoding.ids, END_OF_TEXT_ID], dtype=dtype))
    lengths = np.array([len(piece) for piece in pieces], dtype="<i8")
    return np.concatenate(pieces), np.cumsum(lengths) - lengths


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    n_bytes = 0
    for document in documents:
        batch.append(document)
        n_bytes += document.n_bytes
        if n_bytes >= _BATCH_BYTES:
            yield batch
            batch, n_bytes = [], 0
    if batch:
        yield batch


# --- cache: a folder per corpus and settings, written beside its place and renamed into it


def _build(folder: Path, corpus: Corpus, *, vocab_size: int, split_seed: int) -> None:
    split = split_documents(corpus, seed=split_seed)
    tokenizer = _train_tokenizer(split.train, vocab_size=vocab_size)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=".building-", dir=folder.parent, ignore_cleanup_errors=True
    ) as scratch:
        beside = Path(scratch) / "new"
        beside.mkdir()
        tokenizer.save(str(beside / "tokenizer.json"))
        tokenizer.encode_special_tokens = True
        dtype = np.dtype("<u2" if vocab_size <= 2**16 else "<u4")
        n_bytes = {}
        for part in PARTS:
            documents = _shuffled(getattr(split, part), seed=split_seed)
            ids, starts = _encode(tokenizer, documents, dtype)
            np.save(beside / f"{part}.npy", ids)
            np.save(beside / f"{part}.starts.npy", starts)
            n_bytes[part] = sum(document.n_bytes for document in documents)
        meta = {
            "n_documents": corpus.n_documents,
            "n_bytes": n_bytes,
            "sha256": _content_sha256(beside, n_bytes),
        }
        (beside / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        _place(beside, folder, aside=Path(scratch) / "old")


def _place(beside: Path, folder: Path, *, aside: Path) -> None:
    if _intact(folder):  # another process was faster; its content is the same
        return
    with suppress(FileNotFoundError):
        folder.rename(aside)
    try:
        beside.rename(folder)
    except OSError:
        if not _intact(folder):
            raise


def _intact(folder: Path) -> bool:
    """Return False if a file is missing, damaged or unfinished."""
    try:
        meta = _meta(folder)
        return bool(meta["sha256"] == _content_sha256(folder, meta["n_bytes"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return False


def _open(folder: Path, name: str, corpus_sha256: str, vocab_size: int) -> TokenizedCorpus:
    meta = _meta(folder)
    return TokenizedCorpus(
        corpus_name=name,
        corpus_sha256=corpus_sha256,
        n_documents=meta["n_documents"],
        vocab_size=vocab_size,
        tokenizer_path=folder / "tokenizer.json",
        **{part: np.load(folder / f"{part}.npy", mmap_mode="r") for part in PARTS},
        n_bytes=meta["n_bytes"],
        document_starts={part: np.load(folder / f"{part}.starts.npy") for part in PARTS},
        sha256=meta["sha256"],
    )


def _meta(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "meta.json").read_text(encoding="utf-8"))


def _content_sha256(folder: Path, n_bytes: Mapping[str, int]) -> str:
    digest = hashlib.sha256((folder / "tokenizer.json").read_bytes())
    digest.update(json.dumps(n_bytes, sort_keys=True).encode())
    for part in PARTS:
        for array in (f"{part}.npy", f"{part}.starts.npy"):
            digest.update(np.load(folder / array, mmap_mode="r").data)
    return digest.hexdigest()


def _folder(cache: Path, corpus_sha256: str, settings: Mapping[str, int]) -> Path:
    return cache / "tokens" / _digest(corpus_sha256, settings)


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


def _noted_sha256(note: Path) -> str | None:
    """The sha256 a corpus had when it was last read with the fingerprint this note is named by."""
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_note(note: Path, corpus: Corpus) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=note.parent) as scratch:
        beside = Path(scratch) / note.name
        beside.write_text(
            json.dumps({"corpus": corpus.name, "sha256": corpus.sha256}), encoding="utf-8"
        )
        os.replace(beside, note)
