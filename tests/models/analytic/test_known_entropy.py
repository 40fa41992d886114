"""Known languages: their rates against closed forms, their samples and predictors against them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from models.analytic.discrete import zipf
from models.analytic.hidden_markov import HiddenMarkovSource
from models.analytic.known_entropy import DirichletPrior, MarkovSource


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


def every_string(vocab_size, length):
    return np.array(list(product(range(vocab_size), repeat=length)))


def chain_probabilities(source, strings):
    """Probability of each string under a Markov chain, by its definition."""
    v, order = source.vocab_size, source.order
    first = source.stationary.reshape((v,) * order)
    rows = source.transitions.reshape((v,) * (order + 1))
    found = []
    for string in strings:
        start = string[:order]
        p = first[tuple(start)].sum()  # over what follows a string shorter than the order
        for at in range(order, len(string)):
            p *= rows[tuple(string[at - order : at + 1])]
        found.append(p)
    return np.array(found)


def hidden_probabilities(source, strings):
    """Probability of each string under a hidden Markov model, a sum over all paths of states."""
    n = len(source.transitions)
    found = np.zeros(len(strings))
    for path in every_string(n, strings.shape[1]):
        p = source.stationary[path[0]] * np.prod(source.transitions[path[:-1], path[1:]])
        found += p * np.prod(source.emissions[path, strings], axis=1)
    return found


SMALL = {
    "order 1": (DirichletPrior(vocab_size=3).draw(seed=2), chain_probabilities),
    "order 2": (DirichletPrior(vocab_size=3, order=2).draw(seed=2), chain_probabilities),
    "order 3": (DirichletPrior(vocab_size=2, order=3).draw(seed=4), chain_probabilities),
    "hidden": (HiddenMarkovSource.draw(2, 3, seed=5, concentration=0.5), hidden_probabilities),
}


def test_one_long_sample_is_what_many_short_ones_would_begin_with():
    source = HiddenMarkovSource.draw(4, 9, seed=3, concentration=0.2)
    slowly = source._sample(1, 500, np.random.default_rng(8))[1][0]
    assert np.array_equal(source.sample(500, seed=8), slowly)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("context", [1, 2, 4])
def test_windows_against_every_string(name, context):
    """Predictions by the chain rule; the window entropy as a sum over all strings."""
    source, probabilities = SMALL[name]
    strings = every_string(source.vocab_size, context + 1)
    joint = probabilities(source, strings)
    assert joint.sum() == pytest.approx(1)
    predicted = source.log_probs(strings)
    assert predicted.shape == (len(strings), context)
    first = np.bincount(strings[:, 0], joint)
    assert np.exp(predicted.sum(axis=1)) * first[strings[:, 0]] == pytest.approx(joint)
    entropy = -(joint @ predicted.mean(axis=1))
    found = source.window_entropy(context)
    if name == "hidden":
        assert found.low == found.high
        assert abs(found.value - entropy) < max(2 * found.error, 1e-12)
    else:
        assert found == pytest.approx(entropy)


def test_a_longer_window_comes_nearer_to_the_rate():
    second = DirichletPrior(vocab_size=3, order=2).draw(seed=1)
    losses = [second.window_entropy(context) for context in (1, 2, 8, 512)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(second.entropy_rate, abs=1e-3)
    hidden = HiddenMarkovSource.draw(6, 12, seed=1, concentration=0.3)
    rate = hidden.entropy_rate(n_tokens=60)
    assert hidden.window_entropy(2).value > rate.value + rate.error


@pytest.mark.parametrize("order", [1, 2])
def test_the_bayes_predictions_count_what_was_read_and_the_window_so_far(order):
    """Against a posterior that a loop over the transitions builds for every token."""
    prior = DirichletPrior(vocab_size=3, order=order, concentration=2.0)
    source = prior.draw(seed=0)
    read = source.sample(40, seed=1)
    windows = source.sample(36, seed=2).reshape(4, 9)
    found = prior.log_probs(read, windows)
    assert found.shape == (4, 9 - order)
    for window, predicted in zip(windows.tolist(), found, strict=True):
        for at in range(order, len(window)):
            counts = dict.fromkeys(range(3), 0.0) | dict(enumerate(prior.pseudo_counts))
            for text in (read.tolist(), window[:at]):
                for i in range(order, len(text)):
                    if text[i - order : i] == window[at - order : at]:
                        counts[text[i]] += 1
            expected = np.log(counts[window[at]] / sum(counts.values()))
            assert predicted[at - order] == pytest.approx(expected)


def test_the_bayes_predictions_of_a_window_are_the_dirichlet_integral():
    """The chance of a window averaged over chains from the prior, by drawing them."""
    prior = DirichletPrior(vocab_size=2, concentration=2.0, exponent=0.5)
    windows = every_string(2, 4)
    found = np.exp(prior.log_probs(np.array([], int), windows).sum(axis=1))
    rows = np.random.default_rng(0).dirichlet(prior.pseudo_counts, size=(40_000, 2))
    drawn = rows[:, windows[:, :-1], windows[:, 1:]].prod(axis=2)
    error = drawn.std(axis=0) / 200
    assert np.all(np.abs(drawn.mean(axis=0) - found) < 4 * error)


def test_the_bayes_floor_falls_to_the_window_entropy():
    prior = DirichletPrior(vocab_size=6, concentration=4.0)
    excess = {n: [] for n in (100, 400, 20_000)}
    for seed in range(20):
        source = prior.draw(seed=seed)
        read = source.sample(20_000, seed=100 + seed)
        windows = source.sample(17 * 200, seed=200 + seed).reshape(-1, 17)
        truth = source.log_probs(windows)
        for n in excess:
            excess[n].append((truth - prior.log_probs(read[:n], windows)).mean())
    means = [np.mean(values) for values in excess.values()]
    assert means == sorted(means, reverse=True)
    assert 0 < means[-1] < 2e-3


def test_tables_may_be_lists_and_a_single_state_is_a_law():
    source = MarkovSource([[0.9, 0.1], [0.4, 0.6]])
    assert source.stationary == pytest.approx([0.8, 0.2])
    law = HiddenMarkovSource([[1.0]], [[0.5, 0.25, 0.25]])
    assert law.window_entropy(3).value == pytest.approx(1.5 * np.log(2))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MarkovSource(np.ones((2, 2))), "rows of probabilities"),
        (lambda: MarkovSource(np.full((3, 2), 0.5)), r"vocab_size \*\* order rows"),
        (lambda: HiddenMarkovSource(np.eye(2), np.full((3, 2), 0.5)), "must be square"),
        (lambda: DirichletPrior(vocab_size=4, concentration=0.0), "concentration"),
        (lambda: zipf(1), "vocab_size"),
        (lambda: DirichletPrior(vocab_size=1), "vocab_size"),
        (lambda: DirichletPrior(vocab_size=2).posterior_mean([0, 2]), "ids must lie in 0 to 1"),
        (lambda: DirichletPrior(vocab_size=2).posterior_mean([0, -1]), "ids must lie in 0 to 1"),
        (lambda: DirichletPrior(vocab_size=2).posterior_mean([[0, 1]]), "one dimension"),
        (lambda: DirichletPrior(vocab_size=2).log_probs([0, 1], [[0]]), "2 tokens or more"),
        (lambda: MarkovSource(np.full((2, 2), 0.5)).log_probs([[0, 3]]), "ids must lie"),
        (lambda: MarkovSource(np.full((2, 2), 0.5)).window_entropy(0), "context must be"),
        (lambda: MarkovSource(np.full((2, 2), 0.5)).sample(-1, seed=0), "n_tokens must be"),
        (lambda: HiddenMarkovSource.draw(0, 3, seed=0), "n_states"),
        (lambda: HiddenMarkovSource.draw(2, 3, seed=0, concentration=0), "concentration"),
        (lambda: HiddenMarkovSource.draw(2, 3, seed=0).entropy_rate(n_sequences=1), "n_sequences"),
        (lambda: MarkovSource(np.array([[0.0, 1.0], [1.0, 0.0]])), None),
    ],
)
def test_what_is_no_language_is_refused(make, said):
    if said is None:  # periodic, but uniform is stationary: settled from the start
        assert make().entropy_rate == 0.0
        return
    with pytest.raises(ValueError, match=said):
        make()
