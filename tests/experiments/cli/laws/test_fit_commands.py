"""`datawall fit` and `datawall limit`: from a file to an asymptote, and nothing on bad input."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from experiments.cli.laws.audit import AuditCommand
from experiments.cli.laws.fit import Fit, Limit
from scaling import FitResult


@pytest.fixture
def runs(tmp_path):
    n, k = (v.ravel() for v in np.meshgrid([0.15, 0.3, 0.6, 1.4], np.arange(1.0, 6.0)))
    noise = np.random.default_rng(0).normal(0, 0.002, 20)
    loss = 3.17 + 0.1 * n**-0.9 + 0.16 * n**-0.35 / k + noise
    path = tmp_path / "runs.csv"
    pd.DataFrame({"n_params": n, "n_members": k, "loss": loss}).to_csv(path, index=False)
    return path


def test_fit_prints_saves_and_draws(runs, tmp_path, capsys):
    plot, out = tmp_path / "fit.png", tmp_path / "fit.json"
    assert Fit(table=runs, law="ensemble", plot=plot, out=out).run() == 0
    said = capsys.readouterr().out
    for part in ("E + A / N^alpha", "profile likelihood", "CONVERGED", "95 % interval"):
        assert part in said
    saved = FitResult.from_json(out)
    assert saved.params["E"] == pytest.approx(3.17, abs=0.01)
    assert plot.stat().st_size > 5000
    curves = pd.read_csv(plot.with_suffix(".csv"))
    assert {"curve", "x", "mean", "low", "high", "extrapolated"} <= set(curves)


def test_fit_as_json(runs, capsys):
    assert Fit(table=runs, law="ensemble", fixed=("gamma=free",), json=True).run() == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["params"]["gamma"] == pytest.approx(1.0, abs=0.1)
    assert "draws" not in answer


def test_limit_prints_the_limit_and_both_orders(runs, capsys):
    assert Limit(table=runs).run() == 0
    said = capsys.readouterr().out
    assert "joint limit 3.1" in said
    assert "members first" in said
    assert Limit(table=runs, json=True).run() == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["interval_95"][0] < answer["limit"] < answer["interval_95"][1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"y": "val_loss"}, "column 'val_loss' is missing"),
        ({"fixed": ("E:3",)}, "takes name=number"),
        ({"plot": "fit.gif"}, r"must end in \.png"),
        ({"out": "missing/fit.json"}, "does not exist"),
        ({"plot": "runs.png"}, "would overwrite"),
        ({"law": "linear"}, "`law` must be one of"),
    ],
)
def test_bad_input_writes_nothing(runs, tmp_path, options, said):
    before = sorted(path.name for path in tmp_path.iterdir())
    content = runs.read_bytes()
    options = {k: tmp_path / v if k in ("plot", "out") else v for k, v in options.items()}
    with pytest.raises(ValueError, match=said):
        Fit(table=runs, **options).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert runs.read_bytes() == content


def test_audit_prints_problems_and_fit_repeats_those_it_does_not_warn_of(tmp_path, capsys):
    n = np.geomspace(1e6, 163e6, 8)
    frame = pd.DataFrame({"n_params": n, "n_tokens": 20 * n, "loss": 2 + 30 * n**-0.2})
    path, out = tmp_path / "runs.csv", tmp_path / "audit.json"
    frame.to_csv(path, index=False)
    assert AuditCommand(table=path, unique_tokens="117M", out=out).run() == 0
    said = capsys.readouterr().out
    assert "read up to 28 times (line 5, line 6" in said
    assert {one["kind"] for one in json.loads(out.read_text())["findings"]} == {
        "repetitions", "collinear design", "no replicates",
    }  # fmt: skip
    frame.assign(n_unique_tokens=117e6).to_csv(path, index=False)
    assert Fit(table=path, law="tied_chinchilla").run() == 0
    said = capsys.readouterr().out
    assert said.count("move together") == 1
    assert "audit: n_tokens exceeds the unique tokens in" in said
    assert "audit: n_tokens = 20 n_params" not in said
