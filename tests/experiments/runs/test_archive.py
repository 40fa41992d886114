"""The results that come with the package are whole: runs by the hash of their settings, records."""

import json

import pandas as pd
import pytest

from experiments.runs.archive import ARCHIVE_SCHEMA, SHIPPED, Archive
from experiments.runs.rows import read_compact
from experiments.runs.spec import RunSpec

WORLDS = sorted(path.name.removesuffix(".records.parquet") for path in SHIPPED.glob("*.records.*"))


@pytest.mark.parametrize("world", WORLDS)
def test_the_id_of_a_shipped_run_is_the_hash_of_its_settings(world):
    runs = read_compact(SHIPPED / f"{world}.parquet")
    specs = [RunSpec.from_dict(json.loads(text)) for text in runs["spec"]]
    assert [spec.run_id for spec in specs] == runs["run_id"].tolist()
    archive = Archive(SHIPPED, world)
    assert archive.about["n_runs"] == len(specs)
    assert all(map(archive.is_done, specs))


@pytest.mark.parametrize("world", WORLDS)
def test_shipped_records_are_json_under_different_keys(world):
    records = pd.read_parquet(SHIPPED / f"{world}.records.parquet")
    assert not records.duplicated(["kind", "key"]).any()
    for values in records["values_json"]:
        json.loads(values)


def test_results_of_another_schema_are_refused(tmp_path):
    (tmp_path / "tiny.json").write_text('{"schema": 1}')
    with pytest.raises(ValueError, match=f"has schema 1 of .*; readable is {ARCHIVE_SCHEMA}"):
        Archive(tmp_path, "tiny")
