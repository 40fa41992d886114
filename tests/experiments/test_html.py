"""What notebooks show: every result has HTML, escaped, without colours of its own."""

import html.parser
import re

import numpy as np
import pandas as pd
import pytest

from experiments.claims.claim import Claim, Claims
from experiments.planner.published import published_plan
from experiments.runs.store import RunStore
from graphsim import CurveTable, EntityGraph, expected_accuracy, phases, simulate
from scaling import (
    DataEfficiency,
    allocate,
    compute_exponent,
    data_efficiency,
    fit_law,
    forecast,
    joint_limit,
)
from scaling.results import markup

SIZES = np.array([1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8])


class Nesting(html.parser.HTMLParser):
    """Fails where a tag is closed that was not opened last."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def shown(result) -> str:
    text = result._repr_html_()
    Nesting(text)
    assert set(re.findall(r"(?:color|background)[^;\"]*", text)) == set()
    return text


def power(y="loss"):
    return pd.DataFrame({"n_params": SIZES, y: 2.0 + 80 / SIZES**0.4})


def claim(statement: str) -> Claim:
    return Claim(
        id="P1", statement=statement, verdict="supported", quantity="gain", value=0.5, low=0.25,
        high=0.75, detail="of 3", rule="above zero", n_samples=3,
    )  # fmt: skip


def test_a_table_sets_numbers_to_the_right_and_escapes_texts():
    text = markup.table(("a", "<b>"), [("x & y", "1.5 [1, 2]"), ("z", "-2")])
    Nesting(text)
    assert re.findall(r'<td style="text-align: (\w+)', text) == ["left", "right"] * 2
    assert "x &amp; y" in text
    assert "&lt;b&gt;" in text


def test_fits_and_what_follows_from_them():
    frame = power("<loss>")
    fit = fit_law(frame, "power", x="n_params", y="<loss>")
    text = shown(fit)
    assert "&lt;loss&gt;" in text
    assert "<loss>" not in text
    assert "<b>CONVERGED</b>" in text
    assert "0.4" in text
    tokens = power().rename(columns={"n_params": "n_tokens"})
    efficiency = data_efficiency(fit_law(tokens, "power", x="n_tokens", y="loss"), 2.1, at=1e5)
    assert isinstance(efficiency, DataEfficiency)
    assert "the reference needs" in shown(efficiency)


@pytest.mark.long
def test_forecasts():
    assert "hold-out error" in shown(forecast(power(), "n_params", "loss"))


def test_allocations():
    grid = pd.DataFrame(
        [(n, d, 1.7 + 400 / n**0.34 + 410 / d**0.28) for n in SIZES for d in 20 * SIZES],
        columns=["n_params", "n_tokens", "loss"],
    )
    fit = fit_law(grid, "chinchilla", x=["n_params", "n_tokens"], y="loss", n_boot=0)
    assert "Compute-optimal for 1e+20 FLOPs" in shown(allocate(fit, 1e20))
    budgets = pd.DataFrame({"flops": [1e18, 1e19, 1e20], "n_params": [1e7, 3e7, 1e8]})
    found = compute_exponent(budgets)
    assert "3 budgets" in shown(found)
    assert "N* = " in str(found)


def test_joint_limits_tell_their_status():
    rows = [(n, k, 2.0 + 80 / n**0.4 + 2 / (n**0.1 * k)) for n in SIZES[:4] for k in (1, 2, 3, 4)]
    limit = joint_limit(pd.DataFrame(rows, columns=["n_params", "n_members", "loss"]))
    text = shown(limit)
    assert "nested, members first" in text
    assert f"<b>{limit.status.name}</b>" in text


@pytest.mark.parametrize("compute", [None, 1e20])
def test_plans(compute):
    text = shown(published_plan(2e8, compute=compute))
    assert "200M unique tokens" in text
    assert ("best use of 1e+20 FLOPs" in text) == (compute is not None)


def test_claims_alone_and_together():
    claims = Claims([claim("a < b"), claim("c")])
    assert "a &lt; b" in shown(claims)
    assert "2 claims" in shown(claims)
    assert "<b>supported</b>: gain: 0.5 [0.25, 0.75]. of 3" in shown(claims[0])


def test_a_store_says_what_it_holds(tmp_path, sample):
    store = RunStore(tmp_path)
    assert "holds no runs" in shown(store)
    for seed in range(2):
        sample.train(store, sample.spec(seed))
    text = shown(store)
    assert "2 done" in text
    assert ">decay</th>" in text


def test_results_of_the_graph():
    graph = EntityGraph.random(30, 3.0, seed=0)
    assert "mean degree" in shown(graph)
    assert str(graph) == f"30 entities, {graph.n_edges:,} edges"
    curve = expected_accuracy(graph, np.geomspace(0.1, 5, 40), per_pair=True)
    text = shown(curve)
    assert "expected accuracy from 30 sources; 10 of 40 rows shown" in text
    assert f"{curve.accuracy[-1]:.4g}" in text
    run = simulate(graph, n_steps=100, times=[10, 100], seed=0)
    assert "one run of 100 steps on 30 entities" in shown(run)
    assert "rows shown" not in shown(run)
    assert "plateau" in shown(phases(3.0, 1000))
    assert "share of pairs known" in shown(CurveTable(graph, max_time=1, n_points=5))
