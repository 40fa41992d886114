import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments.lab.source import source_of
from experiments.runs.archive import SHIPPED
from experiments.runs.files import read_json
from graphsim import average_accuracy
from paper_figs import (
    fig17_entigraph_schematic,
    fig18_random_graph,
    fig19_entigraph_law,
    fig20_qa_accuracy,
)
from paper_figs.files import figure_of
from tests.drawn import missing_numbers

matplotlib.use("Agg")


def drawn(module):
    axes, frame = module.draw(None)
    assert not missing_numbers(axes, frame)
    plt.close(figure_of(axes))
    return frame


def test_schematic_tells_five_stages():
    assert len(drawn(fig17_entigraph_schematic)) == 5


def test_the_star_covers_the_path_and_teaches_nothing_stated():
    frame = drawn(fig18_random_graph)
    edges = {
        kind: list(zip(rows["source"], rows["target"], strict=True))
        for kind, rows in frame.groupby("kind")
    }
    source = edges["path"][0][0]
    assert [target for _, target in edges["path"][1:]] == [target for _, target in edges["taught"]]
    assert {start for start, _ in edges["taught"]} == {source}
    assert set(edges["path"]) <= set(edges["stated"])
    assert not set(edges["taught"]) & set(edges["stated"])
    assert len(edges["taught"]) >= 2


def test_law_figure_holds_what_it_plots(monkeypatch):
    monkeypatch.setattr(fig19_entigraph_law, "_DEGREES", (3.0, 5.0))
    monkeypatch.setattr(fig19_entigraph_law, "_N_GRAPHS", 3)
    monkeypatch.setattr(fig19_entigraph_law, "_SIZES", {100: 20, 1000: 5})
    frame = drawn(fig19_entigraph_law)
    errors = frame[frame["panel"] == "degree"].pivot(index="x", columns="series", values="y")
    assert np.all(errors["printed"] < -0.1)
    assert np.all(np.abs(errors["corrected"]) < 0.02)
    assert {"V=100", "V=100000", "error V=100", "error V=1000"} <= set(frame["panel"])


def test_shipped_averages_are_of_todays_code_and_can_be_computed_again(monkeypatch, tmp_path):
    figure = fig19_entigraph_law
    source = source_of(average_accuracy)
    for path in (SHIPPED / figure.RECORDS).iterdir():
        said = "run `python -m paper_figs.fig19_entigraph_law`: the code of graphsim has changed"
        assert read_json(path)["source"] == source, said
    with monkeypatch.context() as patched:
        patched.setattr(figure, "source_of", lambda _: source)
        patched.setattr(figure, "average_accuracy", lambda **_: pytest.fail("not shipped"))
        for degree in figure._DEGREES:
            figure.averages(10_000, degree, figure._AT, figure._N_GRAPHS)
        for n_entities, n_graphs in figure._SIZES.items():
            figure.averages(n_entities, figure._DEGREE, figure._TIMES, n_graphs)
        shipped = figure.averages(10_000, 1.5, figure._AT, figure._N_GRAPHS)
    monkeypatch.setattr(figure, "SHIPPED", tmp_path)
    computed = figure.averages(10_000, 1.5, figure._AT, figure._N_GRAPHS)
    np.testing.assert_allclose(computed, shipped, rtol=1e-12)


def test_plateau_is_not_identified_once_slow_rates_are_allowed(monkeypatch):
    """Reference: the interval at 3x holds the published 64.5; at 10x it reaches the bound."""
    monkeypatch.setattr(fig20_qa_accuracy, "CAPS", (3, 10))
    frame = drawn(fig20_qa_accuracy)
    plateaus = frame[frame["panel"] == "plateau"].set_index("x")
    assert plateaus.loc[3, "low"] < 64.5456 < plateaus.loc[3, "high"]
    assert plateaus.loc[3, "identified"]
    assert plateaus.loc[10, "high"] == 100
    assert not plateaus.loc[10, "identified"]
