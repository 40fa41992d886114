"""`datawall plan --entigraph`: graphs whose expectation is known in closed form."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from experiments.cli.app import EXIT_BAD_INPUT, main
from experiments.planner.entigraph import AskedGraph, asked_graph, plan_calls
from graphsim import EntityGraph, simulate
from models.augment.writing.asking import Prices

CHAIN = "It seems that Ada met Bob. So that Bob met Eve. And that Eve met Ida."
"""By the sentences Ada - Bob - Eve - Ida. Of the implied pairs, four are stated by one draw alone
(from either end to the other, Bob and Ida, Eve and Ada), and two by two draws of twelve."""


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(CHAIN, encoding="utf-8")
    return folder


def learned(calls, n_pairs):
    """Expected share of the implied pairs of a chain of four, where calls draw n_pairs pairs."""
    one, two = (1 - (1 - k / n_pairs) ** calls for k in (1, 2))
    return (4 * one + 2 * two) / 6


def write_edges(path, names="abcd"):
    pairs = itertools.pairwise(names)
    lines = [f"{a}\t{b}\n{b}\t{a}\n" for a, b in pairs]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_a_chain_is_stated_as_its_closed_form_says(tmp_path):
    asked = asked_graph(write_edges(tmp_path / "graph.tsv"))
    plan = plan_calls(asked, [1, 10, 40])
    assert plan.n_implied == pytest.approx(6)
    for row in plan.chosen:
        assert row.share == pytest.approx(learned(row.calls, 12), rel=2e-3)
    half, most = plan.levels
    assert learned(half.calls, 12) == pytest.approx(0.5, abs=1e-3)
    assert learned(most.calls, 12) == pytest.approx(0.9, abs=1e-3)
    assert half.share == pytest.approx(0.5)


def test_of_texts_each_call_sees_one_document(texts):
    asked = asked_graph(texts)
    assert (asked.n_documents, asked.n_asked) == (2, 24)
    row = plan_calls(asked, [10]).chosen[0]
    # The same names in both: no chain runs from one document to the other.
    assert row.share == pytest.approx(learned(10, 24), rel=2e-3)
    assert row.implied == pytest.approx(12 * learned(10, 24), rel=2e-3)


def test_a_random_graph_is_stated_as_simulated():
    graph = EntityGraph.random(60, 2.0, seed=3)
    asked = asked_of(graph)
    n = 3_000
    plan = plan_calls(asked, [n])
    runs = [simulate(graph, n, seed=seed).accuracy[-1] for seed in range(8)]
    implied = sum(runs) / len(runs) * graph.n_pairs - graph.n_edges
    assert plan.chosen[0].implied == pytest.approx(implied, rel=0.03)


def asked_of(graph):
    return AskedGraph(name="a graph", graph=graph, n_asked=graph.n_pairs)


def test_augment_writes_the_graph_that_the_plan_reads(texts, tmp_path, capsys):
    out = tmp_path / "new"
    assert main(["augment", "entigraph", str(texts), "--out", str(out), "--no-quality"]) == 0
    assert "graph of the entities" in capsys.readouterr().err
    prices = ["--price-prompt", "2", "--price-reply", "0"]
    assert main(["plan", "--entigraph", str(out), "--calls", "10", *prices, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    row = found["calls"][0]
    assert row["share"] == pytest.approx(learned(10, 24), rel=2e-3)
    assert row["cost"] == pytest.approx(10 * found["prompt_tokens_per_call"] * 2 / 1e6)
    assert found["tokens_are_recorded"]
    # The files hold one graph of both documents, which other programs read.
    for name in ("graph.tsv", "graph.graphml"):
        assert EntityGraph.from_edge_list(out / ".augment" / name).n_entities == 4
    assert main(["plan", "--entigraph", str(texts), "--calls", "1k"]) == 0
    assert "1,024 tokens, at most" in " ".join(capsys.readouterr().out.split())


def test_a_price_needs_tokens(tmp_path):
    asked = asked_graph(write_edges(tmp_path / "graph.tsv"))
    with pytest.raises(ValueError, match="does not say how many tokens a call takes"):
        plan_calls(asked, prices=Prices(prompt=1.0))


def test_a_sample_of_sources_agrees_with_all(monkeypatch):
    from experiments.planner import entigraph

    graph = EntityGraph.random(400, 3.0, seed=0)
    exact = plan_calls(asked_of(graph)).levels
    monkeypatch.setattr(entigraph, "MOST_WORK", 160 * (400 + graph.n_edges))
    sampled = plan_calls(asked_of(graph)).levels
    for one, other in zip(exact, sampled, strict=True):
        assert one.stderr == 0 < other.stderr
        assert math.log(other.calls / one.calls) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "It seems that Ada sat. So that Bob stood.",
            "no sentence names two of the entities together",
        ),
        ("It seems that Ada met Bob.", "imply no others"),
        ("nothing at all", "names 0 entities"),
    ],
)
def test_an_empty_graph_is_refused(tmp_path, capsys, text, said):
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert main(["plan", "--entigraph", str(tmp_path)]) == EXIT_BAD_INPUT
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give --unique-tokens"),
        (["--unique-tokens", "1M", "--calls", "10"], "apply to --entigraph"),
        (["--unique-tokens", "1M", "--entigraph", "x"], "goes with --calls"),
        (["--entigraph", "nowhere"], "no such file"),
        (["--entigraph", "nowhere.tsv"], "nowhere.tsv"),
        (["--entigraph", "nowhere", "--calls", "-1"], "--calls"),
    ],
)
def test_mistakes_are_one_sentence(arguments, said, capsys):
    assert main(["plan", *arguments]) != 0
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
