import argparse
import gzip
import http.server
import inspect
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from models.text import corpora
from models.text.corpora import CORPORA, Corpus, CorpusError, corpus_fingerprint, load_corpus
from tests.models.text.files import tar_bytes, texts_of, write

TEXT = "Ein Text.\n\nZweiter Absatz: naïve café, 東京.\n"


# --- names


@pytest.mark.parametrize("name", ["foo", "", "stdlib:x", "novels:", "files", "files:", "hf:"])
def test_unknown_corpus_lists_what_is_allowed(name: str) -> None:
    with pytest.raises(CorpusError) as error:
        load_corpus(name)
    assert all(repr(known) in str(error.value) for known in CORPORA)
    assert repr(name) in str(error.value)


def test_text_side_loads_no_jax_and_imports_no_module_it_reads() -> None:
    code = (
        "import sys, models.text.tokens, models.text.corpora as c; c.load_corpus('stdlib');"
        "print([m for m in ('jax', 'this', 'turtle', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- stdlib


@pytest.fixture(scope="module")
def stdlib() -> Corpus:
    return load_corpus("stdlib")


def test_stdlib_begins_each_document_with_the_module_docstring(stdlib: Corpus) -> None:
    text = {document.id: document.text for document in stdlib.documents}
    for module in (json, gzip, argparse, http.server):
        root = Path(os.__file__).parent
        id_ = Path(str(module.__file__)).relative_to(root).as_posix()
        assert text[id_].startswith(str(inspect.getdoc(module)).strip())
    assert str(inspect.getdoc(json.dumps)) in text["json/__init__.py"]


def test_stdlib_is_deterministic_and_clean(stdlib: Corpus) -> None:
    assert load_corpus("stdlib").sha256 == stdlib.sha256
    ids = [document.id for document in stdlib.documents]
    assert ids == sorted(ids, key=lambda id_: Path(id_))
    assert len(set(ids)) == stdlib.n_documents
    assert not {"test", "tests", "site-packages"} & {p for id_ in ids for p in id_.split("/")}
    assert stdlib.n_bytes == sum(len(text.encode()) for text in texts_of(stdlib)) > 1_000_000


def test_docstrings_come_in_source_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = '''# -*- coding: latin-1 -*-
"""Module \xe9."""
if True:
    class A:
        """Class
            indented."""
        async def f(self):
            def inner():
                """Inner."""
            """Not a docstring."""
try:
    def g():
        """In try, with a lone \\ud800 surrogate."""
except ImportError:
    def g():
        """In except."""
def bare(): pass
'''
    write(tmp_path / "package/module.py", source.encode("latin-1"))
    write(tmp_path / "broken.py", '"""Doc."""\nprint "two"\n')
    write(tmp_path / "test/module.py", '"""Left out."""')
    write(tmp_path / "config-3.11/build.py", '"""Left out."""')
    monkeypatch.setattr(corpora, "_stdlib_root", lambda: tmp_path)
    (document,) = load_corpus("stdlib").documents
    assert document.id == "package/module.py"
    assert document.text == (
        "Module é.\n\nClass\nindented.\n\nInner.\n\nIn try, with a lone ? surrogate.\n\nIn except."
    )


def test_python_without_library_sources_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "_stdlib_root", lambda: tmp_path)
    with pytest.raises(CorpusError, match="no sources of its library"):
        load_corpus("stdlib")


def test_sha256_covers_ids_texts_and_their_borders(tmp_path: Path) -> None:
    def sha256(files: dict[str, str], folder: str) -> str:
        for name, text in files.items():
            write(tmp_path / folder / name, text)
        return load_corpus(f"files:{tmp_path / folder}").sha256

    base = sha256({"a": "ab", "b": "c"}, "1")
    assert sha256({"a": "ab", "b": "c"}, "elsewhere") == base
    assert len({base, sha256({"a": "a", "b": "bc"}, "2"), sha256({"a": "ab", "c": "c"}, "3")}) == 3


# --- files


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("a.txt", TEXT.encode()),
        ("a", TEXT.encode()),
        ("bom.md", b"\xef\xbb\xbf" + TEXT.encode()),
        ("crlf.txt", TEXT.replace("\n", "\r\n").encode()),
        ("a.txt.gz", gzip.compress(TEXT.encode(), mtime=0)),
        ("A.TXT.XZ", lzma.compress(TEXT.encode())),
        ("a.tar", tar_bytes({"./a.txt": TEXT})),
        ("a.tar.gz", tar_bytes({"a.txt": TEXT}, "w:gz")),
        ("a.tgz", tar_bytes({"a.txt": TEXT, "._a.txt": "hidden"}, "w:gz")),
        ("a.tar.xz", tar_bytes({"a.txt": TEXT}, "w:xz")),
        ("a.jsonl", json.dumps({"text": TEXT, "more": 1}).encode() + b"\r\n\n"),
        ("a.jsonl.gz", gzip.compress(json.dumps({"text": TEXT}).encode(), mtime=0)),
        ("a.tar.xz", tar_bytes({"a.jsonl": json.dumps({"text": TEXT})}, "w:xz")),
    ],
)
def test_every_container_yields_the_same_text(tmp_path: Path, file: str, content: bytes) -> None:
    corpus = load_corpus(f"files:{write(tmp_path / file, content)}")
    assert texts_of(corpus) == [TEXT]
    assert corpus.n_bytes == len(TEXT.encode())


def test_folder_is_read_sorted_with_archives_opened_and_hidden_left_out(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", "b")
    write(tmp_path / "a/z.txt", "z")
    write(tmp_path / "a/c.tar", tar_bytes({"y.txt": "y", "x/w.txt": "w"}))
    write(
        tmp_path / "d.jsonl", '{"text": "one", "id": "first"}\n{"text": "two\u2028"}\n{"text":""}'
    )
    write(tmp_path / "blank.txt", " \n")
    write(tmp_path / ".git/config", b"\0")
    write(tmp_path / ".DS_Store", b"\0")
    corpus = load_corpus(f"files:{tmp_path}")
    assert [(document.id, document.text) for document in corpus.documents] == [
        ("a/c.tar/x/w.txt", "w"),
        ("a/c.tar/y.txt", "y"),
        ("a/z.txt", "z"),
        ("b.txt", "b"),
        ("d.jsonl:first", "one"),
        ("d.jsonl:2", "two\u2028"),
    ]


@pytest.mark.parametrize("relative", [".", "sub", "sub/a.txt"])
def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: str) -> None:
    write(tmp_path / "sub/a.txt", TEXT)
    monkeypatch.chdir(tmp_path)
    assert texts_of(load_corpus(f"files:{relative}")) == [TEXT]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("empty.txt", b"", "is empty"),
        ("blank.txt", b" \n\n", "is empty"),
        ("empty.jsonl", b"\n", "is empty"),
        ("empty.tar", tar_bytes({}), "is empty"),
        ("photo.png", b"\x89PNG\0", r"photo.png is binary, not text: byte 0x00 at offset 4"),
        ("utf16.txt", "ab".encode("utf-16-le"), "binary.*offset 1"),
        (
            "latin.txt",
            "caf\xe9".encode("latin-1"),
            r"latin.txt is not UTF-8: byte 0xe9 at offset 3",
        ),
        ("latin.txt.gz", gzip.compress(b"ab\xff", mtime=0), r"latin.txt.gz is not UTF-8.*offset 2"),
        (
            "cut.txt.gz",
            gzip.compress(b"text" * 99, mtime=0)[:-9],
            "cut.txt.gz is not a readable .gz",
        ),
        ("bad.txt.gz", b"no gzip", "bad.txt.gz is not a readable .gz"),
        ("bad.txt.xz", b"no xz", "bad.txt.xz is not a readable .xz"),
        ("bad.tar", b"no tar", "bad.tar is not a readable .tar"),
        ("a.jsonl", b'{"text": "a"}\n\n{"body": "b"}', "a.jsonl, line 3: .*'text'"),
        ("b.jsonl", b'{"text": "a"}\n{"text": 1}', "b.jsonl, line 2"),
        ("c.jsonl", b'{"text": "a"', "c.jsonl, line 1"),
        ("d.jsonl", b'["text"]', "d.jsonl, line 1"),
        ("e.jsonl", b'{"text": "\\ud800"}', "e.jsonl, line 1"),
        ("f.jsonl", b'{"text": "caf\xe9"}', "f.jsonl is not UTF-8: byte 0xe9 at offset 13"),
    ],
)
def test_bad_file_is_named_with_its_fault(
    tmp_path: Path, file: str, content: bytes, message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        load_corpus(f"files:{write(tmp_path / file, content)}")


def test_bad_member_of_an_archive_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tar", tar_bytes({"good.txt": "good", "sub/bad.txt": "b\0"}))
    with pytest.raises(CorpusError, match=r"a\.tar/sub/bad\.txt is binary.*offset 1"):
        load_corpus(f"files:{file}")


def test_missing_path_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=f"no such file or folder: {tmp_path / 'none'}"):
        load_corpus(f"files:{tmp_path / 'none'}")
    with pytest.raises(CorpusError, match="holds no files"):
        load_corpus(f"files:{tmp_path}")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all files")
def test_unreadable_file_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", TEXT)
    file.chmod(0)
    with pytest.raises(CorpusError, match=r"cannot read .*a\.txt"):
        load_corpus(f"files:{file}")


# --- fingerprints


def test_fingerprint_follows_the_files_and_reads_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.txt", TEXT)
    monkeypatch.setattr(Path, "read_bytes", None)
    name = f"files:{tmp_path}"
    first = corpus_fingerprint(name)
    assert corpus_fingerprint(name) == first
    os.utime(file, ns=(1, 1))
    second = corpus_fingerprint(name)
    with file.open("a") as handle:
        handle.write("more")
    os.utime(file, ns=(1, 1))
    third = corpus_fingerprint(name)
    file.rename(tmp_path / "b.txt")
    assert len({first, second, third, corpus_fingerprint(name)}) == 4


def test_stdlib_fingerprint_follows_the_python(monkeypatch: pytest.MonkeyPatch) -> None:
    before = corpus_fingerprint("stdlib")
    assert corpus_fingerprint("stdlib") == before
    monkeypatch.setattr(sys, "version", sys.version + " patched")
    assert corpus_fingerprint("stdlib") != before


def test_hugging_face_fingerprint_needs_a_pinned_commit() -> None:
    assert corpus_fingerprint("hf:owner/name") is None
    assert corpus_fingerprint("hf:owner/name@main") is None
    pinned = {corpus_fingerprint(f"hf:owner/name@{digit * 40}") for digit in "ab"}
    assert len(pinned) == 2
    assert None not in pinned


# --- Hugging Face


def test_missing_library_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CorpusError, match="pip install datasets"):
        load_corpus("hf:owner/name")


class Rows(SimpleNamespace):
    """What `datasets.load_dataset` returns, as far as it is used."""

    def __getitem__(self, column: str) -> list[object]:
        return self.columns[column]

    @property
    def column_names(self) -> list[str]:
        return list(self.columns)


def with_datasets(monkeypatch: pytest.MonkeyPatch, columns: dict[str, list[object]]) -> list:
    calls: list[object] = []

    def load_dataset(path: str, config: str | None, *, split: str, revision: str | None) -> Rows:
        if path == "absent":
            raise FileNotFoundError("no such data set")
        calls.append((path, config, split, revision))
        return Rows(columns=columns)

    module = ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return calls


def test_data_set_address_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = with_datasets(monkeypatch, {"text": ["one", None, "three"], "label": [1, 2, 3]})
    assert texts_of(load_corpus("hf:owner/name:small@abc")) == ["one", "three"]
    load_corpus("hf:owner/name")
    assert calls == [("owner/name", "small", "train", "abc"), ("owner/name", None, "train", None)]


def test_data_set_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with_datasets(monkeypatch, {"body": ["one"]})
    with pytest.raises(CorpusError, match=r"no column 'text': .*body"):
        load_corpus("hf:owner/name")
    with pytest.raises(CorpusError, match="cannot load the corpus 'hf:absent': no such data set"):
        load_corpus("hf:absent")
    with_datasets(monkeypatch, {"text": ["one", 2]})
    with pytest.raises(CorpusError, match="row 1: 'text' is not a string"):
        load_corpus("hf:owner/name")
