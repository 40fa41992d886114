"""Text by name: the corpora models train on, and their split into three disjoint parts."""

import ast
import hashlib
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CORPORA = {
    "stdlib": "docstrings of the standard library of the Python that runs (default, always there)",
}


class CorpusError(ValueError):
    """A corpus that is unknown, missing, unreadable or too small; the message says why."""


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

    Raises CorpusError where the name is unknown or the text cannot be had.
    """
    if name != "stdlib":
        allowed = ", ".join(repr(known) for known in CORPORA)
        raise CorpusError(f"corpus must be one of {allowed}; not {name!r}")
    documents = tuple(_stdlib_documents())
    return Corpus(name=name, documents=documents, sha256=_documents_sha256(documents))


def corpus_fingerprint(name: str) -> str | None:
    """Cheap key that changes whenever `load_corpus(name)` might, found without reading any text.

    `stdlib`: the version of Python and the path, size and modification time of its sources.
    """
    return _stat_fingerprint([sys.version], _stdlib_sources())


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


def _stdlib_documents() -> Iterator[Document]:
    root = _stdlib_root()
    for source in _stdlib_sources():
        text = _docstrings_of(source)
        if text:
            yield Document(id=source.relative_to(root).as_posix(), text=text)


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


# --- split


def split_documents(
    corpus: Corpus,
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> Split:
    """Cut a corpus by document into disjoint parts of about these fractions of its bytes.

    The result depends on the texts and the seed alone: documents are taken in the order of a
    hash of both, for the test part until it is full, then for the validation part; the rest is
    trained on. Equal texts are one unit, so no text is in two parts. A corpus of one or two
    documents is first cut at blank lines into about a hundred pieces that count as documents.

    Raises ValueError for fractions that leave a part empty, CorpusError for a corpus with fewer
    than three different texts.
    """
    fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    for name, fraction in fractions.items():
        if not 0 < fraction < 1:
            raise ValueError(f"{name} must lie between 0 and 1, both excluded; not {fraction}")
    if validation_fraction + test_fraction >= 1:
        raise ValueError(f"fractions must leave text to train on: {fractions}")
    documents = corpus.documents
    if len(documents) < _FEWEST_DOCUMENTS:
        documents = tuple(piece for document in documents for piece in _cut(document))
    units: dict[str, list[Document]] = {}
    for document in documents:
        units.setdefault(_hash_rank(document.text, seed=seed), []).append(document)
    if len(units) < _FEWEST_DOCUMENTS:
        raise CorpusError(
            f"corpus {corpus.name!r} has {len(units)} different text(s); a split by document "
            f"into train, validation and test needs {_FEWEST_DOCUMENTS}"
        )
    sizes = {rank: sum(d.n_bytes for d in units[rank]) for rank in sorted(units)}
    total = sum(sizes.values())
    test = _take(sizes, target=test_fraction * total, leave=2)
    rest = {rank: size for rank, size in sizes.items() if rank not in test}
    validation = _take(rest, target=validation_fraction * total, leave=1)
    part_of = dict.fromkeys(test, "test") | dict.fromkeys(validation, "validation")
    parts: dict[str, list[Document]] = {"train": [], "validation": [], "test": []}
    for document in documents:
        parts[part_of.get(_hash_rank(document.text, seed=seed), "train")].append(document)
    return Split(**{name: tuple(part) for name, part in parts.items()})


_FEWEST_DOCUMENTS = 3
_PIECES = 100
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")


def _cut(document: Document) -> Iterator[Document]:
    """Pieces of at least 1/100 of the text that end at blank lines and join to the whole text.

    Contiguous pieces rather than single paragraphs: neighbours in different parts would make
    the held-out text easier than a new one.
    """
    least = len(document.text) / _PIECES
    start, number = 0, 0
    for gap in _BLANK_LINES.finditer(document.text):
        if gap.end() - start >= least and gap.end() < len(document.text):
            yield Document(id=f"{document.id}#{number}", text=document.text[start : gap.end()])
            start, number = gap.end(), number + 1
    yield Document(id=f"{document.id}#{number}", text=document.text[start:])


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
