"""Run tables as people have them: read as meant, or refused with the line and the option."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma

import numpy as np
import pandas as pd
import pytest

from scaling import fit_law, read_runs

SIZES = [1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000]
LOSSES = [4.31, 3.905, 3.56, 3.31, 3.105]
PLAIN = "n_params,loss\n" + "".join(f"{n},{y}\n" for n, y in zip(SIZES, LOSSES, strict=True))
TWICE = PLAIN.replace("10000000,", "n_params,loss\n10000000,", 1)
GERMAN = PLAIN.replace(",", ";").replace(".", ",")


@pytest.fixture
def read(tmp_path):
    def read(content: str | bytes, name: str = "runs.csv", **options) -> pd.DataFrame:
        content = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(content)
        return read_runs(tmp_path / name, **options)

    return read


def rows(form, separator=",") -> str:
    """The table with its cells written by a function of size and loss."""
    lines = (separator.join(form(n, y)) for n, y in zip(SIZES, LOSSES, strict=True))
    return f"n_params{separator}loss\n" + "".join(f"{line}\n" for line in lines)


def german(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))


DIALECTS = {
    "plain": (PLAIN, ""),
    "byte order mark": (PLAIN.encode("utf-8-sig"), ""),
    "UTF-16": (PLAIN.encode("utf-16"), "UTF-16"),
    "UTF-16 without a mark": (PLAIN.encode("utf-16-le"), "UTF-16"),
    "carriage returns": (PLAIN.replace("\n", "\r\n"), ""),
    "old line ends": (PLAIN.replace("\n", "\r"), ""),
    "tabs": (PLAIN.replace(",", "\t"), "separator tab"),
    "bars": (PLAIN.replace(",", " | "), "separator bar"),
    "spaces": (PLAIN.replace(",", " , "), ""),
    "quotes": (rows(lambda n, y: (f'"{n}"', f'"{y}"')), ""),
    "comments": (f"# exported today\n\n{PLAIN}# end\n", "comments left out: 1"),
    "comment as header": (f"# {PLAIN}", "header in a comment"),
    "stated separator": (f"sep=;\n{GERMAN}", "separator semicolon"),
    "decimal comma": (GERMAN, "decimal comma in loss"),
    "quoted decimal comma": (rows(lambda n, y: (str(n), f'"{y}"'.replace(".", ","))), "decimal"),
    "thousands": (rows(lambda n, y: (f'"{n:,}"', str(y))), "thousands separators in n_params"),
    "apostrophes": (rows(lambda n, y: (f"{n:,}".replace(",", "'"), str(y))), "thousands"),
    "narrow spaces": (rows(lambda n, y: (f"{n:,}".replace(",", "\u202f"), str(y))), "thousands"),
    "points": (rows(lambda n, y: (german(n), german(y, 3)), ";"), "decimal comma in loss; thou"),
    "units": (rows(lambda n, y: (f"{n / 1e6:g}M", str(y))), "units (1M = 1e6) in n_params"),
    "billions": (rows(lambda n, y: (f"{n / 1e9:g} B", str(y))), "units"),
    "empty last cells": (rows(lambda n, y: (str(n), f"{y},")), "end in a separator: 5"),
    "an empty last cell": (PLAIN.replace("4.31", "4.31,"), "end in a separator: 1"),
    "an empty last column": (PLAIN.replace("\n", ",\n"), ""),
    "an index": (pd.read_csv(io.StringIO(PLAIN)).to_csv(), "the first column, without a name, "),
    "two files in one": (TWICE, "repeated headers left out: 1"),
    "empty rows": (PLAIN + "\n,\n,\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_same_table(read, dialect):
    content, noted = DIALECTS[dialect]
    frame = read(content)
    assert frame.columns.tolist() == ["n_params", "loss"]
    assert frame["n_params"].tolist() == SIZES
    assert frame["loss"].tolist() == LOSSES
    notes = "; ".join(frame.attrs["notes"])
    assert noted in notes
    assert bool(noted) == bool(notes)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_are_unpacked_whatever_their_name(read, pack):
    assert read(pack(PLAIN.encode()), "runs.dat")["loss"].tolist() == LOSSES


def test_percent_are_fractions(read):
    frame = read("n_params,error\n1e6,43.1%\n1e7,39.05 %\n1e8,\n")
    assert frame["error"].tolist()[:2] == [0.431, 0.3905]
    assert np.isnan(frame["error"][2])
    assert frame.attrs["notes"] == ["percent as fractions in error"]


def test_numbers_among_labels_stay_labels(read):
    frame = read("run,version,day,n\n007,1_2,2026-01-01,1\n012,1_3,2026-01-02,2\n")
    assert frame["run"].tolist() == ["007", "012"]
    assert frame["version"].tolist() == ["1_2", "1_3"]
    assert frame["day"].tolist() == ["2026-01-01", "2026-01-02"]


LABELLED = "run,n_params,loss\n" + "".join(
    f"r{n},{n},{y}\n" for n, y in zip(SIZES, LOSSES, strict=True)
)
REFUSED = {
    "a wider row": (PLAIN.replace("3.56", "3.56,1"), "line 4: 3 cells where the header has 2"),
    "a narrower row": (PLAIN.replace(",3.56", ""), "line 4: 1 cells where the header has 2"),
    "a column twice": ("a,loss,loss\n1,2,3\n", "line 1: column 'loss' .* as columns 2 and 3"),
    "columns alike but for spaces": ("a,loss, loss\n1,2,3\n", "column 'loss' appears more than"),
    "no header": ("1000000,4.31\n3000000,3.905\n", "line 1: the first row holds only numbers"),
    "no separator": ("n_params loss\n1e6 4.3\n", "line 1: the header has no separator"),
    "a title": (f"My runs\n{PLAIN}", "line 1: the header has no separator"),
    "two separators": ("a,b;c\n1,2;3\n4,5;6\n", "separated by comma or semicolon; .*--separator"),
    "decimal commas without quotes": ("n,loss,note\n1,4,31,\n", "line 2: 4 cells where .* has 3"),
    "the same with a wide header": ("n,loss,\n1,4,31\n", "line 2: '31' is in a column without a"),
    "an open quote": (PLAIN.replace("3.56", '"3.56'), "line 4: unexpected end of data"),
    "another encoding": ("n,caf\u00e9\n1,2\n".encode("cp1252"), "line 1 holds .*--encoding cp1252"),
    "sums": (f"{PLAIN}144000000,18.19\n", "line 7: this row holds the sums of the rows above"),
    "sums with a label": (f"{PLAIN}Total,18.19\n", "line 7: this row holds the sums"),
    "rounded means": (LABELLED + "Mean,28800000,3.64\n", "line 7: this row holds the means"),
    "means without a label": (LABELLED + ",28800000,3.64\n", "line 7: this row holds the means"),
    "a key twice": ('{"loss": 1, "loss": 2}', "line 1: the key 'loss' appears more than once"),
    "a dotted key twice": ('{"a": {"b": 1}, "a.b": 2}', "line 1: 'a.b' appears more than once"),
    "lists of other lengths": ('{"n": [1, 2], "loss": [3]}', "lists, one per column, differ in"),
    "JSON cut off": ('[{"n": 1},\n {"n": 2', "line 2: not JSON"),
    "numbers": ("[1, 2]", "line 1: not an object: 1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_ambiguous_is_refused_with_its_line(read, what):
    content, said = REFUSED[what]
    with pytest.raises(ValueError, match=said):
        read(content)


def test_rows_that_resemble_totals_are_runs(read):
    for row in ("144000000,3.2\n", "28800000,3.5\n"):  # one column agrees
        assert len(read(PLAIN + row)) == 6
    assert len(read(LABELLED + "sum,200000000,3.0\n")) == 6
    assert len(read("n_params,loss\n1e6,3\n1e6,3\n2e6,6\n")) == 3  # too few rows to say
    history = "step,epoch,loss,eval_loss\n0,0,5,\n1,1,4,\n2,2,3,\n3,3,,3\n"
    assert len(read(history)) == 4  # 3 = 0 + 1 + 2, but the last row has no sum of the losses


def test_numbers_below_thousands_need_no_unit(read):
    assert read("n,loss\n100,4\n10k,3\n1M,2\n")["n"].tolist() == [100, 1e4, 1e6]


def test_switches_are_no_losses(read):
    for text in ("n_params,loss\n1e6,true\n1e7,false\n", '{"n_params": 1e6, "loss": true}'):
        with pytest.raises(ValueError, match="'loss' must hold numbers, not true or false"):
            fit_law(read(text))


def test_options_decide_what_is_ambiguous(read):
    assert read("a,b;c\n1,2;3\n4,5;6\n", separator=";")["a,b"].tolist() == [1.2, 4.5]
    assert read("n,caf\u00e9\n1,2\n".encode("cp1252"), encoding="cp1252").columns[1] == "caf\u00e9"
    for options, said in (
        ({"decimal": ";"}, "`decimal` must be"),
        ({"separator": "::"}, "`separator` must be"),
        ({"encoding": "klingon"}, "`encoding` must be"),
        ({"label": "run"}, "no column 'run'; it has loss, n_params"),
    ):
        with pytest.raises(ValueError, match=said):
            read(PLAIN, **options)


AMBIGUOUS = "n_params;loss\n1;3,905\n2;3,561\n3;3,312\n4;3,105\n5;2,961\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (AMBIGUOUS, "line 2: '3,905' may be thousands or a decimal number: .*--decimal"),
        (AMBIGUOUS.replace(",", "."), "line 2: '3.905' may be thousands"),
        (PLAIN.replace("n_params,", "n_params;").replace(",", ";").replace("3.56", "3,56"),
         "line 4: '3,56' has another decimal sign than other cells"),
        (PLAIN.replace("3.56", "3.560.000"), "line 4: '3.560.000' has another decimal sign"),
        (PLAIN.replace("4.31", "431 %"), "line 2: '431 %' is in percent and other cells are not"),
        (PLAIN.replace("1000000,4", "1m,4"), "line 2: '1m' may be millions or minutes"),
        (PLAIN.replace("1000000,4", "1M,4", 1).replace("3000000,", "3,"),
         "line 3: '3' has no unit and other cells have"),
        (PLAIN.replace("3.56", "1.#INF"), "line 4: '1.#INF' is not a finite number"),
    ],
)  # fmt: skip
def test_an_ambiguous_column_is_refused_only_if_it_is_used(read, text, said):
    frame = read(text)
    with pytest.raises(ValueError, match=f"column '(loss|n_params)', {said}"):
        fit_law(frame)
    other = frame.assign(**{"n_params": SIZES, "loss": LOSSES})
    other.attrs.clear()
    assert fit_law(other).status.usable


def test_other_columns_confirm_a_decimal_sign_but_no_thousands(read):
    text = "n_params,loss,note\n1000,4.310,\n2000,3.905,\n3000,3.560,\n4000,3.312,{}\n"
    assert read(text.format("1.5"))["loss"].tolist() == [4.31, 3.905, 3.56, 3.312]
    for frame in (
        read(text.format('"1,5"')),
        read(text.replace(",3.905", ',"3,905"').replace("3.560", "3.5").format("")),
    ):
        with pytest.raises(ValueError, match=r"column 'loss', line .*decimal"):
            fit_law(frame, fixed={"alpha": 0.3})


def test_the_decimal_sign_decides(read):
    assert read(AMBIGUOUS, decimal=",")["loss"].tolist()[:2] == [3.905, 3.561]
    assert read(AMBIGUOUS, decimal=".")["loss"].tolist()[:2] == [3905, 3561]
    assert read(AMBIGUOUS.replace(",", "."), decimal=".")["loss"].tolist()[:2] == [3.905, 3.561]
    evident = AMBIGUOUS + "6;2,9\n"
    assert read(evident)["loss"].tolist()[-2:] == [2.961, 2.9]


JSON = [{"n_params": n, "loss": y} for n, y in zip(SIZES, LOSSES, strict=True)]
OBJECTS = {
    "lines": "\n".join(map(json.dumps, JSON)),
    "indented objects": "\n".join(json.dumps(row, indent=1) for row in JSON),
    "a list": json.dumps(JSON, indent=1),
    "runs by name": json.dumps({f"r{row['n_params']}": row for row in JSON}),
    "numbers as names": json.dumps({str(at): row for at, row in enumerate(JSON)}),
    "pandas": pd.DataFrame(JSON).to_json(),
    "columns": pd.DataFrame(JSON).to_json(orient="split"),
    "lists": json.dumps(pd.DataFrame(JSON).to_dict("list")),
    "records in an object": json.dumps({"version": 1, "results": JSON}),
    "texts": "\n".join(json.dumps({key: str(cell) for key, cell in row.items()}) for row in JSON),
}


@pytest.mark.parametrize("form", OBJECTS)
def test_json_in_every_form_gives_the_same_table(read, form):
    frame = read(OBJECTS[form], "runs.txt")
    assert frame["n_params"].tolist() == SIZES
    assert frame["loss"].tolist() == LOSSES
    if form == "runs by name":
        assert frame["run"].tolist() == [f"r{n}" for n in SIZES]


def test_json_errors_name_the_line_of_the_object(read):
    rows = [dict(row) for row in JSON]
    rows[2]["loss"] = "broken"
    frame = read(json.dumps(rows, indent=1), "runs.json")
    with pytest.raises(ValueError, match="column 'loss', line 10: 'broken'"):
        fit_law(frame)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-inf", "null", ""])
def test_losses_that_are_no_numbers_are_left_out_and_counted(read, word):
    texts = [*OBJECTS["lines"].splitlines(), json.dumps({"n_params": 7, "loss": word})]
    fit = fit_law(read("\n".join(texts), "runs.jsonl"), n_boot=0)
    assert fit.n_rows == 5
    assert fit.excluded == {"no reason given": 1}
    csv = fit_law(read(f"{PLAIN}7,{word}\n"), n_boot=0)
    assert (csv.params, csv.excluded) == (fit.params, fit.excluded)


def test_config_and_summary_with_one_key_keep_both(read):
    row = {"config": {"loss": "huber", "n": 1}, "summary": {"loss": 3.5, "n": 1}}
    frame = read(json.dumps(row) + "\n" + json.dumps(row))
    assert frame.columns.tolist() == ["config.loss", "summary.loss", "n"]
    assert frame["summary.loss"].tolist() == [3.5, 3.5]


@pytest.mark.parametrize("written", [str, json.dumps])
def test_dictionaries_in_cells_are_columns(read, written):
    """As wandb's manual exports a project: a frame of `summary` and `config`."""
    table = pd.DataFrame(
        {
            "summary": [written({"loss": y, "_wandb": {"runtime": 3}}) for y in LOSSES],
            "config": [written({"n_params": n, "opt": {"lr": 0.1}}) for n in SIZES],
            "name": "same",
        }
    )
    frame = read(table.to_csv())
    assert frame["loss"].tolist() == LOSSES
    assert frame["n_params"].tolist() == SIZES
    assert frame["opt.lr"].tolist() == [0.1] * 5
    with pytest.raises(ValueError, match="line 2: this is not a dictionary"):
        read('config,name\n"{f()}",a\n')


def test_parquet_of_nested_rows_and_labels(tmp_path):
    frame = pd.DataFrame({"config": [{"n": n} for n in SIZES], "loss": LOSSES}, index=list("abcde"))
    frame.rename_axis("run").to_parquet(tmp_path / "runs.parquet")
    found = read_runs(tmp_path / "runs.parquet")
    assert found.columns.tolist() == ["run", "n", "loss"]
    assert found["n"].tolist() == SIZES
