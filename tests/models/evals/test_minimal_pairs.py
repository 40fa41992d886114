import json
import tarfile

import numpy as np
import pytest

from models.evals.estimates import clustered_mean, proportion
from models.evals.eval_files import EvalFileError
from models.evals.minimal_pairs import MinimalPair, evaluate_minimal_pairs, read_minimal_pairs
from models.evals.perplexity import evaluate_texts
from tests.data import needed

PAIRS = [
    MinimalPair(good=good, bad=bad, paradigm=paradigm)
    for good, bad, paradigm in [
        ("he runs", "he run", "agreement"),
        ("they run fast", "they runs fast", "agreement"),
        ("he himself", "he herself", "anaphora"),
        ("a cat", "a cat", "anaphora"),
        ("no one ever", "one ever", "npi"),
    ]
]


def test_the_more_probable_sentence_wins(predictor):
    def nats(sentence):
        found = evaluate_texts(predictor, [sentence])
        return found.loss.value * found.loss.n

    hits = np.array([nats(pair.good) < nats(pair.bad) - 1e-4 for pair in PAIRS])
    found = evaluate_minimal_pairs(predictor, PAIRS)
    assert {name: score.value for name, score in found.by_paradigm.items()} == {
        "agreement": hits[:2].mean(),
        "anaphora": hits[2:4].mean(),
        "npi": hits[4],
    }
    assert not hits[3]  # equal sentences
    assert found.accuracy.value == pytest.approx(hits.mean())
    assert found.accuracy.n == 5
    assert found.n_truncated == 2
    assert "agreement" in found.summary()


def test_errors_of_clusters_and_proportions():
    """Clusters of one item give the error of a mean; copies of them change nothing."""
    hits = np.array([1, 0, 1, 1, 0, 1, 0, 0, 1, 1])
    alone = clustered_mean(hits, np.ones(10))
    assert alone.stderr == pytest.approx(hits.std(ddof=1) / np.sqrt(10))
    copied = clustered_mean(7 * hits, np.full(10, 7))
    assert (copied.value, copied.stderr) == pytest.approx((alone.value, alone.stderr))
    assert copied.n == 70
    assert proportion(hits).stderr == pytest.approx(np.sqrt(0.6 * 0.4 / 10))
    assert np.isnan(clustered_mean([3], [4]).stderr)


def test_unequal_clusters_have_the_error_of_the_bootstrap():
    rng = np.random.default_rng(0)
    sizes = rng.integers(5, 40, size=200)
    totals = rng.binomial(sizes, rng.beta(4, 2, size=200))
    draws = rng.integers(200, size=(4000, 200))
    bootstrap = (totals[draws].sum(1) / sizes[draws].sum(1)).std()
    assert clustered_mean(totals, sizes).stderr == pytest.approx(bootstrap, rel=0.05)


def test_pairs_are_read_from_an_archive(tmp_path):
    for name in ("one", "two"):
        lines = [
            json.dumps({"sentence_good": f"good {i}", "sentence_bad": f"bad {i}", "UID": name})
            for i in range(3)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    with tarfile.open(tmp_path / "pairs.tar.xz", "w:xz") as archive:
        for name in ("two", "one"):
            archive.add(tmp_path / f"{name}.jsonl", f"data/{name}.jsonl")
            (tmp_path / f"{name}.jsonl").unlink()
    assert len(read_minimal_pairs(tmp_path)) == 6
    two = read_minimal_pairs(tmp_path / "pairs.tar.xz", per_paradigm=1)
    assert two == [
        MinimalPair(good="good 0", bad="bad 0", paradigm="one"),
        MinimalPair(good="good 0", bad="bad 0", paradigm="two"),
    ]
    (tmp_path / "bad.jsonl").write_text('{"sentence_good": "a", "UID": "x"}\n')
    with pytest.raises(EvalFileError, match=r"bad\.jsonl:1: 'sentence_bad' must be text"):
        read_minimal_pairs(tmp_path)
    with pytest.raises(ValueError, match="per_paradigm must be at least 1"):
        read_minimal_pairs(tmp_path, per_paradigm=0)


def test_blimp_is_read_whole():
    pairs = read_minimal_pairs(needed("evals/blimp"))
    assert len(pairs) == 67_000  # 67 paradigms of 1,000 pairs (Warstadt et al. 2020)
    assert len({pair.paradigm for pair in pairs}) == 67
