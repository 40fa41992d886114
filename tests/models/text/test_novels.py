import hashlib
import http.server
import threading
from functools import partial
from pathlib import Path

import pytest

from models.text import novels
from models.text.corpora import CorpusError, load_corpus
from tests.data import needed
from tests.models.text.files import tar_bytes, texts_of, write


def test_novels_are_the_recorded_ones() -> None:
    needed("text/english_novels/english_novels_98.tar.xz")
    corpus = load_corpus("novels")
    assert corpus.n_documents == 98
    assert corpus.n_bytes == 76_186_756  # the collection's own index, two novels left out


def test_checksums_are_a_sha256_for_each_novel() -> None:
    checksums = novels.novel_checksums()
    assert len(checksums) == 98
    assert {len(bytes.fromhex(sha256)) for sha256 in checksums.values()} == {32}


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
    monkeypatch.setattr(novels, "NOVELS_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(novels, "novel_checksums", lambda: sha256)
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
        CorpusError, match=r"not in .*none \(set DATAWALL_DATA\).*cannot be downloaded"
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
