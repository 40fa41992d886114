"""`datawall fit` and `datawall limit`: from a file to an asymptote, and nothing on bad input."""

from __future__ import annotations

import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from experiments.cli.app import main
from experiments.cli.laws.audit import AuditCommand
from experiments.cli.laws.fit import Fit, LawName, Limit
from scaling import LAWS, FitResult


@pytest.fixture
def runs(tmp_path):
    n, k = (v.ravel() for v in np.meshgrid([0.15, 0.3, 0.6, 1.4], np.arange(1.0, 6.0)))
    noise = np.random.default_rng(0).normal(0, 0.002, 20)
    loss = 3.17 + 0.1 * n**-0.9 + 0.16 * n**-0.35 / k + noise
    path = tmp_path / "runs.csv"
    pd.DataFrame({"n_params": n, "n_members": k, "loss": loss}).to_csv(path, index=False)
    return path


def test_fit_prints_and_saves(runs, tmp_path, capsys):
    out = tmp_path / "fit.json"
    assert Fit(table=runs, law="ensemble", out=out).run() == 0
    said = capsys.readouterr().out
    for part in ("E + A / N^alpha", "profile likelihood", "CONVERGED", "95 % interval"):
        assert part in said
    assert FitResult.from_json(out).params["E"] == pytest.approx(3.17, abs=0.01)


def test_fit_draws(runs, tmp_path):
    single, plot = tmp_path / "single.csv", tmp_path / "fit.png"
    pd.read_csv(runs).query("n_members == 1").to_csv(single, index=False)
    assert Fit(table=single, law="power", plot=plot).run() == 0
    assert plot.stat().st_size > 5000
    curves = pd.read_csv(plot.with_suffix(".csv"))
    assert {"curve", "x", "mean", "low", "high", "extrapolated"} <= set(curves)


def test_every_law_can_be_chosen():
    assert get_args(LawName) == tuple(sorted(LAWS))


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


def test_two_losses_of_a_run_at_one_step_need_a_choice(tmp_path, capsys):
    """A run that was resumed at an earlier checkpoint has replaced its later ones."""
    steps = [100, 200, 400, 800, 1600]
    rows = [f"a,{step},{2 + 30 * step**-0.5}" for step in steps]
    again = [f"a,{step},{2.1 + 30 * step**-0.5}" for step in [800, 1600, 3200]]
    table = tmp_path / "metrics.csv"
    table.write_text("\n".join(["run,step,loss", *rows, *again]))
    command = ["fit", str(table), "--x", "step", "--n-boot", "0"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "metrics.csv, line 7: the run has another loss at this step in line 5" in said
    assert main([*command, "--checkpoints", "all"]) == 0
    table.write_text("\n".join(["run,step,loss", *rows[:3], *again]))
    assert main(command) == 0
    table.write_text("\n".join(["run,step,n_params,loss", *(
        f"family,1000,{step},{2 + 30 * step**-0.5}" for step in steps
    )]))  # fmt: skip
    assert main(["fit", str(table), "--n-boot", "0"]) == 0
    table.write_text("\n".join(["n_params,step,seed,loss", *(
        f"{step},{step},{seed},{2 + seed / 100 + 30 * step**-0.5}"
        for step in steps for seed in (0, 1)
    )]))  # fmt: skip
    assert main(["fit", str(table), "--n-boot", "0"]) == 0


def test_checkpoints_of_runs_at_one_size_need_a_choice(tmp_path, capsys):
    table = tmp_path / "history.csv"
    sizes = [1e6, 3e6, 1e7, 3e7, 1e8]
    rows = [
        f"r{n:g},{step},{n:g},{2 + 30 * n**-0.2 + 100 / step}"
        for n in sizes
        for step in (100, 200, 10_000_000)
    ]
    table.write_text("\n".join(["run_name,_step,n_params,loss", *rows]))
    out = tmp_path / "fit.json"
    command = ["fit", str(table), "--n-boot", "0", "--out", str(out)]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "lines 2 to 4: 3 checkpoints of a run have the same n_params" in said
    assert "`--checkpoints last`" in said
    assert main([*command, "--checkpoints", "last"]) == 0
    fit = FitResult.from_json(out)
    assert fit.n_rows == 5
    assert fit.params["E"] == pytest.approx(2.0, abs=0.01)
    assert main([*command, "--checkpoints", "all"]) == 0
    assert FitResult.from_json(out).n_rows == 15
    assert main([*command, "--x", "_step", "--fixed", "alpha=1"]) == 0  # a curve uses all rows


def test_rows_of_unnamed_runs_can_be_declared(tmp_path, capsys):
    table = tmp_path / "grid.csv"
    rows = [f"{n},{s},{2 + 9 * n**-0.3}" for n in (1e3, 1e4, 1e5, 1e6) for s in (10, 20)]
    table.write_text("\n".join(["n_params,step,loss", *rows]))
    assert main(["fit", str(table), "--n-boot", "0"]) == 2
    assert "line 4: step starts again at 10" in capsys.readouterr().err
    assert main(["fit", str(table), "--n-boot", "0", "--checkpoints", "all"]) == 0


def test_what_was_taken_for_what_is_said_in_a_line(tmp_path, capsys):
    table = tmp_path / "runs.csv"
    table.write_text("n_params;loss\n1M;4,31\n3M;3,905\n10M;3,56\n30M;3,31\n0,1B;3,105\n")
    assert main(["fit", str(table), "--n-boot", "0"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "runs.csv: separator semicolon; decimal comma in n_params, loss; "
        "units (1M = 1e6) in n_params"
    ]
    table.write_text("n_params;loss\n1;3,905\n2;3,5\n3;3.3\n4;3,1\n")
    assert main(["fit", str(table), "--decimal", ","]) == 2
    assert "column 'loss', line 2: '3,905' has another decimal sign" in capsys.readouterr().err
