import numpy as np
import pytest
from scipy.special import exp1

from graphsim import (
    EntityGraph,
    NearCriticalWarning,
    expected_accuracy,
    finite_law,
    limit_law,
    printed_law,
)
from graphsim.branching import extinction

S = np.geomspace(0.01, 20, 40)


def graph_average(n_entities, mean_degree, s, n_graphs, n_sources=None):
    curves = [
        expected_accuracy(
            EntityGraph.random(n_entities, mean_degree, seed), s, n_sources, per_pair=True
        ).accuracy
        for seed in range(n_graphs)
    ]
    return np.mean(curves, axis=0), np.std(curves, axis=0) / np.sqrt(n_graphs)


@pytest.mark.parametrize("mean_degree", [1.05, 1.5, 3, 10, 20])
def test_extinction_solves_its_equation(mean_degree):
    rho = extinction(mean_degree)
    assert 0 < rho < 1
    assert rho == pytest.approx(np.exp(mean_degree * (rho - 1)), rel=1e-12)


def test_printed_law_is_more_than_ten_percent_too_low():
    """Reference: 14.7 % at V = 1e4, degree 3; it is the size of the gap that is pinned."""
    s = np.array([0.1])
    exact, _ = graph_average(10_000, 3, s, 1, n_sources=200)
    assert printed_law(3, 10_000, s, per_pair=True)[0] < 0.9 * exact[0]


def test_printed_law_equals_its_own_double_sum():
    """The double sum with p_l(k) by repeated convolution, at a cut-off of 6 generations."""
    lam, n_entities, size, height = 2.0, 100, 4096, 6
    s = np.array([0.05, 0.5, 3.0])
    poisson_steps = []
    z = np.exp(-2j * np.pi * np.arange(size) / size)
    generating = z.copy()
    for _ in range(height + 1):
        poisson_steps.append(np.fft.ifft(generating).real)  # p_l(k), k = 0..size-1
        generating = z * np.exp(lam * (generating - 1))
    k = np.arange(size)
    weights = [(lam - 1) / lam ** (level + 1) for level in range(height)]
    weights.append(1 - sum(weights))
    left = sum(
        w * (p @ np.exp(-np.outer(k, s))) for w, p in zip(weights, poisson_steps, strict=True)
    )
    q = 1 - extinction(lam)
    expected = lam / n_entities + q**2 * (1 - left)
    law = printed_law(lam, n_entities, s, per_pair=True, max_height=height)
    np.testing.assert_allclose(law, expected, rtol=1e-9)


def test_limit_law_small_time_slope_and_late_rate():
    """Late times are ruled by k = 1: mu(1) = [E1(lambda rho) - E1(lambda)] / (lambda q)."""
    lam = 3.0
    rho = extinction(lam)
    q = 1 - rho
    mu_1 = (exp1(lam * rho) - exp1(lam)) / (lam * q)
    left = 1 - limit_law(lam, 1000, [12.0], per_pair=True)[0] / q**2
    assert left == pytest.approx(mu_1 * np.exp(-12.0), rel=1e-4)
    assert mu_1 == pytest.approx(0.462, abs=5e-4)  # reference table
    s = 1e-7  # Acc / C ~ (s / ln lambda)(ln(1/s) + c), c = 0.479 at degree 3
    early = limit_law(lam, 1000, [s], per_pair=True)[0] / q**2
    assert early == pytest.approx(s / np.log(lam) * (np.log(1 / s) + 0.479), rel=1e-4)


def test_limit_law_matches_a_large_graph():
    graph = EntityGraph.random(100_000, 3, 0)
    exact = expected_accuracy(graph, S, 32, per_pair=True)
    law = limit_law(3, 100_000, S, per_pair=True, graph=graph)
    assert np.abs(law / exact.accuracy - 1).max() < 0.003


@pytest.mark.long
@pytest.mark.parametrize(("mean_degree", "bound"), [(2, 0.015), (3, 0.005), (10, 0.005)])
def test_finite_law_matches_the_graph_average(mean_degree, bound):
    s = np.geomspace(0.01, 20, 25)
    exact, stderr = graph_average(1000, mean_degree, s, 60)
    gap = np.abs(finite_law(mean_degree, 1000, s, per_pair=True) - exact)
    assert np.all(gap < bound * exact + 3 * stderr)


def test_finite_law_holds_at_all_times():
    s = np.geomspace(0.1 / 1000, 100, 40)
    exact, stderr = graph_average(1000, 3, s, 40)
    gap = np.abs(finite_law(3, 1000, s, per_pair=True) - exact)
    assert np.all(gap < 0.015 * exact + 3 * stderr)


@pytest.mark.parametrize("law", [printed_law, limit_law, finite_law])
def test_laws_take_steps_or_steps_per_pair(law):
    steps = np.array([1e3, 1e5, 1e6])
    np.testing.assert_allclose(
        law(3, 1000, steps), law(3, 1000, steps / 999_000, per_pair=True), rtol=1e-13
    )


@pytest.mark.parametrize("law", [printed_law, limit_law, finite_law])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 100, [1]), "giant component is gone"),
        ((3, 1, [1]), "at least 2"),
        ((3, 100, [-1]), "0 or more"),
        ((3, 100, [2, 1]), "sorted"),
    ],
)
def test_bad_arguments_are_refused(law, arguments, message):
    with pytest.raises(ValueError, match=message):
        law(*arguments)


def test_near_critical_degree_warns_and_tiny_graphs_are_refused():
    with pytest.warns(NearCriticalWarning, match="near critical"):
        finite_law(1.2, 10_000, [1e6])
    with pytest.raises(ValueError, match="too few"):
        finite_law(1.5, 4, [1])
