"""The process and its expectation against the model written plainly with networkx."""

from collections import deque

import networkx as nx
import numpy as np
import pytest

from graphsim import EntityGraph, expected_accuracy, simulate, simulate_runs, simulation_stream


def fifo_tree(graph: nx.DiGraph, source: int) -> dict[int, int]:
    """Parent of every vertex that a first-in-first-out search from the source reaches."""
    parents = {source: source}
    queue = deque([source])
    while queue:
        vertex = queue.popleft()
        for target in graph.successors(vertex):
            if target not in parents:
                parents[target] = vertex
                queue.append(target)
    return parents


def learn(graph: nx.DiGraph, pairs: list[tuple[int, int]]) -> list[set[tuple[int, int]]]:
    """M_0, M_1, ... as sets of pairs: each step searches M_0 and learns the star from x."""
    learned = set(graph.edges)
    states = [set(learned)]
    for source, target in pairs:
        parents = fifo_tree(graph, source)
        if target in parents:
            while target != source:
                learned.add((source, target))
                target = parents[target]
        states.append(set(learned))
    return states


def uniform_path_rates(graph: nx.DiGraph, source: int) -> dict[int, float]:
    """Mean number of targets whose uniformly drawn shortest path passes each vertex."""
    rates: dict[int, float] = {}
    for target in nx.descendants(graph, source):
        paths = list(nx.all_shortest_paths(graph, source, target))
        for path in paths:
            for vertex in path[1:]:
                rates[vertex] = rates.get(vertex, 0.0) + 1 / len(paths)
    return rates


def fifo_rates(graph: nx.DiGraph, source: int) -> dict[int, float]:
    """Subtree sizes of the first-in-first-out tree."""
    parents = fifo_tree(graph, source)
    sizes = dict.fromkeys(parents, 0.0)
    for target in parents:
        vertex = target
        while vertex != source:
            sizes[vertex] += 1
            vertex = parents[vertex]
    return {vertex: size for vertex, size in sizes.items() if vertex != source}


def accuracy_from_rates(graph: nx.DiGraph, rates_of, times: np.ndarray) -> np.ndarray:
    """Expected accuracy at times t by summing every pair's own exponential."""
    n_pairs = len(graph) * (len(graph) - 1)
    known = np.full(len(times), float(graph.number_of_edges()))
    for source in graph:
        for vertex, rate in rates_of(graph, source).items():
            if not graph.has_edge(source, vertex):
                known += 1 - (1 - rate / n_pairs) ** times
    return known / n_pairs


def drawn_pairs(graph, n_steps, seed):
    """The pairs that `simulate` draws, decoded independently."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0])))
    pairs = [(x, y) for x in range(graph.n_entities) for y in range(graph.n_entities) if x != y]
    return [pairs[i] for i in rng.integers(0, graph.n_pairs, size=n_steps)]


@pytest.mark.parametrize("seed", range(3))
def test_every_step_equals_the_networkx_process(seed):
    graph = EntityGraph.random(25, 2.5, seed)
    states = learn(graph.to_networkx(), drawn_pairs(graph, 400, seed))
    run = simulate(graph, 400, seed, times=np.arange(401))
    known = np.rint(run.accuracy * graph.n_pairs)
    assert np.array_equal(known, [len(state) for state in states])
    assert set(zip(*np.nonzero(run.learned), strict=True)) == states[-1]


@pytest.mark.parametrize("ties", ["fifo", "random_parent", "uniform_path"])
def test_knowledge_only_grows_and_ends_at_the_reachable_pairs(ties):
    graph = EntityGraph.random(40, 1.8, 1)
    run = simulate(graph, 200_000, 5, ties=ties)
    assert np.all(np.diff(run.accuracy) >= 0)
    reachable = sum(len(nx.descendants(graph.to_networkx(), x)) for x in range(40))
    assert run.learned.sum() == reachable
    assert run.accuracy[-1] == reachable / graph.n_pairs


def test_same_seed_same_run_and_stream_ends_as_the_run():
    graph = EntityGraph.random(30, 3, 0)
    first, again = simulate(graph, 3000, 7), simulate(graph, 3000, 7)
    assert np.array_equal(first.learned, again.learned)
    *_, last = simulation_stream(graph, 3000, 7)
    assert np.array_equal(last.accuracy, first.accuracy)
    assert not np.array_equal(first.learned, simulate(graph, 3000, 8).learned)


TIMES = np.array([0, 3, 30, 100, 300, 1000, 3000, 10_000])


def test_fifo_expectation_sums_the_subtrees_of_the_oracle():
    graph = EntityGraph.random(60, 2.5, 4)
    oracle = accuracy_from_rates(graph.to_networkx(), fifo_rates, TIMES)
    np.testing.assert_allclose(expected_accuracy(graph, TIMES).accuracy, oracle, rtol=1e-12)


def test_uniform_path_expectation_enumerates_all_shortest_paths():
    graph = EntityGraph.random(50, 3.0, 4)
    oracle = accuracy_from_rates(graph.to_networkx(), uniform_path_rates, TIMES)
    curve = expected_accuracy(graph, TIMES, ties="uniform_path")
    np.testing.assert_allclose(curve.accuracy, oracle, rtol=1e-6)  # rates binned by 0.5 %


@pytest.mark.parametrize("ties", ["fifo", "random_parent", "uniform_path"])
def test_expectation_is_the_mean_of_simulated_runs(ties):
    graph = EntityGraph.random(100, 3.0, 2)
    times = np.unique(np.geomspace(20, 20_000, 10).astype(int))
    runs = simulate_runs(graph, 20_000, 400, seed=11, times=times, ties=ties)
    exact = expected_accuracy(graph, times, ties=ties, seed=11)
    z = (runs.accuracy - exact.accuracy) / runs.stderr
    assert np.abs(z).max() < 4


def test_complete_graph_knows_everything_at_once():
    graph = EntityGraph.random(8, 8.0, 0)
    np.testing.assert_allclose(expected_accuracy(graph, [0, 5]).accuracy, 1.0)


def test_path_graph_by_hand():
    """0 -> 1 -> 2: only (0, 2) is implicit, taught by the pair (0, 2) alone, k = 1, n = 6."""
    graph = EntityGraph.from_edges(3, [[0, 1], [1, 2]])
    np.testing.assert_allclose(
        expected_accuracy(graph, [0, 1, 2]).accuracy,
        [2 / 6, 2 / 6 + (1 / 6) / 6, 2 / 6 + (1 - (5 / 6) ** 2) / 6],
    )


def test_two_entities_are_enough():
    graph = EntityGraph.from_edges(2, [[0, 1]])
    assert simulate(graph, 10).accuracy[-1] == 0.5
    assert expected_accuracy(graph, [0, 10]).accuracy.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: expected_accuracy(g, [-1.0]), "0 or more"),
        (lambda g: expected_accuracy(g, [2, 1]), "sorted"),
        (lambda g: expected_accuracy(g, []), "non-empty"),
        (lambda g: expected_accuracy(g, [np.nan]), "finite"),
        (lambda g: expected_accuracy(g, [1], ties="lifo"), "'fifo', 'random_parent'"),
        (lambda g: expected_accuracy(g, [1], n_sources=1), "n_sources"),
        (lambda g: simulate(g, -1), "n_steps"),
        (lambda g: simulate(g, 5, times=[6]), "exceed"),
        (lambda g: simulate_runs(g, 5, 1), "n_runs"),
    ],
)
def test_bad_calls_are_refused_with_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(EntityGraph.random(10, 2, 0))


def test_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError):
        expected_accuracy(EntityGraph.random(10, 2, 0), [1], tie="fifo")  # type: ignore[call-arg]


def test_simulation_too_large_for_memory_is_refused_before_it_starts():
    graph = EntityGraph.random(1_000_000, 0.1, 0)
    with pytest.raises(ValueError, match="GB are free"):
        simulate(graph, 10)
