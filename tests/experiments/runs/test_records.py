"""Records are used while they are whole and of the code that measures now."""

from experiments.runs.records import keep_record, read_record, record_path


def test_a_record_comes_back_to_the_code_that_measured_it(tmp_path):
    keep_record(tmp_path, "scores", ["run", 1], [1.5, None], source="this")
    assert read_record(tmp_path, "scores", ["run", 1], "this") == [1.5, None]
    assert read_record(tmp_path, "scores", ["run", 1]) == [1.5, None]
    assert read_record(tmp_path, "scores", ["run", 1], "other") is None
    assert read_record(tmp_path, "scores", ["run", 2], "this") is None
    keep_record(tmp_path, "scores", ["run", 1], [2.5], source="other")
    assert read_record(tmp_path, "scores", ["run", 1], "other") == [2.5]
    assert len(list((tmp_path / "scores").iterdir())) == 1


def test_torn_records_and_those_of_earlier_versions_are_not_used(tmp_path):
    path = record_path(tmp_path, "scores", ["run"])
    path.parent.mkdir()
    for text in ('{"source": "this", "val', "[1.5]", '{"validation": 1.5}'):
        path.write_text(text)
        assert read_record(tmp_path, "scores", ["run"], "this") is None
