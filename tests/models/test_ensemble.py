import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from models.batches import evaluation_windows
from models.config import ModelConfig
from models.ensemble import AVERAGES, average_log_probs, member_subsets, subset_losses
from models.evaluate import all_log_probs, gold_log_probs, held_out_loss
from models.train import init_params

MODEL = ModelConfig.from_width(16, vocab_size=20, context=6)
WINDOWS = evaluation_windows(np.random.default_rng(0).integers(20, size=800), context=6)


def members(n: int):
    """Untrained models with sharpened heads: they disagree, and some probabilities underflow."""
    out = []
    for seed in range(n):
        params = init_params(MODEL, seed)
        params["head"][...] = 20 * params["head"][...]
        out.append((MODEL, params))
    return out


def test_averages_equal_their_definitions():
    rng = np.random.default_rng(1)
    log_probs = log_softmax(3 * rng.normal(size=(4, 5, 7)), axis=-1).astype(np.float32)
    probability = np.log(np.exp(log_probs).mean(0))
    logit = log_softmax(log_probs.mean(0), axis=-1)
    np.testing.assert_allclose(average_log_probs(log_probs, "probability"), probability, atol=1e-5)
    np.testing.assert_allclose(average_log_probs(log_probs, "logit"), logit, atol=1e-5)
    # The normalised geometric mean of predictions is the softmax of the mean of the logits.
    logits = log_probs + rng.normal(size=(4, 5, 1))
    shifted = log_softmax(logits.mean(0), axis=-1)
    np.testing.assert_allclose(average_log_probs(log_probs, "logit"), shifted, atol=1e-5)


def test_unknown_average_names_what_is_allowed():
    with pytest.raises(ValueError, match=r"how must be one of \('logit', 'probability'\)"):
        average_log_probs(np.zeros((2, 3)), "median")


def test_subset_losses_equal_brute_force():
    models = members(3)
    subsets = member_subsets(3)
    losses = subset_losses(models, WINDOWS, subsets)
    stack = np.stack([all_log_probs(model, params, WINDOWS) for model, params in models])
    targets = WINDOWS[:, 1:, None]
    for i, subset in enumerate(subsets):
        chosen = stack[subset].astype(np.float64)
        logit = log_softmax(chosen.mean(0), axis=-1)
        probability = logsumexp(chosen, axis=0) - np.log(subset.sum())
        for how, mixed in (("logit", logit), ("probability", probability)):
            expected = -np.take_along_axis(mixed, targets, -1).mean()
            assert losses[how][i] == pytest.approx(expected, rel=1e-6)


def test_an_ensemble_of_one_is_the_model():
    model = members(1)
    losses = subset_losses(model, WINDOWS, member_subsets(1))
    alone = held_out_loss(*model[0], WINDOWS)
    assert alone == pytest.approx(-gold_log_probs(*model[0], WINDOWS).mean(), rel=1e-6)
    for how in AVERAGES:
        assert losses[how][0] == pytest.approx(alone, rel=1e-6)


def test_the_mixture_is_never_worse_than_the_mean_of_its_members():
    """Jensen: -log is convex, so the loss of the mean is at most the mean of the losses."""
    losses = subset_losses(members(4), WINDOWS, member_subsets(4))["probability"]
    assert losses[-1] <= losses[:4].mean()


def test_subsets_are_all_there_is_or_as_many_as_asked():
    subsets = member_subsets(6, most_per_size=10, seed=3)
    sizes = subsets.sum(1)
    assert sizes.tolist() == sorted(sizes)
    assert np.bincount(sizes)[1:].tolist() == [6, 10, 10, 10, 6, 1]
    assert len({tuple(row) for row in subsets}) == len(subsets)


def test_members_of_different_vocabularies_are_refused():
    other = ModelConfig.from_width(16, vocab_size=21, context=6)
    mixed = [*members(1), (other, init_params(other, 0))]
    with pytest.raises(ValueError, match="one vocabulary size and context"):
        subset_losses(mixed, WINDOWS, member_subsets(2))
    with pytest.raises(ValueError, match=r"bool \[n_subsets, 1\]"):
        subset_losses(members(1), WINDOWS, member_subsets(2))
