"""Open files as streams of bytes: packed ones unpacked, members of archives one by one.

What is packed is known by content. Nothing is read as a whole, so that memory stays bounded.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from models.text.data_home import CorpusError

HEAD = 2**16
"""Bytes at the beginning of a file that show what it is."""

IN_MEMORY = 2**24
"""Bytes of an archive within a packed file above which it is unpacked to disk."""


def _zstd(stream: IO[bytes]) -> IO[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise CorpusError("zstd needs zstandard: pip install zstandard") from error
    return zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)


PACKED: dict[str, tuple[bytes, Callable[[IO[bytes]], Any]]] = {
    "gz": (b"\x1f\x8b", lambda stream: gzip.GzipFile(fileobj=stream)),
    "bz2": (b"BZh", bz2.BZ2File),
    "xz": (b"\xfd7zXZ\0", lzma.LZMAFile),
    "zst": (b"\x28\xb5\x2f\xfd", _zstd),
}
"""By suffix: the bytes that packed files begin with, and how they are opened."""

ALIASES = {"tgz": "gz", "tbz": "bz2", "tbz2": "bz2", "txz": "xz", "tzst": "zst", "zstd": "zst"}

FOREIGN = {
    b"PK\x03\x04": "a zip archive (or a document of an office program); unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"Rar!": "a rar archive; unpack it first",
    b"\x04\x22\x4d\x18": "packed with lz4; unpack it first",
    b"\xd0\xcf\x11\xe0": "a document of an office program; save it as text first",
    b"SQLite format 3": "an SQLite database",
    b"ARROW1": "an Arrow file; save it as parquet first",
    b"\x93NUMPY": "a NumPy array",
    b"GIF8": "a GIF image",
    b"\xff\xd8\xff": "a JPEG image",
}
"""By their first bytes: files that hold no text which could be read."""

WIDE = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32"} | {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""By byte-order mark, longer ones first: encodings that are read as if the file were UTF-8."""


class _Unpacked(io.RawIOBase):
    """A stream whose damage is reported with the name of the file."""

    def __init__(self, stream: IO[bytes], label: str, suffix: str) -> None:
        self._stream, self._label, self._suffix = stream, label, suffix

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except CorpusError:
            raise
        except Exception as error:  # each of the libraries has errors of its own
            raise CorpusError(
                f"{self._label} is not a readable .{self._suffix} file: {error}"
            ) from error
        buffer[: len(data)] = data
        return len(data)


class _Transcoded(io.RawIOBase):
    """A stream of text in another encoding, as UTF-8."""

    def __init__(self, stream: IO[bytes], label: str, encoding: str) -> None:
        self._stream, self._label, self._encoding = stream, label, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready, self._n_read = b"", 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._stream.read(HEAD)
            try:
                self._ready = self._decoder.decode(data, final=not data).encode()
            except UnicodeError as error:
                place = f"near byte {self._n_read:,}"
                raise CorpusError(f"{self._label} is not {self._encoding}: {place}") from error
            self._n_read += len(data)
            if not data:
                break
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def transcoded(stream: IO[bytes], label: str, encoding: str) -> io.BufferedReader:
    """Return a stream of text in another encoding as one of UTF-8, without byte-order mark.

    Args:
        stream: bytes of the text.
        label: its name, for messages.
        encoding: an encoding that Python knows.
    """
    raw: Any = _Transcoded(stream, label, encoding)
    return io.BufferedReader(raw, HEAD)


def _buffered(stream: IO[bytes], label: str, suffix: str) -> io.BufferedReader:
    raw: Any = _Unpacked(stream, label, suffix)
    return io.BufferedReader(raw, HEAD)


def open_files(file: Path) -> Iterator[tuple[str, str, io.BufferedReader]]:
    """Yield a file, or the members of an archive, as streams; any of them may be packed.

    Members come sorted by name, labelled "archive/member"; hidden ones and those that are not
    regular files are left out. Text that begins with a byte-order mark of UTF-16 or UTF-32 comes as
    UTF-8. A stream is closed when the next one is asked for.

    Yields:
        Label, innermost file name (without the suffixes of packing), stream.

    Raises:
        CorpusError: the file cannot be read, is damaged, or is of a kind that holds no text.
    """
    try:
        with file.open("rb") as stream:
            yield from _opened(str(file), str(file), stream)
    except OSError as error:
        raise CorpusError(f"cannot read {file}: {error.strerror or error}") from error


def _opened(
    label: str, name: str, stream: io.BufferedReader
) -> Iterator[tuple[str, str, io.BufferedReader]]:
    stem, _, suffix = name.rpartition(".")
    suffix = suffix.lower()
    claimed = ALIASES.get(suffix, suffix)
    head = stream.peek(HEAD)
    found = next((kind for kind, (magic, _) in PACKED.items() if head.startswith(magic)), None)
    if claimed in PACKED and found is None:
        raise CorpusError(f"{label} is not a readable .{suffix} file: it begins with {head[:6]!r}")
    if found is not None:
        # BZ2 and gzip may read ahead; nothing else reads this stream.
        inner = _buffered(PACKED[found][1](stream), label, found)
        if claimed == found:
            name = f"{stem}.tar" if suffix in ALIASES and suffix != "zstd" else stem
        yield from _opened(label, name, inner)
    elif suffix == "tar" or head[257:262] == b"ustar":
        yield from _members(label, stream)
    else:
        for magic, kind in FOREIGN.items():
            if head.startswith(magic):
                raise CorpusError(f"{label} is binary, not text: {kind}")
        encoding = next((found for mark, found in WIDE.items() if head.startswith(mark)), None)
        yield label, name, stream if encoding is None else transcoded(stream, label, encoding)


def _members(label: str, stream: io.BufferedReader) -> Iterator[tuple[str, str, io.BufferedReader]]:
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as spool:
        source: Any = stream
        if not stream.seekable():
            shutil.copyfileobj(stream, spool)
            spool.seek(0)
            source = spool
        try:
            archive = tarfile.open(fileobj=source, mode="r:")  # noqa: SIM115
            found = {str(PurePosixPath(member.name)): member for member in archive.getmembers()}
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise CorpusError(f"{label} is not a readable .tar file: {error}") from error
        with archive:
            for name, member in sorted(found.items()):
                hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
                content = archive.extractfile(member) if member.isfile() and not hidden else None
                if content is not None:
                    inner = _buffered(content, f"{label}/{name}", "tar")
                    yield from _opened(f"{label}/{name}", name, inner)
