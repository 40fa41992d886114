import json
import os
import signal
import subprocess
import sys

import pytest

from models.augment.texts.records import Provenance, Record, read_records, write_parquet
from models.augment.writing.documents import chunks, chunks_for
from models.augment.writing.ledger import Ledger, LockedError
from models.augment.writing.output import OutputFolder, write_outcomes
from models.augment.writing.prompts import PROMPTS
from models.augment.writing.requests import FailedRequest, Reply
from models.text.corpora import CorpusError, load_corpus


def synthetic(i: int, text: str = "words") -> Record:
    provenance = Provenance(method="rephrase", task="easy", source_ids=("a",), model="m", seed=i)
    return Record(id=f"r{i}", text=text, metadata=provenance.as_metadata())


def test_any_text_is_read_with_ids_and_metadata(tmp_path):
    (tmp_path / "plain.txt").write_text("one\r\ntwo", encoding="utf-8")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jsonl").write_text(
        '{"id": 7, "text": "x", "metadata": {"k": 1}}\n\n{"text": "\\ud800y"}\n', encoding="utf-8"
    )
    (tmp_path / "blank.txt").write_text(" \n", encoding="utf-8")
    (tmp_path / ".hidden").write_text("no", encoding="utf-8")
    write_parquet([synthetic(1), synthetic(2)], tmp_path / "t.parquet")
    blank = []
    found = list(read_records(tmp_path, on_empty=blank.append))
    assert [(r.id, r.text) for r in found] == [
        ("7", "x"), ("deep/a.jsonl:3", "?y"), ("plain.txt", "one\ntwo"),
        ("r1", "words"), ("r2", "words"),
    ]  # fmt: skip
    assert found[0].metadata == {"k": 1}
    assert found[3] == synthetic(1)
    assert blank == [str(tmp_path / "blank.txt")]


def test_reading_says_what_is_wrong_and_where(tmp_path):
    twice = tmp_path / "twice.jsonl"
    twice.write_text('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}\n', encoding="utf-8")
    with pytest.raises(CorpusError, match=r"'a' occurs twice: in .*line 1 and in .*line 2"):
        list(read_records(twice))
    for content, message in [
        (b'{"text": 3}', "line 1: not a record with a string"),
        (b"[1]", "line 1: not a record"),
        (b"{nope", "line 1: not JSON"),
    ]:
        twice.write_bytes(content)
        with pytest.raises(CorpusError, match=message):
            list(read_records(twice))
    twice.unlink()
    (tmp_path / "image.png").write_bytes(b"\x89PNG\x00\x01")
    with pytest.raises(CorpusError, match=r"image\.png is binary, not text: byte 0x00 at offset 4"):
        list(read_records(tmp_path))
    with pytest.raises(CorpusError, match="no such file"):
        list(read_records(tmp_path / "nowhere"))


def test_records_train_and_load_elsewhere(tmp_path):
    folder = OutputFolder(tmp_path / "out")
    write_outcomes([synthetic(i, f"text {i} — “quoted”") for i in range(5)], folder)
    corpus = load_corpus(f"files:{folder.root}")
    assert [d.text for d in corpus.documents] == [f"text {i} — “quoted”" for i in range(5)]
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset(
        "json", data_files=str(folder.texts), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert rows[3]["text"] == corpus.documents[3].text
    assert rows[3]["metadata"] == synthetic(3).metadata


def test_nothing_is_doubled_and_a_torn_line_is_written_again(tmp_path):
    folder = OutputFolder(tmp_path)
    assert write_outcomes([synthetic(1), synthetic(2), synthetic(1)], folder).n_new == 2
    whole = folder.texts.read_bytes()
    folder.texts.write_bytes(whole[:-9])
    assert list(folder.records()) == [synthetic(1)]
    written = write_outcomes([synthetic(1), synthetic(2)], folder)
    assert (written.n_new, written.n_before) == (1, 1)
    assert folder.texts.read_bytes() == whole


def test_failures_are_written_with_their_reasons(tmp_path, make_request):
    folder = OutputFolder(tmp_path)
    outcome = FailedRequest(
        request=make_request(entities=("A", "B")), reason="refused: no", is_final=True
    )
    assert write_outcomes([outcome], folder).n_failed == 1
    (line,) = folder.failures.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["reason"] == "refused: no"
    assert json.loads(line)["entities"] == ["A", "B"]
    assert not folder.texts.read_bytes()


def test_a_ledger_survives_its_writer_and_has_one_at_a_time(tmp_path):
    path = tmp_path / "calls.jsonl"
    with Ledger(path) as ledger:
        ledger.add("k1", Reply(text="eins\n", n_reply_tokens=2))
        ledger.add("k2", Reply(text="zwei", finish="length"))
        with pytest.raises(LockedError, match="another command is writing"):
            Ledger(path)
    path.write_bytes(path.read_bytes() + b'{"key": "k3", "te')
    with Ledger(path, read_only=True) as ledger:
        assert len(ledger) == 2
    with Ledger(path) as ledger:
        assert ledger.get("k1") == Reply(text="eins\n", n_reply_tokens=2)
        assert ledger.get("k3") is None
        ledger.add("k3", Reply(text="drei"))
        assert ledger.get("k2") == Reply(text="zwei", finish="length")
    with Ledger(path) as ledger:
        assert [ledger.get(f"k{i}").text for i in (1, 2, 3)] == ["eins\n", "zwei", "drei"]
    with Ledger(tmp_path / "none", read_only=True) as ledger:
        assert "k" not in ledger
    assert not (tmp_path / "none").exists()


def test_a_killed_writer_leaves_the_ledger_unlocked(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from models.augment.writing.ledger import Ledger; from models.augment.writing.requests "
        "import Reply\n"
        f"ledger = Ledger(Path({str(tmp_path / 'calls')!r})); ledger.add('k', Reply(text='t'))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    with Ledger(tmp_path / "calls") as ledger:
        assert ledger.get("k") == Reply(text="t")


@pytest.mark.parametrize("limit", [1, 7, 40, 10**6])
def test_chunks_fit_and_hold_the_whole_text(limit):
    text = "One two three. Four five!\nsix seven\n\n" * 6 + "Donaudampfschifffahrt 東京は日本 end"
    found = chunks(text, lambda part: len(part) <= limit)
    assert all(0 < len(part) <= limit for part in found)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert len(found) == 1 or limit < len(text)


def test_chunks_end_where_paragraphs_do():
    paragraphs = [f"Paragraph {i} has a sentence. And one more." for i in range(8)]
    assert chunks("\n\n".join(paragraphs), lambda part: len(part) < 60) == paragraphs
    assert chunks("  \n ", lambda part: True) == []
    with pytest.raises(ValueError, match="not even one character"):
        chunks("ab", lambda part: False)


class Reader:
    """Counts characters as tokens."""

    name, context = "reader", 700

    def count_tokens(self, text):
        return len(text)


def test_documents_are_cut_to_the_context_and_said_to_be():
    records = [Record(id="long", text="word " * 100), Record(id="short", text="word")]
    cut = []
    found = list(chunks_for(
        records, Reader(), prompts=[PROMPTS["easy"]], n_tokens=200,
        on_cut=lambda r, n: cut.append((r.id, n)),
    ))  # fmt: skip
    assert cut == [("long", found[0].n_parts)]
    assert [c.part for c in found if c.source_id == "long"] == list(range(found[0].n_parts))
    assert found[-1].text == "word"
    with pytest.raises(ValueError, match="reader reads 700 tokens, but a prompt takes"):
        list(chunks_for(records, Reader(), prompts=[PROMPTS["easy"]], n_tokens=690))


def test_any_order_of_methods_loads_with_the_types_of_the_first_line(tmp_path):
    """Readers take the types from the first block, and refuse what differs in a later one."""
    import pyarrow as pa
    import pyarrow.json

    folder = OutputFolder(tmp_path / "out")
    pair = Provenance(
        method="entigraph", task="pair", source_ids=("a", "b"), entities=("Ada\n L.", "Bob"),
        model="m", seed=0,
    )  # fmt: skip
    write_outcomes([synthetic(0)], folder)
    write_outcomes([Record(id="p", text="t", metadata=pair.as_metadata())], folder)
    lines = folder.texts.read_bytes().splitlines(keepends=True)
    schemas = [pa.json.read_json(pa.BufferReader(line)).schema for line in lines]
    assert schemas[0] == schemas[1]
    assert schemas[0].field("metadata").type.field("entities").type == pa.string()
    assert [r.metadata["entities"].splitlines() for r in folder.records()] == [
        [],
        ["Ada L.", "Bob"],
    ]
    write_parquet(folder.records(), folder.parquet)
    assert pyarrow.parquet.read_table(folder.parquet).num_rows == 2
    old, older = (json.loads(lines[0]) for _ in range(2))
    del old["metadata"]["joined"]
    older["metadata"]["entities"] = []
    for line, message in [
        (json.dumps(old), "of an earlier version"),
        (json.dumps(older), "of an earlier version"),
        ("[1]", "not records"),
    ]:
        folder.texts.write_text(line + "\n", encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            write_outcomes([], folder)
