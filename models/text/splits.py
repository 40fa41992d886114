"""Training, validation and test parts of a corpus, disjoint by document and by text."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.text.corpora import Corpus, CorpusError, Document


@dataclass(frozen=True, kw_only=True)
class Split:
    """Three parts that share no document and no text; each keeps the corpus order."""

    train: tuple[Document, ...]
    validation: tuple[Document, ...]
    test: tuple[Document, ...]


def split_documents(
    corpus: Corpus,
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> Split:
    """Return a corpus cut by document into disjoint parts.

    The result depends only on the texts and the seed: texts are taken in the order of a hash of
    both, first for the test part until it is full, then for the validation part; the rest is the
    training part. Equal texts go together, so no text is in two parts. A corpus of one or two
    documents is first cut at blank lines (or at line ends if there are none) into up to a hundred
    pieces that count as documents.

    Args:
        corpus: the corpus.
        validation_fraction: approximate share of its bytes in the validation part, in (0, 1).
        test_fraction: approximate share of its bytes in the test part, in (0, 1).
        seed: seed of the hash.

    Raises:
        ValueError: fractions that leave a part empty.
        CorpusError: a corpus with fewer than three different texts.
    """
    _check_fractions(validation_fraction=validation_fraction, test_fraction=test_fraction)
    documents = corpus.documents
    if len(documents) < FEWEST_TEXTS:
        documents = tuple(piece for document in documents for piece in _cut(document))
    ranks = [_hash_rank(document.text, seed=seed) for document in documents]
    sizes = dict.fromkeys(sorted(ranks), 0)
    for rank, document in zip(ranks, documents, strict=True):
        sizes[rank] += document.n_bytes
    if len(sizes) < FEWEST_TEXTS:
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


FEWEST_TEXTS = 3
"""Documents below which a corpus is cut into pieces that count as documents."""
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
    """Return consecutive pieces of at least 1/100 of the text.

    Long pieces rather than single paragraphs, because a held-out text whose neighbours are trained
    on is easier to predict than a new one.
    """
    pieces = _pieces(document.text, _BLANK_LINES)
    if len(pieces) < FEWEST_TEXTS:
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
    """Return units in order while each brings the total nearer to the target; at least one."""
    taken: set[str] = set()
    total = 0
    for rank, size in sizes.items():
        if len(sizes) - len(taken) == leave:
            break
        if total + size - target < target - total:
            taken.add(rank)
            total += size
    return taken or {min(sizes, key=sizes.__getitem__)}
