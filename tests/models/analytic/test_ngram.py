from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.analytic.ngram import FALLBACK_DISCOUNTS, NgramModel
from models.ensembles.mixture import fit_mixture_weights
from models.text.batches import evaluation_windows


class DictionaryKneserNey:
    """Chen and Goodman's formula read aloud, with dictionaries and recursion."""

    def __init__(self, text: list[int], vocab_size: int, order: int) -> None:
        self.vocab_size, self.order = vocab_size, order
        self.counts = []
        for n in range(1, order + 1):
            if n == order:
                grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
                self.counts.append(dict(Counter(grams)))
            else:
                neighbours = defaultdict(set)
                for i in range(1, len(text) - n + 1):
                    neighbours[tuple(text[i : i + n])].add(text[i - 1])
                self.counts.append({gram: len(left) for gram, left in neighbours.items()})
        self.discounts = [self._discounts(counts) for counts in self.counts]

    @staticmethod
    def _discounts(counts):
        n1, n2, n3, n4 = (sum(c == k for c in counts.values()) for k in (1, 2, 3, 4))
        if min(n1, n2, n3) > 0:
            y = n1 / (n1 + 2 * n2)
            found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
            if min(found) > 0:
                return found
        return FALLBACK_DISCOUNTS

    def prob(self, token: int, history: tuple[int, ...]) -> float:
        history = history[max(0, len(history) - self.order + 1) :]
        counts = self.counts[len(history)]
        following = [c for gram, c in counts.items() if gram[:-1] == history]
        lower = self.prob(token, history[1:]) if history else 1 / self.vocab_size
        if not following:
            return lower
        d1, d2, d3 = self.discounts[len(history)]
        ones, twos = following.count(1), following.count(2)
        gamma = d1 * ones + d2 * twos + d3 * (len(following) - ones - twos)
        count = counts.get((*history, token), 0)
        discounted = count - (0, d1, d2, d3)[min(count, 3)]
        return (discounted + gamma * lower) / sum(following)


def clumsy_text(n_tokens: int, vocab_size: int, seed: int) -> np.ndarray:
    """Tokens of a random walk with unequal steps: n-grams of every count from one up."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([0, 0, 0, 1, 1, 2, 3, 5], size=n_tokens)
    return np.cumsum(steps) % vocab_size


corpora = st.builds(
    clumsy_text, st.integers(5, 250), st.integers(2, 12), st.integers(0, 10_000)
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(text=corpora, order=st.integers(1, 5), seed=st.integers(0, 1000))
def test_probabilities_equal_a_dictionary_implementation(text, order, seed):
    model = NgramModel.fit(text, vocab_size=13, order=order)
    oracle = DictionaryKneserNey(text.tolist(), 13, order)
    np.testing.assert_allclose(model.discounts, oracle.discounts, rtol=1e-12)
    unseen = np.random.default_rng(seed).integers(13, size=12)
    for probe in (text[-15:], unseen):
        found = np.exp(model.log_probs(probe))
        expected = [oracle.prob(int(w), tuple(probe[:i])) for i, w in enumerate(probe)][1:]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(text=corpora, order=st.integers(1, 5), seed=st.integers(0, 1000))
def test_every_distribution_sums_to_one(text, order, seed):
    """After contexts that were seen, were not, end the text, are too short or too long."""
    model = NgramModel.fit(text, vocab_size=13, order=order)
    rng = np.random.default_rng(seed)
    at = rng.integers(len(text))
    contexts = [text[:0], text[:1], text[at : at + 4], text[-6:], rng.integers(13, size=7)]
    for context in contexts:
        log_probs = model.next_log_probs(context)
        assert np.exp(log_probs).sum() == pytest.approx(1, abs=1e-12)
        assert np.isfinite(log_probs).all()


@pytest.fixture(scope="module")
def text():
    return clumsy_text(3000, 40, 1)


@pytest.fixture(scope="module")
def model(text):
    return NgramModel.fit(text[:2000], vocab_size=40)


def test_discounts_are_estimated_where_the_counts_allow(text, model):
    """Not the fallback: a text this long has n-grams of every count."""
    assert model.order == 5
    estimated = (model.discounts != FALLBACK_DISCOUNTS).all(axis=1)
    assert estimated[2:].all()
    assert (model.discounts > 0).all()
    assert (model.discounts <= [1, 2, 3]).all()


def test_scores_are_entries_of_the_distributions(text, model):
    held_out = text[2000:2060]
    for i, log_prob in enumerate(model.log_probs(held_out)):
        expected = model.next_log_probs(held_out[: i + 1])[held_out[i + 1]]
        assert log_prob == pytest.approx(expected, rel=1e-12)


def test_windows_are_scored_each_by_itself(text, model):
    windows = evaluation_windows(text[2000:], context=8)
    scores = model.log_probs(windows)
    assert scores.shape == (len(windows), 8)
    for window, row in zip(windows, scores, strict=True):
        np.testing.assert_array_equal(row, model.log_probs(window))


def test_running_context_helps_the_first_tokens_of_a_window(text, model):
    held_out = text[2000:2993]
    # With four tokens before it a target has all the context there is, in both.
    alone = model.log_probs(evaluation_windows(held_out, context=8))
    running = model.log_probs(held_out).reshape(alone.shape)
    np.testing.assert_array_equal(running[:, 3:], alone[:, 3:])
    assert running[:, :3].mean() > alone[:, :3].mean()


def test_longer_contexts_help_and_mix(text):
    """Loss falls with the order, and a mixture of orders is no worse than the best of them."""
    models = [NgramModel.fit(text[:2000], vocab_size=40, order=n) for n in (1, 2, 3)]
    held_out = evaluation_windows(text[2000:], context=10)
    table = np.stack([model.log_probs(held_out) for model in models])
    losses = -table.mean(axis=(1, 2))
    assert losses[0] > losses[1]
    assert fit_mixture_weights(table).loss <= losses.min()


def test_small_integer_ids_do_not_overflow(text):
    small = NgramModel.fit(text[:500].astype(np.uint8), vocab_size=65_536)
    large = NgramModel.fit(text[:500], vocab_size=65_536)
    np.testing.assert_array_equal(
        small.log_probs(text[500:600].astype(np.uint8)), large.log_probs(text[500:600])
    )


def test_saved_and_loaded(tmp_path, text, model):
    path = tmp_path / "ngram.npz"
    model.save(path)
    loaded = NgramModel.load(path)
    assert loaded.n_grams == model.n_grams
    np.testing.assert_array_equal(loaded.log_probs(text), model.log_probs(text))
    assert [file.name for file in tmp_path.iterdir()] == ["ngram.npz"]


def test_damaged_files_are_named(tmp_path, model):
    path = tmp_path / "ngram.npz"
    model.save(path)
    path.write_bytes(path.read_bytes()[:1000])
    for damaged in (path, tmp_path / "missing.npz"):
        with pytest.raises(ValueError, match=rf"{damaged.name} cannot be read as an n-gram model"):
            NgramModel.load(damaged)
    np.savez(path, format=1, order=1)
    with pytest.raises(ValueError, match="cannot be read as an n-gram model"):
        NgramModel.load(path)


@pytest.mark.parametrize(
    ("tokens", "settings", "message"),
    [
        ([1, 2, 3], {"order": 0}, "order must be one of 1 to 8; not 0"),
        ([1, 2, 3], {"order": 9}, "order must be one of 1 to 8; not 9"),
        ([1, 2, 3], {"order": 5}, "at least 5 tokens"),
        ([[1, 2, 3]], {"order": 2}, "one sequence"),
        ([], {"order": 1}, "at least 1 tokens"),
        ([1, 2, 10], {"order": 2}, "0 to 9; number 2 is 10"),
        ([1, -1, 2], {"order": 2}, "0 to 9; number 1 is -1"),
        ([0.5, 1.0, 2.0], {"order": 2}, "whole numbers; these are float64"),
    ],
)
def test_bad_input_is_refused(tokens, settings, message):
    with pytest.raises(ValueError, match=message):
        NgramModel.fit(tokens, vocab_size=10, **settings)


def test_bad_queries_are_refused(model):
    with pytest.raises(ValueError, match="0 to 39; number 1 is 40"):
        model.log_probs([3, 40])
    with pytest.raises(ValueError, match="no next token"):
        model.log_probs([3])
