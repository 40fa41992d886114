"""One graph in every form that people have; what is no edge list is refused with its line."""

import gzip

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphsim import EntityGraph

NAMES = ["C#", "New York, NY", "#metoo; more", 'the "big" one', "http://x.org/a#b", "Gödel"]
EDGES = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (0, 2)]
PLAIN = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]


def quoted(name, separator):
    needs = separator in name or '"' in name or name.startswith("#")
    return '"' + name.replace('"', '""') + '"' if needs else name


def written(separator, names, *, before="", behind="", rows=EDGES):
    lines = (
        separator.join(quoted(names[i], separator) for i in pair) + behind.format(n=number)
        for number, pair in enumerate(rows)
    )
    return before + "\n".join(lines) + "\n"


def read(tmp_path, content, name="edges.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    graph = EntityGraph.from_edge_list(path)
    return {(graph.labels[i], graph.labels[j]) for i, j in graph.edges()}, graph.n_entities


@pytest.mark.parametrize("names", [PLAIN, NAMES], ids=["plain", "awkward"])
@pytest.mark.parametrize("separator", ["\t", ";", ",", " "])
@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("", ""),
        ("# a comment, with; separators\n\n", ""),
        ("source{s}target{s}weight\n", "{s}{{n}}"),
        ("Source{s}Target{s}Type{s}Weight\n", "{s}Directed{s}{{n}}"),
        ("", "{s}0.{{n}}"),
        ("", "{s}{{{{'weight': {{n}}, 'label': 'a, b; c'}}}}"),
    ],
)
def test_every_dialect_gives_the_same_graph(tmp_path, separator, names, before, behind):
    text = written(
        separator, names, before=before.format(s=separator), behind=behind.format(s=separator)
    )
    expected = {(names[i], names[j]) for i, j in EDGES}
    for content in (
        text.encode(), text.encode("utf-8-sig"), text.encode("utf-16"),
        text.replace("\n", "\r\n").encode(),
    ):  # fmt: skip
        assert read(tmp_path, content) == (expected, 6)


def test_arrows_decimal_commas_and_columns_in_another_order(tmp_path):
    expected = {(PLAIN[i], PLAIN[j]) for i, j in EDGES}
    assert read(tmp_path, written(" -> ", PLAIN)) == (expected, 6)
    assert read(tmp_path, written(";", PLAIN, behind=";0,{n}")) == (expected, 6)
    turned = "id,to,relation,from\n" + "".join(
        f"{n},{PLAIN[j]},knows,{PLAIN[i]}\n" for n, (i, j) in enumerate(EDGES)
    )
    assert read(tmp_path, turned) == (expected, 6)
    numbers = "citing,cited\n" + written(",", "012345")
    assert read(tmp_path, numbers) == ({(str(i), str(j)) for i, j in EDGES}, 6)
    # Entities that happen to be called like a header.
    letters = read(tmp_path, "u v\nv w\nw u\n")
    assert letters == ({("u", "v"), ("v", "w"), ("w", "u")}, 3)


def test_loops_and_repeats_are_as_in_networkx(tmp_path):
    text = written(" ", PLAIN) * 2 + "alpha alpha\nlonely lonely\n"
    (tmp_path / "nx.txt").write_text(text)
    oracle = nx.read_edgelist(tmp_path / "nx.txt", create_using=nx.DiGraph)
    loopless = {(a, b) for a, b in oracle.edges if a != b}
    assert read(tmp_path, text) == (loopless, len(oracle)) == (loopless, 7)


@pytest.mark.parametrize("suffix", ["graphml", "gexf"])
def test_graphs_in_xml_are_read_by_content(tmp_path, suffix):
    graph = nx.DiGraph([(NAMES[i], NAMES[j]) for i, j in EDGES])
    graph.add_node("alone")
    write = nx.write_graphml if suffix == "graphml" else nx.write_gexf
    write(graph, tmp_path / "graph")
    found = EntityGraph.from_edge_list(tmp_path / "graph").to_networkx()
    assert ({*found.edges}, {*found.nodes}) == ({*graph.edges}, {*graph.nodes})
    numbered = nx.convert_node_labels_to_integers(graph, label_attribute="label")
    write(numbered, tmp_path / "graph")
    labels = EntityGraph.from_edge_list(tmp_path / "graph").labels
    assert {*labels} == {*graph.nodes}
    write(graph.to_undirected(), tmp_path / "graph")
    with pytest.raises(ValueError, match="to_directed"):
        EntityGraph.from_edge_list(tmp_path / "graph")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("% matrix\n6 6 7\n1 2\n", "line 1: this is a Matrix Market file"),
        ("*Vertices 2\n1 a\n", "line 1: this is a Pajek file"),
        ('{"edges": []}\n', "line 1: this is JSON"),
        ("strict digraph g {\na -> b\n}\n", "line 1: this is a Graphviz"),
        ("<?xml version='1.0'?>\n<html/>\n", "neither GraphML nor GEXF"),
        ("<graphml>\n<graph\n", "not a readable graphml file"),
        (gzip.compress(b"a b\n", mtime=0), r"packed \(gzip\)"),
        ("a,b\nb,c\nalone\n", "line 3: two names needed, found 'alone'"),
        ("a,b\n\n# c\nb,\n", "line 4: two names needed"),
        ('a,b\n"b,c\n', "line 2: two names needed"),
        ("a -> b -> c\n", "line 1: .b. is neither a weight"),
        ("New York Los Angeles\n", "line 1: 'Los' is neither a weight"),
        ("a,knows,b\n", "line 1: 'b' is neither a weight"),
        ("a;b,c;d\n", "can be split at ';' and at ','"),
        ("Source,Target,Type\na,b,Directed\na,c,Undirected\n", "line 3: an undirected edge"),
        ("Source,Target\n", "names 0 entities"),
        ("\n# nothing\n", "names 0 entities"),
        (b"a b\nb \xff\n", "line 2: not UTF-8"),
    ],
)
def test_what_is_no_edge_list_is_refused_with_its_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_names_of_any_kind_survive_in_quotes(tmp_path_factory, data):
    """Whatever the names, the graph is the true one (names without line ends, stripped)."""
    letters = st.characters(codec="utf-8", exclude_characters="\r\n\x00")
    name = st.text(letters, min_size=1, max_size=8).map(str.strip).filter(bool)
    names = data.draw(st.lists(name, min_size=6, max_size=6, unique=True))
    separator = data.draw(st.sampled_from("\t;,"))
    text = f'"source"{separator}"target"\n' + "".join(
        separator.join('"' + names[i].replace('"', '""') + '"' for i in pair) + "\n"
        for pair in EDGES
    )
    folder = tmp_path_factory.mktemp("edges")
    expected = {(names[i], names[j]) for i, j in EDGES}
    assert read(folder, text) == (expected, 6)


def test_the_sums_over_a_large_file_hold(tmp_path):
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(1000, size=(20_000, 2)), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    text = "".join(f"n{i}\tn{j}\t1.5\n" for i, j in pairs)
    edges, n_entities = read(tmp_path, text)
    assert (len(edges), n_entities) == (len(pairs), len(np.unique(pairs)))
