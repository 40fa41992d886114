"""The mixed stock against the documents it is drawn from."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.text.stock import draw_chunks
from models.text.tokens import END_OF_TEXT_ID, TokenizedCorpus, tokenize_corpus

CHUNK = 16


def corpus(folder, lengths):
    """A text of documents of these many words, no two alike."""
    for i, n_words in enumerate(lengths):
        words = np.random.default_rng(i).integers(10_000, size=n_words)
        (folder / f"{i}.txt").write_text(" ".join(map(str, words)))
    return tokenize_corpus(f"files:{folder}", vocab_size=300, cache_dir=folder / ".cache")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenizedCorpus:
    """A hundred and twenty documents of 1 to 300 words, a few of them very long."""
    lengths = [*np.random.default_rng(0).integers(1, 40, size=110), *[300] * 10]
    return corpus(tmp_path_factory.mktemp("texts"), lengths)


def documents_of(tokens):
    documents = np.split(tokens.train, tokens.document_starts["train"][1:])
    return [document[:-1].tolist() for document in documents]


def chunks_of(drawn):
    """The chunks of a draw, without the last one, which may be cut."""
    ends = np.flatnonzero(drawn == END_OF_TEXT_ID)
    return [piece[piece != END_OF_TEXT_ID].tolist() for piece in np.split(drawn, ends + 1)][:-1]


def as_text(ids):
    return f",{','.join(map(str, ids))},"


def sources(texts, chunk):
    """The documents, as texts, that hold a chunk."""
    return [i for i, text in enumerate(texts) if as_text(chunk) in text]


@pytest.fixture(scope="module")
def texts(tokens):
    return [as_text(document) for document in documents_of(tokens)]


@settings(max_examples=25)
@given(share=st.floats(0.3, 1), smaller=st.floats(0.6, 1), draw_seed=st.integers(0, 5))
def test_a_smaller_draw_is_a_prefix_of_a_larger_one(tokens, share, smaller, draw_seed):
    n = int(share * len(tokens.train))
    drawn = draw_chunks(tokens, n, chunk_tokens=CHUNK, draw_seed=draw_seed)
    assert len(drawn) == n
    assert drawn.dtype == tokens.train.dtype
    less = draw_chunks(tokens, int(smaller * n), chunk_tokens=CHUNK, draw_seed=draw_seed)
    np.testing.assert_array_equal(less, drawn[: len(less)])


@pytest.mark.parametrize("draw_seed", range(3))
def test_every_chunk_is_a_piece_of_one_document_followed_by_the_end_of_text(
    tokens, texts, draw_seed
):
    drawn = draw_chunks(tokens, len(tokens.train), chunk_tokens=CHUNK, draw_seed=draw_seed)
    whole = {tuple(document) for document in documents_of(tokens)}
    for chunk in chunks_of(drawn):
        assert sources(texts, chunk)
        assert CHUNK <= len(chunk) < 2 * CHUNK or tuple(chunk) in whole


def test_no_token_is_drawn_twice(tokens):
    """All of the text: its tokens, each once, and an end after every chunk."""
    drawn = draw_chunks(tokens, len(tokens.train), chunk_tokens=CHUNK)
    # As the ends of chunks count, all tokens of the text do not fit; what is left out is no more.
    left = Counter(tokens.train.tolist()) - Counter(drawn[drawn != END_OF_TEXT_ID].tolist())
    assert not Counter(drawn[drawn != END_OF_TEXT_ID].tolist()) - Counter(tokens.train.tolist())
    assert sum(left.values()) == (drawn == END_OF_TEXT_ID).sum()
    assert len(chunks_of(drawn)) == len({tuple(chunk) for chunk in chunks_of(drawn)})


def test_a_draw_takes_every_document_once_before_any_twice(tokens, texts):
    n_documents = len(texts)
    drawn = draw_chunks(tokens, len(tokens.train), chunk_tokens=CHUNK)
    of = [sources(texts, chunk) for chunk in chunks_of(drawn)[:n_documents]]
    first = [found[0] for found in of if len(found) == 1]  # a chunk of few tokens may be in several
    assert len(first) == len(set(first)) > 0.9 * n_documents


def test_long_documents_come_no_earlier_than_others(tokens, texts):
    """Mean place of the longest documents in the first turn: the middle, within 4 s.e."""
    sizes = [len(document) for document in documents_of(tokens)]
    longest = [text for text, size in zip(texts, sizes, strict=True) if size > 400]
    places = []
    for seed in range(20):
        drawn = draw_chunks(tokens, len(tokens.train), chunk_tokens=CHUNK, draw_seed=seed)
        first_turn = chunks_of(drawn)[: len(sizes)]
        places += [
            place
            for place, chunk in enumerate(first_turn)
            if len(chunk) >= CHUNK and sources(longest, chunk)
        ]
    assert len(places) == 20 * len(longest)
    error = len(sizes) / np.sqrt(12 * len(places))
    assert abs(np.mean(places) - (len(sizes) - 1) / 2) < 4 * error


def test_draws_differ_by_seed_alone(tokens):
    draws = [
        draw_chunks(tokens, len(tokens.train) // 2, chunk_tokens=CHUNK, draw_seed=seed)
        for seed in (0, 1, 0)
    ]
    np.testing.assert_array_equal(draws[0], draws[2])
    assert not np.array_equal(draws[0], draws[1])


def test_too_few_documents_say_how_many_there_are_and_what_is_needed(tokens):
    n_there = len(documents_of(tokens))
    said = f"400 tokens in chunks of 16 come from .* of the {n_there} training documents of .*; 64 "
    with pytest.raises(ValueError, match=said) as raised:
        draw_chunks(tokens, 400, chunk_tokens=CHUNK)
    needed = int(str(raised.value).split("needed: ")[1].split(" tokens")[0].replace(",", ""))
    assert len(draw_chunks(tokens, needed, chunk_tokens=CHUNK)) == needed
    with pytest.raises(ValueError, match="are needed"):
        draw_chunks(tokens, needed - 1, chunk_tokens=CHUNK)


def test_a_text_of_fewer_documents_gives_all_it_has(tmp_path):
    tokens = corpus(tmp_path, [60] * 12)
    assert len(draw_chunks(tokens, len(tokens.train), chunk_tokens=CHUNK)) == len(tokens.train)
    with pytest.raises(ValueError, match=r"come from 2 of the 10 .*; 10 are needed"):
        draw_chunks(tokens, 20, chunk_tokens=CHUNK)


def test_settings_out_of_range_say_what_is_allowed(tokens):
    n_there = len(tokens.train)
    with pytest.raises(ValueError, match=f"between 1 and the {n_there:,} .*not {n_there + 1:,}"):
        draw_chunks(tokens, n_there + 1, chunk_tokens=CHUNK)
    with pytest.raises(ValueError, match="chunk_tokens must be a whole number >= 1; not 0"):
        draw_chunks(tokens, n_there, chunk_tokens=0)
