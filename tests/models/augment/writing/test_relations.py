"""The graph of entities of a text, and the files that graph programs read."""

import networkx as nx
import pytest

from graphsim import EntityGraph
from models.augment.writing.documents import Chunk
from models.augment.writing.relations import SourceGraph, stated_pairs


def chunk(text, source="a.txt", part=0, n_parts=1):
    return Chunk(source_id=source, part=part, n_parts=n_parts, text=text)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("Ada met Babbage. London was far.", [(0, 1)]),
        ("ADA saw\nbabbage in London!", [(0, 1), (0, 2), (1, 2)]),
        ("Adam met Babbages. Nobody else came.", []),  # parts of other words
        ("Ada\n\nBabbage", []),  # paragraphs end sentences
        ("Ada and Ada met.", []),
    ],
)
def test_a_relation_is_stated_where_a_sentence_names_both(text, stated):
    assert stated_pairs(text, ["Ada", "Babbage", "London"]) == stated


def test_names_without_spaces_around_them_are_found():
    assert stated_pairs(
        "東京で夏目漱石は書いた。正岡子規は病んだ。", ["東京", "夏目漱石", "正岡子規"]
    ) == [(0, 1)]


def test_names_that_differ_in_case_or_width_are_one_entity_in_all_documents():
    graph = SourceGraph()
    graph.add(chunk("Ada met Bob."), ("Ada", "Bob"))
    graph.add(chunk("ADA met Eve.", "b.txt", 1, 2), ("ＡＤＡ", "Eve"))
    found = graph.to_networkx()
    assert set(found) == {"Ada", "Bob", "Eve"}
    assert found.nodes["Ada"]["documents"] == '["a.txt", "b.txt#1"]'
    assert set(found.edges) == {("Ada", "Bob"), ("Bob", "Ada"), ("Ada", "Eve"), ("Eve", "Ada")}


def test_both_files_hold_the_same_graph_whatever_the_names(tmp_path):
    names = ("# one", 'the "two"', "three -> 3", "set {4}", "5, five; V", "alone", "bell\x07")
    text = " and ".join(names[:5]) + ". Some are alone."
    graph = SourceGraph(prompt_tokens=10.5)
    graph.add(chunk(text), names)
    xml, edges = tmp_path / "graph.graphml", tmp_path / "graph.tsv"
    graph.write(xml, edges)
    assert nx.read_graphml(xml).graph["prompt_tokens"] == 10.5
    wanted = {(a, b) for a in names[:5] for b in names[:5] if a != b}
    for path in (xml, edges):
        read = EntityGraph.from_edge_list(path)
        assert set(read.labels) == {*names[:6], "bell"}
        assert {(read.labels[a], read.labels[b]) for a, b in read.edges()} == wanted
