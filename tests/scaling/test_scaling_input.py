"""Bad input gets a sentence; arbitrary finite tables never crash a fit."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling import FitResult, FitStatus, fit_law, forecast, joint_limit, load_dataset, read_runs
from scaling.published import datasets

GOOD = pd.DataFrame({"n_params": [1.0, 2.0, 4.0, 8.0, 16.0], "loss": [3.6, 3.46, 3.38, 3.32, 3.29]})


def changed(column: str, row: int, value: object) -> pd.DataFrame:
    frame = GOOD.astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (GOOD.rename(columns={"loss": "l"}), "column 'loss' is missing; the table has 'n_params'"),
        (changed("loss", 2, "broken"), "column 'loss', row 2: 'broken' is not a finite number"),
        (changed("loss", 1, "nan?"), "column 'loss', row 1: 'nan\\?' is not a finite number above"),
        (changed("loss", 1, -3.0), "column 'loss', row 1: -3.0 is not a finite number above 0"),
        (GOOD.assign(loss=np.nan), "no row has a loss"),
        (
            GOOD.assign(loss=[3.6, np.nan, None, 3.3, 3.2])[:4],
            "3 free parameters but the table has",
        ),
        (changed("n_params", 3, 0.0), "column 'n_params', row 3: 0.0 is not a finite number"),
        (changed("n_params", 3, -1.0), "column 'n_params', row 3: -1.0"),
        (GOOD[:2], "3 free parameters but the table has 2 rows"),
        (GOOD[:0], "the table has no rows"),
        (GOOD.assign(n_params=2.0), "column 'n_params' has one value, 2, in every row"),
        (pd.concat([GOOD[:2]] * 3), "only 2 distinct values of n_params"),
    ],
)
def test_bad_tables_name_column_and_row(frame, said):
    with pytest.raises(ValueError, match=said):
        fit_law(frame)


def with_diverged(reason=None, status=None) -> pd.DataFrame:
    """Two runs that diverged before and between the good ones; what else they lack is no matter."""
    bad = pd.DataFrame({"n_params": [3.0, np.nan], "loss": [np.nan, np.inf]})
    frame = pd.concat([bad[:1], GOOD[:2], bad[1:], GOOD[2:]], ignore_index=True)
    if status:
        frame["status"] = np.where(np.isfinite(frame["loss"]), "done", status)
    if reason:
        frame["reason"] = np.where(np.isfinite(frame["loss"]), None, reason)
    return frame


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, "no reason given"),
        ({"status": "diverged"}, "diverged"),
        ({"status": "diverged", "reason": "not a number at step 3"}, "not a number at step 3"),
    ],
)
def test_rows_without_a_loss_are_left_out_and_reported(columns, reason, tmp_path):
    fit, without = fit_law(with_diverged(**columns)), fit_law(GOOD)
    assert fit.params == without.params
    assert fit.n_rows == without.n_rows
    assert fit.excluded == {reason: 2}
    assert without.excluded == {}
    assert fit.warnings == (
        f"2 of 7 rows have no loss and are left out: 2 x {reason}.",
        *without.warnings,
    )
    assert fit.warnings[0] in fit.summary()
    fit.to_json(tmp_path / "fit.json")
    assert FitResult.from_json(tmp_path / "fit.json").excluded == {reason: 2}


def test_what_goes_with_rows_without_a_loss_goes_too():
    frame = with_diverged().assign(w=[np.nan, 1, 2, np.nan, 3, 1, 1], g=[None, *"aab", *"bcc"])
    kept = frame[np.isfinite(frame["loss"])]
    options = {"weights": "w", "groups": "g", "n_boot": 20}
    fit, same = fit_law(frame, **options), fit_law(kept, **options)
    assert fit.params == same.params
    np.testing.assert_array_equal(fit.draws.parameters, same.draws.parameters)
    arrays = fit_law(None, x=frame["n_params"].to_numpy(), y=frame["loss"].to_numpy())
    assert arrays.params == fit_law(GOOD).params
    with pytest.raises(ValueError, match="column 'w', row 4: weight -3 is negative"):
        fit_law(frame.assign(w=[np.nan, 1, 2, np.nan, -3, 1, 1]), weights="w")
    with pytest.raises(ValueError, match="has 6 rows but 'loss' has 7"):
        fit_law(None, x=np.arange(1.0, 7.0), y=frame["loss"].to_numpy())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"law": "powr"}, "`law` must be one of 'power', 'chinchilla'"),
        ({"loss": "huber"}, "`loss` must be one of 'huber_log'.*not 'huber'"),
        ({"resample": "jackknife"}, "`resample` must be one of 'rows'"),
        ({"resample": "clusters"}, "needs `groups`"),
        ({"delta": 0.0}, "`delta` must be a finite number above 0"),
        ({"n_boot": 1}, "`n_boot` must be 0 or a whole number above 1"),
        ({"seed": -1}, "`seed` must be"),
        ({"fixed": {"beta": 1.0}}, "law 'power' has parameters 'E', 'A', 'alpha'; not 'beta'"),
        ({"fixed": {"alpha": -1.0}}, r"alpha must lie in \[0.001, 10\]"),
        ({"x": ["n_params", "loss"]}, r"reads 1 column\(s\), n_params; `x` gives 2"),
        ({"weights": [1.0, 1.0, 1.0, -1.0, 1.0]}, "row 3: weight -1 is negative"),
        ({"weights": np.zeros(5)}, "at least one weight must be above 0"),
        ({"groups": [1, 1, None, 2, 2]}, "row 2: the group is missing"),
        ({"groups": [1, 1, 1, 1, 1]}, "has one cluster only"),
    ],
)
def test_bad_options_say_what_is_allowed(options, said):
    with pytest.raises(ValueError, match=said):
        fit_law(GOOD, **options)


def test_unknown_keywords_are_type_errors():
    with pytest.raises(TypeError, match="bootstraps"):
        fit_law(GOOD, bootstraps=3)


def test_result_questions_are_checked():
    fit = fit_law(GOOD)
    with pytest.raises(ValueError, match="'E', 'A', 'alpha'; not 'B'"):
        fit.interval("B")
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit.interval("E", level=95)
    with pytest.raises(ValueError, match="no draws"):
        fit.interval("E", method="bootstrap")
    with pytest.raises(ValueError, match="one of 'bootstrap', 'profile', 'sandwich'"):
        fit.interval("E", method="magic")
    with pytest.raises(ValueError, match="column 'n_params' is missing"):
        fit.predict(pd.DataFrame({"size": [1.0]}))


def test_a_constant_loss_has_intervals_that_contain_the_estimates():
    fit = fit_law(GOOD.assign(loss=3.3), n_boot=0)
    assert fit.status is FitStatus.FLAT
    for name, value in fit.params.items():
        low, high = fit.interval(name)
        assert low <= value <= high


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("runs.csv", b"", "runs.csv is empty"),
        ("runs.csv", b"n_params,loss\n", "has a header but no rows"),
        ("runs.csv", b"\x00\x01" * 1000, "not text"),
        ("runs.csv", bytes(range(128, 256)) * 100, "not UTF-8 text"),
        ("runs.csv", b"PAR1....", "not a parquet file"),
        ("runs.csv", b'a,b\n1,2\n1,2,3,4\n"', "line 3: 4 cells where the header has 2"),
        ("runs.csv", b'a,b\n1,2\n3,"4\n', "line 3: unexpected end of data"),
        ("runs.csv.gz", b"\x1f\x8b\x08 and then nothing", "is damaged"),
        ("events.out.tfevents.1.host", b"\x18\0\0\0", "is not text: it holds zero"),
        ("runs.jsonl", b'{"a": 1}\n{"a": \n', "line 2: not JSON"),
        ("runs.jsonl", b'{"a": 1}\n[1]\n', "line 2: not an object"),
        ("runs.parquet", b"PAR1 and then nothing", "not a parquet file"),
        ("runs.xlsx", b"PK\x03\x04", "an Excel workbook or another zip archive: save"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_runs(tmp_path / name)


def test_a_hundred_megabytes_of_garbage_are_refused_at_once(tmp_path):
    path = tmp_path / "runs.csv"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    with pytest.raises(ValueError, match=r"runs\.csv"):
        read_runs(path)


def test_files_read_alike_in_every_format(tmp_path):
    GOOD.to_csv(tmp_path / "a.csv", index=False)
    GOOD.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    GOOD.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    GOOD.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.txt").write_bytes((tmp_path / "a.parquet").read_bytes())
    (tmp_path / "tabs.csv").write_bytes((tmp_path / "a.tsv").read_bytes())
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.txt", "tabs.csv"):
        pd.testing.assert_frame_equal(read_runs(tmp_path / name), GOOD)


def test_wandb_exports_are_unwrapped(tmp_path):
    rows = [
        {"name": "a", "config": {"n_params": {"value": 8.0}}, "summary": {"eval": {"loss": 3.2}}}
    ]
    (tmp_path / "w.jsonl").write_text("\n".join(map(json.dumps, rows)))
    frame = read_runs(tmp_path / "w.jsonl")
    assert frame.to_dict("records") == [{"name": "a", "n_params": 8.0, "eval.loss": 3.2}]


def test_from_json_refuses_other_files(tmp_path):
    path = tmp_path / "x.json"
    for content in ("not json", "[]", '{"format": "other"}', '{"format": "datawall.fit/1"}'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"x\.json"):
            FitResult.from_json(path)


def test_datasets_are_checked(tmp_path):
    with pytest.raises(ValueError, match="`name` must be one of 'chinchilla_epoch'"):
        load_dataset("imagenet")
    with pytest.raises(FileNotFoundError, match="datablations"):
        load_dataset("data_constrained", folder=tmp_path)
    fake = tmp_path / "fits" / "data_constrained" / "runs.csv"
    fake.parent.mkdir(parents=True)
    fake.write_text("cell,params\n25,1\n")
    with pytest.raises(ValueError, match="sha256"):
        load_dataset("data_constrained", folder=tmp_path)


def test_a_missing_table_names_the_folder_that_was_searched(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=f"put it at fits/.* below {tmp_path}$"):
        load_dataset("porian", folder=tmp_path)
    monkeypatch.setenv("DATAWALL_DATA", str(tmp_path / "named"))
    with pytest.raises(FileNotFoundError, match=rf"below {tmp_path}/named \(set DATAWALL_DATA"):
        load_dataset("porian")
    monkeypatch.delenv("DATAWALL_DATA")
    monkeypatch.setattr(datasets, "BESIDE_CHECKOUT", tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"DATAWALL_DATA, which is not set \(.*absent does"):
        load_dataset("porian")


SIZES = st.floats(1e-3, 1e12)
LOSSES = st.floats(1e-6, 1e6)


def check(fit: FitResult) -> None:
    values = np.array([*fit.params.values(), fit.objective])
    if fit.status is FitStatus.CONVERGED:
        assert np.isfinite(values).all()
    assert fit.objective >= 0
    low, high = fit.interval("E")
    assert not np.isnan(low)
    assert not np.isnan(high)
    assert low <= fit.params["E"] * (1 + 1e-9) + 1e-300
    assert high >= fit.params["E"] * (1 - 1e-9)
    assert fit.summary()
    json.loads(fit.to_json())


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.tuples(SIZES, LOSSES), min_size=0, max_size=12), loss=st.sampled_from(
    ["huber_log", "squared_log", "squared", "asymmetric"]))  # fmt: skip
def test_any_finite_table_gives_a_status_or_a_documented_error(rows, loss):
    frame = pd.DataFrame(rows, columns=["n_params", "loss"], dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fit = fit_law(frame, loss=loss)
        except ValueError as error:
            assert str(error)  # noqa: PT017
            return
        check(fit)


@pytest.mark.long
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.tuples(SIZES, st.integers(1, 64), LOSSES), min_size=5, max_size=16))
def test_any_finite_ensemble_table_gives_a_status_or_a_documented_error(rows):
    frame = pd.DataFrame(rows, columns=["n_params", "n_members", "loss"], dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            limit = joint_limit(frame)
        except ValueError as error:
            assert str(error)  # noqa: PT017
            return
        check(limit.joint)
        assert limit.identified == limit.status.usable


def test_forecast_needs_enough_sizes():
    with pytest.raises(ValueError, match="at least 8 distinct sizes"):
        forecast(GOOD)
