"""Text by name: the corpora models train on, and their split into three disjoint parts."""

import ast
import hashlib
import json
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from models.text.data_home import (
    NOVELS_SHA256,
    CorpusError,
    files_under,
    novels,
    read_bytes,
    unpack,
)

__all__ = [
    "CORPORA",
    "Corpus",
    "CorpusError",
    "Document",
    "Source",
    "Split",
    "corpus_fingerprint",
    "load_corpus",
    "split_documents",
]


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text with an id that is unique within its corpus and holds no absolute path."""

    id: str
    text: str

    @cached_property
    def n_bytes(self) -> int:
        """Length of the text in UTF-8 bytes."""
        return len(self.text.encode())


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Documents in a fixed order; `sha256` covers their ids and texts in that order."""

    name: str
    documents: tuple[Document, ...]
    sha256: str

    @property
    def n_documents(self) -> int:
        """How many documents."""
        return len(self.documents)

    @cached_property
    def n_bytes(self) -> int:
        """UTF-8 bytes of all texts together."""
        return sum(document.n_bytes for document in self.documents)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Three parts that share no document and no text; each keeps the corpus order."""

    train: tuple[Document, ...]
    validation: tuple[Document, ...]
    test: tuple[Document, ...]


def load_corpus(name: str) -> Corpus:
    """Read the corpus of that name (one of `CORPORA`).

    `stdlib` has a document per module: its docstrings and those of its classes and functions, in
    source order, read from source without importing; tests and installed packages are left out.
    `files:PATH` has one per file, archive member or line of JSON; newlines become LF, a leading
    byte-order mark goes, blank and hidden files are left out.

    Raises CorpusError where the name is unknown, or a text is missing, empty, binary, not UTF-8
    (naming file and byte offset) or without the field "text" (naming file and line).
    """
    source, argument = _parsed(name)
    documents = tuple(document for document in source.read(argument) if document.text.strip())
    if not documents:
        raise CorpusError(f"the corpus {name!r} is empty: it holds no text")
    return Corpus(name=name, documents=documents, sha256=_documents_sha256(documents))


def corpus_fingerprint(name: str) -> str | None:
    """Cheap key that changes whenever `load_corpus(name)` might, found without reading any text.

    `stdlib`: the version of Python and the path, size and modification time of its sources.
    `files`: path, size and modification time of every file. `novels`: their recorded sha256.
    `hf`: the revision where it is a full commit hash; else None, nothing cheap to go by.

    Raises CorpusError as `load_corpus` does for an unknown name or missing files.
    """
    source, argument = _parsed(name)
    return source.fingerprint(argument)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the texts of one kind of name come from; one entry of `CORPORA`.

    Attributes:
        description: for people.
        read: returns the documents; given what stands behind the colon of the name, if anything.
        fingerprint: given the same, what `corpus_fingerprint` returns.
    """

    description: str
    read: Callable[[str], Iterable[Document]]
    fingerprint: Callable[[str], str | None]


def _parsed(name: str) -> tuple[Source, str]:
    kind, colon, argument = name.partition(":")
    for known, source in CORPORA.items():
        takes_argument = ":" in known
        if kind == known.partition(":")[0] and bool(colon) == bool(argument) == takes_argument:
            return source, argument
    allowed = ", ".join(repr(known) for known in CORPORA)
    raise CorpusError(f"corpus must be one of {allowed}; not {name!r}")


def _documents_sha256(documents: Iterable[Document]) -> str:
    digest = hashlib.sha256()
    for document in documents:
        for field in (document.id.encode(), document.text.encode()):
            digest.update(len(field).to_bytes(8, "little"))
            digest.update(field)
    return digest.hexdigest()


def _stat_fingerprint(heading: Sequence[str], files: Iterable[Path]) -> str:
    digest = hashlib.sha256("\0".join(heading).encode())
    for file in files:
        stat = file.stat()
        digest.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


# --- stdlib: docstrings read from source, nothing is imported

_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def _stdlib_root() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _stdlib_sources() -> list[Path]:
    """Source files of importable modules, sorted; no tests, nothing installed by the user."""
    sources = []
    for folder, folders, files in os.walk(_stdlib_root()):
        # A folder that is no identifier ("config-3.11-x86_64") holds build files, not modules.
        folders[:] = [f for f in folders if f not in _NOT_LIBRARY and f.isidentifier()]
        sources += [Path(folder, file) for file in files if file.endswith(".py")]
    if not sources:
        raise CorpusError(f"this Python has no sources of its library in {_stdlib_root()}")
    return sorted(sources)


def _stdlib_documents(_: str) -> tuple[Document, ...]:
    return _documents_below(_stdlib_root())


@lru_cache(maxsize=1)  # reading the sources takes seconds, and what they hold is small
def _documents_below(root: Path) -> tuple[Document, ...]:
    return tuple(
        Document(id=source.relative_to(root).as_posix(), text=_docstrings_of(source))
        for source in _stdlib_sources()
    )


def _docstrings_of(source: Path) -> str:
    """Docstrings of a module, its classes and functions, in source order, blank lines between.

    A file that is no valid Python (a template) has none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in other people's strings
        try:
            module = ast.parse(source.read_bytes())
        except (SyntaxError, ValueError):
            return ""
    text = "\n\n".join(_docstrings(module))
    return text.encode(errors="replace").decode()  # a docstring may hold a lone surrogate


def _docstrings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        docstring = ast.get_docstring(node)
        if docstring and docstring.strip():
            yield docstring.strip()
    for block in ("body", "handlers", "orelse", "finalbody", "cases"):
        inner = getattr(node, block, ())
        for child in inner if isinstance(inner, list) else ():
            yield from _docstrings(child)


# --- files, novels, Hugging Face


def _path(argument: str) -> Path:
    return Path(argument).expanduser()


def _file_documents(argument: str) -> Iterator[Document]:
    root = _path(argument)
    files = files_under(root)
    base = root if root.is_dir() else root.parent
    for file in files:
        for label, name, data in unpack(str(file), read_bytes(file)):
            text = decoded_text(label, data)
            id_ = Path(label).relative_to(base).as_posix()
            if name.lower().endswith(".jsonl"):
                yield from _json_lines(label, id_, text)
            else:
                yield Document(id=id_, text=text.replace("\r\n", "\n"))


def decoded_text(label: str, data: bytes) -> str:
    """Decode the bytes of a file as UTF-8 text; CorpusError naming it and the offset otherwise."""
    zero = data.find(0)
    if zero >= 0:
        raise CorpusError(f"{label} is binary, not text: byte 0x00 at offset {zero}")
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{label} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        ) from error


def _json_lines(label: str, id_: str, text: str) -> Iterator[Document]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            content = record["text"]
            content.encode()  # a JSON string may hold a lone surrogate
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorpusError(
                f"{label}, line {number}: not a JSON object with a string in the field 'text'"
            ) from error
        yield Document(id=f"{id_}:{record.get('id', number)}", text=content)


def _novel_documents(_: str) -> Iterator[Document]:
    for name, text in novels():
        yield Document(id=name, text=text)


def _hf_documents(argument: str) -> Iterator[Document]:
    """Rows of the split "train", as the library orders them."""
    try:
        import datasets
    except ImportError as error:
        raise CorpusError(
            f"the corpus 'hf:{argument}' needs the datasets library: pip install datasets"
        ) from error
    address, _, revision = argument.partition("@")
    path, _, config = address.partition(":")
    try:
        rows = datasets.load_dataset(path, config or None, split="train", revision=revision or None)
    except Exception as error:  # the library raises its own errors and those of what it uses
        raise CorpusError(f"cannot load the corpus 'hf:{argument}': {error}") from error
    if "text" not in rows.column_names:
        raise CorpusError(f"the corpus 'hf:{argument}' has no column 'text': {rows.column_names}")
    for number, text in enumerate(rows["text"]):
        if not isinstance(text, str | None):
            raise CorpusError(f"the corpus 'hf:{argument}', row {number}: 'text' is no string")
        yield Document(id=str(number), text=text or "")


# --- all of them


def _novels_fingerprint(_: str) -> str:
    return hashlib.sha256("".join(NOVELS_SHA256.values()).encode()).hexdigest()


_COMMIT = re.compile(r"@[0-9a-f]{40}$")

CORPORA = {
    "stdlib": Source(
        description="docstrings of the standard library of the Python that runs (default, always "
        "there)",
        read=_stdlib_documents,
        fingerprint=lambda _: _stat_fingerprint([sys.version], _stdlib_sources()),
    ),
    "novels": Source(
        description="98 English novels, 1839-1930, 76 MB; read from $DATAWALL_DATA or downloaded",
        read=_novel_documents,
        fingerprint=_novels_fingerprint,
    ),
    "files:PATH": Source(
        description="a file or folder of UTF-8 text, .gz, .xz, .tar or .jsonl (field 'text')",
        read=_file_documents,
        fingerprint=lambda argument: _stat_fingerprint(
            [], (file.resolve() for file in files_under(_path(argument)))
        ),
    ),
    "hf:DATASET": Source(
        description="column 'text' of a Hugging Face dataset, OWNER/NAME[:CONFIG][@REVISION]; "
        "needs the extra 'hf'",
        read=_hf_documents,
        fingerprint=lambda argument: argument if _COMMIT.search(argument) else None,
    ),
}
"""The corpora by name; of a name with a colon, what follows it is the user's to say."""


# --- split


def split_documents(
    corpus: Corpus,
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> Split:
    """Cut a corpus by document into disjoint parts of about these fractions of its bytes.

    The result depends on the texts and the seed alone: texts are taken in the order of a hash of
    both, for the test part until it is full, then for the validation part; the rest is trained
    on. Equal texts go together, so no text is in two parts. A corpus of one or two documents is
    first cut at blank lines (where there are none, at line ends) into up to a hundred pieces
    that count as documents.

    Raises ValueError for fractions that leave a part empty, CorpusError for a corpus with fewer
    than three different texts.
    """
    _check_fractions(validation_fraction=validation_fraction, test_fraction=test_fraction)
    documents = corpus.documents
    if len(documents) < _FEWEST_TEXTS:
        documents = tuple(piece for document in documents for piece in _cut(document))
    ranks = [_hash_rank(document.text, seed=seed) for document in documents]
    sizes = dict.fromkeys(sorted(ranks), 0)
    for rank, document in zip(ranks, documents, strict=True):
        sizes[rank] += document.n_bytes
    if len(sizes) < _FEWEST_TEXTS:
        raise CorpusError(
            f"the corpus {corpus.name!r} is too small to split: it holds {len(sizes)} different "
            f"text(s); train, validation and test need one each"
        )
    total = sum(sizes.values())
    test = _take(sizes, target=test_fraction * total, leave=2)
    rest = {rank: size for rank, size in sizes.items() if rank not in test}
    validation = _take(rest, target=validation_fraction * total, leave=1)

    def part(chosen: Callable[[str], bool]) -> tuple[Document, ...]:
        return tuple(d for rank, d in zip(ranks, documents, strict=True) if chosen(rank))

    return Split(
        train=part(lambda rank: rank not in test and rank not in validation),
        validation=part(validation.__contains__),
        test=part(test.__contains__),
    )


_FEWEST_TEXTS = 3
_MOST_PIECES = 100
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_LINE_END = re.compile(r"\n+")


def _check_fractions(**fractions: float) -> None:
    for name, fraction in fractions.items():
        if not 0 < fraction < 1:
            raise ValueError(f"{name} must lie between 0 and 1, both excluded; not {fraction}")
    if sum(fractions.values()) >= 1:
        raise ValueError(f"fractions must leave text to train on: {fractions}")


def _cut(document: Document) -> list[Document]:
    """Pieces of at least 1/100 of the text that join to the whole of it.

    Long pieces rather than single paragraphs: a held-out text whose neighbours are trained on is
    easier than a new one.
    """
    pieces = _pieces(document.text, _BLANK_LINES)
    if len(pieces) < _FEWEST_TEXTS:
        pieces = _pieces(document.text, _LINE_END)
    return [Document(id=f"{document.id}#{i}", text=piece) for i, piece in enumerate(pieces)]


def _pieces(text: str, gap: re.Pattern[str]) -> list[str]:
    least = len(text) / _MOST_PIECES
    cuts = [0]
    for match in gap.finditer(text):
        if match.end() - cuts[-1] >= least and match.end() < len(text):
            cuts.append(match.end())
    return [text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _hash_rank(text: str, *, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{text}".encode()).hexdigest()


def _take(sizes: Mapping[str, int], *, target: float, leave: int) -> set[str]:
    """Units in order while each brings the total nearer to the target; at least one."""
    taken: set[str] = set()
    total = 0
    for rank, size in sizes.items():
        if len(sizes) - len(taken) == leave:
            break
        if total + size - target < target - total:
            taken.add(rank)
            total += size
    return taken or {min(sizes, key=sizes.__getitem__)}
