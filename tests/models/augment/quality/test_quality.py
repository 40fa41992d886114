"""Quality measures against plain Python on small texts, and on texts made to be bad."""

import numpy as np
import pytest

from models.augment.quality.comparison import quality_table
from models.augment.quality.quality import (
    NgramSet,
    copying,
    duplicate_share,
    measure_quality,
    novel_share,
    relevance,
    repetition,
)
from models.augment.texts import minhash
from models.augment.texts.minhash import (
    HashedTexts,
    near_duplicates,
    signatures,
    without_near_copies,
)

WORDS = [f"w{i}" for i in range(200)]


def random_texts(n: int, length: int = 40, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, length)) for _ in range(n)]


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.lower().split()
    if not words:
        return []
    return [tuple(words[i : i + n]) for i in range(max(len(words) - n + 1, 1))]


@pytest.fixture(params=[2**20, 50])
def batches(request, monkeypatch):
    monkeypatch.setattr(minhash, "BATCH_WORDS", request.param)


def test_shingles_equal_those_of_plain_python(batches):
    texts = ["a b c d e a b c d e", "", "x y", "  A  B\nc d ", *random_texts(20)]
    hashed = HashedTexts.of(iter(texts))
    assert len(hashed) == len(texts)
    assert hashed.n_words == sum(len(text.split()) for text in texts)
    for n in (1, 4, 5):
        by_hash: dict[int, tuple[str, ...]] = {}
        for batch in hashed.shingles(n):
            for i in range(batch.n_texts):
                found = batch.hashes[batch.owners == i].tolist()
                expected = grams(texts[batch.first + i], n)
                assert len(found) == len(expected)
                for key, gram in zip(found, expected, strict=True):
                    assert by_hash.setdefault(key, gram) == gram
        assert len(set(by_hash.values())) == len(by_hash)
    chosen = np.array([5, 0, 1, 5])
    again = HashedTexts.of([texts[i] for i in chosen])
    np.testing.assert_array_equal(hashed.take(chosen).words, again.words)
    np.testing.assert_array_equal(hashed.take(chosen).starts, again.starts)


def test_signatures_estimate_jaccard_similarity(batches):
    rng = np.random.default_rng(0)
    whole = [str(word) for word in rng.integers(10**6, size=300)]
    texts = [" ".join(whole[: 300 - cut] + whole[:cut]) for cut in (0, 3, 30, 100)]
    texts.append(" ".join(whole[::-1]))
    found = signatures(HashedTexts.of(texts))
    sets = [set(grams(text, 5)) for text in texts]
    for other in range(1, 5):
        exact = len(sets[0] & sets[other]) / len(sets[0] | sets[other])
        # The standard error of a share of 128 is at most .044.
        assert (found[0] == found[other]).mean() == pytest.approx(exact, abs=0.13)


def test_near_duplicates_are_found_whatever_their_number():
    texts = random_texts(300, seed=1)
    doubled = [texts[i] + " tail" for i in range(0, 60, 3)]
    copies = [texts[100]] * 7
    found = near_duplicates(signatures(HashedTexts.of(texts + doubled + copies)))
    expected = np.zeros(327, bool)
    expected[[*range(0, 60, 3), 100, *range(300, 327)]] = True
    np.testing.assert_array_equal(found, expected)
    assert duplicate_share(HashedTexts.of(texts)) == 0
    assert duplicate_share(HashedTexts.of(copies), among=3) == 1
    assert duplicate_share(HashedTexts.of([])) == 0


def test_repetition_counts_texts_that_repeat_their_4_grams(batches):
    loop = "the cat sat down " * 6
    texts = [loop, *random_texts(3), "too short", ""]
    assert repetition(HashedTexts.of(texts)) == pytest.approx(1 / 6)
    # Just below and just above a fifth: 37 4-grams, of which 7 or 8 have occurred before.
    words = random_texts(1, length=30, seed=2)[0].split()
    assert repetition(HashedTexts.of([" ".join(words + words[:10])])) == 0
    assert repetition(HashedTexts.of([" ".join(words + words[:11])])) == 1


def test_novel_4_grams_equal_plain_python_and_leave_one_out(batches):
    real = [*random_texts(5), "a b c d e"]
    new = [real[0], real[1] + " a b c d", "a b c d f"]
    known = {gram for text in real for gram in grams(text, 4)}
    asked = [gram for text in new for gram in grams(text, 4)]
    expected = np.mean([gram not in known for gram in asked])
    grams_of_real = NgramSet.of(HashedTexts.of(real))
    assert novel_share(HashedTexts.of(new), grams_of_real) == pytest.approx(expected)
    twice = NgramSet.of(HashedTexts.of(["a b c d a b c d", "a b c d", "e f g h"]))
    # Of 5 + 1 + 1 occurrences, "a b c d" three times is in two texts.
    assert twice.share_in_one_text == pytest.approx(4 / 7)


def test_copying_is_the_share_of_5_grams_of_the_own_source(batches):
    real = random_texts(6)
    new = [real[2], real[3], "x " + real[4], random_texts(1, seed=9)[0], ""]
    sources = np.array([2, 2, 4, 0, 1])
    found = copying(HashedTexts.of(new), HashedTexts.of(real), sources)
    assert found == pytest.approx([1, 0, 36 / 37, 0, 0])


def test_relevance_is_one_half_for_random_sources_and_one_for_own_ones():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((200, 16))
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    sources = rng.integers(200, size=400)
    assert relevance(real[sources], real, sources) == 1
    shuffled = rng.permutation(sources)
    assert relevance(real[shuffled], real, sources) == pytest.approx(0.5, abs=0.06)
    assert relevance(np.zeros((9, 16)), real, sources[:9]) == 0.5
    with pytest.raises(ValueError, match="two real documents"):
        relevance(real[:1], real[:1], np.array([0]))


def test_a_parrot_is_told_from_a_writer():
    real = random_texts(60)
    parrot = [real[i % 6] for i in range(30)]
    writer = random_texts(30, seed=5)
    hashed = HashedTexts.of(real)
    sources = np.arange(30) % 6
    bad = measure_quality(hashed, HashedTexts.of(parrot), sources=sources)
    good = measure_quality(hashed, HashedTexts.of(writer), sources=sources)
    assert bad["real"] == good["real"]
    assert (bad["synthetic"].pair_copying, good["synthetic"].pair_copying) == (1, 0)
    assert (bad["synthetic"].duplicates, good["synthetic"].duplicates) == (1, 0)
    assert bad["synthetic"].novel_ngrams == 0
    assert good["synthetic"].novel_ngrams > 0.99
    assert good["real"].pair_copying is None
    assert good["real"].novel_ngrams > 0.99


SCRIPTS = {
    "Chinese": (0x4E00, 2000), "Japanese": (0x3041, 80), "Thai": (0x0E01, 46),
    "Korean": (0xAC00, 1000), "Burmese": (0x1000, 40),
}  # fmt: skip


def unspaced_texts(script, n, *, length=300, seed=0):
    first, count = SCRIPTS[script]
    rng = np.random.default_rng(seed)
    return ["".join(map(chr, first + rng.integers(count, size=length))) for _ in range(n)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_texts_without_spaces_are_compared_by_their_characters(script):
    real = unspaced_texts(script, 20)
    copies = [text[:150] + text[152:] for text in real]
    writer = unspaced_texts(script, 20, seed=1)
    sources = np.arange(20)
    hashed = HashedTexts.of(real)
    bad = measure_quality(hashed, HashedTexts.of(copies), sources=sources)["synthetic"]
    good = measure_quality(hashed, HashedTexts.of(writer), sources=sources)["synthetic"]
    assert duplicate_share(HashedTexts.of(real + copies)) == 1
    assert duplicate_share(HashedTexts.of(real + writer)) == 0
    assert (bad.pair_copying, good.pair_copying) == (1, 0)
    # Of 293 6-grams of characters, those across the cut are new, unless they occur by chance.
    assert bad.novel_ngrams == pytest.approx(5 / 293, abs=0.5 / 293)
    assert good.novel_ngrams > 0.9
    assert repetition(HashedTexts.of([text[:60] * 5 for text in real])) == 1
    assert repetition(HashedTexts.of(real)) == 0


def test_words_are_divided_by_any_space_and_scripts_are_mixed():
    assert minhash.spaced("a\u00a0b\u3000c\u2009d") == "a b c d"
    assert (
        minhash.spaced("GPT-4は日本語も書く。ok") == "GPT-4 は日本 日本語 本語も 語も書 も書く 。ok"
    )
    plain = HashedTexts.of(["naïve café b c"]).words
    np.testing.assert_array_equal(plain, HashedTexts.of(["naïve\u00a0café b\u2003c"]).words)


def test_what_has_no_ngrams_of_words_is_not_measurable():
    """A script of which it is not known that it has no spaces: a text is one long word."""
    tibetan = ["".join(chr(0x0F40 + i * j % 40) for j in range(300)) for i in range(1, 6)]
    found = measure_quality(HashedTexts.of(tibetan), HashedTexts.of(tibetan), sources=np.arange(5))
    for quality in found.values():
        assert quality.n_texts == 5
        assert (quality.repetition, quality.duplicates, quality.novel_ngrams) == (None,) * 3
        assert quality.pair_copying is None
    table = quality_table(found)
    assert table.count("not measurable") == 8
    assert "0.0 %" not in table
    assert [line.split()[1] for line in table.splitlines() if line.startswith("pair_")] == ["-"] * 2


def test_near_copies_are_left_out_but_for_one():
    texts = random_texts(50)
    copies = [f"{texts[3]} tail", texts[3], texts[7], texts[3]]
    kept = without_near_copies(signatures(HashedTexts.of(texts + copies)))
    assert kept.tolist() == [*range(50)]
    assert without_near_copies(signatures(HashedTexts.of([]))).tolist() == []
