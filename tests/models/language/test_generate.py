import jax
import numpy as np
import pytest
from scipy import stats

from models.config import ModelConfig
from models.language.generate import Knobs, generate, next_token, sample_windows
from models.training.train import init_params, token_log_probs

MODEL = ModelConfig.from_width(16, vocab_size=11, context=12, n_layers=1)
WIDER = ModelConfig.from_width(32, vocab_size=11, context=12, n_layers=1)


@pytest.fixture(scope="module")
def member():
    return MODEL, init_params(MODEL, seed=0)


def predictions(member, ids):
    """Log-probabilities after each position of one text, by the whole forward pass."""
    return np.asarray(token_log_probs(*member, np.asarray(ids)[None])[0], np.float64)


def knobs(n_vocab, *, temperature=1.0, top_k=None, top_p=None):
    model = ModelConfig.from_width(16, vocab_size=n_vocab, context=4)
    return Knobs.of(model, 1, temperature, top_k, top_p, False)


def draws(log_probs, n, **settings):
    keys = jax.random.split(jax.random.key(0), n)
    rows = np.tile(np.asarray(log_probs, np.float32), (n, 1))
    return np.asarray(jax.jit(next_token)(rows, keys, knobs(len(log_probs), **settings)))


@pytest.mark.long
def test_greedy_text_is_the_argmax_of_the_whole_forward_at_every_step(member):
    """Prompts of unequal lengths, up to the last token that the context allows."""
    prompts = [[3], [5, 1, 7, 2], [9, 9, 4, 0, 8, 1]]
    drawn = generate([member], prompts=prompts, n_tokens=7, temperature=0)
    assert drawn.ids.shape == (3, 7)
    for prompt, ids in zip(prompts, drawn.ids, strict=True):
        text = [*prompt, *ids]
        best = predictions(member, text[:-1]).argmax(axis=1)
        np.testing.assert_array_equal(best[len(prompt) - 1 :], ids)


@pytest.mark.long
def test_samples_are_as_frequent_as_the_model_says(member):
    """First tokens, and second tokens after the commonest first one, by a chi-square test."""
    drawn = generate([member], n_samples=1500, n_tokens=2, seed=1).ids
    end = MODEL.end_of_text_id
    first = np.bincount(drawn[:, 0], minlength=MODEL.vocab_size)
    common = int(first.argmax())
    second = np.bincount(drawn[drawn[:, 0] == common, 1], minlength=MODEL.vocab_size)
    log_probs = predictions(member, [end, common])
    assert np.exp(log_probs).max() > 0.2  # not the uniform distribution, which any sampler has
    for counts, expected in zip((first, second), np.exp(log_probs), strict=True):
        assert stats.chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 0.001


def oracle_support(log_probs, temperature, top_k, top_p):
    """Top-k, then the fewest likeliest of the rest that together have top_p; no ties here."""
    probs = np.exp(np.asarray(log_probs) / temperature)
    order = np.argsort(-probs)[:top_k]
    share = probs[order] / probs[order].sum()
    n_kept = 1
    while top_p is not None and n_kept < len(order) and share[:n_kept].sum() < top_p:
        n_kept += 1
    return set(order.tolist() if top_p is None else order[:n_kept].tolist())


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1, 3, None), (1, None, 0.7), (2, None, 0.7), (1, 4, 0.9), (1, 1, None), (1, None, 1e-9)],
)
def test_filters_keep_exactly_the_tokens_of_their_definition(temperature, top_k, top_p):
    log_probs = np.log([0.05, 0.3, 0.1, 0.25, 0.08, 0.22])
    found = draws(log_probs, 600, temperature=temperature, top_k=top_k, top_p=top_p)
    assert set(found.tolist()) == oracle_support(log_probs, temperature, top_k, top_p)


def test_what_a_filter_keeps_is_drawn_in_its_proportions():
    probs = np.array([0.1, 0.4, 0.2, 0.3])
    counts = np.bincount(draws(np.log(probs), 3000, temperature=0.5, top_k=3), minlength=4)[1:]
    expected = probs[1:] ** 2
    assert stats.chisquare(counts, expected / expected.sum() * 3000).pvalue > 0.001


@pytest.mark.long
def test_a_seed_gives_one_text_whatever_is_drawn_beside_it(member):
    few = generate([member], n_samples=3, n_tokens=8, seed=4).ids
    many = generate([member], n_samples=20, n_tokens=8, seed=4).ids
    np.testing.assert_array_equal(few, many[:3])
    assert (generate([member], n_samples=3, n_tokens=8, seed=5).ids != few).any()
    assert len({tuple(row) for row in many}) > 10


@pytest.mark.long
@pytest.mark.parametrize("how", ["logit", "probability"])
def test_an_ensemble_of_one_model_repeated_is_that_model(member, how):
    alone = generate([member], n_samples=8, n_tokens=8, seed=2).ids
    np.testing.assert_array_equal(
        generate([member] * 2, n_samples=8, n_tokens=8, seed=2, how=how).ids, alone
    )


@pytest.mark.long
def test_an_ensemble_of_two_shapes_averages_at_every_step(member):
    pair = [member, (WIDER, init_params(WIDER, seed=1))]
    prompt = [4, 2]
    ids = generate(pair, prompts=[prompt], n_tokens=9, temperature=0).ids[0]
    text = [*prompt, *ids[:-1]]
    best = sum(predictions(one, text) for one in pair).argmax(axis=1)
    np.testing.assert_array_equal(best[len(prompt) - 1 :], ids)
    assert (predictions(member, text).argmax(axis=1) != best).any()


def test_a_sample_can_stop_at_its_end_of_text(member):
    settings = {"n_samples": 60, "n_tokens": 12, "seed": 3}
    whole = generate([member], **settings)
    cut = generate([member], **settings, stop_at_end=True)
    end = MODEL.end_of_text_id
    assert (whole.lengths == 12).all()
    assert (cut.lengths < 12).any()
    for row, ids, length in zip(whole.ids, cut.ids, cut.lengths, strict=True):
        ends = np.flatnonzero(row == end)
        assert length == (ends[0] + 1 if len(ends) else 12)
        np.testing.assert_array_equal(ids[:length], row[:length])
        assert (ids[length:] == end).all()


def test_a_long_text_is_windows_that_each_begin_anew(member):
    windows = sample_windows([member], n_tokens=100, seed=6)
    assert windows.shape == (9, MODEL.context + 1)
    assert (windows[:, 0] == MODEL.end_of_text_id).all()
    np.testing.assert_array_equal(
        windows[:, 1:], generate([member], n_samples=9, n_tokens=12, seed=6).ids
    )


def test_windows_begin_with_tokens_of_the_stock_as_often_as_it_holds_them(member):
    stock = np.repeat([3, 7, 9], [60, 30, 10])
    windows = sample_windows([member], n_tokens=12 * 200, seed=6, stock=stock)
    counts = np.bincount(windows[:, 0], minlength=MODEL.vocab_size)
    assert counts[[3, 7, 9]].sum() == 200
    assert stats.chisquare(counts[[3, 7, 9]], [120, 60, 20]).pvalue > 0.001
    continued = generate([member], prompts=windows[:, :1], n_tokens=12, seed=6)
    np.testing.assert_array_equal(windows[:, 1:], continued.ids)
    with pytest.raises(ValueError, match="must hold one token or more"):
        sample_windows([member], n_tokens=12, stock=stock[:0])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prompts": [[1, 2, 3]], "n_tokens": 11}, "prompt 0 of 3 tokens and 11 to draw are more"),
        ({"prompts": [[1], [11]], "n_tokens": 1}, "0 to 10; prompt 1 holds 11"),
        ({"prompts": [[]], "n_tokens": 1}, "prompt 0 must be a list of one token id or more"),
        ({"n_tokens": 1}, "either n_samples or prompts"),
        ({"n_samples": 0, "n_tokens": 1}, "at least one sample"),
        ({"n_samples": 1, "n_tokens": 0}, "n_tokens must be"),
        ({"n_samples": 1, "n_tokens": 1, "temperature": -1}, "temperature must be"),
        ({"n_samples": 1, "n_tokens": 1, "top_k": 0}, "top_k must be"),
        ({"n_samples": 1, "n_tokens": 1, "top_p": 0}, "top_p must lie in"),
        ({"n_samples": 1, "n_tokens": 1, "how": "median"}, "how must be one of"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(member, settings, said):
    with pytest.raises(ValueError, match=said):
        generate([member], **settings)
