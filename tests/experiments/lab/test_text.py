"""The text of a world: what it is drawn from, what it can show, and what is too little of it."""

import dataclasses
import json
import logging

import numpy as np
import pytest

from experiments.lab.text import WorldText
from experiments.runs.texts import TextFacts, held_out, held_out_text, unique_tokens
from experiments.worlds.world import World

WORLD = World(
    name="mixed",
    widths=(8,),
    vocab_size=300,
    context=16,
    n_unique_tokens=2_048,
    n_eval_tokens=512,
    chunk_tokens=16,
    standard_epochs=(1,),
    start=(0.4, 1),
    n_seeds=2,
    n_tuning_members=3,
    n_members=4,
)


def words(seed, n):
    return " ".join(map(str, np.random.default_rng(seed).integers(10_000, size=n)))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for i in range(120):
        (folder / f"{i}.txt").write_text(words(i, 60))
    return dataclasses.replace(WORLD, corpus=f"files:{folder}")


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    path = tmp_path_factory.mktemp("single") / "novel.txt"
    path.write_text("\n\n".join(words(i, 60) for i in range(120)))
    return dataclasses.replace(WORLD, corpus=f"files:{path}")


def test_a_world_reads_the_stock_and_the_windows_that_it_asks_for(many):
    text = WorldText(many)
    mixed = text.data(draw_seed=3)
    assert (mixed.chunk_tokens, mixed.draw_seed) == (16, 3)
    drawn = unique_tokens(mixed, 300)
    assert (drawn == 0).sum() >= 64  # each chunk has its end
    whole = WorldText(dataclasses.replace(many, chunk_tokens=0)).data(draw_seed=3)
    assert (unique_tokens(whole, 300) == 0).sum() < 20
    for part, n_documents in text.facts.n_documents.items():
        if part != "train":
            scored = held_out_text(mixed, 300, 16)[part]
            assert len(np.unique(scored.documents)) == n_documents > 5
            assert len(np.unique(held_out_text(whole, 300, 16)[part].documents)) < 5
            np.testing.assert_array_equal(held_out(mixed, 300, 16)[part], scored.windows)
    shipped = TextFacts(**json.loads(json.dumps(dataclasses.asdict(text.facts))))
    assert WorldText(many, shipped).scope == text.scope
    assert (
        "at least 64 of 96 documents; hyperparameters are selected on windows of 12" in text.scope
    )


def test_one_document_works_and_says_what_it_can_show(single, caplog):
    with caplog.at_level(logging.WARNING):
        text = WorldText(single)
    assert len(unique_tokens(text.data(), 300)) == single.n_unique_tokens
    assert text.scope in caplog.messages
    assert "not how they compare on other texts" in text.scope
    whole = WorldText(dataclasses.replace(single, chunk_tokens=0))
    assert whole.scope == text.scope


def test_openings_of_whole_documents_say_what_they_can_show(many, caplog):
    scope = WorldText(dataclasses.replace(many, chunk_tokens=0)).scope
    assert "opening of each held-out part is scored" in scope
    assert not caplog.messages


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_unique_tokens": 10**7}, "needs 10,000,000 tokens in the train part of .*there are "),
        ({"n_eval_tokens": 10**7}, "needs 10,000,001 tokens in the validation part of .*there are"),
        ({"n_unique_tokens": 512}, "512 tokens in chunks of 16 come from .*; 64 are needed: "),
        (
            {"chunk_tokens": 64},
            "2,048 tokens in chunks of 64 come from .*; 64 are needed: .* of 16",
        ),
        ({"chunk_tokens": -1}, "chunk_tokens must be a whole number >= 0; not -1"),
    ],
)
def test_too_little_text_says_what_there_is_and_what_is_needed(many, change, said):
    with pytest.raises(ValueError, match=said):
        WorldText(dataclasses.replace(many, **change))


def test_more_unique_tokens_than_there_are_are_refused(many):
    text = WorldText(many)
    with pytest.raises(ValueError, match="n_unique_tokens must lie between 1 and the "):
        text.data(n_unique_tokens=text.facts.n_tokens["train"] + 1)
