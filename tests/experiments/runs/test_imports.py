"""Runs of others: the shapes in which wandb and plain tables come."""

import csv
import json
import math

import numpy as np
import pandas as pd
import pytest

from experiments.cli.app import main
from experiments.runs.store import RunStore
from scaling import fit_law, load_dataset
from scaling.files import Dialect
from scaling.published.datasets import DATASETS
from tests.data import needed

COLUMNS = {"validation_loss": "val/loss", "n_params": "params"}


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def write_csv(path, header, *rows):
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return path


def losses(frame):
    return dict(zip(frame["run_id"], frame["validation_loss"], strict=True))


def test_a_table_of_runs_from_the_pages_of_wandb(store, tmp_path):
    path = write_csv(
        tmp_path / "wandb_export_2025-01-02T10_00_00.000+01_00.csv",
        ("Name", "State", "Notes", "Created", "params", "_step", "val/loss"),
        ("clever-sun-1", "finished", "two\nlines", "2025-01-01", "1e6", "900", "3.25"),
        ("dark-sun-2", "crashed", "-", "2025-01-01", "2000000", "100", "NaN"),
        ("big-sun-3", "finished", "-", "2025-01-01", "4000000", "900", ""),
        ("big-sun-3", "finished", "-", "2025-01-01", "4000000", "900", "3.05"),
    )
    frame = store.import_runs(path, COLUMNS, constants={"n_unique_tokens": 200_000_000})
    source = "wandb_export_2025-01-02T10_00_00.000_01_00"
    assert frame["run_id"].tolist() == [
        f"{source}/{name}" for name in ("clever-sun-1", "dark-sun-2", "big-sun-3@5", "big-sun-3@6")
    ]
    assert frame["source"].unique().tolist() == [source]
    assert frame["status"].unique().tolist() == ["imported"]
    assert frame["n_params"].tolist() == [1e6, 2e6, 4e6, 4e6]
    assert frame["n_unique_tokens"].tolist() == [200_000_000] * 4
    assert frame["reason"].fillna("").tolist() == [
        "",
        "validation_loss is not a number; its state is crashed",
        "validation_loss is missing",
        "",
    ]
    assert [math.isnan(loss) for loss in frame["validation_loss"]] == [False, True, True, False]


def test_they_stand_beside_ours_and_are_never_mistaken_for_them(store, tmp_path, sample):
    ours = sample.train(store, sample.spec())
    path = write_csv(
        tmp_path / "a.csv", ("name", "params", "val/loss"), (ours.run_id, "1000", "3.5")
    )
    store.import_runs(path, COLUMNS)
    for frame in (store.frame(), store.overview()):
        assert frame["run_id"].tolist() == [ours.run_id, f"a/{ours.run_id}"]
        assert frame["source"].tolist() == ["datawall", "a"]
        assert frame["status"].tolist() == ["done", "imported"]
        assert frame["validation_loss"].tolist() == [3.0, 3.5]
    assert store.frame([ours])["source"].tolist() == ["datawall"]
    other = write_csv(tmp_path / "a.csv", ("name", "params", "val/loss"), ("x", "1000", "3.6"))
    store.import_runs(other, COLUMNS)
    assert losses(store.frame()) == {ours.run_id: 3.0, "a/x": 3.6}


HISTORY = [
    {"_step": 0, "_runtime": 1.0, "_timestamp": 1e9, "train/loss": 9.0},
    {"_step": 10, "_runtime": 2.0, "_timestamp": 1e9, "val/loss": 4.0, "params": 1000},
    {"_step": 30, "_runtime": 4.0, "_timestamp": 1e9, "train/loss": 5.0, "val/loss": None},
    {"_step": 20, "_runtime": 3.0, "_timestamp": 1e9, "val/loss": 3.5},
]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".parquet"])
def test_of_a_history_the_last_value_of_each_column_counts(store, tmp_path, suffix):
    path = tmp_path / f"history{suffix}"
    rows = sorted(HISTORY, key=lambda row: row["_step"])
    if suffix == ".json":
        path.write_text(json.dumps(rows))
    elif suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pytest.importorskip("pyarrow")
        pd.DataFrame(rows).to_parquet(path)
    frame = store.import_runs(path, {**COLUMNS, "train_loss": "train/loss"})
    assert len(frame) == 1
    assert frame.loc[0, ["validation_loss", "train_loss", "n_params"]].tolist() == [3.5, 5.0, 1000]


def test_histories_of_several_runs_are_told_apart_by_their_label(store, tmp_path):
    rows = [{"run": run, **row} for row in HISTORY for run in ("a", "b")]
    rows.append({"run": "b", "_step": 40, "val/loss": 2.0})
    path = tmp_path / "histories.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert losses(store.import_runs(path, COLUMNS)) == {"histories/a": 3.5, "histories/b": 2.0}
    renamed = path.with_name("other.jsonl")
    renamed.write_text(path.read_text().replace('"run"', '"trial"'))
    frame = store.import_runs(renamed, COLUMNS, label="trial")
    assert losses(frame) == {"other/a": 3.5, "other/b": 2.0}


def test_the_csv_of_a_chart(store, tmp_path):
    path = write_csv(
        tmp_path / "chart.csv",
        ("Step", "sun-1 - val/loss", "sun-1 - val/loss__MIN", "sun-1 - val/loss__MAX",
         "a - b - val/loss", "a - b - val/loss__MIN", "a - b - val/loss__MAX"),
        (0, 5.0, 5.0, 5.0, 6.0, 6.0, 6.0),
        (10, 4.0, 4.0, 4.0, "", "", ""),
        (20, "", "", "", 5.5, 5.5, 5.5),
    )  # fmt: skip
    frame = store.import_runs(path, {"validation_loss": "val/loss"}, constants={"n_params": 7})
    assert losses(frame) == {"chart/sun-1": 4.0, "chart/a - b": 5.5}


def test_tables_made_by_the_script_of_wandbs_manual(store, tmp_path):
    """`summary` and `config` are dictionaries as Python prints them."""
    path = tmp_path / "project.csv"
    summary = [{"val/loss": 3.25, "_step": 9}, {"val/loss": float("nan"), "_step": 9}]
    config = [{"params": 1000, "note": "nan is fine"}, {"params": 2000, "opt": {"lr": 1e-3}}]
    pd.DataFrame({"summary": summary, "config": config, "name": ["a", "b"]}).to_csv(path)
    frame = store.import_runs(path, {**COLUMNS, "learning_rate": "opt.lr"})
    assert frame["run_id"].tolist() == ["project/a", "project/b"]
    assert frame["n_params"].tolist() == [1000, 2000]
    assert frame["validation_loss"].iloc[0] == 3.25
    assert math.isnan(frame["validation_loss"].iloc[1])
    assert frame["learning_rate"].iloc[1] == 1e-3


def test_a_published_export_of_wandb_gives_the_published_fit(store):
    """Gemstones (McLeish et al. 2025), whose run tables are exports of wandb."""
    path = needed(DATASETS["gemstones_hot"].path)
    frame = store.import_runs(
        path,
        {
            "validation_loss": "final_loss",
            "n_params": "params_active_precise",
            "n_tokens_seen": "tokens",
        },
        checkpoints="all",
    )
    table = load_dataset("gemstones_hot")
    np.testing.assert_allclose(frame["validation_loss"], table["loss"], rtol=1e-12)
    assert frame["n_params"].tolist() == table["n_params"].tolist()
    x = ["n_params", "n_tokens_seen"]
    fit = fit_law(store.frame(), "chinchilla", x=x, y="validation_loss", n_boot=0)
    same = fit_law(table, "chinchilla", x=["n_params", "n_tokens"], y="loss", n_boot=0)
    assert fit.params == pytest.approx(same.params, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,params,val/loss\na,1,3\nb,2,high\nc,x,3\n", "line 3: validation_loss must be a num"),
        ("name,params,val/loss\na,1,3\nb,2\n", "line 3: 2 cells where the header has 3"),
        ('name,params,val/loss\n"a\n",1,3\nb,2,high\n', "line 4: validation_loss must be a number"),
        ("name,params,val/loss\n\n\na,1,1,5\n", "line 4: 4 cells where the header has 3"),
        ("name,params,loss\na,1,3\n", "has no column 'val/loss'; it has loss, name, params"),
        ("name,name\na,1\n", "line 1: column 'name' appears more than once"),
        ("name,params,val/loss\n", "has a header but no rows"),
        ("", "bad.csv is empty"),
        ("summary,name\n\"{'a': f()}\",a\n", "line 2: this is not a dictionary"),
    ],
)
def test_bad_rows_are_named_by_line_and_nothing_is_imported(store, tmp_path, text, said):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        store.import_runs(path, COLUMNS)
    assert store.frame().empty


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bad.jsonl", b'{"params": 1}\n{"par', "line 2: not JSON"),
        ("bad.jsonl", b"[1]", "line 1: not an object"),
        ("bad.json", b'{"a": 1}', "has no column 'val/loss'; it has a"),
        ("bad.json", b"{", "line 1: not JSON"),
        ("bad.csv", b"a,\xff\xfe\n", "is not UTF-8 text"),
        ("bad.xlsx", b"PK\x03\x04", "bad.xlsx is an Excel workbook"),
    ],
)
def test_files_that_are_something_else_are_named(store, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        store.import_runs(tmp_path / name, COLUMNS)


def test_runs_of_one_name_are_told_apart(store, tmp_path):
    """By their ids, or their lines; `_step` in a summary does not make a row a checkpoint."""
    rows = [
        {"name": name, "id": f"{name}{seed}", "config": {"params": 1000},
         "summary": {"_step": 1000 + seed, "val/loss": 3.0 + seed}}
        for name in ("tiny", "base")
        for seed in range(3)
    ]  # fmt: skip
    path = tmp_path / "runs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    frame = store.import_runs(path, COLUMNS)
    assert frame["run_id"].tolist() == [f"runs/{row['name']}@{row['id']}" for row in rows]
    assert frame["validation_loss"].tolist() == [3.0, 4.0, 5.0] * 2
    path.write_text("\n".join(json.dumps({**row, "id": "x"}) for row in rows))
    frame = store.import_runs(path, COLUMNS)
    assert frame["run_id"].tolist()[:2] == ["runs/tiny@1", "runs/tiny@2"]


def test_steps_that_start_again_need_a_label(store, tmp_path):
    lines = [f"{step},{n},{5 - step / 100}" for n in (1000, 2000) for step in (100, 200)]
    path = tmp_path / "history.csv"
    path.write_text("\n".join(["_step,params,val/loss", *lines]))
    with pytest.raises(ValueError, match=r"line 4: _step starts again at 100 .*`--label`"):
        store.import_runs(path, COLUMNS)
    frame = store.import_runs(path, COLUMNS, label="params")
    assert losses(frame) == {"history/1000": 3.0, "history/2000": 3.0}
    path.write_text("\n".join(["_step,params,val/loss", "100,1000,4", "200,2000,3"]))
    with pytest.raises(ValueError, match="line 3: params changes from 1000 to 2000 within a run"):
        store.import_runs(path, COLUMNS)


def test_a_run_that_diverged_at_last_has_no_earlier_loss(store, tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("run,_step,params,val/loss\na,1,1000,4\na,2,,3.5\na,3,,NaN\na,4,,\n")
    frame = store.import_runs(path, COLUMNS)
    assert frame["reason"].tolist() == ["validation_loss is not a number"]


def test_labels_are_text_and_numbers_are_read_as_people_write_them(store, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("name;params;val/loss;region\n007;1,3B;4,31;NA\n008;2.000.000;3,9;None\n")
    frame = store.import_runs(path, {**COLUMNS, "region": "region"})
    assert frame["run_id"].tolist() == ["a/007", "a/008"]
    assert frame["region"].tolist() == ["NA", "None"]
    assert frame["n_params"].tolist() == [1_300_000_000, 2_000_000]
    assert losses(frame) == {"a/007": 4.31, "a/008": 3.9}
    assert frame.attrs["notes"][0] == "separator semicolon"
    path.write_text("name;params;val/loss\na;1;3,905\n")
    with pytest.raises(ValueError, match="'val/loss', line 2: '3,905' may be thousands or a dec"):
        store.import_runs(path, COLUMNS)
    frame = store.import_runs(path, COLUMNS, dialect=Dialect(decimal=","))
    assert losses(frame) == {"a/a": 3.905}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": {"run_id": "name"}}, "column run_id gives the origin of a run"),
        ({"columns": {}}, "name the columns to read"),
        ({"columns": COLUMNS, "name": "datawall"}, "the name of an import may have letters"),
        ({"columns": COLUMNS, "name": "../x"}, "the name of an import may have letters"),
        ({"columns": COLUMNS, "constants": {"source": "x"}}, "column source gives the origin"),
        ({"columns": COLUMNS, "label": "id"}, "has no column 'id'"),
    ],
)
def test_what_cannot_be_mapped_is_named(store, tmp_path, options, said):
    path = write_csv(tmp_path / "a.csv", ("name", "params", "val/loss"), ("a", "1000", "3.5"))
    with pytest.raises(ValueError, match=said):
        store.import_runs(path, **options)


def test_a_damaged_import_is_named(store, tmp_path):
    path = write_csv(tmp_path / "a.csv", ("name", "params", "val/loss"), ("a", "1000", "3.5"))
    store.import_runs(path, COLUMNS)
    kept = store.root / "imports" / "a.json"
    text = kept.read_text()
    kept.write_text(text[:-9])
    with pytest.raises(ValueError, match=r"a.json is damaged: import a again, or remove it"):
        store.frame()
    kept.write_text(text.replace('"schema": 1', '"schema": 2'))
    with pytest.raises(ValueError, match="has schema 2; readable is 1"):
        store.frame()


def test_the_commands_import_and_show(tmp_path, capsys, sample):
    store = RunStore(tmp_path / "runs")
    sample.train(store, sample.spec(), diverged=True)
    path = write_csv(
        tmp_path / "a.csv",
        ("name", "params", "val/loss"),
        ("x", "1000", "3.5"),
        ("y", "1000", ""),
    )
    command = ["import", str(path), "--into", str(store.root), "--map"]
    assert main([*command, *(f"{a}={b}" for a, b in COLUMNS.items()), "--set", "width=9"]) == 0
    said = capsys.readouterr().out
    assert "2 runs imported as a" in said
    assert "1 doubtful runs; first: a/y, validation_loss is missing" in said
    assert main(["show", str(store.root)]) == 0
    assert "1 diverged, 2 imported" in capsys.readouterr().out
    assert main(["show", str(store.root), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["source"] for row in rows] == ["datawall", "a", "a"]
    assert [row["width"] for row in rows] == [16, 9, 9]
    assert rows[2]["validation_loss"] is None
    assert main([*command, "validation_loss"]) == 2
    assert "`--map` must be ours=theirs; not 'validation_loss'" in capsys.readouterr().err
