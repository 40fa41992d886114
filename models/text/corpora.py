"""Text by name: the corpora that models train on."""

import ast
import hashlib
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from models.text.data_home import CorpusError, files_under
from models.text.novels import novel_checksums, novels
from models.text.rows import rows_of

__all__ = [
    "CORPORA",
    "Corpus",
    "CorpusError",
    "CorpusReader",
    "Document",
    "corpus_fingerprint",
    "load_corpus",
]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A text with an id that is unique within its corpus and contains no absolute path."""

    id: str
    text: str

    @cached_property
    def n_bytes(self) -> int:
        """Length of the text in UTF-8 bytes."""
        return len(self.text.encode())


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Documents in a fixed order.

    Attributes:
        name: name given to `load_corpus`.
        documents: the documents.
        sha256: hash of their ids and texts in that order.
    """

    name: str
    documents: tuple[Document, ...]
    sha256: str

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return len(self.documents)

    @cached_property
    def n_bytes(self) -> int:
        """UTF-8 bytes of all texts together."""
        return sum(document.n_bytes for document in self.documents)


def load_corpus(name: str) -> Corpus:
    """Return the corpus of that name (one of `CORPORA`).

    `stdlib` has one document per module: its docstrings and those of its classes and functions, in
    source order, parsed without importing; tests and installed packages are left out. `files:PATH`
    has one document per JSON object, table row or else file, see `rows.rows_of`; blank texts and
    hidden files are left out.

    Raises:
        CorpusError: the name is unknown, or a text is missing, empty, binary, not UTF-8 (with file
            and byte offset) or without the field "text" (with file and line).
    """
    source, argument = _parsed(name)
    documents = tuple(document for document in source.read(argument) if document.text.strip())
    if not documents:
        raise CorpusError(f"the corpus {name!r} is empty: it holds no text")
    return Corpus(name=name, documents=documents, sha256=_documents_sha256(documents))


def corpus_fingerprint(name: str) -> str | None:
    """Return a cheap key that changes whenever `load_corpus(name)` might; no text is read.

    `stdlib`: the version of Python and the path, size and modification time of its sources.
    `files`: path, size and modification time of every file. `novels`: their recorded sha256.
    `hf`: the revision if it is a full commit hash; otherwise None, as no cheap key exists.

    Raises:
        CorpusError: as `load_corpus` for an unknown name or missing files.
    """
    source, argument = _parsed(name)
    return source.fingerprint(argument)


@dataclass(frozen=True, kw_only=True)
class CorpusReader:
    """How to read the corpora of one kind of name; an entry of `CORPORA`.

    Attributes:
        description: description for users.
        read: returns the documents, given the part of the name after the colon ("" if none).
        fingerprint: returns the value of `corpus_fingerprint`, given the same.
    """

    description: str
    read: Callable[[str], Iterable[Document]]
    fingerprint: Callable[[str], str | None]


def _parsed(name: str) -> tuple[CorpusReader, str]:
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
        # Folders that are not identifiers ("config-3.11-x86_64") hold build files, not modules.
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
        for row in rows_of(file):
            id_ = Path(row.label).relative_to(base).as_posix()
            if row.number is not None:
                id_ = f"{id_}:{row.values.get('id', row.number)}"
            try:
                row.text.encode()  # a JSON string may hold a lone surrogate
            except UnicodeEncodeError as error:
                raise CorpusError(f"{row.place}: the text is not Unicode: {error}") from error
            yield Document(id=id_, text=row.text)


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
            raise CorpusError(f"the corpus 'hf:{argument}', row {number}: 'text' is not a string")
        yield Document(id=str(number), text=text or "")


# --- all of them


def _novels_fingerprint(_: str) -> str:
    return hashlib.sha256("".join(novel_checksums().values()).encode()).hexdigest()


READING = "HTML is read as text"
"""Changes when the same files give other documents, so that tokens cached before are not used."""

_COMMIT = re.compile(r"@[0-9a-f]{40}$")

CORPORA = {
    "stdlib": CorpusReader(
        description="docstrings of the standard library of the Python that runs (default, always "
        "there)",
        read=_stdlib_documents,
        fingerprint=lambda _: _stat_fingerprint([sys.version], _stdlib_sources()),
    ),
    "novels": CorpusReader(
        description="98 English novels, 1839-1930, 76 MB; read from $DATAWALL_DATA or downloaded",
        read=_novel_documents,
        fingerprint=_novels_fingerprint,
    ),
    "files:PATH": CorpusReader(
        description="a file or folder of text, HTML, PDF (extra 'pdf'), JSON lines, CSV or parquet "
        "(field 'text'), packed (gz, bz2, xz, zst, tar) or not",
        read=_file_documents,
        fingerprint=lambda argument: _stat_fingerprint(
            [READING], (file.resolve() for file in files_under(_path(argument)))
        ),
    ),
    "hf:DATASET": CorpusReader(
        description="column 'text' of a Hugging Face dataset, OWNER/NAME[:CONFIG][@REVISION]; "
        "needs the extra 'hf'",
        read=_hf_documents,
        fingerprint=lambda argument: argument if _COMMIT.search(argument) else None,
    ),
}
"""Corpus readers by name; in a name with a colon, the part after it is given by the user."""
