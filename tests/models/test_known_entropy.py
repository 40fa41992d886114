"""Known languages: their rates against closed forms, their samples and predictors against them."""

from __future__ import annotations

import numpy as np
import pytest

from models.known_entropy import DirichletPrior, HiddenMarkovSource, MarkovSource, zipf


def binary_entropy(p):
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def test_two_states_have_the_textbook_rate():
    # Cover and Thomas 2006, example 4.2.1: (beta H(alpha) + alpha H(beta)) / (alpha + beta).
    alpha, beta = 0.1, 0.4
    source = MarkovSource(np.array([[1 - alpha, alpha], [beta, 1 - beta]]))
    expected = (beta * binary_entropy(alpha) + alpha * binary_entropy(beta)) / (alpha + beta)
    assert source.entropy_rate == pytest.approx(expected, rel=1e-9)
    assert source.stationary == pytest.approx([0.8, 0.2])


def test_independent_tokens_have_the_entropy_of_their_law():
    law = zipf(20)
    for order in (1, 2):
        source = MarkovSource(np.tile(law, (20**order, 1)))
        assert source.order == order
        assert source.entropy_rate == pytest.approx(-(law * np.log(law)).sum())


def test_a_chain_of_order_two_that_forgets_is_one_of_order_one():
    first = DirichletPrior(vocab_size=5).draw(seed=3)
    second = MarkovSource(np.tile(first.transitions, (5, 1)))
    assert second.entropy_rate == pytest.approx(first.entropy_rate)


def test_samples_have_the_frequencies_and_the_loss_of_the_source():
    source = DirichletPrior(vocab_size=6, order=2).draw(seed=1)
    tokens = source.sample(60_000, seed=2)
    context = tokens[:-2].astype(int) * 6 + tokens[1:-1]
    shares = np.bincount(context, minlength=36) / len(context)
    assert shares == pytest.approx(source.stationary, abs=0.01)
    losses = -np.log(source.transitions[context, tokens[2:]])
    assert losses.mean() == pytest.approx(source.entropy_rate, abs=4 * losses.std() / 240)
    assert np.array_equal(tokens, source.sample(60_000, seed=2))


def test_the_posterior_is_lidstones_rule():
    # One context, two tokens, uniform pseudo-counts: (n + c/2) / (N + c).
    prior = DirichletPrior(vocab_size=2, concentration=3.0, exponent=0.0)
    found = prior.posterior_mean(np.array([0, 0, 1, 0, 0]))
    assert found[0] == pytest.approx([(2 + 1.5) / 6, (1 + 1.5) / 6])
    assert found[1] == pytest.approx([(1 + 1.5) / 4, 1.5 / 4])


@pytest.mark.parametrize("order", [1, 2])
def test_counts_fall_in_the_rows_that_samples_come_from(order):
    prior = DirichletPrior(vocab_size=4, order=order, concentration=4.0)
    source = prior.draw(seed=0)
    found = prior.posterior_mean(source.sample(80_000, seed=1))
    assert source.loss(found) == pytest.approx(source.entropy_rate, abs=2e-3)


def test_no_predictor_beats_the_posterior_on_average_over_the_prior():
    prior = DirichletPrior(vocab_size=8, concentration=4.0)
    losses = {"bayes": [], "more": [], "less": [], "rate": []}
    for seed in range(40):
        source = prior.draw(seed=seed)
        tokens = source.sample(300, seed=1000 + seed)
        for name, factor in (("bayes", 1.0), ("more", 3.0), ("less", 0.3)):
            other = DirichletPrior(vocab_size=8, concentration=4.0 * factor)
            losses[name].append(source.loss(other.posterior_mean(tokens)))
        losses["rate"].append(source.entropy_rate)
    for name in ("more", "less"):
        extra = np.subtract(losses[name], losses["bayes"])
        assert extra.mean() > 2 * extra.std(ddof=1) / np.sqrt(40)
    assert np.all(np.subtract(losses["bayes"], losses["rate"]) > 0)


def test_states_that_show_themselves_make_a_markov_chain():
    chain = DirichletPrior(vocab_size=4).draw(seed=5)
    found = HiddenMarkovSource(chain.transitions, np.eye(4)).entropy_rate(n_tokens=5)
    assert found.low == pytest.approx(found.high)
    assert abs(found.value - chain.entropy_rate) <= found.error


def test_bounds_close_in_and_hold_the_loss_of_a_long_sample():
    source = HiddenMarkovSource.draw(6, 12, seed=1, concentration=0.3)
    short, long = (source.entropy_rate(n_tokens=n) for n in (2, 60))
    assert short.low - 2 * short.stderr < long.value < short.high + 2 * short.stderr
    assert abs(long.high - long.low) < 1e-3 < short.high - short.low
    tokens = source.sample(3_000, seed=7)
    belief, losses = source.stationary[None], []
    for token in tokens:
        losses.append(-np.log((belief @ source.emissions)[0, token]))
        belief = belief * source.emissions[:, token]
        belief = belief / belief.sum() @ source.transitions
    spread = 3 * np.std(losses) / np.sqrt(len(losses))
    assert abs(np.mean(losses) - long.value) < spread + long.error


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MarkovSource(np.ones((2, 2))), "rows of probabilities"),
        (lambda: MarkovSource(np.full((3, 2), 0.5)), r"vocab_size \*\* order rows"),
        (lambda: HiddenMarkovSource(np.eye(2), np.full((3, 2), 0.5)), "must be square"),
        (lambda: DirichletPrior(vocab_size=4, concentration=0.0), "concentration"),
        (lambda: zipf(1), "vocab_size"),
        (lambda: MarkovSource(np.array([[0.0, 1.0], [1.0, 0.0]])), None),
    ],
)
def test_what_is_no_language_is_refused(make, said):
    if said is None:  # periodic, but uniform is stationary: settled from the start
        assert make().entropy_rate == 0.0
        return
    with pytest.raises(ValueError, match=said):
        make()
