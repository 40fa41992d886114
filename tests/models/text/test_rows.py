"""Texts are found by content, whatever a file is called and however it is packed."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from models.augment.texts.records import read_records
from models.text import rows
from models.text.corpora import load_corpus
from models.text.data_home import CorpusError
from models.text.rows import rows_of
from tests.models.text.files import tar_bytes, texts_of, write

TEXTS = ["One, with a comma.", 'Two "quoted"\nlines.', "東京は日本の首都です。", "[1] a list"]


def json_lines(texts, **more):
    return "".join(json.dumps({"text": t, "n": i, **more}) + "\n" for i, t in enumerate(texts))


def table(texts, delimiter):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([["id", "text"], *([f"r{i}", text] for i, text in enumerate(texts))])
    return out.getvalue()


CONTENTS = {
    "json lines": json_lines(TEXTS),
    "list": json.dumps([{"text": text} for text in TEXTS]),
    "pretty list": json.dumps([{"text": text, "x": [{}]} for text in TEXTS], indent=2),
    "commas": table(TEXTS, ","),
    "semicolons": table(TEXTS, ";"),
    "tabs": table(TEXTS, "\t"),
}


def parquet(texts):
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), out)
    return out.getvalue()


PACKING = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def read(path: Path):
    """Return the texts, which both readers must find."""
    found = texts_of(load_corpus(f"files:{path}"))
    assert [record.text for record in read_records(path)] == found
    return found


@pytest.mark.parametrize("name", ["x.json", "x.txt", "x"])
@pytest.mark.parametrize("kind", [*CONTENTS, "parquet"])
def test_content_decides_and_not_the_ending(tmp_path, kind, name):
    content = parquet(TEXTS) if kind == "parquet" else CONTENTS[kind].encode()
    assert read(write(tmp_path / name, content)) == TEXTS
    if kind != "parquet":
        assert read(write(tmp_path / name, b"\xef\xbb\xbf" + content)) == TEXTS


@pytest.mark.parametrize("packed", PACKING)
@pytest.mark.parametrize("kind", ["json lines", "commas", "parquet"])
def test_what_is_packed_is_known_by_content(tmp_path, kind, packed):
    content = parquet(TEXTS) if kind == "parquet" else CONTENTS[kind].encode()
    data = PACKING[packed](content)
    assert read(write(tmp_path / f"x{packed}", data)) == TEXTS
    assert read(write(tmp_path / "misnamed.txt", data)) == TEXTS
    twice = gzip.compress(data)
    assert read(write(tmp_path / f"x{packed}.gz", twice)) == TEXTS
    archive = tar_bytes({"a.txt": "Alone."}, "w:gz")
    assert read(write(tmp_path / "archive", archive)) == ["Alone."]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.txt", "né".encode("utf-16") + b"\x00", "a.txt is not UTF-16: near byte 7"),
        ("b.txt", b"\xff\xfe\x00\xd8x\x00", "b.txt is not UTF-16"),
        ("c.txt", "Some text".encode("utf-16-le"), "0x00 at offset 1; it may be UTF-16 without"),
        ("a.docx", b"PK\x03\x04rest", "a zip archive .*unpack it first"),
        ("a.lz4", b"\x04\x22\x4d\x18rest", "packed with lz4"),
        ("a.zst", b"\x28\xb5\x2f\xfd\x24\x00garbage", "a.zst is not a readable .zst file"),
        ("a.bz2", b"BZh9garbage", "a.bz2 is not a readable .bz2 file"),
        ("a.csv", "id,body\n1,x\n", "a.csv, line 1: no column 'text' in the header 'id,body'"),
        ("b.csv", "id,text\n1,x\n2,y, z\n", "b.csv, line 3: 3 fields, but the header has 2"),
        ("c.csv", 'id,text\n1,"x\ny"\n2,"z" w\n', "c.csv, line 4: not CSV"),
        ("d.csv", b"text,id\ncaf\xe9,1\n", "d.csv is not UTF-8"),
        ("a.json", '[{"text": "x"},\n{"text": "y"', "a.json, line 2: not JSON"),
        ("b.json", '{\n"name": "x", "list": []\n}', "b.json, line 1: .* found .*'name', 'list'"),
        ("c", '{"content": "x"}\n', "c, line 1: .* found an object with 'content'"),
        ("d.ndjson", '{"text": "x"}\n3\n', "d.ndjson, line 2: .* found 3"),
        ("e.parquet", b"PAR1 no table", "e.parquet is not a readable parquet table"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, file, content, message):
    path = write(tmp_path / file, content)
    for reader in (lambda: load_corpus(f"files:{path}"), lambda: [*read_records(path)]):
        with pytest.raises(CorpusError, match=message):
            reader()


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-16-le", "\ufeff"), ("utf-16-be", "\ufeff"), ("utf-32", ""), ("utf-8-sig", "")],
)
def test_text_of_other_encodings_is_read_by_its_byte_order_mark(tmp_path, kind, encoding, mark):
    data = (mark + CONTENTS[kind]).encode(encoding)
    assert read(write(tmp_path / "x", data)) == TEXTS
    assert read(write(tmp_path / "x.gz", gzip.compress(data))) == TEXTS
    prose = "Größe 🙂.\r\n" * 20_000  # characters at the edges of what is read at a time
    assert read(write(tmp_path / "y.txt", (mark + prose).encode(encoding))) == [
        prose.replace("\r\n", "\n")
    ]


def test_objects_of_a_list_have_different_ids_on_one_line(tmp_path):
    path = write(tmp_path / "x.json", CONTENTS["list"])
    wanted = [f"x.json:{n}" for n in range(1, len(TEXTS) + 1)]
    assert [record.id for record in read_records(path)] == wanted
    assert [document.id for document in load_corpus(f"files:{path}").documents] == wanted
    assert [row.place for row in rows_of(path)] == [f"{path}, line 1"] * len(TEXTS)


def test_null_texts_are_blank_and_braces_alone_are_no_json(tmp_path):
    path = write(tmp_path / "x.jsonl", '{"text": null}\n{"text": "t"}\n')
    blank = []
    assert [r.text for r in read_records(path, on_empty=blank.append)] == ["t"]
    assert blank == [f"{path}, line 1"]
    assert read(path) == ["t"]
    for text in (
        "{{Infobox}} A wiki page.\n",
        "[1] A reference.\n",
        "{\\bf TeX}\n",
        "Images, text\n\nProse, too.\n",
    ):
        assert read(write(tmp_path / "y.txt", text)) == [text]


@pytest.mark.parametrize("piece", [1, 7, 2**18])
def test_one_giant_line_is_cut_at_the_ends_of_sentences(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(rows, "PIECE", piece)
    monkeypatch.setattr(rows, "LONGEST_TEXT", 100)
    text = "".join(f"Satz {i} über naïve cafés. " for i in range(50))
    found = read(write(tmp_path / "x.txt", text))
    assert "".join(found) == text
    assert all(part.endswith(". ") and 50 < len(part) <= 100 for part in found[:-1])
    unspaced = "これは長い文です。" * 40
    found = read(write(tmp_path / "y.txt", unspaced))
    assert "".join(found) == unspaced
    assert all(part.endswith("。") for part in found)
    assert "".join(read(write(tmp_path / "z.txt", "x" * 999))) == "x" * 999
    short = "Zeile\r\nZeile\r\n"
    assert read(write(tmp_path / "s.txt", short)) == ["Zeile\nZeile\n"]
    places = [row.place for row in rows_of(tmp_path / "z.txt")]
    assert places[:2] == [f"{tmp_path / 'z.txt'}, part {n}" for n in (1, 2)]


@pytest.mark.parametrize("kind", ["lines", "list", "text", "table", "page", "utf-16"])
def test_memory_is_bounded_by_the_longest_text(tmp_path, monkeypatch, kind):
    """Of a file of 8 MB, packed to little, a fraction is in memory at a time."""
    monkeypatch.setattr(rows, "LONGEST_TEXT", 2**18)
    record, n = {"text": "A sentence of words. " * 50}, 8000
    content = {
        "lines": lambda: (json.dumps(record) + "\n") * n,
        "list": lambda: "[" + ",\n".join([json.dumps(record)] * n) + "]",
        "text": lambda: record["text"] * n,
        "page": lambda: "<html>" + f"<p>{record['text']}</p>" * n,
        "utf-16": lambda: "\ufeff" + record["text"] * n,
        "table": lambda: "id,text\n" + f'1,"{record["text"]}"\n' * n,
    }[kind]()
    path = write(
        tmp_path / "x",
        gzip.compress(content.encode("utf-16-le" if kind == "utf-16" else "utf-8"), 1),
    )
    n_characters = len(content)
    del content
    tracemalloc.start()
    try:
        assert sum(len(row.text) for row in rows_of(path)) > 0.9 * n_characters
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n_characters / 2
    assert os.path.getsize(path) < n_characters / 10
