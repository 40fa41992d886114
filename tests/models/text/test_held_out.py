"""Windows that models are scored on, against the documents they are of."""

import numpy as np
import pytest

from models.text.batches import evaluation_windows
from models.text.held_out import opening_windows, spread_windows
from models.text.tokens import PARTS, tokenize_corpus

CONTEXT = 16
HELD_OUT = PARTS[1:]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """Documents of 1 to 200 words: many shorter than a window, a few very long."""
    folder = tmp_path_factory.mktemp("texts")
    for i in range(300):
        rng = np.random.default_rng(i)
        words = rng.integers(10_000, size=200 if i % 20 == 0 else rng.integers(1, 20))
        (folder / f"{i}.txt").write_text(" ".join(map(str, words)))
    return tokenize_corpus(f"files:{folder}", vocab_size=300, cache_dir=folder / ".cache")


def sizes(tokens, part):
    starts = tokens.document_starts[part]
    return np.append(starts[1:], len(getattr(tokens, part))) - starts


@pytest.mark.parametrize("part", HELD_OUT)
@pytest.mark.parametrize("n_windows", [40, 60, 10_000])
def test_every_document_is_scored(tokens, part, n_windows):
    n_documents = len(sizes(tokens, part))
    assert (sizes(tokens, part) <= CONTEXT).any()
    held_out = spread_windows(tokens, part, n_tokens=n_windows * CONTEXT, context=CONTEXT)
    assert held_out.windows.shape == (len(held_out.documents), CONTEXT + 1)
    assert held_out.documents.shape[1] == CONTEXT
    assert set(held_out.documents.ravel()) == set(range(n_documents))
    assert len(held_out.windows) <= n_windows
    if n_windows <= len(getattr(tokens, part)) // (2 * CONTEXT):
        assert len(held_out.windows) == n_windows


@pytest.mark.parametrize("windows_of", [spread_windows, opening_windows])
@pytest.mark.parametrize("part", HELD_OUT)
def test_scored_tokens_are_those_of_the_documents_they_are_said_to_be_of(tokens, part, windows_of):
    held_out = windows_of(tokens, part, n_tokens=800, context=CONTEXT)
    documents = np.split(getattr(tokens, part), tokens.document_starts[part][1:])
    for ids, of in zip(held_out.windows[:, 1:], held_out.documents, strict=True):
        for document in np.unique(of):
            scored = ",".join(map(str, ids[of == document]))
            assert f",{scored}," in f",{','.join(map(str, documents[document]))},"


def test_long_documents_share_the_windows_and_spread_them_over_themselves(tokens):
    part = "test"
    held_out = spread_windows(tokens, part, n_tokens=60 * CONTEXT, context=CONTEXT)
    inside = held_out.documents[(held_out.documents == held_out.documents[:, :1]).all(axis=1)]
    long = np.flatnonzero(sizes(tokens, part) > 20 * CONTEXT)
    counts = [int((inside[:, 0] == document).sum()) for document in long]
    assert len(counts) > 1
    assert max(counts) - min(counts) <= 2  # one document also fills the last short window
    for document in long:
        text = getattr(tokens, part)[tokens.document_starts[part][document] :]
        rows = held_out.windows[(held_out.documents == document).all(axis=1)]
        windows = evaluation_windows(text, context=CONTEXT)[: sizes(tokens, part)[document] // 16]
        places = sorted(
            int(np.flatnonzero((windows == row).all(axis=1))[0])
            for row in rows
            if (windows == row).all(axis=1).any()
        )
        n_places = (sizes(tokens, part)[document] - 1) // CONTEXT
        assert places[0] < n_places / 2 < places[-1]


def test_no_window_of_a_long_document_crosses_its_end(tokens):
    held_out = spread_windows(tokens, "test", n_tokens=60 * CONTEXT, context=CONTEXT)
    is_short = sizes(tokens, "test") <= CONTEXT
    crossing = (held_out.documents != held_out.documents[:, :1]).any(axis=1)
    assert crossing.any()  # windows of short documents
    assert is_short[held_out.documents[crossing][:, 0]].all()


def test_no_token_is_scored_twice(tokens):
    held_out = spread_windows(tokens, "validation", n_tokens=10**6, context=CONTEXT)
    starts = tokens.document_starts["validation"]
    assert held_out.documents.size <= len(tokens.validation)
    scored = np.bincount(held_out.documents.ravel(), minlength=len(starts))
    assert (scored <= sizes(tokens, "validation") + CONTEXT).all()


def test_more_documents_than_windows_are_scored_as_far_as_the_windows_go(tokens):
    held_out = spread_windows(tokens, "test", n_tokens=5 * CONTEXT, context=CONTEXT)
    assert 1 <= len(held_out.windows) <= 5
    assert set(held_out.documents.ravel()) == set(range(5))


def test_openings_are_those_that_were_scored_before(tokens):
    held_out = opening_windows(tokens, "test", n_tokens=320, context=CONTEXT)
    before = evaluation_windows(tokens.test[:321], context=CONTEXT)
    np.testing.assert_array_equal(held_out.windows, before)


@pytest.mark.parametrize(("n_tokens", "context"), [(15, 16), (10**6, 10**6)])
def test_what_fills_no_window_says_what_there_is_and_what_is_needed(tokens, n_tokens, context):
    said = f"a window scores {context:,} .* is {n_tokens:,}, .*{len(tokens.test):,} tokens in "
    with pytest.raises(ValueError, match=said):
        spread_windows(tokens, "test", n_tokens=n_tokens, context=context)
