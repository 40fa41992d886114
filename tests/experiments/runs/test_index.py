"""The cache of a store's rows: always what the folders say, however it is itself."""

import dataclasses
import json
import os
import shutil

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from experiments.runs import index as index_module
from experiments.runs import rows as rows_module
from experiments.runs.store import RunStore


@pytest.fixture(scope="module")
def origin(tmp_path_factory, sample):
    """Twelve finished runs, one that diverged, one begun; no index."""
    store = RunStore(tmp_path_factory.mktemp("runs"))
    for seed in range(12):
        sample.train(store, sample.spec(seed=seed), diverged=seed == 5)
    store.begin(sample.spec(seed=99))
    return store


@pytest.fixture
def store(origin, tmp_path):
    """A copy of the runs, indexed."""
    store = RunStore(tmp_path / "runs")
    shutil.copytree(origin.root, store.root)
    store.frame()
    return store


def read_without_cache(store):
    specs = [
        rows_module.RunSpec.from_dict(json.loads(path.read_text()))
        for path in sorted(store.root.glob("*/spec.json"))
    ]
    return store.frame(spec for spec in specs if store.is_done(spec))


@pytest.fixture
def folders_read(monkeypatch):
    """Names of the run folders that were read, not taken from the cache."""
    read, read_row = [], index_module._read_row

    def noted(folder):
        read.append(folder.name)
        return read_row(folder)

    monkeypatch.setattr(index_module, "_read_row", noted)
    return read


def test_the_cache_gives_what_the_folders_say(store, folders_read):
    assert_frame_equal(store.frame(), read_without_cache(store))
    assert not folders_read
    assert len(store.frame()) == 12


def test_only_what_changed_is_read_again(store, sample, folders_read):
    new = sample.train(store, sample.spec(seed=30))
    again = sample.spec(seed=3)
    (store.folder(again) / "result.json").unlink()
    gone = sample.spec(seed=4)
    shutil.rmtree(store.folder(gone))
    store.begin(sample.spec(seed=6).labeled(["standard"]))
    assert_frame_equal(store.frame(), read_without_cache(store))
    assert sorted(folders_read) == sorted([new.run_id, again.run_id, sample.spec(seed=6).run_id])
    folders_read.clear()
    assert_frame_equal(store.frame(), read_without_cache(store))
    assert not folders_read


def test_a_result_edited_in_place_is_seen_even_with_its_old_time(store, sample):
    path = store.folder(sample.spec(seed=1)) / "result.json"
    status, text = path.stat(), path.read_text()
    path.write_text(text[: len(text) // 2])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(store.frame()) == 11
    path.unlink()
    path.with_suffix(".new").write_text(text.replace("4.0", "4.5"))
    path.with_suffix(".new").rename(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert store.frame().set_index("seed").loc[1, "validation_loss"] == 4.5


def damage(text):
    head, body = text.split("\n", 1)
    return {
        "missing": None,
        "empty": "",
        "torn": text[: len(text) // 2],
        "not JSON": "junk\n" + body,
        "a digit changed": f"{head}\n{body.replace('3.5', '9.5', 1)}",
        "of a later version": f"{head.replace('1', '2', 1)}\n{body}",
        "of other settings": f"{head.replace('width', 'depth')}\n{body}",
    }


@pytest.mark.parametrize("kind", damage("1\n1"))
def test_a_damaged_cache_is_made_anew(store, kind, folders_read):
    path = store.root / "index.json"
    good = path.read_text()
    bad = damage(good)[kind]
    if bad is None:
        path.unlink()
    else:
        assert bad != good
        path.write_text(bad)
    assert_frame_equal(store.frame(), read_without_cache(store))
    assert len(folders_read) == 13
    assert path.read_text() == good


def test_a_cache_that_cannot_be_written_costs_only_time(store, folders_read):
    path = store.root / "index.json"
    path.unlink()
    path.mkdir()
    for _ in range(2):
        folders_read.clear()
        assert_frame_equal(store.frame(), read_without_cache(store))
        assert len(folders_read) == 13


def test_a_run_of_a_later_version_is_named_not_dropped(store, sample):
    path = store.folder(sample.spec(seed=1)) / "spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 7}))
    with pytest.raises(ValueError, match=rf"{path} is not a run of this version: .* schema 7"):
        store.frame()


def test_copied_and_torn_folders_are_left_out_and_named(store, sample, caplog):
    copy = store.root / "copy of a run"
    shutil.copytree(store.folder(sample.spec(seed=1)), copy)
    torn = store.folder(sample.spec(seed=2)) / "spec.json"
    torn.write_text("{")
    assert len(store.frame()) == 11
    assert any(str(copy) in message for message in caplog.messages)
    assert any(str(torn) in message for message in caplog.messages)


def test_other_things_in_the_folder_are_no_runs(store):
    (store.root / "ensembles").mkdir()
    (store.root / "notes.txt").write_text("mine")
    (store.root / "elsewhere").symlink_to("nowhere")
    assert len(store.overview()) == 13


def test_the_overview_tells_what_is_not_done(store, sample):
    begun = sample.spec(seed=99)
    assert store.overview().set_index("seed").loc[99, "status"] == "waiting"
    store.append(begun, sample.segment(begun, [3.0] * 5))
    with store.claim(begun):
        row = store.overview().set_index("seed").loc[99]
        assert (row["status"], row["n_steps_done"], row["n_steps"]) == ("running", 5, 64)
        assert row["reason"].startswith(f"process {os.getpid()} on ")
    overview = store.overview().set_index("seed")
    assert overview.loc[99, "status"] == "interrupted"
    assert overview["status"].value_counts().to_dict() == {
        "done": 11,
        "diverged": 1,
        "interrupted": 1,
    }


def test_a_missing_folder_is_an_empty_store(tmp_path):
    store = RunStore(tmp_path / "none")
    assert store.frame().empty
    assert store.overview().empty
    assert not store.root.exists()


def test_compacted_runs_are_read_without_their_folders(store, tmp_path, sample):
    pytest.importorskip("pyarrow")
    from experiments.runs.rows import read_compact
    from experiments.runs.spec import RunSpec

    path = tmp_path / "runs.parquet"
    written, expected = store.compact(path), store.frame()
    shutil.rmtree(store.root)
    frame = read_compact(path)
    assert_frame_equal(frame, written)
    assert_frame_equal(frame.drop(columns="spec"), expected, check_flags=False)
    specs = [RunSpec.from_dict(json.loads(spec)) for spec in frame["spec"]]
    assert [spec.run_id for spec in specs] == frame["run_id"].tolist()
    assert sample.spec(seed=3) in specs
    for name in ("git_revision", "packages", "device", "data_sha256", "tokens_per_second"):
        assert frame[name].notna().all()


def test_a_file_that_is_not_compacted_runs_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    from experiments.runs.rows import read_compact

    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="has schema None of compacted runs; readable is 1"):
        read_compact(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(ValueError, match="is not a parquet file"):
        read_compact(tmp_path / "text.parquet")


def test_every_setting_is_a_column(sample):
    spec = sample.spec(seed=4)
    row = rows_module.settings_row(spec)
    for part in ("model", "data", "optimizer", "train"):
        for name, value in dataclasses.asdict(getattr(spec, part)).items():
            assert row[rows_module.RENAMED.get(f"{part}.{name}", name)] == value
    assert row["run_id"] == spec.run_id
