import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.corpora import Corpus, CorpusError, Document, load_corpus
from models.text.splits import split_documents


def corpus_of(*texts: str) -> Corpus:
    documents = tuple(Document(id=str(i), text=text) for i, text in enumerate(texts))
    return Corpus(name="made", documents=documents, sha256="")


@given(
    texts=st.lists(st.text("ab \n", min_size=1, max_size=40), min_size=3, max_size=60),
    seed=st.integers(0, 5),
    fraction=st.sampled_from([0.05, 0.1, 0.3]),
)
def test_split_is_disjoint_complete_and_keeps_equal_texts_together(
    texts: list[str], seed: int, fraction: float
) -> None:
    corpus = corpus_of(*texts)
    if len(set(texts)) < 3:
        with pytest.raises(CorpusError, match="too small to split"):
            split_documents(corpus, seed=seed)
        return
    split = split_documents(corpus, validation_fraction=fraction, test_fraction=fraction, seed=seed)
    parts = [split.train, split.validation, split.test]
    assert all(parts)
    ids = [document.id for part in parts for document in part]
    assert sorted(ids, key=int) == [document.id for document in corpus.documents]
    by_text = [{document.text for document in part} for part in parts]
    assert sum(map(len, by_text)) == len(set(texts))


def test_split_depends_on_texts_and_seed_alone() -> None:
    texts = [f"text number {i} " * (1 + i % 7) for i in range(200)]
    renamed = tuple(Document(id=f"x{i}", text=text) for i, text in enumerate(reversed(texts)))

    def held_out(corpus: Corpus, seed: int) -> set[str]:
        return {document.text for document in split_documents(corpus, seed=seed).test}

    other = Corpus(name="other", documents=renamed, sha256="")
    assert held_out(corpus_of(*texts), 0) == held_out(other, 0)
    assert held_out(corpus_of(*texts), 0) != held_out(other, 1)


def test_split_fractions_are_of_bytes() -> None:
    stdlib = load_corpus("stdlib")
    for validation, test in [(0.1, 0.1), (0.05, 0.2)]:
        split = split_documents(stdlib, validation_fraction=validation, test_fraction=test)
        for part, fraction in ((split.validation, validation), (split.test, test)):
            share = sum(document.n_bytes for document in part) / stdlib.n_bytes
            assert share == pytest.approx(fraction, abs=0.005)


@pytest.mark.parametrize("gap", ["\n\n", "\n \t\n\n", "\n"])
def test_single_document_is_cut_into_pieces_that_join_to_it(gap: str) -> None:
    text = gap.join(f"Speaker {i}:{' word' * (i % 9)}" for i in range(5000))
    split = split_documents(corpus_of(text))
    parts = [split.train, split.validation, split.test]
    pieces = sorted((d for part in parts for d in part), key=lambda d: int(d.id.split("#")[1]))
    assert "".join(piece.text for piece in pieces) == text
    assert 80 <= len(pieces) <= 100
    assert sum(piece.n_bytes for piece in split.test) / len(text) == pytest.approx(0.1, abs=0.01)


def test_text_without_line_ends_is_too_small_to_split() -> None:
    with pytest.raises(CorpusError, match=r"holds 1 different text\(s\)"):
        split_documents(corpus_of("one line"))


@pytest.mark.parametrize(("validation", "test"), [(0, 0.1), (0.1, 1), (-0.1, 0.1), (0.5, 0.5)])
def test_impossible_fractions(validation: float, test: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        split_documents(
            corpus_of("a", "b", "c"), validation_fraction=validation, test_fraction=test
        )
