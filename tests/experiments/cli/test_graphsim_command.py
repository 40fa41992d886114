import numpy as np
import pandas as pd
import pytest

from experiments.cli.graphsim import Graphsim
from graphsim import CurveTable, EntityGraph


def test_command_writes_every_curve_and_names_the_files(tmp_path, capsys):
    status = Graphsim(entities=120, points=30, runs=2, max_time=5.0, out=tmp_path).run()
    assert status == 0
    frame = pd.read_csv(tmp_path / "graphsim.csv")
    columns = {"steps", "s", "printed", "corrected", "exact", "simulation", "simulation_stderr"}
    assert columns <= set(frame.columns)
    assert not frame.isna().any().any()
    assert np.abs(frame["simulation"] / frame["exact"] - 1).max() < 0.1
    assert (tmp_path / "graphsim.png").stat().st_size > 5000
    assert "graphsim.png" in capsys.readouterr().out


def test_below_the_threshold_there_is_a_process_but_no_law(tmp_path, capsys):
    Graphsim(entities=100, mean_degree=0.8, points=10, out=tmp_path).run()
    assert "giant component is gone" in capsys.readouterr().err
    columns = pd.read_csv(tmp_path / "graphsim.csv").columns
    assert "exact" in columns
    assert "printed" not in columns


def test_near_critical_degree_is_one_sentence_on_stderr(tmp_path, capsys):
    Graphsim(entities=400, mean_degree=1.2, points=10, runs=0, out=tmp_path).run()
    said = capsys.readouterr().err
    assert "warning: mean_degree 1.2 is near critical" in said
    assert ".py" not in said


def test_interrupted_simulation_leaves_the_partial_csv(tmp_path, monkeypatch):
    passing = CurveTable.add_simulation

    def interrupted(self, **kwargs):
        yield next(passing(self, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(CurveTable, "add_simulation", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Graphsim(entities=500, points=20, out=tmp_path).run()
    frame = pd.read_csv(tmp_path / "graphsim.csv")
    assert frame["exact"].notna().all()
    assert frame["simulation"].notna().any()
    assert frame["simulation"].isna().any()


def test_edge_list_is_simulated_without_a_law(tmp_path):
    path = tmp_path / "edges.csv"
    edges = EntityGraph.random(50, 2, 0).edges()
    path.write_text("".join(f"e{x},e{y}\n" for x, y in edges))
    Graphsim(edges=path, points=10, out=tmp_path / "out").run()
    columns = pd.read_csv(tmp_path / "out" / "graphsim.csv").columns
    assert "simulation" in columns
    assert "corrected" not in columns


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": -1}, "--runs"),
        ({"points": 1}, "n_points"),
        ({"max_time": 0.0}, "max_time"),
        ({"entities": 1}, "at least 2"),
        ({"sources": 1}, "n_sources"),
    ],
)
def test_bad_options_are_refused_with_a_sentence(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Graphsim(**{"entities": 50, "out": tmp_path, **options}).run()
