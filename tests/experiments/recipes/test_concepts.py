"""The world of concepts says what it should, and pairs and streams keep what they promise."""

import dataclasses

import numpy as np
import pytest

from experiments.lab.lab import Lab
from experiments.lab.recipe import run_recipes
from experiments.recipes.bootstrapped.concepts import ConceptSettings, ConceptWorld
from experiments.recipes.bootstrapped.pairs import joined_by_source, mixed_stream, random_pairs
from experiments.recipes.bootstrapped.recipe import bootstrapped
from experiments.recipes.bootstrapped.words import VALUES
from experiments.recipes.mixing import Mix, mixing
from experiments.runs.store import RunStore
from experiments.worlds.registry import get_world


@pytest.fixture(scope="module")
def world():
    return ConceptWorld(settings=ConceptSettings(n_concepts=64, seed=3))


@pytest.fixture(scope="module")
def documents(world):
    return world.documents(4)


def test_the_same_settings_write_the_same_and_other_seeds_or_parts_write_others(world, documents):
    again = ConceptWorld(settings=world.settings)
    assert np.array_equal(again.documents(4), documents)
    assert not np.array_equal(world.documents(4, part=1), documents)
    other = ConceptWorld(settings=ConceptSettings(n_concepts=64, seed=4))
    assert other.words == world.words
    assert not np.array_equal(other.values, world.values)


def test_documents_are_of_one_length_end_once_and_give_only_their_concepts_values(world, documents):
    assert documents.shape == (256, world.settings.length)
    assert (documents[:, -1] == 0).all()
    assert (documents[:, :-1] != 0).all()
    assert world.agreement(documents) == 1
    assert np.array_equal(np.bincount(world.concept_of(documents)), np.full(64, 4))
    assert len({tuple(name) for name in world.names.tolist()}) == 64


def test_wrong_values_lower_the_agreement_by_their_share(world, documents):
    """Give each document the values of another concept: those that differ are wrong."""
    shifted = documents.copy()
    concepts = world.concept_of(documents)
    values = world.values
    n_wrong = n_values = 0
    for row, concept in zip(shifted, concepts, strict=True):
        other = values[(concept + 1) % len(values)]
        at = np.flatnonzero(world.is_value(row))
        slots = np.searchsorted(world.first_value + 24 * np.arange(1, 6), row[at], side="right")
        row[at] = other[slots]
        n_wrong += int((other[slots] != values[concept][slots]).sum())
        n_values += len(at)
    assert world.agreement(shifted) == pytest.approx(1 - n_wrong / n_values)


def test_first_mentions_are_the_first_and_each_value_once(world, documents):
    marked = world.first_mentions(documents)
    for document, here in zip(documents, marked, strict=True):
        firsts = document[here]
        assert len(set(firsts)) == len(firsts)
        assert set(firsts) == set(document[world.is_value(document)])
        for at in np.flatnonzero(here):
            assert document[at] not in document[:at]


def test_random_pairs_join_every_document_with_others_of_other_concepts(world, documents):
    concepts = world.concept_of(documents)
    pairs = random_pairs(len(documents), n_neighbors=3, seed=0)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert np.array_equal(np.bincount(pairs[:, 0]), np.full(len(documents), 3))
    assert (concepts[pairs[:, 0]] == concepts[pairs[:, 1]]).mean() < 0.1


def test_a_mixed_stream_reads_synthetic_text_once_and_repeats_the_real(world, documents):
    synthetic = list(world.documents(8, part=9))
    n_tokens = 3 * documents.size
    stream = mixed_stream(documents, synthetic, n_tokens, share=0.5, seed=0)
    read = stream.reshape(-1, world.settings.length)
    seen, counts = np.unique(read, axis=0, return_counts=True)
    known = {tuple(document) for document in documents.tolist()}
    real = np.array([tuple(row) in known for row in seen.tolist()])
    assert counts[~real].max() == 1
    assert counts[~real].sum() == pytest.approx(0.5 * len(read), abs=1)
    assert set(counts[real]) <= {1, 2}
    assert np.array_equal(stream, mixed_stream(documents, synthetic, n_tokens, share=0.5, seed=0))
    with pytest.raises(ValueError, match="share must lie in"):
        mixed_stream(documents, synthetic, n_tokens, share=1.5, seed=0)


def test_documents_read_as_sentences(world, documents):
    assert len({word.lower() for word in world.words}) == len(world.words)
    known = world.text(documents[0])
    name = world.text(world.names[world.concept_of(documents)[0]])
    assert name in known
    given = [world.words[id] for id in documents[0] if world.is_value(id)]
    assert given
    assert all(any(word in words for words in VALUES.values()) for word in given)


@pytest.mark.parametrize(
    ("settings", "most"), [({"n_values": 25}, "24 words"), ({"n_name_words": 33}, "32 words")]
)
def test_more_values_or_names_than_words_are_refused(settings, most):
    with pytest.raises(ValueError, match=f"must lie between 1 and the {most} that there are"):
        ConceptSettings(**settings)


def test_more_concepts_than_names_are_refused():
    with pytest.raises(ValueError, match="n_concepts must lie between 1 and the 16 names"):
        ConceptSettings(n_concepts=17, n_name_words=4)


def test_a_share_that_is_less_than_a_document_is_refused(documents):
    with pytest.raises(ValueError, match=r"a share of 0.001 of 10,000 tokens is less than a docum"):
        mixed_stream(documents, [documents[0]], 10_000, share=0.001, seed=0)


def test_documents_of_one_source_are_joined_and_end_once():
    sources = np.array([3, 5, 3, 3, 5])
    documents = [np.array([at, at, 0]) for at in (1, 2, 3, 4, 6)]
    joined = joined_by_source(documents, sources, 2)
    assert [one.tolist() for one in joined] == [[1, 1, 3, 3, 0], [2, 2, 6, 6, 0], [4, 4, 0]]
    apart = joined_by_source(documents, sources, 1)
    assert all(np.array_equal(*pair) for pair in zip(apart, documents, strict=True))


@pytest.mark.long
def test_arms_of_mixing_change_one_thing_and_are_compared_with_the_baseline_of_their_world(
    tmp_path,
):
    world = dataclasses.replace(get_world("tiny"), recipes=("mixing",))
    lab = Lab(world, RunStore(tmp_path / "tiny"))
    results = run_recipes(lab, [mixing])
    found, known = results[mixing], results[bootstrapped]
    base = found.synthesizers[0]
    for name, arms in (
        ("share", found.shares), ("synthetic_passes", found.passes), ("stitched", found.stitched)
    ):  # fmt: skip
        changed = [mix._replace(**{name: getattr(arms[0], name)}) for mix in arms]
        assert {*changed} == {arms[0]}
    assert base in found.shares
    assert base in found.stitched
    for mix in (base, found.passes[-1], found.stitched[-1]):
        np.testing.assert_allclose(found.of(mix), known.of("baseline") - found.of(mix, "test_loss"))
        assert found.of(mix, "world").tolist() == [*world.concepts.reported]
    assert (found.of(found.synthesizers[1], "wrong") > found.of(base, "wrong")).all()
    losses = found.runs.groupby([*Mix._fields])["test_loss"].mean()
    assert losses.nunique() == len(losses)
    assert run_recipes(Lab(world, lab.store), [mixing])[mixing].runs.equals(found.runs)
