import argparse
import gzip
import hashlib
import http.server
import inspect
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import threading
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text import corpora, data_home
from models.text.corpora import (
    CORPORA,
    Corpus,
    CorpusError,
    Document,
    corpus_fingerprint,
    load_corpus,
    split_documents,
)
from tests.data import needed

TEXT = "Ein Text.\n\nZweiter Absatz: naïve café, 東京.\n"


def corpus_of(*texts: str) -> Corpus:
    documents = tuple(Document(id=str(i), text=text) for i, text in enumerate(texts))
    return Corpus(name="made", documents=documents, sha256="")


def texts_of(corpus: Corpus) -> list[str]:
    return [document.text for document in corpus.documents]


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def tar_bytes(members: dict[str, str], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


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


# --- split


@given(
    texts=st.lists(st.text("ab \n", min_size=1, max_size=40), min_size=3, max_size=60),
    seed=st.integers(0, 5),
    fraction=st.sampled_from([0.05, 0.1, 0.3]),
)
def test_split_is_disjoint_complete_and_keeps_equal_texts_together(
    texts: list[str], seed: int, fraction: float
) -> None:
    corpus = corpus_of(*texts)
    if len(set(texts)) < 3:
        with pytest.raises(CorpusError, match="too small to split"):
            split_documents(corpus, seed=seed)
        return
    split = split_documents(corpus, validation_fraction=fraction, test_fraction=fraction, seed=seed)
    parts = [split.train, split.validation, split.test]
    assert all(parts)
    ids = [document.id for part in parts for document in part]
    assert sorted(ids, key=int) == [document.id for document in corpus.documents]
    by_text = [{document.text for document in part} for part in parts]
    assert sum(map(len, by_text)) == len(set(texts))


def test_split_depends_on_texts_and_seed_alone() -> None:
    texts = [f"text number {i} " * (1 + i % 7) for i in range(200)]
    renamed = tuple(Document(id=f"x{i}", text=text) for i, text in enumerate(reversed(texts)))

    def held_out(corpus: Corpus, seed: int) -> set[str]:
        return {document.text for document in split_documents(corpus, seed=seed).test}

    other = Corpus(name="other", documents=renamed, sha256="")
    assert held_out(corpus_of(*texts), 0) == held_out(other, 0)
    assert held_out(corpus_of(*texts), 0) != held_out(other, 1)


def test_split_fractions_are_of_bytes(stdlib: Corpus) -> None:
    for validation, test in [(0.1, 0.1), (0.05, 0.2)]:
        split = split_documents(stdlib, validation_fraction=validation, test_fraction=test)
        for part, fraction in ((split.validation, validation), (split.test, test)):
            share = sum(document.n_bytes for document in part) / stdlib.n_bytes
            assert share == pytest.approx(fraction, abs=0.005)


@pytest.mark.parametrize("gap", ["\n\n", "\n \t\n\n", "\n"])
def test_single_document_is_cut_into_pieces_that_join_to_it(gap: str) -> None:
    text = gap.join(f"Speaker {i}:{' word' * (i % 9)}" for i in range(5000))
    split = split_documents(corpus_of(text))
    parts = [split.train, split.validation, split.test]
    pieces = sorted((d for part in parts for d in part), key=lambda d: int(d.id.split("#")[1]))
    assert "".join(piece.text for piece in pieces) == text
    assert 80 <= len(pieces) <= 100
    assert sum(piece.n_bytes for piece in split.test) / len(text) == pytest.approx(0.1, abs=0.01)


def test_text_without_line_ends_is_too_small_to_split() -> None:
    with pytest.raises(CorpusError, match=r"holds 1 different text\(s\)"):
        split_documents(corpus_of("one line"))


@pytest.mark.parametrize(("validation", "test"), [(0, 0.1), (0.1, 1), (-0.1, 0.1), (0.5, 0.5)])
def test_impossible_fractions(validation: float, test: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        split_documents(
            corpus_of("a", "b", "c"), validation_fraction=validation, test_fraction=test
        )


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
    with pytest.raises(CorpusError, match="row 1: 'text' is no string"):
        load_corpus("hf:owner/name")


# --- novels


def test_novels_are_the_recorded_ones() -> None:
    needed("text/english_novels/english_novels_98.tar.xz")
    corpus = load_corpus("novels")
    assert corpus.n_documents == 98
    assert corpus.n_bytes == 76_186_756  # the collection's own index, two novels left out


NOVELS = {"A_Novel_1900": "Line\n\nnaïve\n", "B_Novel_1901": "Other\n"}


@pytest.fixture
def novel_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A home of two novels as upstream keeps its own: byte-order mark, CRLF."""
    home = tmp_path / "served"
    for name, text in NOVELS.items():
        write(home / f"{name}.txt", b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    handler = partial(QuietHandler, directory=str(home))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sha256 = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in NOVELS.items()}
    monkeypatch.setattr(data_home, "NOVELS_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(data_home, "NOVELS_SHA256", sha256)
    monkeypatch.setenv("DATAWALL_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("DATAWALL_CACHE", str(tmp_path / "cache"))
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    yield home
    server.shutdown()
    server.server_close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_novels_are_downloaded_once_and_normalised(novel_server: Path) -> None:
    first = load_corpus("novels")
    assert {document.id: document.text for document in first.documents} == NOVELS
    for file in novel_server.iterdir():
        file.unlink()
    assert load_corpus("novels") == first


def test_changed_download_is_refused_and_fetched_again(novel_server: Path) -> None:
    good = (novel_server / "B_Novel_1901.txt").read_bytes()
    write(novel_server / "B_Novel_1901.txt", "Tampered\n")
    with pytest.raises(CorpusError, match=r"B_Novel_1901 from http.*differs from its recorded"):
        load_corpus("novels")
    write(novel_server / "B_Novel_1901.txt", good)
    assert load_corpus("novels").n_documents == 2


def test_novels_out_of_reach_say_where_they_were_sought(
    novel_server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in novel_server.iterdir():
        file.unlink()
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # pooch waits between its tries
    with pytest.raises(
        CorpusError, match=r"not in .*none \(set DATAWALL_DATA\).*cannot be fetched"
    ):
        load_corpus("novels")


def test_archive_of_novels_is_checked(
    novel_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAWALL_DATA", str(tmp_path))
    archive = tmp_path / "text/english_novels/english_novels_98.tar.xz"
    members = {f"txt/{name}.txt": text for name, text in NOVELS.items()}
    write(archive, tar_bytes(members, "w:xz"))
    assert texts_of(load_corpus("novels")) == list(NOVELS.values())
    write(archive, tar_bytes(members | {"txt/B_Novel_1901.txt": "Tampered"}, "w:xz"))
    with pytest.raises(CorpusError, match=r"B_Novel_1901 from .*tar\.xz differs"):
        load_corpus("novels")
    write(archive, tar_bytes({"txt/A_Novel_1900.txt": NOVELS["A_Novel_1900"]}, "w:xz"))
    with pytest.raises(CorpusError, match="lacks the novel B_Novel_1901"):
        load_corpus("novels")
