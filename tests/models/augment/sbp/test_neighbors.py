import numpy as np
import pytest

from models.augment.sbp import neighbors as module
from models.augment.sbp.approximate import approximate_neighbors
from models.augment.sbp.embeddings import LSA, SentenceTransformer, normalized
from models.augment.sbp.neighbors import (
    NoNeighborsError,
    find_pairs,
    nearest_among,
    nearest_neighbors,
    similarity_histogram,
)
from models.augment.texts.minhash import HashedTexts, signatures

TOPICS = {
    "sea": "ship sail harbour tide captain wave anchor storm",
    "garden": "rose soil seed spade bloom hedge apple root",
    "court": "judge trial jury verdict witness oath prison plea",
}


def topic_texts(n_each: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        " ".join(rng.choice(words.split(), 12)) for words in TOPICS.values() for _ in range(n_each)
    ]


def clustered(n: int, dimensions: int = 16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((max(n // 10, 1), dimensions))
    return normalized(
        centers[np.arange(n) % len(centers)] + 0.5 * rng.standard_normal((n, dimensions))
    )


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "QUERY_BLOCK", 37)
    monkeypatch.setattr(module, "KEY_BLOCK", 101)
    monkeypatch.setattr(module, "FLOOR_KEYS", 16)


@pytest.mark.parametrize("n", [2, 36, 37, 500])
@pytest.mark.parametrize("k", [1, 4])
def test_blocked_search_equals_scikit_learn(small_blocks, n, k):
    if k >= n:
        with pytest.raises(ValueError, match="k must lie between 1 and 1"):
            nearest_neighbors(clustered(n), k=k)
        return
    from sklearn.neighbors import NearestNeighbors

    vectors = clustered(n)
    distances, ids = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(vectors).kneighbors()
    found = nearest_neighbors(vectors, k=k)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_allclose(found.similarities, 1 - distances**2 / 2, atol=1e-5)


def test_only_what_lies_above_counts_and_copies_are_found(small_blocks):
    vectors = clustered(300)
    vectors[7] = 0
    vectors[100:250] = vectors[3]
    found = nearest_neighbors(vectors, k=3, above=0.6)
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    best = -np.sort(-scores, axis=1)[:, :3]
    np.testing.assert_allclose(found.similarities, np.where(best > 0.6, best, -np.inf), atol=1e-6)
    assert (found.ids[7] == -1).all()
    assert ((found.ids[[3, 100, 249]] >= 100) | (found.ids[[3, 100, 249]] == 3)).all()


def test_search_among_other_documents_equals_sorting(small_blocks):
    queries, keys = clustered(80), clustered(200, seed=1)
    found = nearest_among(queries, keys, k=5)
    scores = queries @ keys.T
    np.testing.assert_array_equal(found.ids, np.argsort(-scores, axis=1)[:, :5])
    np.testing.assert_allclose(found.similarities, -np.sort(-scores, axis=1)[:, :5], rtol=1e-5)
    with pytest.raises(ValueError, match="k must lie between 1 and 200"):
        nearest_among(queries, keys, k=201)


def test_pairs_share_a_topic_and_are_no_near_duplicates():
    texts = topic_texts(20)
    texts[1] = texts[0]
    vectors = LSA.fit(texts, n_dimensions=8).embed(texts)
    pairs = find_pairs(vectors, alpha=0.3, k=3)
    assert (pairs[:, 0] // 20 == pairs[:, 1] // 20).mean() > 0.95
    assert [0, 1] in pairs.tolist()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    kept = find_pairs(vectors, alpha=0.3, k=3, signatures=signatures(HashedTexts.of(texts)))
    assert [0, 1] not in kept.tolist()
    assert [1, 0] not in kept.tolist()


def test_copies_neither_hide_related_documents_nor_count_as_several():
    """Five copies of each document: with three neighbours, each would only have its copies."""
    texts = topic_texts(20)
    copied = [text for text in texts for _ in range(5)]
    vectors = LSA.fit(texts, n_dimensions=8).embed(copied)
    found = signatures(HashedTexts.of(copied))
    pairs = find_pairs(vectors, alpha=0.3, k=3, signatures=found)
    alone = find_pairs(vectors[::5], alpha=0.3, k=3, signatures=found[::5])
    assert len(alone) > len(texts)
    np.testing.assert_array_equal(pairs, 5 * alone)


def test_documents_without_spaces_are_related_by_their_characters():
    rng = np.random.default_rng(0)
    words = [["".join(map(chr, rng.integers(0x4E00, 0x9FFF, 3))) for _ in range(12)] for _ in "ab"]
    texts = ["".join(rng.choice(words[i % 2], 40)) for i in range(40)]
    pairs = find_pairs(LSA.fit(texts, n_dimensions=2).embed(texts), alpha=0.3, k=3)
    assert len(pairs) == 3 * 40
    assert (pairs[:, 0] % 2 == pairs[:, 1] % 2).all()


def test_no_neighbour_says_how_similar_documents_are():
    vectors = clustered(50)
    with pytest.raises(NoNeighborsError, match=r"above alpha = 0\.9999.*\n.*\d\.\d+ to .*#"):
        find_pairs(vectors, alpha=0.9999)
    with pytest.raises(NoNeighborsError, match="near-duplicates"):
        find_pairs(np.ones((3, 4), np.float32), alpha=0.5, k=1, signatures=np.ones((3, 8)))
    assert similarity_histogram(np.array([-np.inf])) == "(no similarities)"


def test_lsa_is_reproducible_and_says_when_there_are_no_words():
    texts = topic_texts(5)
    a, b = (LSA.fit(iter(texts), n_dimensions=4, seed=3).embed(iter(texts)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-5)
    assert not LSA.fit(texts).embed([""]).any()
    with pytest.raises(ValueError, match="needs words of two characters"):
        LSA.fit(["a", "b c"])
    with pytest.raises(ValueError, match="two different texts"):
        LSA.fit(["only one text"])


def test_the_approximate_index_reaches_the_recall_it_measures():
    pytest.importorskip("faiss")
    vectors = clustered(3000)
    found = approximate_neighbors(vectors, k=2, recall=0.95)
    exact = nearest_neighbors(vectors, k=2)
    recall = (found.neighbors.ids[:, 0] == exact.ids[:, 0]).mean()
    assert found.recall_at_1 >= 0.95
    assert recall == pytest.approx(found.recall_at_1, abs=0.03)
    assert (found.neighbors.ids != np.arange(3000)[:, None]).all()
    assert found.n_probe < found.n_cells


def test_a_pretrained_sentence_model_embeds(tmp_path):
    """Weights drawn here, which the library puts a mean over the tokens on."""
    pytest.importorskip("sentence_transformers")
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *" ".join(TOPICS.values()).split()]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    model = transformers.BertModel(config).eval()
    for part in (tokenizer, model):
        part.save_pretrained(tmp_path / "bert")
    texts = topic_texts(2)
    vectors = SentenceTransformer(str(tmp_path / "bert")).embed(iter(texts))
    with torch.no_grad():
        states = [model(**tokenizer(t, return_tensors="pt")).last_hidden_state for t in texts]
    expected = normalized(np.stack([state[0].mean(dim=0).numpy() for state in states]))
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
