"""Fidelity: paraphrases are aligned with their source, foreign passages are not."""

from itertools import pairwise

import numpy as np
import pytest

from models.augment.quality.comparison import compare_several
from models.augment.quality.fidelity import PASSAGE_WORDS, Fidelity, Sources, passages
from models.augment.sbp.embeddings import LSA
from models.augment.texts.records import Record

TEXTS = {
    "engine": "Charles Babbage planned the Analytical Engine, a machine of brass wheels that was "
    "to compute whatever it was ordered by punched cards. It was never built.",
    "frost": "In the winter of 1814 the Thames froze between the bridges of London. People walked "
    "on the ice, and an elephant was led across the river.",
    "bees": "A bee that has found flowers dances on the comb. The angle of the dance shows the "
    "other bees in which direction they must fly.",
}
PARAPHRASES = {
    "engine": "Cards with holes in them would have given orders to the machine: wheels of brass, "
    "able to compute anything. Babbage, who thought of this Analytical Engine, never saw it built.",
    "frost": "Londoners could stroll over the frozen Thames in 1814. Someone even took an elephant "
    "over the ice from bank to bank.",
    "bees": "By the direction of her dance a bee makes known to the comb where flowers are to be "
    "found, and at which angle to fly.",
}


def record(name, text, *sources):
    return Record(id=name, text=text, metadata={"source_ids": [*sources]})


def documents():
    return [Record(id=name, text=text) for name, text in TEXTS.items()]


def topic_words(rng, topic, n):
    """Words of a topic among common ones."""
    own = rng.integers(400, size=n)
    common = rng.integers(2000, size=n)
    is_own = rng.random(n) < 0.4
    return [
        f"t{topic}w{a}" if here else f"c{b}" for a, b, here in zip(own, common, is_own, strict=True)
    ]


@pytest.fixture(scope="module")
def topics():
    """Forty documents of one to twelve passages, each on a topic of its own."""
    rng = np.random.default_rng(0)
    sizes = PASSAGE_WORDS * rng.integers(1, 13, size=40)
    return [
        Record(id=f"d{i}", text=" ".join(topic_words(rng, i, size))) for i, size in enumerate(sizes)
    ]


def test_a_paraphrase_is_kept_and_a_text_on_something_else_rejected_with_the_reason():
    fidelity = Fidelity.of(documents)
    true = [record(f"p-{name}", text, name) for name, text in PARAPHRASES.items()]
    for judgement in fidelity.judgements(true):
        assert judgement.score == 1.0
        assert judgement.reason == "1 of 1 passages are aligned with the source"
    foreign = [record("f", PARAPHRASES["frost"], "bees"), record("g", "Hello there!", "bees")]
    for judgement, beginning in zip(
        fidelity.judgements(foreign), ("Londoners could stroll", "Hello there!"), strict=True
    ):
        assert judgement.score <= 0.5
        assert "1 of 1 passages are not aligned with the source (at least 0.95)" in judgement.reason
        assert f'begins "{beginning}' in judgement.reason


@pytest.mark.parametrize("embed", [None, LSA.fit], ids=["words", "lsa"])
def test_one_foreign_passage_in_a_long_paraphrase_is_found(topics, embed):
    rng = np.random.default_rng(1)
    embedder = embed and embed(part for doc in topics for part in passages(doc.text))
    fidelity = Fidelity.of(lambda: topics, embedder=embedder)
    whole = topics[3].text.split()

    def paraphrase(words):
        """Half of the words replaced by common ones, in another order."""
        kept = [word for word in words if rng.random() < 0.5]
        return rng.permutation([*kept, *(f"c{i}" for i in rng.integers(2000, size=len(kept)))])

    written = " ".join(paraphrase(whole))
    # Of a topic that no document has.
    foreign = " ".join(topic_words(rng, 99, PASSAGE_WORDS))
    records = [record("true", written, "d3"), record("mixed", f"{written}\n\n{foreign}", "d3")]
    true, mixed = fidelity.judgements(records)
    assert true.score >= 0.95
    assert mixed.score < 0.95
    assert f'begins "{foreign[:20]}' in mixed.reason


def test_foreign_passages_are_aligned_as_often_as_the_level_says_however_long_the_source(topics):
    fidelity = Fidelity.of(lambda: topics)
    for least in (0.95, 0.5):
        n = 300
        # Four standard errors; the documents' topics count against a wrong source, too.
        bound = 1 - least + 4 * np.sqrt(least * (1 - least) / n)
        assert fidelity.chance(least=least, n=n) <= bound


def test_alignment_is_the_probability_that_its_definition_says(topics):
    """Against drawing as many passages of other documents as the source has."""
    fidelity = Fidelity.of(lambda: topics)
    rng = np.random.default_rng(2)
    half = " ".join(topic_words(rng, 99, 100) + topics[5].text.split()[:3])
    (text,) = fidelity.alignments([record("x", half, "d5")])
    vector = fidelity.embedder.embed([half])
    similar = (fidelity.vectors @ vector.T).toarray()[:, 0]
    own = np.array(fidelity.places["d5"])
    others = np.setdiff1d(np.arange(len(similar)), own)
    drawn = similar[rng.choice(others, (20_000, len(own)))].max(axis=1)
    nearest = similar[own].max()
    assert text.alignments[0] == pytest.approx((drawn < nearest).mean(), abs=0.015)
    assert 0.02 < text.alignments[0] < 0.98


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="two source documents or more; not 1"):
        Fidelity.of(lambda: documents()[:1])
    fidelity = Fidelity.of(documents)
    for metadata, message in [
        ({}, "the record x has no provenance"),
        ({"source_ids": "bees"}, "the record x has no provenance"),
        ({"source_ids": ["wasps"]}, "comes from wasps, which is not among the source documents"),
        ({"source_ids": [*TEXTS]}, "whose sources are all documents"),
    ]:
        wrong = Record(id="x", text="A text.", metadata=metadata)
        with pytest.raises(ValueError, match=message):
            list(fidelity.judgements([wrong]))
    assert Fidelity.of(lambda: documents()[:2]).chance() is None


def test_several_sets_are_compared_with_the_same_sources():
    true = [record(f"p-{name}", text, name) for name, text in PARAPHRASES.items()]
    names = [*TEXTS]
    wrong = [record(f"w-{n}", PARAPHRASES[n], m) for n, m in pairwise(names)]
    found = compare_several(documents, {"good": lambda: true, "bad": lambda: wrong})
    assert [*found] == ["real", "good", "bad"]
    assert (found["good"]["pair_alignment"], found["bad"]["pair_alignment"]) == (1.0, 0.0)
    assert found["good"]["pair_relevance"] > found["bad"]["pair_relevance"]
    assert "pair_alignment" not in found["real"]
    (alone,) = [documents()[0]]
    one = compare_several(lambda: [alone], {"x": lambda: true[:1]})
    assert one["x"]["pair_alignment"] is None
    with pytest.raises(ValueError, match='must not be called "real"'):
        compare_several(documents, {"real": lambda: true})


def test_sources_are_whole_where_they_fit_and_else_their_nearest_passages_in_order():
    novel = "\n\n".join(f"{text} " + "And so on. " * 40 for text in TEXTS.values())
    records = [record("of two", "", "engine", "bees", "engine"), record("of a novel", "", "novel")]
    known = [*documents(), Record(id="novel", text=novel)]
    sources = Sources(known, records, fits=lambda text: len(text) < 800)
    assert sources.of("of two", "") == f"{TEXTS['engine']}\n\n{TEXTS['bees']}"
    found = sources.of("of a novel", TEXTS["bees"] + PARAPHRASES["engine"])
    engine, mark, bees = (found.find(part) for part in (TEXTS["engine"], "[...]", TEXTS["bees"]))
    assert 0 <= engine < mark < bees
    assert TEXTS["frost"] not in found
    numbers = Record(id="novel", text="1 2 3 4 5 " * 200)  # no words to compare
    sources = Sources([numbers], records[1:], fits=lambda text: len(text) < 800)
    assert sources.of("of a novel", "1 2").endswith("5\n\n[...]")
    nothing = Sources(known, records, fits=lambda text: False)
    with pytest.raises(ValueError, match="no passage of the source of of a novel fits"):
        nothing.of("of a novel", "bees")
    with pytest.raises(ValueError, match="which is not among the source documents"):
        Sources(documents(), records, fits=lambda text: True)
