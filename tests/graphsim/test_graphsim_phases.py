import networkx as nx
import numpy as np
import pytest

from graphsim import (
    EntityGraph,
    NearCriticalWarning,
    expected_accuracy,
    finite_law,
    mu_1,
    p_k,
    phases,
    reachable_density,
    theorem_bounds,
)


@pytest.mark.parametrize(
    ("mean_degree", "share"), [(2, 0.403), (3, 0.462), (5, 0.566), (10, 0.712), (20, 0.821)]
)
def test_share_of_slowest_pairs(mean_degree, share):
    """Closed form against the reference table and against the Fourier inversion."""
    assert mu_1(mean_degree) == pytest.approx(share, abs=6e-4)
    assert p_k(mean_degree, 20)[0] == pytest.approx(mu_1(mean_degree), abs=1e-9)


@pytest.mark.long
def test_subtree_shares_are_a_distribution_and_match_a_graph():
    shares = p_k(3, 3000)
    assert np.all(shares > 0)
    assert 0.999 < shares.sum() < 1
    graph = EntityGraph.random(3000, 3, 0).to_networkx()
    sizes = []
    for source in range(40):
        tree = nx.bfs_tree(graph, source)
        depth = nx.single_source_shortest_path_length(tree, source)
        if len(tree) > 1000:
            sizes += [len(nx.descendants(tree, w)) + 1 for w in tree if depth[w] >= 2]
    counted = np.bincount(sizes)[1:4] / len(sizes)
    np.testing.assert_allclose(counted, shares[:3], rtol=0.03)


@pytest.mark.parametrize(
    ("mean_degree", "start", "end"),
    [(2, 0.137, 1.25), (3, 0.183, 1.33), (5, 0.245, 1.52), (10, 0.320, 1.75)],
)
def test_log_linear_window(mean_degree, start, end):
    """The reference's windows, within 2 % (of the plateau) of the tangent at the inflection."""
    found = phases(mean_degree, 10_000)
    assert found.window_start == pytest.approx(start, rel=0.01)
    assert found.window_end == pytest.approx(end, rel=0.01)


def test_linear_slope_is_reachable_density_times_mean_depth_less_one():
    """Summed over the depths of 40 graphs by networkx."""
    slopes = []
    for seed in range(40):
        graph = EntityGraph.random(250, 3, seed)
        depths = [
            depth
            for _, row in nx.all_pairs_shortest_path_length(graph.to_networkx())
            for depth in row.values()
            if depth > 0
        ]
        slopes.append((np.sum(depths) - len(depths)) / graph.n_pairs)
    spread = np.std(slopes) / np.sqrt(len(slopes))
    assert abs(phases(3, 250).linear_slope - np.mean(slopes)) < 4 * spread + 0.01 * np.mean(slopes)


@pytest.mark.parametrize("tolerance", [0.1, 0.3])
def test_linear_phase_ends_as_a_power_of_v(tolerance):
    """Every decade of subtree sizes adds as much to S: losing a share e of it takes V^-(1 - e)."""
    ends = [phases(3, 10**k, linear_tolerance=tolerance).linear_end for k in (9, 12)]
    assert np.log(ends[1] / ends[0]) / np.log(1e3) == pytest.approx(tolerance - 1, abs=0.02)


def test_plateau_starts_when_one_percent_is_left():
    """Reference: 3.83 by the formula at degree 3, 3.85 exactly."""
    found = phases(3, 10_000)
    assert found.plateau_start == pytest.approx(3.83, abs=0.01)
    left = 1 - finite_law(3, 10_000, [found.plateau_start], per_pair=True)[0] / found.plateau
    assert left == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("mean_degree", [2, 3, 6])
def test_reachable_density_counts_reachable_pairs(mean_degree):
    densities = [
        expected_accuracy(EntityGraph.random(200, mean_degree, seed), [1e12]).accuracy[0]
        for seed in range(300)
    ]
    spread = np.std(densities) / np.sqrt(len(densities))
    gap = abs(reachable_density(mean_degree, 200) - np.mean(densities))
    assert gap < 4 * spread + 20 / 200**2


def test_theorem_bounds_enclose_a_large_graph():
    graph = EntityGraph.random(20_000, 3, 0)
    s = np.geomspace(1e-3, 20, 20)
    exact = expected_accuracy(graph, s, 32, per_pair=True).accuracy
    lower, upper = theorem_bounds(3, 20_000, s, epsilon=0.1, per_pair=True)
    assert np.all(lower < exact)
    assert np.all(exact < upper)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: p_k(3, 0), "k_max"),
        (lambda: mu_1(0.9), "giant component is gone"),
        (lambda: phases(1.0, 100), "giant component is gone"),
        (lambda: phases(3, 1000, window_tolerance=2), "window_tolerance"),
        (lambda: theorem_bounds(3, 100, [1], epsilon=0), "epsilon"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_near_critical_phases_warn():
    with pytest.warns(NearCriticalWarning):
        phases(1.25, 100_000)
