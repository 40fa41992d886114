"""Quality measures of synthetic text, with real text measured by the same definitions.

Words, shingles and near-duplicates are those of `minhash`. The thresholds are this project's own,
because those behind published tables are not known. Everything works on hashed words, in batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.augment.texts.minhash import SHINGLE_WORDS, HashedTexts, near_duplicates, signatures

NGRAM_WORDS = 4
REPEATED_SHARE = 0.2
DUPLICATE_JACCARD = 0.8
COPIED_SHARE = 0.5
DUPLICATES_AMONG = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Quality measures of a set of texts; shares lie in [0, 1], None where not measurable.

    Repetition, duplicates, novel n-grams and copying compare n-grams of words. They are not
    measurable where most texts are too short to have one, as texts without spaces in a script that
    `minhash` does not know.

    Attributes:
        n_texts: number of texts.
        n_words: number of their words.
        repetition: see `repetition`.
        duplicates: see `duplicate_share`.
        novel_ngrams: see `novel_share`.
        pair_copying: see `copying`; of synthetic texts with known sources.
        pair_relevance: see `relevance`; of synthetic texts with known sources.
    """

    n_texts: int
    n_words: int
    repetition: float | None
    duplicates: float | None
    novel_ngrams: float | None
    pair_copying: float | None = None
    pair_relevance: float | None = None


def measure_quality(
    real: HashedTexts,
    synthetic: HashedTexts,
    *,
    sources: np.ndarray | None = None,
    real_vectors: np.ndarray | None = None,
    synthetic_vectors: np.ndarray | None = None,
    duplicates_among: int = DUPLICATES_AMONG,
    seed: int = 0,
) -> dict[str, Quality]:
    """Return the quality of real and synthetic texts by the same definitions.

    Args:
        real: the documents that the synthetic ones were made from.
        synthetic: synthetic texts.
        sources: int [n_synthetic] position of the real document each was made from.
        real_vectors: unit vectors [n_real, n_dimensions] of the real documents, for the pair
            relevance.
        synthetic_vectors: those of the synthetic ones [n_synthetic, n_dimensions], by the same
            embedder.
        duplicates_among: most texts among which near-duplicates are searched.
        seed: random seed of the samples.

    Returns:
        `Quality` of "real" and "synthetic". The novel n-grams of a real text are those that no
        other real text has.
    """
    real_grams = NgramSet.of(real)
    can_compare = _has_ngrams(real) and _has_ngrams(synthetic)
    pair_copying = pair_relevance = None
    if sources is not None:
        if can_compare:
            pair_copying = float((copying(synthetic, real, sources) >= COPIED_SHARE).mean())
        if real_vectors is not None and synthetic_vectors is not None:
            pair_relevance = relevance(synthetic_vectors, real_vectors, sources, seed=seed)

    def of(texts: HashedTexts, novel_ngrams: float, **pairs: float | None) -> Quality:
        is_measurable = _has_ngrams(texts)
        duplicates = duplicate_share(texts, among=duplicates_among, seed=seed)
        return Quality(
            n_texts=len(texts),
            n_words=texts.n_words,
            repetition=repetition(texts) if is_measurable else None,
            duplicates=duplicates if is_measurable else None,
            novel_ngrams=novel_ngrams if can_compare else None,
            **pairs,
        )

    return {
        "real": of(real, real_grams.share_in_one_text),
        "synthetic": of(
            synthetic,
            novel_share(synthetic, real_grams),
            pair_copying=pair_copying,
            pair_relevance=pair_relevance,
        ),
    }


def _has_ngrams(texts: HashedTexts) -> bool:
    """Return whether at least half of the texts have a 4-gram of words."""
    return bool(2 * (np.diff(texts.starts) >= NGRAM_WORDS).sum() >= len(texts))


def repetition(texts: HashedTexts) -> float:
    """Return the share of texts that repeat themselves.

    A text does when at least a fifth of its 4-grams of words have occurred in it before.

    Source:
        seq-rep-4 of Welleck et al. 2020, arXiv 1908.04319, of at least .2.
    """
    if not len(texts):
        return 0.0
    n_repeating = 0
    for batch in texts.shingles(NGRAM_WORDS):
        order = np.lexsort((batch.hashes, batch.owners))
        hashes, owners = batch.hashes[order], batch.owners[order]
        again = np.zeros(len(order), bool)
        again[1:] = (hashes[1:] == hashes[:-1]) & (owners[1:] == owners[:-1])
        repeated = np.bincount(owners, again, batch.n_texts)
        counts = np.bincount(owners, minlength=batch.n_texts)
        n_repeating += int((repeated >= REPEATED_SHARE * np.maximum(counts, 1)).sum())
    return n_repeating / len(texts)


def duplicate_share(texts: HashedTexts, *, among: int = DUPLICATES_AMONG, seed: int = 0) -> float:
    """Return the share of texts with a near-duplicate among the others (duplicate@n).

    Near-duplicates have an estimated Jaccard similarity of at least .8 between their sets of
    5-grams of words (128 MinHashes, 16 bands of 8). Shares are comparable only at equal numbers of
    texts, because larger sets contain more duplicates.

    Args:
        texts: the texts.
        among: size of the uniform sample that is searched, if there are more texts.
        seed: random seed of the sample and of the hash functions.
    """
    if len(texts) > among:
        chosen = np.random.default_rng(seed).choice(len(texts), among, replace=False)
        texts = texts.take(np.sort(chosen))
    if not len(texts):
        return 0.0
    found = near_duplicates(signatures(texts, seed=seed), jaccard=DUPLICATE_JACCARD)
    return float(found.mean())


def copying(second: HashedTexts, first: HashedTexts, sources: np.ndarray) -> np.ndarray:
    """Return the share of each text's 5-grams of words that its source contains too, [n_second].

    A pair counts as copied if that is at least one half; `Quality.pair_copying` is the share of
    such.

    Args:
        second: the texts d2.
        first: the texts d1.
        sources: int [n_second] position of each text's d1.
    """
    found = np.zeros(len(second))
    for batch in second.shingles(SHINGLE_WORDS):
        texts = slice(batch.first, batch.first + batch.n_texts)
        own = sources[texts]
        distinct, place = np.unique(own, return_inverse=True)
        known = [
            _paired(each.hashes, each.first + each.owners)
            for each in first.take(distinct).shingles(SHINGLE_WORDS)
        ]
        wanted = _paired(batch.hashes, place[batch.owners])
        found[texts] = batch.mean(_is_in(wanted, np.unique(np.concatenate(known))))
    return found


def relevance(
    second_vectors: np.ndarray,
    first_vectors: np.ndarray,
    sources: np.ndarray,
    *,
    n_others: int = 100,
    seed: int = 0,
) -> float:
    """Return the probability that a text is more similar to its own source than to another one.

    The area under the ROC curve of cosine similarity, each text against `n_others` documents drawn
    for it, ties counting one half; .5 for texts unrelated to their sources.

    Args:
        second_vectors: unit vectors of the texts d2 [n_second, n_dimensions].
        first_vectors: unit vectors of all real documents [n_first, n_dimensions].
        sources: int [n_second] position of each text's d1.
        n_others: documents drawn for each text.
        seed: random seed of these draws.

    Raises:
        ValueError: fewer than two real documents.
    """
    n_first = len(first_vectors)
    if n_first < 2:
        raise ValueError("pair relevance needs two real documents or more")
    rng = np.random.default_rng(seed)
    wins = 0.0
    for rows in np.array_split(np.arange(len(second_vectors)), len(second_vectors) // 1024 + 1):
        # Any document except its own source.
        others = rng.integers(n_first - 1, size=(len(rows), n_others))
        others += others >= sources[rows][:, None]
        mine = np.einsum("nd,nd->n", second_vectors[rows], first_vectors[sources[rows]])
        theirs = np.einsum("nd,nkd->nk", second_vectors[rows], first_vectors[others])
        difference = mine[:, None] - theirs
        wins += float(((difference > 0) + 0.5 * (difference == 0)).sum())
    return wins / (len(second_vectors) * n_others)


@dataclass(frozen=True, eq=False)
class NgramSet:
    """The distinct 4-grams of words of a corpus.

    Attributes:
        hashes: uint64 [n_distinct], sorted.
        share_in_one_text: share of all occurrences whose 4-gram occurs in a single text.
    """

    hashes: np.ndarray
    share_in_one_text: float

    @classmethod
    def of(cls, texts: HashedTexts) -> NgramSet:
        """Collect the distinct 4-grams of texts."""
        # Each distinct 4-gram of a text, with its number of occurrences there.
        once, counts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        for batch in texts.shingles(NGRAM_WORDS):
            order = np.lexsort((batch.hashes, batch.owners))
            hashes, owners = batch.hashes[order], batch.owners[order]
            is_new = np.ones(len(order), bool)
            is_new[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
            begins = np.flatnonzero(is_new)
            once.append(hashes[begins])
            counts.append(np.diff(begins, append=len(order)))
        all_hashes, occurrences = np.concatenate(once), np.concatenate(counts)
        distinct, place, n_texts = np.unique(all_hashes, return_inverse=True, return_counts=True)
        alone = occurrences[n_texts[place] == 1].sum()
        return cls(distinct, float(alone / max(occurrences.sum(), 1)))


def novel_share(texts: HashedTexts, known: NgramSet) -> float:
    """Return the share of the texts' 4-grams of words (occurrences) that no real document has.

    The corresponding measure of a real document counts 4-grams that no other real document has, so
    that neither side is compared with itself.
    """
    n_novel = n_all = 0
    for batch in texts.shingles(NGRAM_WORDS):
        n_all += len(batch.hashes)
        n_novel += len(batch.hashes) - int(_is_in(batch.hashes, known.hashes).sum())
    return n_novel / max(n_all, 1)


def _paired(hashes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Hash shingles [n] together with the pair they belong to [n]."""
    return hashes ^ ((places.astype(np.uint64) + np.uint64(1)) * np.uint64(0xD6E8FEB86659FD93))


def _is_in(values: np.ndarray, sorted_set: np.ndarray) -> np.ndarray:
    if not len(sorted_set):
        return np.zeros(len(values), bool)
    # Sorted queries read a large set sequentially.
    order = np.argsort(values)
    asked = values[order]
    at = np.searchsorted(sorted_set, asked)
    found = np.empty(len(values), bool)
    found[order] = sorted_set[np.minimum(at, len(sorted_set) - 1)] == asked
    return found
