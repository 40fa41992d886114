import numpy as np
import pytest
from scipy.special import logsumexp

from models.config import ModelConfig
from models.evals.continuations import (
    BATCH_PROMPTS,
    Continuation,
    encode_continuation,
    next_log_probs,
    score_continuations,
)
from models.evals.perplexity import evaluate_texts, evaluate_tokens
from models.language.language_model import Ensemble
from models.training.train import init_params, token_log_probs

CONTEXT = 12
IDS = np.random.default_rng(1).integers(1, 257, size=41)


def one_at_a_time(predictor, ids, n_scored, *, context=CONTEXT):
    """Score each token by a call of its own, given the `context` tokens before it."""
    found = []
    for at in range(len(ids) - n_scored, len(ids)):
        seen = np.asarray(ids[max(0, at - context) : at])
        padded = np.pad(seen, (0, CONTEXT - len(seen)))[None]  # one shape compiles
        found.append(predictor.next_token_log_probs(padded)[0, len(seen) - 1, ids[at]])
    return np.array(found)


def test_a_stride_of_one_sees_all_that_the_context_allows(predictor):
    [scored] = score_continuations(predictor, [Continuation(IDS, 40)], stride=1)
    np.testing.assert_allclose(scored.log_probs, one_at_a_time(predictor, IDS, 40), atol=1e-4)
    assert scored.truncated


@pytest.mark.parametrize("stride", [2, 5, 12])
def test_every_token_is_scored_once_with_context_enough(three_models, stride):
    one = three_models[0]
    [scored] = score_continuations(one, [Continuation(IDS, 40)], stride=stride)
    allowed = [
        one_at_a_time(one, IDS, 40, context=n) for n in range(CONTEXT - stride + 1, CONTEXT + 1)
    ]
    assert (np.abs(scored.log_probs - allowed).min(axis=0) < 1e-4).all()
    # The first window scores all that fits.
    np.testing.assert_allclose(scored.log_probs[:12], allowed[-1][:12], atol=1e-4)


def test_requests_of_any_length_are_scored_by_definition(predictor):
    requests = [Continuation(IDS[:n], k) for n, k in [(2, 1), (7, 3), (13, 12), (9, 8), (20, 4)]]
    for request, scored in zip(requests, score_continuations(predictor, requests), strict=True):
        fitting = request.ids[-CONTEXT - 1 :]
        expected = one_at_a_time(predictor, fitting, request.n_scored)
        np.testing.assert_allclose(scored.log_probs, expected, atol=1e-4)
        assert scored.truncated == (len(request.ids) > CONTEXT + 1)
        assert scored.total == pytest.approx(expected.sum(), abs=1e-3)
    [greedy] = score_continuations(
        predictor,
        [Continuation([3, predictor.next_token_log_probs(np.array([[3]]))[0, 0].argmax()], 1)],
    )
    assert greedy.greedy.all()


def test_a_token_over_the_seam_counts_to_the_continuation(three_models):
    request = encode_continuation(three_models[0], "ab", "c")
    assert list(request.ids) == [0, *three_models[0].encode("abc")]
    assert request.n_scored == 1

    class Pairs:
        """A tokenizer of two characters a token."""

        model = three_models[0].model

        def encode(self, text):
            return [1 + sum(map(ord, text[i : i + 2])) % 256 for i in range(0, len(text), 2)]

    assert encode_continuation(Pairs(), "abc", "de").n_scored == 2  # "ab", then "cd" and "e"
    assert encode_continuation(Pairs(), "abcd", "e").n_scored == 1
    with pytest.raises(ValueError, match="'' has no tokens"):
        encode_continuation(three_models[0], "ab", "")


def test_what_cannot_be_scored_is_refused(three_models):
    one = three_models[0]
    with pytest.raises(ValueError, match="1 of its 1 ids"):
        score_continuations(one, [Continuation([5], 1)])
    with pytest.raises(ValueError, match="vocabulary"):
        score_continuations(one, [Continuation([5, 257], 1)])
    for stride in (0, 13):
        with pytest.raises(ValueError, match=f"between 1 and the context 12; not {stride}"):
            evaluate_tokens(one, IDS, stride=stride)
    with pytest.raises(ValueError, match="at least one"):
        evaluate_tokens(one, IDS[:0])
    with pytest.raises(ValueError, match="no text"):
        evaluate_texts(one, [""])


def test_a_stream_has_the_loss_of_its_tokens(predictor):
    nats = -one_at_a_time(predictor, [0, *IDS], 41)
    found = evaluate_tokens(predictor, IDS, n_bytes=100, stride=1)
    assert found.loss.value == pytest.approx(nats.mean(), abs=1e-4)
    assert found.loss.stderr == pytest.approx(nats.std(ddof=1) / np.sqrt(41), rel=1e-3)
    assert found.perplexity.value == pytest.approx(np.exp(nats.mean()), rel=1e-3)
    assert found.bits_per_byte.value == pytest.approx(nats.sum() / np.log(2) / 100, rel=1e-4)
    assert "bits per byte" in found.summary()


def test_documents_are_scored_apart_and_are_what_varies(three_models):
    one, texts = three_models[0], ["a", "héllo wörld", "", "some words " * 3]
    found = evaluate_texts(one, texts, stride=1)
    nats = [
        -one_at_a_time(one, [0, *one.encode(text)], len(text.encode())).sum()
        for text in texts
        if text
    ]
    n_bytes = np.array([1, 13, 33])
    assert found.loss.value == pytest.approx(sum(nats) / 47, abs=1e-4)
    assert found.bits_per_byte.value == pytest.approx(sum(nats) / 47 / np.log(2), abs=1e-4)
    # Copies of a document add nothing to what is known of it.
    copied = evaluate_texts(one, [texts[1]] * 5)
    assert copied.loss.stderr == pytest.approx(0, abs=1e-6)
    jackknife = np.array([(sum(nats) - x) / (47 - b) for x, b in zip(nats, n_bytes, strict=True)])
    spread = np.sqrt(2 / 3 * np.square(jackknife - jackknife.mean()).sum())
    assert 0.3 < found.loss.stderr / spread < 3
    single = evaluate_texts(one, texts[1:2], stride=1)
    assert single.loss.value == pytest.approx(nats[1] / 13, abs=1e-4)


def test_an_ensemble_is_not_the_mean_of_its_members_scores(three_models):
    """The mixture of one token is better than the mean of log-probabilities (Jensen)."""
    each = np.stack([one_at_a_time(one, IDS[:6], 5) for one in three_models])
    ensemble = Ensemble(three_models, average="probability")
    [scored] = score_continuations(ensemble, [Continuation(IDS[:6], 5)])
    expected = logsumexp(each, axis=0) - np.log(3)
    np.testing.assert_allclose(scored.log_probs, expected, atol=1e-4)


@pytest.mark.long
def test_each_prompt_is_predicted_as_if_alone():
    model = ModelConfig.from_width(16, vocab_size=50, context=12)
    params = init_params(model, 0)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(50, size=rng.integers(1, 13)) for _ in range(BATCH_PROMPTS + 3)]
    found = next_log_probs(model, params, prompts)
    assert found.shape == (len(prompts), 50)
    for at in (0, 5, len(prompts) - 1):
        alone = token_log_probs(model, params, prompts[at][None])[0, -1]
        assert np.allclose(found[at], alone, atol=1e-5)
    with pytest.raises(ValueError, match="prompts must have 1 to 12 tokens"):
        next_log_probs(model, params, [np.zeros(13, int)])
