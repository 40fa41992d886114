"""MinHash signatures over shingles of hashed words, to detect near-duplicates fast.

A word is a lower-case string between white space; a shingle is n consecutive words. Chinese,
Japanese, Korean, Thai and their like are written with few spaces or none: there, every three
consecutive characters are a word. Words are hashed to 32 bits and texts are dropped once hashed, so
that a corpus takes four bytes a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np

SHINGLE_WORDS = 5
N_HASHES = 128
BATCH_WORDS = 2**20
"""Words worked on at a time."""

CHARACTERS_OF_A_WORD = 3
"""Of scripts without spaces: a shingle of five such words has seven characters."""

UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    r"\u1100-\u11ff\u3130-\u318f\uac00-\ud7ff"  # Hangul
    r"\u2e80-\u2fff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # radicals, kana
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"  # Han
)
"""Characters of scripts with few spaces or none, as ranges of a regular expression."""

_RUN = re.compile(f"[{UNSPACED}]+")

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class HashedTexts:
    """Texts as hashed words.

    Attributes:
        words: uint32 [n_words] words of all texts, concatenated.
        starts: int64 [n_texts + 1] offset of each text, and the end of the last.
    """

    words: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str]) -> HashedTexts:
        """Return hashed texts; the texts are read once and not kept."""
        parts, lengths = [], [0]
        for text in texts:
            words = spaced(text.lower()).encode(errors="replace").split()
            parts.append(np.fromiter(map(crc32, words), np.uint32, len(words)))
            lengths.append(len(words))
        hashed = np.concatenate(parts) if parts else np.zeros(0, np.uint32)
        return cls(hashed, np.cumsum(lengths))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def n_words(self) -> int:
        """Number of words of all texts together."""
        return len(self.words)

    def take(self, chosen: np.ndarray) -> HashedTexts:
        """Return the chosen texts, in that order."""
        lengths = np.diff(self.starts)[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        return HashedTexts(
            self.words[np.repeat(self.starts[:-1][chosen], lengths) + within], starts
        )

    def shingles(self, n: int) -> Iterator[Shingles]:
        """Yield the shingles of n words, a batch of texts at a time.

        A text of fewer than n words is one shingle; an empty text has none.
        """
        first = 0
        while first < len(self):
            # At least one text, else as many as fit.
            past = np.searchsorted(self.starts, self.starts[first] + BATCH_WORDS, side="right")
            last = max(first + 1, int(past) - 1)
            yield _shingles(self, first, last, n)
            first = last


@dataclass(frozen=True, eq=False)
class Shingles:
    """Shingles of the texts `first` to `first + n_texts - 1`.

    Attributes:
        hashes: uint64 [n_shingles].
        owners: int64 [n_shingles] text of each shingle, counted from `first`, ascending.
        first: position of the first text.
        n_texts: texts of the batch.
    """

    hashes: np.ndarray
    owners: np.ndarray
    first: int
    n_texts: int

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Average a value of each shingle over each text, float64 [n_texts]; 0 without shingles."""
        sums = np.bincount(self.owners, values, self.n_texts)
        return sums / np.maximum(np.bincount(self.owners, minlength=self.n_texts), 1)


def spaced(text: str) -> str:
    """Return a text whose words stand between plain spaces, see the module.

    Runs of characters of a script without spaces become their overlapping parts of
    `CHARACTERS_OF_A_WORD` characters.
    """
    if text.isascii():
        return text
    # All white space of Unicode, such as no-break and ideographic spaces.
    return " ".join(_RUN.sub(_parts, text).split())


def _parts(run: re.Match[str]) -> str:
    n = CHARACTERS_OF_A_WORD
    parts = (run[0][i : i + n] for i in range(max(len(run[0]) - n + 1, 1)))
    return f" {' '.join(parts)} "


def _shingles(texts: HashedTexts, first: int, last: int, n: int) -> Shingles:
    starts = texts.starts[first : last + 1]
    words = texts.words[starts[0] : starts[-1]].astype(np.uint64)
    starts = starts - starts[0]
    lengths = np.diff(starts)
    counts = np.where(lengths > 0, np.maximum(lengths - n + 1, 1), 0)
    owners = np.repeat(np.arange(last - first), counts)
    begins = np.repeat(starts[:-1] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    hashes = np.zeros(len(begins), np.uint64)
    for offset in range(n):
        at = begins + offset
        # A text shorter than n words: its shingle is padded with zeros.
        word = np.where(at < starts[1:][owners], words[np.minimum(at, len(words) - 1)], 0)
        hashes = (hashes ^ (word + np.uint64(offset + 1))) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(32)
    return Shingles(hashes, owners, first, last - first)


def signatures(
    texts: HashedTexts, *, n_words: int = SHINGLE_WORDS, n_hashes: int = N_HASHES, seed: int = 0
) -> np.ndarray:
    """Return MinHash signatures, whose shares of equal entries estimate Jaccard similarities.

    For each text and hash function, a signature holds the smallest hash of the text's shingles.

    Args:
        texts: hashed texts.
        n_words: words of a shingle.
        n_hashes: hash functions.
        seed: random seed of the hash functions.

    Returns:
        uint32 [n_texts, n_hashes]; an empty text has the largest value throughout.

    Source:
        Broder 1997, On the resemblance and containment of documents.
    """
    rng = np.random.default_rng(seed)
    factors = rng.integers(2**63, size=n_hashes, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    found = np.full((len(texts), n_hashes), np.iinfo(np.uint32).max, np.uint32)
    for batch in texts.shingles(n_words):
        if not len(batch.hashes):
            continue
        begins = np.flatnonzero(np.diff(batch.owners, prepend=-1))
        owners = batch.first + batch.owners[begins]
        for i, factor in enumerate(factors):
            # Multiply-shift: the upper half of an odd multiple.
            values = ((batch.hashes * factor) >> np.uint64(32)).astype(np.uint32)
            found[owners, i] = np.minimum.reduceat(values, begins)
    return found


def near_duplicates(
    signatures: np.ndarray, *, jaccard: float = 0.8, rows_per_band: int = 8
) -> np.ndarray:
    """Return which texts have a near-duplicate among the others, bool [n_texts].

    Texts that agree in all rows of at least one band (locality-sensitive hashing) are compared by
    their whole signatures: each with the text before it in its group, and with the group's first.
    With 16 bands of 8, a pair of Jaccard similarity .8 is compared with probability .95, one of .9
    with 1 - 1e-4.

    Args:
        signatures: uint32 [n_texts, n_hashes].
        jaccard: smallest estimated similarity of near-duplicates.
        rows_per_band: hashes in a band.
    """
    is_duplicate = np.zeros(len(signatures), bool)
    is_duplicate[_similar_pairs(signatures, jaccard, rows_per_band)] = True
    return is_duplicate


def without_near_copies(
    signatures: np.ndarray, *, jaccard: float = 0.8, rows_per_band: int = 8
) -> np.ndarray:
    """Return the positions of texts that are no near-copies of an earlier one kept, int64 [n_kept].

    Args:
        signatures: uint32 [n_texts, n_hashes].
        jaccard: smallest estimated similarity of near-copies.
        rows_per_band: hashes in a band, see `near_duplicates`.
    """
    is_kept = np.ones(len(signatures), bool)
    pairs = np.sort(_similar_pairs(signatures, jaccard, rows_per_band), axis=1)
    # By the later text, so that it is known by then whether the earlier one is kept.
    for earlier, later in pairs[np.argsort(pairs[:, 1], kind="stable")].tolist():
        if is_kept[earlier]:
            is_kept[later] = False
    return np.flatnonzero(is_kept)


def _similar_pairs(signatures: np.ndarray, jaccard: float, rows_per_band: int) -> np.ndarray:
    """Return pairs of similar texts that share a band, int64 [n_pairs, 2]."""
    pairs = [np.zeros((0, 2), np.int64)]
    for first in range(0, signatures.shape[1] - rows_per_band + 1, rows_per_band):
        band = np.ascontiguousarray(signatures[:, first : first + rows_per_band])
        keys = band.view([("", band.dtype)] * rows_per_band)[:, 0]
        _, group = np.unique(keys, return_inverse=True)
        order = np.argsort(group, kind="stable")
        is_first = np.diff(group[order], prepend=-1) != 0
        firsts = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
        for other in (firsts, np.roll(order, 1)):
            left, right = order[~is_first], other[~is_first]
            same = (signatures[left] == signatures[right]).mean(axis=1) >= jaccard
            pairs.append(np.stack([left[same], right[same]], axis=1))
    return np.concatenate(pairs)
