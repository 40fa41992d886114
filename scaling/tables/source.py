"""Reads the text of a file: unpacks and decodes it, and says what it is if it is not a table."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaling.tables.events import is_events

PARQUET_MAGIC = b"PAR1"
PROBED = 65_536
PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
OTHERS = {
    b"PK\x03\x04": "an Excel workbook or another zip archive: save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as CSV",
    b"\x28\xb5\x2f\xfd": "packed with zstandard: unpack it first",
    b"\x89HDF": "an HDF5 file: write the table as CSV or parquet",
    b"SQLite format 3": "an SQLite database: write the table as CSV or parquet",
    b"\x80\x04\x95": "a pickle: write the table as CSV or parquet",
    b"\x80\x05\x95": "a pickle: write the table as CSV or parquet",
}
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
MOST_ZEROS = 0.25
"""A text is UTF-16 if more than this share of every second byte is zero."""


def read_bytes(path: Path) -> bytes:
    """Content of a file, unpacked if it is packed (gzip, bzip2, xz).

    Raises:
        ValueError: it is empty, damaged, a folder, or a known kind of file other than a table.
        OSError: it is missing or cannot be read.
    """
    if path.is_dir():
        raise ValueError(f"{path.name} is a folder, not a file")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    with path.open("rb") as file:
        start = file.read(16)
    opener = next((found for magic, found in PACKED.items() if start.startswith(magic)), open)
    try:
        with opener(path, "rb") as file:
            head = file.read(PROBED)
            _check_head(path.name, head)
            return head + file.read()
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise ValueError(f"{path.name} is damaged: it cannot be unpacked ({error})") from error


def _check_head(name: str, head: bytes) -> None:
    if not head.strip():
        raise ValueError(f"{name} is empty")
    for magic, what in OTHERS.items():
        if head.startswith(magic):
            raise ValueError(f"{name} is {what}")
    if head.startswith(PARQUET_MAGIC) or is_events(head):
        return
    if b"\0" in head and _guess(head) is None:
        raise ValueError(f"{name} is not text: it holds zero bytes")


def _guess(head: bytes) -> str | None:
    """Encoding of content with zero bytes, or None if it is not text."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for encoding, high, low in (
        ("utf-16-le", head[1::2], head[::2]),
        ("utf-16-be", head[::2], head[1::2]),
    ):
        if high.count(0) > MOST_ZEROS * len(high) and min(low) >= ord("\t"):
            return encoding
    return None


def decode(name: str, content: bytes, encoding: str | None) -> tuple[str, str]:
    """Text of a file and the encoding that it was read with, UTF-8 unless it is marked.

    Args:
        name: name of the file, for messages.
        content: its bytes.
        encoding: the encoding, if it is known.

    Raises:
        ValueError: the text is not in this encoding, or the encoding is unknown.
    """
    found: Any = encoding or next(
        (which for mark, which in MARKS.items() if content.startswith(mark)), None
    )
    if found is None:
        found = (_guess(content[:PROBED]) if b"\0" in content[:PROBED] else None) or "utf-8"
    try:
        return content.decode(found), found
    except LookupError:
        raise ValueError(f"`encoding` must be an encoding, such as cp1252; not {found!r}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        shown = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8"}.get(found, found)
        raise ValueError(
            f"{name} is not {shown} text: line {line} holds the byte 0x{content[error.start]:02x}; "
            "give its encoding, as in `--encoding cp1252`"
        ) from error
