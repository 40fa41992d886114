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

# Part of every cache key: raised when what is read, its split or the cached layout changes.
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class TokenizedCorpus:
    """Token ids of the three parts of a corpus, memory-mapped read-only from the cache.

    `train`, `validation` and `test` are 1-D arrays (uint16, or uint32 above 65,536 ids) of
    documents in an order shuffled by the split seed, each followed by the end-of-text id 0.
    `document_starts[part]` (int64) are the offsets at which documents begin, `n_bytes[part]` the
    UTF-8 bytes of their texts (end of text counts none). `sha256` covers ids and tokenizer.
    """

    corpus_name: str
    corpus_sha256: str
    vocab_size: int
    tokenizer_path: Path
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    n_bytes: Mapping[str, int]
    document_starts: Mapping[str, np.ndarray]
    sha256: str

    def tokenizer(self) -> "tokenizers.Tokenizer":
        """The tokenizer; the text "<|endoftext|>" is text to it, never the special token."""
        return load_tokenizer(self.tokenizer_path)

    def bytes_per_token(self, part: str) -> float:
        """UTF-8 bytes a token stands for on average in this part, end-of-text tokens included."""
        if part not in PARTS:
            raise ValueError(f"part must be one of {PARTS}; not {part!r}")
        return self.n_bytes[part] / len(getattr(self, part))


def tokenize_corpus(
    name: str, *, vocab_size: int = 512, split_seed: int = 0, cache_dir: Path | None = None
) -> TokenizedCorpus:
    """Split the corpus of that name, learn byte-level BPE on its training part, encode all parts.

    The result is kept under `cache_dir` (default: `models.text.data_home.cache_home()`), keyed by
    the corpus sha256 and the settings; the corpus itself is read again only when its fingerprint
    (`models.text.corpora.corpus_fingerprint`) is new. A damaged cache is rebuilt.

    Raises ValueError for a vocabulary smaller than 257 (256 bytes and the end of text) or larger
    than the training part supports, CorpusError for a corpus that cannot be had.
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
    """Read a tokenizer; in text, the names of special tokens are text to it.

    Raises:
        ValueError: the file is missing or holds no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{path} cannot be read as a tokenizer: {error}") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def draw_unique_tokens(tokens: TokenizedCorpus, n_unique: int, *, draw_seed: int = 0) -> np.ndarray:
    """The training set of one draw of the corpus: `n_unique` token ids, 1-D.

    Documents of the training part in an order shuffled by `draw_seed`, concatenated (each with
    its end-of-text id) and cut at `n_unique`; a smaller draw of the same seed is a prefix of a
    larger one.

    Raises ValueError where the training part holds fewer tokens, or `n_unique` is below 1.
    """
    available = len(tokens.train)
    if not 1 <= n_unique <= available:
        raise ValueError(
            f"n_unique must lie between 1 and the {available:,} tokens that the training part of "
            f"{tokens.corpus_name!r} holds at a vocabulary of {tokens.vocab_size:,}; "
            f"{n_unique:,} were asked for"
        )
    starts = tokens.document_starts["train"]
    ends = np.append(starts[1:], available)
    order = np.random.default_rng(draw_seed).permutation(len(starts))
    n_documents = int(np.searchsorted(np.cumsum((ends - starts)[order]), n_unique)) + 1
    chosen = [tokens.train[starts[i] : ends[i]] for i in order[:n_documents]]
    return np.concatenate(chosen)[:n_unique]


_Number = TypeVar("_Number", float, np.ndarray)


def nats_per_token_to_bits_per_byte(loss: _Number, *, bytes_per_token: float) -> _Number:
    """Convert a cross-entropy to bits per UTF-8 byte, which compares across vocabularies.

    Raises ValueError unless `bytes_per_token` is positive.
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
        meta = {"n_bytes": n_bytes, "sha256": _content_sha256(beside, n_bytes)}
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
    """False where a file is missing, damaged or unfinished."""
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
