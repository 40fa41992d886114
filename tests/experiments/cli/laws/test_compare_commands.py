"""`compare`, `predict`, `allocate`, `isoflop`, `forecast`: what they print, draw and save."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pandas as pd
import pytest

from experiments.cli.app import main
from experiments.cli.laws.budget import Allocate, Isoflop
from experiments.cli.laws.compare import Compare, Predict
from experiments.cli.laws.design import DesignCommand
from experiments.cli.laws.forecast import ForecastCommand
from experiments.cli.laws.rows import best_of_size
from scaling import allocate, compare_laws, design, fit_law, forecast, isoflop
from tests.scaling.designs import chinchilla, grid

FEW = ("chinchilla", "tied_chinchilla")


@pytest.fixture
def table():
    return grid(0).rename(columns={"n_params": "N", "n_tokens": "D", "loss": "val"})


@pytest.fixture
def runs(table, tmp_path):
    table.to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path / "runs.csv"


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def files(command, tmp_path, capsys):
    """Run a command with all its outputs: its JSON, and the CSV beside its figure."""
    options = {"plot": tmp_path / "p.png", "out": tmp_path / "o.json", "json": True}
    assert type(command)(**{**vars(command), **options}).run() == 0
    printed = answer(capsys)
    assert json.loads(options["out"].read_text()) == printed
    assert options["plot"].stat().st_size > 3000
    return printed, pd.read_csv(tmp_path / "p.csv")


def test_compare_prints_and_saves_what_compare_laws_finds(runs, table, tmp_path, capsys):
    command = Compare(table=runs, x=("N", "D"), y="val", laws=FEW)
    expected = compare_laws(table, FEW, x=["N", "D"], y="val")
    printed, drawn = files(command, tmp_path, capsys)
    assert printed["directions"]["compute"]["best"] == expected.best("compute")
    assert drawn["compute"].tolist() == pytest.approx(expected.table()["compute"].tolist())
    assert command.run() == 0
    said = capsys.readouterr().out
    for part in ("average", "compute: 9 of 36 rows held out", "95 % if it holds"):
        assert part in said


def test_predict_by_the_average_and_by_one_law(runs, table, tmp_path, capsys):
    at = ("N=7B", "n_tokens=1T", "n_tokens=2T")
    command = Predict(table=runs, x=("N", "D"), y="val", at=at)
    printed, drawn = files(command, tmp_path, capsys)
    sizes = {"N": [7e9, 7e9], "D": [1e12, 2e12]}
    expected = compare_laws(table, x=["N", "D"], y="val").predict(sizes)
    assert [row["mean"] for row in printed["predictions"]] == pytest.approx(list(expected["mean"]))
    assert drawn["D"].tolist() == sizes["D"]
    alone = Predict(table=runs, x=("N", "D"), y="val", at=at, law="chinchilla", json=True)
    assert alone.run() == 0
    fit = fit_law(table, "chinchilla", x=["N", "D"], y="val")
    lows = [row["low"] for row in answer(capsys)["predictions"]]
    assert lows == pytest.approx(list(fit.predict(sizes)["low"]))
    assert Predict(**{**vars(alone), "single_run": True}).run() == 0
    assert all(
        row["low"] < low for row, low in zip(answer(capsys)["predictions"], lows, strict=True)
    )


def test_predict_reads_sizes_from_a_file_and_warns_far_beyond_what_was_tested(
    runs, tmp_path, capsys
):
    sizes = pd.DataFrame({"name": ["huge"], "N": [1e14], "D": [1e15]})
    sizes.to_csv(tmp_path / "next.csv", index=False)
    at, plot = (str(tmp_path / "next.csv"),), tmp_path / "p.png"
    assert Predict(table=runs, x=("N", "D"), y="val", at=at, plot=plot).run() == 0
    said = capsys.readouterr().out
    assert "huge" in said
    assert "100T" in said
    assert "warning: " in said
    assert "were tested up to" in said


def test_allocate_prints_the_optima_of_allocate(runs, table, tmp_path, capsys):
    command = Allocate(table=runs, x=("N", "D"), y="val", budget=("1e21", "1e22"), n_boot=0)
    printed, drawn = files(command, tmp_path, capsys)
    fit = fit_law(table, "chinchilla", x=["N", "D"], y="val", n_boot=0)
    expected = allocate(fit, 1e22)
    assert printed["allocations"][1]["n_params"] == pytest.approx(expected.n_params)
    assert set(drawn["budget"]) >= {1e21, 1e22}
    served = Allocate(**{**vars(command), "inference_tokens": "1T"})
    assert served.run() == 0
    said = capsys.readouterr().out
    assert "inference of 1T tokens included" in said
    assert "CONVERGED" in said


def test_isoflop_prints_what_isoflop_finds(tmp_path, capsys):
    flops, size = (
        v.ravel() for v in np.meshgrid(np.geomspace(1e18, 1e20, 4), np.geomspace(3e7, 3e9, 9))
    )
    frame = pd.DataFrame(
        {"flops": flops, "n_params": size, "loss": chinchilla(size, flops / 6 / size)}
    )
    frame.to_csv(tmp_path / "runs.csv", index=False)
    printed, drawn = files(Isoflop(table=tmp_path / "runs.csv"), tmp_path, capsys)
    assert printed["exponent"] == pytest.approx(isoflop(frame).exponent)
    assert len(drawn) == 4
    assert Isoflop(table=tmp_path / "runs.csv").run() == 0
    assert "biased" in capsys.readouterr().out


def test_rows_are_chosen_by_value_and_by_the_lowest_loss_of_a_size(table, tmp_path, capsys):
    """Of two corpora and two learning rates, the rows that were there before are left."""
    worse = table.assign(val=table["val"] + 0.1, rate=2.0)
    mixed = pd.concat([table.assign(rate=1.0), worse]).assign(corpus="web, clean", part=25)
    other = mixed.assign(corpus="code", part=1, val=mixed["val"] + 1.0)
    pd.concat([other, mixed]).to_csv(tmp_path / "mixed.csv", index=False)
    table.to_csv(tmp_path / "alone.csv", index=False)
    options = {"x": ("N", "D"), "y": "val", "laws": FEW, "json": True}
    found = []
    for name, chosen in (
        ("mixed", ("corpus=web, clean",)),
        ("mixed", ("part=25.0",)),
        ("alone", ()),
    ):
        one = Compare(table=tmp_path / f"{name}.csv", where=chosen, best_of_size=True, **options)
        assert one.run() == 0
        found.append(answer(capsys))
    assert found[0] == found[1] == found[2]
    for words, said in (
        ("corpus=books", "its values are code, web, clean"),
        ("corpse=1", "columns N"),
    ):
        with pytest.raises(ValueError, match=said):
            Compare(table=tmp_path / "mixed.csv", where=(words,), **options).run()


def test_the_stated_unique_tokens_are_a_column(runs, table, capsys):
    laws, ways = ("tied_chinchilla",), ("repetitions",)
    options = {"x": ("N", "D"), "y": "val", "laws": laws, "directions": ways, "json": True}
    command = Compare(table=runs, unique_tokens="3B", **options)
    assert command.run() == 0
    frame = table.assign(U=3e9)
    expected = compare_laws(frame, laws, x=["N", "D", "U"], y="val", directions=ways)
    assert answer(capsys)["directions"] == expected.to_dict()["directions"]
    law = Predict(
        table=runs, x=("N", "D"), y="val", unique_tokens="3B", law="chinchilla", at=("N=1B", "D=1T")
    )
    assert law.run() == 0  # a law that does not read them
    frame = table.assign(n_unique_tokens=3e9)
    frame.to_csv(runs, index=False)
    with pytest.raises(ValueError, match="leave `--unique-tokens` out"):
        command.run()


def test_each_command_ends_with_one_that_runs_next(runs, monkeypatch, capsys):
    """From `audit` on, the printed commands run as printed."""
    monkeypatch.setenv("COLUMNS", "400")
    asked, reached = [["audit", str(runs), "--x", "N", "D", "--y", "val"]], []
    while asked:
        words = asked.pop(0)
        assert main(words) == 0, words
        reached.append(words[0])
        lines = capsys.readouterr().out.splitlines()
        asked += [shlex.split(line)[2:] for line in lines if line.startswith("next: ")]
    assert reached == ["audit", "compare", "predict", "design"]


def test_the_next_design_has_the_columns_that_its_law_reads(table, runs, capsys):
    table.assign(U=1e12).to_csv(runs, index=False)
    few = {"y": "val", "laws": ("tied_chinchilla",), "directions": ("n_params",)}
    for x in (("N", "D", "U"), ("n_tokens=D", "n_params=N")):
        assert Compare(table=runs, x=x, **few).run() == 0
        assert "next: datawall design" in (said := capsys.readouterr().out)
        assert "--x N D --y val --law tied_chinchilla" in said


def test_a_time_that_every_run_measures_is_no_size():
    frame = pd.DataFrame({"n_params": [1, 1, 2], "time": [3, 4, 4], "loss": [2.0, 1.0, 3.0]})
    assert best_of_size(frame, ["n_params", "time"], "loss").index.tolist() == [1, 2]
    assert best_of_size(frame, ["time"], "loss").index.tolist() == [0, 1]


def test_an_argument_of_a_function_is_named_as_the_option(runs, capsys):
    assert main(["compare", str(runs)]) == 2
    assert "n_unique_tokens with `--x`, in this order" in capsys.readouterr().err
    assert main(["compare", str(runs), "--x", "N", "D"]) == 2
    assert "name that of the loss with `--y`" in capsys.readouterr().err


def test_design_suggests_the_runs_of_design(runs, table, tmp_path, capsys):
    command = DesignCommand(table=runs, x=("N", "D"), y="val", budget="1e21", n_boot=0)
    printed, drawn = files(command, tmp_path, capsys)
    fit = fit_law(table, "chinchilla", x=["N", "D"], y="val", n_boot=0)
    expected = design(fit, 1e21)
    assert [run["N"] for run in printed["runs"]] == pytest.approx(list(expected.runs["N"]))
    assert (drawn["kind"] == "suggested").sum() == 3
    assert command.run() == 0
    assert "next 3 runs for 1e+21 FLOPs by chinchilla" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "budget"), [(Allocate, ("1e21",)), (DesignCommand, "1e21")])
def test_only_the_last_checkpoint_of_each_run_is_fitted_if_asked(
    command, budget, table, tmp_path, capsys
):
    """Earlier checkpoints at the same size, whose loss is 1 higher, would move the fit."""
    last = table.assign(run_name=[f"r{row}" for row in range(len(table))], step=200)
    early = last.assign(step=100, val=last["val"] + 1.0)
    pd.concat([early, last]).sort_index(kind="stable").to_csv(tmp_path / "h.csv")
    last.to_csv(tmp_path / "last.csv")
    options = {"x": ("N", "D"), "y": "val", "budget": budget, "n_boot": 0, "json": True}
    found = []
    for name in ("h.csv", "last.csv"):
        assert command(table=tmp_path / name, checkpoints="last", **options).run() == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    with pytest.raises(ValueError, match="2 checkpoints of a run have the same N, D"):
        command(table=tmp_path / "h.csv", **options).run()


@pytest.mark.long
def test_forecast_prints_what_forecast_finds(tmp_path, capsys):
    step = np.geomspace(100, 1e4, 16)
    frame = pd.DataFrame({"step": step, "loss": 2 + 30 * step**-0.5})
    frame.to_csv(tmp_path / "runs.csv", index=False)
    command = ForecastCommand(table=tmp_path / "runs.csv", x="step", at=("20k",))
    printed, _ = files(command, tmp_path, capsys)
    expected = forecast(frame, "step").predict([2e4])
    assert printed["forecast"][0]["mean"] == pytest.approx(float(expected["mean"].iloc[0]))
    assert command.run() == 0
    assert "whole curves" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        (Compare, {"laws": ("linear",)}, "`law` must be one of"),
        (Compare, {"directions": ("width",)}, "a direction must be one of"),
        (Predict, {"at": ("N:7B", "D=1T"), "law": "chinchilla"}, "takes column=value"),
        (Predict, {"at": ("N=7B",), "law": "chinchilla"}, "gives no value of D"),
        (Predict, {"at": ("N=big", "D=1T"), "law": "chinchilla"}, "must be a number above 0"),
        (Allocate, {"budget": ("1e21",), "law": "power"}, "must be one of chinchilla, tied"),
        (DesignCommand, {"budget": "1e21", "law": "power"}, "must be one of chinchilla, tied"),
        (DesignCommand, {"budget": "1e10"}, r"too few .*: 1.8e\+17 to .* are possible"),
        (DesignCommand, {"budget": "1e30"}, r"too many .*: 1.8e\+17 to .* are possible"),
        (Allocate, {"budget": ("none",)}, "--budget must be a number above 0"),
    ],
)
def test_bad_input_says_what_is_allowed(runs, command, options, said):
    with pytest.raises(ValueError, match=said):
        command(table=runs, x=("N", "D"), y="val", **options).run()
