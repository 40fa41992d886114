"""Megadocs: every text of a document once, joined in an order that can be looked up."""

import pytest

from models.augment.texts.records import Provenance, Record
from models.augment.writing.megadocs import stitched
from models.augment.writing.output import OutputFolder, write_megadocs


def written(source, n, **options):
    values = {"method": "rephrase", "task": "easy", "model": "m", "seed": n} | options
    metadata = Provenance(source_ids=(source,), **values).as_metadata()
    return Record(id=f"{source}{values['method']}{n}", text=f"{source} {n}", metadata=metadata)


RECORDS = [written(source, n) for n in range(5) for source in "ab"] + [
    written("a", 9, method="entigraph", entities=("X", "Y"), prompt_version="2"),
    written("a", 10, method="entigraph", entities=("Y", "Z"), prompt_version="1", finish="length"),
]


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_every_text_is_in_one_megadoc_with_others_of_its_document(n):
    by_id = {record.id: record for record in RECORDS}
    megadocs = list(stitched(RECORDS, n))
    joined = [megadoc.metadata["joined"].splitlines() for megadoc in megadocs]
    assert sorted(id for ids in joined for id in ids) == sorted(by_id)
    for megadoc, ids in zip(megadocs, joined, strict=True):
        assert megadoc.text == "\n\n".join(by_id[id].text for id in ids)
        for name in ("source_ids", "method", "model"):
            assert {str(by_id[id].metadata[name]) for id in ids} == {str(megadoc.metadata[name])}
        assert megadoc.metadata["task"] == "megadoc"
    sizes = [len(ids) for ids in joined if "rephrase" in ids[0]]
    full, rest = divmod(5, n)
    assert sizes == ([n] * full + [rest] * bool(rest)) * 2
    assert len({megadoc.id for megadoc in megadocs}) == len(megadocs)


def test_the_order_is_random_and_the_same_in_each_run():
    first, again, other = (list(stitched(RECORDS, 5, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert {m.id for m in first} != {m.id for m in other}
    assert first[0].metadata["joined"].splitlines() != [f"arephrase{n}" for n in range(5)]
    *_, last = first
    assert set(last.metadata["entities"].splitlines()) == {"X", "Y", "Z"}
    assert (last.metadata["prompt_version"], last.metadata["finish"]) == ("1, 2", "length")


def test_what_cannot_be_joined_is_refused(tmp_path):
    with pytest.raises(ValueError, match="two generations or more; not 1"):
        list(stitched(RECORDS, 1))
    with pytest.raises(ValueError, match=r"the record x has no provenance \(method, task"):
        list(stitched([Record(id="x", text="t")], 2))
    with pytest.raises(ValueError, match="is a megadoc already"):
        list(stitched(stitched(RECORDS, 2), 2))
    folder = OutputFolder(tmp_path)
    folder.texts.write_text(RECORDS[0].to_json() + "\n")
    with pytest.raises(ValueError, match="holds texts that are not megadocs"):
        write_megadocs(stitched(RECORDS, 2), folder)
    assert [*folder.records()] == RECORDS[:1]


def test_megadocs_replace_earlier_ones_only_when_complete(tmp_path):
    folder = OutputFolder(tmp_path / "new")
    write_megadocs(stitched(RECORDS, 2), folder)
    assert [*folder.records()] == [*stitched(RECORDS, 2)]
    with pytest.raises(ValueError, match="no provenance"):
        write_megadocs(stitched([*RECORDS, Record(id="x", text="t")], 3), folder)
    assert [*folder.records()] == [*stitched(RECORDS, 2)]
    assert [path.name for path in folder.root.iterdir()] == ["texts.jsonl"]
    write_megadocs(stitched(RECORDS, 3), folder)
    assert [*folder.records()] == [*stitched(RECORDS, 3)]
