"""Excerpts of real text: whole pieces of it, drawn without overlap."""

import dataclasses

import numpy as np
import pytest

from experiments.lab.lab import Lab
from experiments.lab.recipe import run_recipes
from experiments.recipes.bootstrapped.sources import Excerpts
from experiments.recipes.prototypes import mixing_weight, prototypes
from experiments.runs.store import RunStore
from experiments.worlds.plans_part2 import ExcerptPlan
from experiments.worlds.registry import get_world

PLAN = ExcerptPlan(n_documents=20, n_held_out=10, length=24)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(get_world("tiny"), RunStore(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def excerpts(lab):
    return Excerpts(lab, PLAN)


def test_every_piece_stands_in_the_text_in_one_piece(lab, excerpts):
    text = lab.text.tokens.train.astype("<i4").tobytes()
    pieces = excerpts.pieces
    assert pieces.shape[1] == 24
    assert (pieces[:, -1] == 0).all()
    assert (pieces[:, :-1] != 0).all()
    for piece in pieces[:: len(pieces) // 50]:
        assert piece[:-1].astype("<i4").tobytes() in text
    whole = sum(len(t) // 23 for t in np.split(*_ends(lab.text.tokens.train)))
    assert len(pieces) == whole


def _ends(tokens):
    """Cut before and after every end of text, so that ends are texts of one token."""
    ends = np.flatnonzero(tokens == 0)
    return tokens, np.sort(np.concatenate([ends, ends + 1]))


def test_trained_held_out_and_new_documents_are_different_pieces(lab, excerpts):
    numbered = Excerpts(lab, PLAN)
    numbered.__dict__["pieces"] = np.arange(len(excerpts.pieces))[:, None].repeat(24, axis=1)
    texts, new = numbered.texts(3), numbered.new(3, 4)
    assert [len(part) for part in (*texts, new)] == [20, 10, 10, 80]
    places = np.concatenate([*texts, new])[:, 0]
    assert len(set(places.tolist())) == len(places)
    assert set(numbered.texts(4).real[:, 0]) != set(texts.real[:, 0])


@pytest.mark.long
def test_excerpts_read_as_the_text_they_are_from(lab, excerpts):
    from models.text.corpora import load_corpus

    everything = "\n".join(document.text for document in load_corpus("stdlib").documents)
    spelt = [excerpts.spell(0, ids) for ids in excerpts.texts(0).real]
    assert sum(text.strip() in everything for text in spelt) >= 18  # cut letters may not decode


def test_more_documents_than_the_text_has_are_refused(lab):
    with pytest.raises(ValueError, match=r"1,000,020 documents of 23 tokens .* of stdlib has \d"):
        Excerpts(lab, ExcerptPlan(n_documents=1_000_000, n_held_out=10, length=24)).texts(0)


def test_the_weight_of_a_mixture_is_the_share_of_texts_that_each_model_explains():
    """Of 40 texts that only one of two models can explain, 10 are those of the second."""
    first, second = np.full(40, -5.0), np.full(40, -60.0)
    first[:10], second[:10] = -60.0, -5.0
    assert mixing_weight(first, second) == pytest.approx(0.25, abs=1e-4)
    assert mixing_weight(second, first) == pytest.approx(0.75, abs=1e-4)
    assert mixing_weight(first, first - 20) == pytest.approx(0, abs=1e-4)


@pytest.mark.long
def test_held_out_excerpts_cost_more_the_fewer_prototypes_are_summed(tmp_path):
    world = dataclasses.replace(get_world("tiny"), recipes=("prototypes",))
    lab = Lab(world, RunStore(tmp_path / "tiny"))
    found = run_recipes(lab, [prototypes])[prototypes]
    plan = world.excerpts
    assert found.n_prototypes == plan.n_documents
    by_count = found.bounds.pivot(index="world", columns="n_nearest", values="test_loss")
    assert [*by_count] == [1, 2, 4, 8, 16]
    assert (by_count.diff(axis=1).iloc[:, 1:] < 0).all(axis=None)
    assert (found.of("prototypes") < by_count[16]).all()
    assert ((found.posterior["share"] > 0) & (found.posterior["share"] < 1)).all()
    assert (found.posterior["n_nearest"] == 16).all()
    baseline, other = found.of("baseline"), found.of("second baseline")
    assert (np.abs(baseline - other) < 0.5).all()
    # The weight is chosen on validation documents; on test ones it may lose a little.
    assert (found.of("two baselines") < np.minimum(baseline, other) + 0.02).all()
    n_trained = lab.account.n_trained
    again = Lab(world, lab.store)
    assert run_recipes(again, [prototypes])[prototypes].losses.equals(found.losses)
    assert n_trained > 0 == again.account.n_trained
