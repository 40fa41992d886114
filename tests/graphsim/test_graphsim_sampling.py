import numpy as np
import pytest

from graphsim import EntityGraph, accuracy_stream, expected_accuracy, finite_law

S = np.geomspace(1e-3, 5, 6)


def test_sampled_sources_are_unbiased_and_their_error_is_honest():
    graph = EntityGraph.random(1500, 1.6, 0)
    exact = expected_accuracy(graph, S, per_pair=True).accuracy
    z = []
    for seed in range(150):
        curve = expected_accuracy(graph, S, 32, seed=seed, per_pair=True)
        z.append((curve.accuracy - exact) / curve.stderr)
    assert np.abs(np.mean(z, axis=0)).max() < 4 / np.sqrt(len(z))
    assert np.all(np.std(z, axis=0) < 1.3)
    assert np.all(np.std(z, axis=0) > 0.75)


@pytest.mark.parametrize("ties", ["fifo", "random_parent", "uniform_path"])
def test_sampling_every_source_is_the_exact_sum(ties):
    graph = EntityGraph.random(200, 2.0, 1)
    full = expected_accuracy(graph, S, ties=ties, per_pair=True)
    sampled = expected_accuracy(graph, S, 200, ties=ties, per_pair=True)
    np.testing.assert_allclose(sampled.accuracy, full.accuracy, rtol=1e-6)
    assert np.all(sampled.stderr == 0)


def test_sampling_has_far_less_variance_than_the_plain_kind():
    """Sources outside the giant in-component reach almost nothing: mixing them in costs."""
    graph = EntityGraph.random(5000, 1.5, 2)
    curve = expected_accuracy(graph, [1.0], 64, per_pair=True)
    inside = graph.giant_components().incoming.mean()
    plain = curve.accuracy[0] * np.sqrt((1 - inside) / inside / 64)
    assert curve.stderr[0] < plain / 30


def test_stream_refines_towards_the_final_curve():
    graph = EntityGraph.random(3000, 3, 0)
    curves = list(accuracy_stream(graph, S, per_pair=True, seconds=0))
    assert [curve.n_sources for curve in curves] == sorted(curve.n_sources for curve in curves)
    assert [curve.complete for curve in curves] == [False] * (len(curves) - 1) + [True]
    middle, last = curves[len(curves) // 2], curves[-1]
    assert len(curves) > 10
    assert np.all(np.abs(middle.accuracy - last.accuracy) < 5 * middle.stderr + 1e-12)


@pytest.mark.long
def test_lazy_growth_without_a_graph_agrees_with_the_expectation():
    """Independent oracle: children of a queue entry are Binomial(unvisited, p); no graph is drawn.

    Statistics: mean over trees of sum_w 1 - exp(-s k_w) at depth 2 or more, against finite_law.
    """
    n_entities, mean_degree = 2000, 3.0
    p = mean_degree / n_entities
    s = np.array([0.02, 0.2, 2.0])
    rng = np.random.default_rng(0)
    learned = []
    for _ in range(1500):
        parent = np.zeros(n_entities, dtype=np.int64)
        filled, head, first_implicit = 1, 0, None
        while head < filled:
            children = rng.binomial(n_entities - filled, p)
            parent[filled : filled + children] = head
            filled += children
            head += 1
            first_implicit = first_implicit or filled
        size = np.ones(filled)
        for i in range(filled - 1, 0, -1):
            size[parent[i]] += size[i]
        implicit = size[first_implicit:]
        learned.append((1 - np.exp(-np.outer(s, implicit))).sum(axis=1) / (n_entities - 1))
    mean, stderr = np.mean(learned, axis=0), np.std(learned, axis=0) / np.sqrt(len(learned))
    law = finite_law(mean_degree, n_entities, s, per_pair=True) - p
    assert np.all(np.abs(law - mean) < 4 * stderr + 0.002 * mean)
