import networkx as nx
import numpy as np
import pytest

from graphsim import EntityGraph


def test_random_graph_has_binomial_edges_without_loops_or_repeats():
    n, degree = 300, 4.0
    counts = [EntityGraph.random(n, degree, seed).n_edges for seed in range(200)]
    mean, variance = n * (n - 1) * degree / n, n * (n - 1) * degree / n * (1 - degree / n)
    assert abs(np.mean(counts) - mean) < 4 * np.sqrt(variance / len(counts))
    assert np.var(counts) == pytest.approx(variance, rel=0.5)
    edges = EntityGraph.random(n, degree, 0).edges()
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert np.all(edges[:, 0] != edges[:, 1])


def test_random_graph_hits_every_pair_equally_often():
    n, degree, draws = 6, 2.0, 4000
    hits = np.zeros((n, n))
    for seed in range(draws):
        source, target = EntityGraph.random(n, degree, seed).edges().T
        hits[source, target] += 1
    off_diagonal = hits[~np.eye(n, dtype=bool)] / draws
    assert np.abs(off_diagonal - degree / n).max() < 4.5 * np.sqrt(degree / n / draws)


def test_complete_and_empty_graphs_are_the_ends_of_the_range():
    assert EntityGraph.random(5, 5.0, 0).n_edges == 20
    assert EntityGraph.random(5, 0.0, 0).n_edges == 0


def test_networkx_round_trip_keeps_edges_and_names():
    graph = nx.DiGraph([("Turing", "logic"), ("logic", "Gödel"), ("Gödel", "Turing")])
    back = EntityGraph.from_networkx(graph).to_networkx()
    assert set(back.edges) == set(graph.edges)
    assert list(back.nodes) == list(graph.nodes)


def test_loops_repeats_and_weights_of_networkx_are_dropped():
    graph = nx.MultiDiGraph()
    graph.add_edge(0, 1, weight=5.0)
    graph.add_edge(0, 1, weight=2.0)
    graph.add_edge(1, 1)
    assert EntityGraph.from_networkx(graph).edges().tolist() == [[0, 1]]


def test_giant_components_agree_with_networkx():
    graph = EntityGraph.random(400, 1.6, 3)
    oracle = graph.to_networkx()
    strong = max(nx.strongly_connected_components(oracle), key=len)
    some = next(iter(strong))
    giant = graph.giant_components()
    assert set(np.flatnonzero(giant.strong)) == strong
    assert set(np.flatnonzero(giant.outgoing)) == nx.descendants(oracle, some) | {some}
    assert set(np.flatnonzero(giant.incoming)) == nx.ancestors(oracle, some) | {some}


def test_configuration_model_keeps_most_degrees():
    rng = np.random.default_rng(0)
    outgoing = rng.poisson(3, 2000)
    incoming = rng.permutation(outgoing)
    graph = EntityGraph.configuration(outgoing, incoming, seed=1)
    degrees = np.diff(graph.indptr)
    assert np.all(degrees <= outgoing)
    assert degrees.sum() > 0.995 * outgoing.sum()


def test_stochastic_block_densities():
    sizes, p = [300, 200], [[0.05, 0.01], [0.0, 0.1]]
    source, target = EntityGraph.stochastic_block(sizes, p, seed=2).edges().T
    block = [source >= 300, target >= 300]
    counts = np.zeros((2, 2))
    np.add.at(counts, (block[0].astype(int), block[1].astype(int)), 1)
    assert counts[1, 0] == 0
    assert counts[0, 0] == pytest.approx(300 * 299 * 0.05, rel=0.07)
    assert counts[0, 1] == pytest.approx(300 * 200 * 0.01, rel=0.15)
    assert counts[1, 1] == pytest.approx(200 * 199 * 0.1, rel=0.07)


def test_edge_list_file(tmp_path):
    path = tmp_path / "edges.txt"
    path.write_text("# relations\nAlan Turing\tlogic\t0.5\nlogic\tGödel\n\n", encoding="utf-8")
    graph = EntityGraph.from_edge_list(path)
    assert graph.labels == ("Alan Turing", "logic", "Gödel")
    assert graph.edges().tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EntityGraph.random(1, 1.0, 0), "at least 2"),
        (lambda: EntityGraph.random(10, 11.0, 0), r"\[0, 10\]"),
        (lambda: EntityGraph.random(10, -1.0, 0), r"\[0, 10\]"),
        (lambda: EntityGraph.random(10**9, 500.0, 0), "GB are free"),
        (lambda: EntityGraph.from_edges(3, [[0, 3]]), r"edge \(0, 3\) is outside"),
        (lambda: EntityGraph.from_edges(3, [[0.5, 1.0]]), "integer pairs"),
        (lambda: EntityGraph.from_networkx(nx.Graph([(0, 1)])), "to_directed"),
        (lambda: EntityGraph.configuration([1, 1], [2, 1], 0), "must be equal"),
        (lambda: EntityGraph.stochastic_block([2, 2], [[0.5]], 0), "shape"),
        (lambda: EntityGraph.stochastic_block([2], [[1.5]], 0), r"\[0, 1\]"),
    ],
)
def test_bad_graphs_are_refused_with_a_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_edge_list_line_is_named(tmp_path):
    path = tmp_path / "edges.csv"
    path.write_text("a,b\nalone\n")
    with pytest.raises(ValueError, match="line 2"):
        EntityGraph.from_edge_list(path)


def test_edge_list_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "edges.bin"
    path.write_bytes(b"a b\n\xff\xfe\x00 c\n")
    with pytest.raises(ValueError, match=r"edges\.bin, line 2: not UTF-8"):
        EntityGraph.from_edge_list(path)
