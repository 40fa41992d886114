"""The domain and what is replayed beside it."""

import numpy as np
import pytest

from experiments.recipes.continued.domain import draw, read_domain, replayed_rows
from models.text.tokens import tokenize_corpus

CONTEXT = 16


@pytest.fixture(scope="module")
def text():
    return read_domain("stdlib", tokenize_corpus("stdlib", vocab_size=512).tokenizer())


def test_the_parts_share_no_docstring(text):
    parts = [
        {tuple(piece.tolist()) for piece in np.split(part, np.flatnonzero(part == 0) + 1)}
        for part in (text.train, text.validation, text.test)
    ]
    for i, part in enumerate(parts):
        for other in parts[i + 1 :]:
            assert part & other <= {()}
    assert len(text.general) > 5 * len(text.train) > 5 * len(text.test)


def test_a_draw_is_one_piece_of_the_ring(text):
    drawn = draw(text.train, 1_000, seed=3)
    twice = np.concatenate([text.train, text.train])
    windows = np.lib.stride_tricks.sliding_window_view(twice, 1_000)
    assert (windows[:, :8] == drawn[:8]).all(axis=1).any()
    assert not np.array_equal(drawn, draw(text.train, 1_000, seed=4))
    with pytest.raises(ValueError, match="there are only"):
        draw(text.train, len(text.train) + 1, seed=0)


def test_rows_hold_the_domain_and_the_replayed_share():
    domain, general = np.arange(1, 165), np.arange(1_000, 2_000)
    rows = replayed_rows(domain, general, replay=0.2, context=CONTEXT, seed=0).reshape(-1, CONTEXT)
    assert (rows[:, 0] < 0).all()
    assert (rows[:, 1:] >= 0).all()
    ids = np.where(rows < 0, ~rows, rows)
    assert np.array_equal(ids[:10].ravel(), domain[:160])
    assert ids[10:].shape == (2, CONTEXT)
    assert (np.diff(ids[10:]) == 1).all()
    assert np.isin(ids[10:], general).all()
