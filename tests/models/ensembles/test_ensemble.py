import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from models.config import ModelConfig
from models.ensembles.ensemble import (
    AVERAGES,
    average_log_probs,
    block_subsets,
    ensemble_log_probs,
    gold_table,
    member_subsets,
    subset_losses,
)
from models.ensembles.logit_weights import fit_logit_weights
from models.ensembles.member_stream import Member, averaged_scores, checked_members
from models.ensembles.mixture import fit_mixture_weights
from models.text.batches import evaluation_windows
from models.training.evaluate import all_log_probs, gold_log_probs, held_out_loss
from models.training.train import init_params

MODEL = ModelConfig.from_width(16, vocab_size=20, context=6)
WINDOWS = evaluation_windows(np.random.default_rng(0).integers(20, size=769), context=6)
BYTES_PER_WINDOW = 4 * 6 * 20


def members(n: int, *, sharpness: float = 20.0):
    """Untrained models with sharpened heads: they disagree, and some probabilities underflow."""
    out = []
    for seed in range(n):
        params = init_params(MODEL, seed)
        params["head"][...] = sharpness * params["head"][...]
        out.append((MODEL, params))
    return out


@pytest.fixture(scope="module")
def three():
    return members(3)


@pytest.fixture(scope="module")
def stack(three):
    """Predictions of the three on all windows, float64 [3, windows, positions, V]."""
    return np.stack([all_log_probs(*member, WINDOWS) for member in three]).astype(np.float64)


def gold_of(log_probs: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(WINDOWS[:, 1:].shape)
    return log_probs[..., rows, columns, WINDOWS[:, 1:]]


def by_definition(chosen: np.ndarray, weights: np.ndarray, how: str) -> np.ndarray:
    """Average predictions [K, ..., V] and pick the true tokens."""
    if how == "logit":
        return gold_of(log_softmax(np.tensordot(weights, chosen, axes=1), axis=-1))
    b = np.reshape(weights, (-1, *[1] * (chosen.ndim - 1)))
    return gold_of(logsumexp(chosen, axis=0, b=b))


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


def test_weighted_averages_equal_their_definitions():
    rng = np.random.default_rng(2)
    log_probs = log_softmax(3 * rng.normal(size=(3, 5, 7)), axis=-1).astype(np.float32)
    weights = np.array([0.7, 0.0, 0.3])
    mixed = np.log(np.tensordot(weights, np.exp(log_probs), axes=1))
    pooled = log_softmax(np.tensordot(2 * weights, log_probs, axes=1), axis=-1)
    found = average_log_probs(log_probs, "probability", weights=weights)
    np.testing.assert_allclose(found, mixed, atol=1e-5)
    found = average_log_probs(log_probs, "logit", weights=2 * weights)
    np.testing.assert_allclose(found, pooled, atol=1e-5)


def test_unknown_averages_and_bad_weights_name_what_is_allowed():
    with pytest.raises(ValueError, match=r"how must be one of \('logit', 'probability'\)"):
        average_log_probs(np.zeros((2, 3)), "median")
    with pytest.raises(ValueError, match="weights must be 2 numbers >= 0 that sum to 1"):
        average_log_probs(np.zeros((2, 3)), "probability", weights=[0.5, 0.6])
    for weights in ([1.0], [-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="weights must be 2 numbers >= 0, not all 0"):
            average_log_probs(np.zeros((2, 3)), "logit", weights=weights)


@pytest.mark.parametrize("memory", [2**30, 12 * BYTES_PER_WINDOW])
def test_subset_losses_equal_brute_force(three, stack, memory):
    """With all windows at once, and with two windows at once."""
    subsets = member_subsets(3)
    losses = subset_losses(three, WINDOWS, subsets, memory=memory)
    for i, subset in enumerate(subsets):
        weights = np.full(subset.sum(), 1 / subset.sum())
        for how in AVERAGES:
            expected = -by_definition(stack[subset], weights, how).mean()
            assert losses[how][i] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("subsets", [block_subsets(3), np.array([[0, 1, 1], [1, 1, 0]], bool)])
@pytest.mark.parametrize("memory", [2**30, 12 * BYTES_PER_WINDOW])
def test_running_sums_give_the_same(three, stack, subsets, memory):
    """Fewer sums alive than members: `averaged_scores` does not hold the members' predictions."""
    weights = subsets / subsets.sum(axis=1, keepdims=True)
    alive = [weights[:1], weights] if len(weights) == 2 else [weights[3:]]
    for some in alive:
        pieces = list(averaged_scores(checked_members(three), WINDOWS, some, memory=memory))
        gold = np.concatenate([piece.gold for piece in pieces], axis=1)
        normalisers = np.concatenate([piece.log_normalisers for piece in pieces], axis=1)
        np.testing.assert_allclose(gold, gold_of(stack).reshape(3, -1), rtol=1e-4, atol=1e-4)
        expected = logsumexp(np.tensordot(some, stack, axes=1), axis=-1)
        np.testing.assert_allclose(normalisers, expected.reshape(len(some), -1), atol=1e-4)


@pytest.mark.parametrize("how", AVERAGES)
@pytest.mark.parametrize("memory", [2**30, 12 * BYTES_PER_WINDOW])
def test_an_ensemble_scores_every_token(three, stack, how, memory):
    equal = ensemble_log_probs(three, WINDOWS, how=how, memory=memory)
    np.testing.assert_allclose(equal, by_definition(stack, np.full(3, 1 / 3), how), atol=1e-4)
    assert equal.shape == (len(WINDOWS), 6)
    weights = np.array([0.25, 0.0, 0.75])
    found = ensemble_log_probs(three, WINDOWS, how=how, weights=weights, memory=memory)
    np.testing.assert_allclose(found, by_definition(stack, weights, how), atol=1e-4)


def test_an_ensemble_of_one_is_the_model(three):
    model = three[:1]
    losses = subset_losses(model, WINDOWS, member_subsets(1))
    alone = held_out_loss(*model[0], WINDOWS)
    assert alone == pytest.approx(-gold_log_probs(*model[0], WINDOWS).mean(), rel=1e-6)
    for how in AVERAGES:
        assert losses[how][0] == pytest.approx(alone, rel=1e-6)


def test_the_mixture_is_never_worse_than_the_mean_of_its_members(three):
    """Jensen: -log is convex, so the loss of the mean is at most the mean of the losses."""
    losses = subset_losses(three, WINDOWS, member_subsets(3))["probability"]
    assert losses[-1] <= losses[:3].mean()


def test_learned_mixtures_are_fitted_on_one_text_and_scored_on_another(three, stack):
    fitted_on = gold_table(three, WINDOWS[:64])
    scored_on = gold_table(three, WINDOWS[64:])
    np.testing.assert_allclose(fitted_on, gold_of(stack)[:, :64].reshape(3, -1), atol=1e-4)
    fit = fit_mixture_weights(fitted_on)
    expected = -by_definition(stack, fit.weights, "probability")[64:].mean()
    assert fit.loss_on(scored_on) == pytest.approx(expected, rel=1e-5)
    # On the text of the fit more members cannot hurt, and equal weights are no better.
    subsets = member_subsets(3)
    fitted = np.array([fit_mixture_weights(fitted_on[rows]).loss for rows in subsets])
    equal = subset_losses(three, WINDOWS[:64], subsets)["probability"]
    assert (fitted <= equal + 1e-6).all()
    assert fitted[-1] <= fitted[:-1].min() + 1e-9


def test_learned_logit_weights_are_those_of_a_general_solver():
    """On tokens that two of four members have written, each after one token of context."""
    pool = members(4, sharpness=1.5)
    rng = np.random.default_rng(5)
    windows = rng.integers(20, size=(640, 2))
    stack = np.stack([all_log_probs(*member, windows)[:, 0] for member in pool]).astype(np.float64)
    written_by = stack[rng.integers(2, size=640), np.arange(640)]
    windows[:, 1] = (written_by + rng.gumbel(size=written_by.shape)).argmax(axis=-1)
    gold = stack[:, np.arange(640), windows[:, 1]]

    def loss(w):
        return (logsumexp(np.tensordot(w, stack, axes=1), axis=-1) - w @ gold).mean()

    peer = minimize(loss, np.full(4, 0.25), method="L-BFGS-B", bounds=[(0, None)] * 4, tol=1e-14)
    fit = fit_logit_weights(pool, windows)
    assert fit.converged
    assert fit.loss == pytest.approx(peer.fun, abs=1e-6)
    assert fit.loss < loss(np.full(4, 0.25)) - 0.01
    np.testing.assert_allclose(fit.weights, peer.x, atol=2e-3)
    assert fit.weights[:2].sum() > fit.weights[2:].sum()
    scored = ensemble_log_probs(pool, windows, how="logit", weights=fit.weights)
    assert -scored.mean() == pytest.approx(fit.loss, abs=1e-6)
    little = fit_logit_weights(pool, windows, memory=4 * 7 * 4 * 20 * 64)
    np.testing.assert_allclose(little.weights, fit.weights, atol=1e-4)


def test_subsets_are_all_there_is_or_as_many_as_asked():
    subsets = member_subsets(6, most_per_size=10, seed=3)
    sizes = subsets.sum(1)
    assert sizes.tolist() == sorted(sizes)
    assert np.bincount(sizes)[1:].tolist() == [6, 10, 10, 10, 6, 1]
    assert len({tuple(row) for row in subsets}) == len(subsets)


def test_subsets_of_many_members_are_drawn_without_listing_them_all():
    subsets = member_subsets(40, most_per_size=5)
    assert np.bincount(subsets.sum(1))[1:].tolist() == [5] * 39 + [1]
    assert len({tuple(row) for row in subsets}) == len(subsets)


@pytest.mark.parametrize(("n", "sizes"), [(1, [1]), (8, [1, 2, 4, 8]), (11, [1, 2, 4, 8, 11])])
def test_blocks_do_not_overlap_and_end_with_all(n, sizes):
    subsets = block_subsets(n)
    assert np.unique(subsets.sum(1)).tolist() == sizes
    assert subsets[-1].all()
    for size in sizes:
        of_size = subsets[subsets.sum(1) == size]
        assert len(of_size) == n // size
        assert of_size.sum(0).max() == 1
    assert all(a.sum() <= b.sum() for a, b in pairwise(subsets))


def test_weights_are_loaded_one_member_at_a_time(three):
    """Once a chunk; the block design of eight members keeps at most four sums alive."""
    calls = []

    def load(at):
        calls.append(at)
        return three[at % 3][1]

    lazy = [Member(model=MODEL, load=lambda at=at: load(at)) for at in range(8)]
    eager = [three[at % 3] for at in range(8)]
    found = subset_losses(lazy, WINDOWS, block_subsets(8), memory=8 * 7 * BYTES_PER_WINDOW)
    n_chunks = len(WINDOWS) // 8
    assert calls == list(range(8)) * n_chunks
    expected = subset_losses(eager, WINDOWS, block_subsets(8))
    for how in AVERAGES:
        np.testing.assert_allclose(found[how], expected[how], rtol=1e-6)
    calls.clear()
    gold_table(lazy, WINDOWS)
    assert calls == list(range(8))


# Predictions of all members would be 16 x 32 x 64 tokens x 4,096 ids x 4 bytes = 537 MB.
MEMORY_TEST = """
import resource
import numpy as np
from models.config import ModelConfig
from models.ensembles.ensemble import block_subsets, member_subsets, subset_losses
from models.training.train import init_params
model = ModelConfig.from_width(16, vocab_size=4096, context=64, n_layers=1)
pool = [(model, init_params(model, 0))] * 16
windows = np.random.default_rng(0).integers(4096, size=(32, 65))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def score(n):
    subset_losses(pool, windows[:n], block_subsets(16), memory=BUDGET)  # running sums
    subset_losses(pool[:4], windows[:n], member_subsets(4), memory=BUDGET)  # stacks
score(1)  # compiles
before = peak()
score(32)
print(peak() - before)
"""


@pytest.mark.long
def test_peak_memory_keeps_to_the_budget():
    budget = 48 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_TEST.replace("BUDGET", str(budget))],
        # glibc keeps freed buffers of less than 32 MB, which at the full size there are none of.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) <= 1.2 * budget


def test_members_that_cannot_be_averaged_are_refused(three):
    other = ModelConfig.from_width(16, vocab_size=21, context=6)
    mixed = [three[0], (other, init_params(other, 0))]
    for use in (
        lambda: subset_losses(mixed, WINDOWS, member_subsets(2)),
        lambda: gold_table(mixed, WINDOWS),
        lambda: ensemble_log_probs(mixed, WINDOWS),
        lambda: fit_logit_weights(mixed, WINDOWS),
    ):
        with pytest.raises(ValueError, match="one vocabulary size and context"):
            use()
    with pytest.raises(ValueError, match="at least one member"):
        gold_table([], WINDOWS)


def test_members_of_different_tokenizers_are_refused_before_they_are_loaded():
    def load():
        raise AssertionError("loaded")

    same = [Member(model=MODEL, load=load, tokenizer=name) for name in ("aa", None, "aa")]
    checked_members(same)
    with pytest.raises(ValueError, match=r"that of member 3 \(sha256 bb\) is not .* member 0"):
        gold_table([*same, Member(model=MODEL, load=load, tokenizer="bb")], WINDOWS)


def test_bad_windows_subsets_and_budgets_are_refused(three):
    with pytest.raises(ValueError, match=r"bool \[n_subsets, 3\]"):
        subset_losses(three, WINDOWS, member_subsets(2))
    with pytest.raises(ValueError, match="with a member in each"):
        subset_losses(three, WINDOWS, np.zeros((1, 3), bool))
    with pytest.raises(ValueError, match="0 to 19; the windows hold 20"):
        gold_table(three, np.full((2, 7), 20))
    with pytest.raises(ValueError, match="7 positions, more than the members' context 6"):
        gold_table(three, np.zeros((2, 8), int))
    with pytest.raises(ValueError, match=r"not of shape \(7,\)"):
        gold_table(three, WINDOWS[0])
    with pytest.raises(ValueError, match="memory is only 1,000 bytes"):
        subset_losses(three, WINDOWS, member_subsets(3), memory=1000)
