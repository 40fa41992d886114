"""What Part 2's tools must reach on two cores: neighbours, quality, and how they grow."""

import resource
import time

import numpy as np
import pytest

from models.augment.quality.quality import measure_quality
from models.augment.sbp.approximate import approximate_neighbors
from models.augment.sbp.embeddings import LSA, normalized
from models.augment.sbp.neighbors import nearest_neighbors
from models.augment.texts.minhash import HashedTexts, near_duplicates, signatures

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

N_DOCUMENTS, N_WORDS = 100_000, 100


def texts(n, *, n_topics=1000, seed=0):
    """Documents of N_WORDS words: half from a topic's own 60 words, half from a common stock."""
    rng = np.random.default_rng(seed)
    common = np.array([f"word{i}" for i in range(5000)])
    zipf = 1 / np.arange(1, 5001)
    zipf /= zipf.sum()
    for _ in range(n):
        topic = rng.integers(n_topics)
        own = [f"topic{topic}x{i}" for i in rng.integers(60, size=N_WORDS // 2)]
        shared = rng.choice(common, N_WORDS - len(own), p=zipf).tolist()
        yield " ".join(rng.permutation(own + shared))


def memory_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """A file, so that no test holds the texts."""
    path = tmp_path_factory.mktemp("documents") / "texts.txt"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{text}\n" for text in texts(N_DOCUMENTS))
    return path


def lines(path):
    with path.open(encoding="utf-8") as file:
        yield from file


@pytest.fixture(scope="module")
def embedded(documents):
    """Vectors of the documents, and the seconds they took."""
    started = time.perf_counter()
    vectors = LSA.fit(lines(documents)).embed(lines(documents))
    return vectors, time.perf_counter() - started


@pytest.fixture(scope="module")
def exact(embedded):
    """Nearest neighbours, and the seconds they took."""
    started = time.perf_counter()
    return nearest_neighbors(embedded[0], k=3), time.perf_counter() - started


def test_neighbours_of_100000_documents(embedded, exact):
    (vectors, embedding), (found, searching) = embedded, exact
    print(
        f"\n{N_DOCUMENTS:,} documents: LSA {embedding:.1f} s, exact search {searching:.1f} s, "
        f"{memory_gib():.2f} GiB"
    )
    asked = np.random.default_rng(0).choice(N_DOCUMENTS, 200, replace=False)
    scores = vectors[asked] @ vectors.T
    scores[np.arange(200), asked] = -np.inf
    np.testing.assert_allclose(found.similarities[asked, 0], scores.max(axis=1), atol=1e-5)
    assert embedding + searching <= 60


def test_an_approximate_index_reaches_a_recall_of_95(embedded, exact):
    pytest.importorskip("faiss")
    started = time.perf_counter()
    found = approximate_neighbors(embedded[0], k=3, recall=0.95)
    seconds = time.perf_counter() - started
    close = found.neighbors.similarities[:, 0] >= exact[0].similarities[:, 0] - 1e-5
    print(
        f"\nFAISS {seconds:.1f} s, {found.n_probe} of {found.n_cells} cells; recall@1 "
        f"{close.mean():.4f}, estimated as {found.recall_at_1:.4f}"
    )
    assert close.mean() >= 0.95


def test_quality_of_100000_records(documents, tmp_path):
    synthetic = tmp_path / "synthetic.txt"
    with synthetic.open("w", encoding="utf-8") as file:
        file.writelines(f"{text}\n" for text in texts(N_DOCUMENTS, seed=1))
    sources = np.random.default_rng(0).integers(N_DOCUMENTS, size=N_DOCUMENTS)
    vectors = normalized(np.random.default_rng(1).standard_normal((N_DOCUMENTS, 128)))
    started = time.perf_counter()
    measured = measure_quality(
        HashedTexts.of(lines(documents)),
        HashedTexts.of(lines(synthetic)),
        sources=sources,
        real_vectors=vectors,
        synthetic_vectors=vectors,
    )
    seconds = time.perf_counter() - started
    print(f"\nquality of 2 x {N_DOCUMENTS:,} records: {seconds:.1f} s, {memory_gib():.2f} GiB")
    print(measured)
    assert seconds <= 120
    assert measured["real"].repetition == 0


def test_minhash_against_datasketch(documents):
    """The same signatures' use by the library most used for it, on a part of the records."""
    datasketch = pytest.importorskip("datasketch")
    part = [text for _, text in zip(range(2000), lines(documents), strict=False)]
    started = time.perf_counter()
    near_duplicates(signatures(HashedTexts.of(part)))
    ours = time.perf_counter() - started
    started = time.perf_counter()
    index = datasketch.MinHashLSH(threshold=0.8, num_perm=128)
    for i, text in enumerate(part):
        words = text.lower().encode().split()
        sketch = datasketch.MinHash(num_perm=128)
        sketch.update_batch([b" ".join(words[j : j + 5]) for j in range(len(words) - 4)])
        index.query(sketch)
        index.insert(i, sketch)
    theirs = time.perf_counter() - started
    print(f"\n2,000 texts: ours {ours:.2f} s, datasketch {theirs:.2f} s: {theirs / ours:.1f} times")
    assert ours < theirs
