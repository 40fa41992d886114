"""Texts in files of any kind: JSON lines, JSON lists, CSV, parquet, HTML, PDF, plain text.

What a file is follows from its content, and from its name only where that leaves it open. Files are
read in pieces, so that memory is bounded by the longest text.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO, Any, Literal

from models.text.data_home import CorpusError
from models.text.formatted import PDF, html_encoding, html_text, is_html, pdf_text
from models.text.unpacking import HEAD, open_files, transcoded

LONGEST_TEXT = 2**22
"""Characters of a plain text above which it is cut into several."""

LONGEST_RECORD = 2**27
"""Characters of a JSON object in a list."""

PIECE = 2**18
"""Bytes read at a time."""

PARQUET_ROWS = 1024
"""Rows read at a time."""

BREAKS = (r"\n[ \t]*\n\s*", r"\n\s*", r"(?<=[.!?])\s+|(?<=[。！？])", r"\s+")
"""Where a text may be cut, in order of preference: paragraphs, lines, sentences, words."""

BOM = codecs.BOM_UTF8
NAMES_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Row:
    """A text in a file.

    Attributes:
        place: file and line, for messages.
        label: the file, or archive and member.
        number: number of the line, row, object of a list or part, from 1; None where the file is
            one text.
        text: the text.
        values: the other fields of a record.
    """

    place: str
    label: str
    number: int | None
    text: str
    values: Mapping[str, Any]


def rows_of(file: Path) -> Iterator[Row]:
    """Yield the texts of a file, packed or not, or of an archive.

    JSON objects and the rows of tables have a field "text"; null counts as blank. Any other file,
    such as an HTML page or a PDF, is one text, newlines LF, cut at the ends of paragraphs, lines,
    sentences or words if it is longer than `LONGEST_TEXT`. Text is UTF-8, UTF-16 or UTF-32 with a
    byte-order mark, or in an HTML page as the page states.

    Raises:
        CorpusError: the file cannot be read, is binary, damaged or not UTF-8 (with the byte
            offset), or a record has no string in the field "text" (with its line).
    """
    for label, name, stream in open_files(file):
        match _kind(name, stream.peek(HEAD)):
            case "json lines":
                yield from _json_lines(label, stream)
            case "json":
                yield from _json_values(label, stream)
            case "table":
                yield from _table(label, stream)
            case "parquet":
                yield from _parquet(label, stream)
            case "html":
                encoding = html_encoding(label, stream.peek(HEAD))
                page = transcoded(stream, label, encoding) if encoding else stream
                yield from _plain(label, html_text(_pieces(label, page)))
            case "pdf":
                yield from _plain(label, pdf_text(label, stream))
            case _:
                yield from _plain(label, _pieces(label, stream))


Kind = Literal["json lines", "json", "table", "parquet", "html", "pdf", "text"]


def _kind(name: str, head: bytes) -> Kind:
    suffix = PurePath(name).suffix.lower()
    if head.startswith(PDF):
        return "pdf"
    if suffix in (".jsonl", ".ndjson"):
        return "json lines"
    if suffix == ".parquet" or head.startswith(b"PAR1"):
        return "parquet"
    start = head.removeprefix(BOM).lstrip()
    if is_html(name, start):
        return "html"
    line, newline, _ = start.partition(b"\n")
    if start.startswith(b"{"):
        if _is_object(line) or (not newline and re.match(rb'\{\s*"', start)):
            return "json lines"
        return "json" if suffix == ".json" else "text"
    if start.startswith(b"[") and (suffix == ".json" or re.match(rb'\[\s*\{\s*"', start)):
        return "json"
    if suffix in (".csv", ".tsv") or _delimiter(line, is_certain=False):
        return "table"
    return "text"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _row(
    label: str, place: int, values: Any, *, unit: str = "line", number: int | None = None
) -> Row:
    """Return a record as a row, whose number is its place unless another is given."""
    number = place if number is None else number
    where = f"{label}, {unit} {place}"
    if isinstance(values, dict) and "text" in values:
        text = "" if values["text"] is None else values["text"]
        if isinstance(text, str):
            return Row(place=where, label=label, number=number, text=text, values=values)
    found = f"an object with {_listed(values)}" if isinstance(values, dict) else f"{values!r:.60}"
    raise CorpusError(f"{where}: not a record with a string in the field 'text'; found {found}")


def _listed(names: Any) -> str:
    shown = [repr(str(name)) for name in itertools.islice(names, NAMES_SHOWN)]
    return ", ".join([*shown, *(["..."] if len(names) > NAMES_SHOWN else [])]) or "no fields"


# --- JSON


def _json_lines(label: str, stream: IO[bytes]) -> Iterator[Row]:
    offset = 0
    for number, line in enumerate(stream, start=1):
        text = _utf8(label, line, offset)
        offset += len(line)
        if number == 1:
            text = text.removeprefix("\ufeff")
        if text.strip():
            try:
                values = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{label}, line {number}: not JSON: {error}") from error
            yield _row(label, number, values)


def _json_values(label: str, stream: IO[bytes]) -> Iterator[Row]:
    """Yield the objects of a list, or objects one after another, over any number of lines."""
    decoder, pieces = json.JSONDecoder(), _pieces(label, stream)
    buffer, at, line, is_over = "", 0, 1, False
    number = 0  # not the line, on which several may stand
    while True:
        between = re.compile(r"[\s,\[\]]*").match(buffer, at)
        assert between is not None
        line += buffer.count("\n", at, between.end())
        at = between.end()
        try:
            if at == len(buffer) and not is_over:
                raise ValueError("more is needed")
            if at == len(buffer):
                return
            values, end = decoder.raw_decode(buffer, at)
        except (ValueError, RecursionError) as error:
            # Twice as much each time, so that long objects are parsed a few times only.
            more = "".join(itertools.islice(pieces, 1 + (len(buffer) - at) // PIECE))
            is_over = not more
            buffer, at = buffer[at:] + more, 0
            if (is_over and buffer) or len(buffer) > LONGEST_RECORD:
                raise CorpusError(f"{label}, line {line}: not JSON: {error}") from error
            continue
        number += 1
        yield _row(label, line, values, number=number)
        line += buffer.count("\n", at, end)
        at = end


# --- tables


def _delimiter(header: bytes, *, is_certain: bool) -> str | None:
    """Return what separates the fields of a header with a field "text", or None.

    Where it is not certain that this is a table, the names must be single words without spaces
    around them, at least two: a heading of prose may be "Images, text".
    """
    line = header.removeprefix(BOM).decode(errors="replace").strip()
    for delimiter in ",;\t":
        names = [name.strip('"') for name in line.split(delimiter)]
        is_header = len(names) > 1 and all(re.fullmatch(r"[\w.-]*", name) for name in names)
        if "text" in [name.strip(' "') for name in names] and (is_certain or is_header):
            return delimiter
    return None


def _table(label: str, stream: io.BufferedReader) -> Iterator[Row]:
    header = stream.peek(HEAD).partition(b"\n")[0]
    delimiter = _delimiter(header, is_certain=True)
    if delimiter is None:
        shown = header.removeprefix(BOM).decode(errors="replace").strip()
        raise CorpusError(f"{label}, line 1: no column 'text' in the header {shown[:200]!r}")
    csv.field_size_limit(2**31 - 1)
    lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 1
    try:
        names = [name.strip() for name in next(reader)]
        for fields in reader:
            line, first = reader.line_num, line + 1
            if fields and len(fields) != len(names):
                raise CorpusError(
                    f"{label}, line {first}: {len(fields)} fields, but the header has "
                    f"{len(names)}; texts with {delimiter!r} must be quoted"
                )
            if fields:
                yield _row(label, first, dict(zip(names, fields, strict=True)))
    except UnicodeDecodeError as error:
        raise CorpusError(f"{label} is not UTF-8: near line {reader.line_num + 1}") from error
    except csv.Error as error:
        raise CorpusError(f"{label}, line {line + 1}: not CSV: {error}") from error


def _parquet(label: str, stream: io.BufferedReader) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise CorpusError(f"{label}: parquet needs pyarrow: pip install pyarrow") from error
    number = 0
    with tempfile.TemporaryFile() as spool:
        source: Any = stream
        if not stream.seekable():
            shutil.copyfileobj(stream, spool)
            source = spool
        try:
            table = pyarrow.parquet.ParquetFile(source)
            if "text" not in table.schema_arrow.names:
                raise CorpusError(
                    f"{label} has no column 'text'; found {_listed(table.schema_arrow.names)}"
                )
            for batch in table.iter_batches(PARQUET_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield _row(label, number, values, unit="row")
        except pyarrow.ArrowException as error:
            raise CorpusError(f"{label} is not a readable parquet table: {error}") from error


# --- plain text


def _plain(label: str, pieces: Iterator[str]) -> Iterator[Row]:
    parts = _texts(pieces)
    first, second = next(parts, ""), next(parts, None)
    if second is None:
        yield Row(place=label, label=label, number=None, text=first, values={})
        return
    for number, text in enumerate(itertools.chain([first, second], parts), start=1):
        place = f"{label}, part {number}"
        yield Row(place=place, label=label, number=number, text=text, values={})


def _texts(pieces: Iterator[str]) -> Iterator[str]:
    """Yield the whole text, newlines LF, in parts of at most `LONGEST_TEXT` characters."""
    buffer = ""
    for piece in pieces:
        buffer = (buffer + piece).replace("\r\n", "\n")
        while len(buffer) > LONGEST_TEXT:
            end = _last_break(buffer)
            yield buffer[:end]
            buffer = buffer[end:]
    if buffer:
        yield buffer


def _last_break(text: str) -> int:
    """Return where to cut: at the last good break in the second half of the longest part."""
    for pattern in BREAKS:
        found = [m.end() for m in re.finditer(pattern, text[LONGEST_TEXT // 2 : LONGEST_TEXT])]
        if found:
            return LONGEST_TEXT // 2 + found[-1]
    return LONGEST_TEXT


def _pieces(label: str, stream: IO[bytes]) -> Iterator[str]:
    """Yield a text in pieces, without byte-order mark."""
    offset, rest = 0, b""
    while data := stream.read(PIECE):
        data = rest + data
        # A character may be cut at the end: at most three of its bytes are there.
        cut = len(data)
        for back in range(1, min(4, len(data) + 1)):
            if data[-back] >= 0xC0:
                cut = len(data) - back
                break
            if data[-back] < 0x80:
                break
        text = _utf8(label, data[:cut], offset)
        yield text if offset else text.removeprefix("\ufeff")
        offset, rest = offset + cut, data[cut:]
    if rest:
        yield _utf8(label, rest, offset)


def _utf8(label: str, data: bytes, offset: int) -> str:
    zero = data.find(0)
    if zero >= 0:
        wide = max(data[:HEAD:2].count(0), data[1:HEAD:2].count(0)) > len(data[:HEAD]) / 4
        hint = "; it may be UTF-16 without a byte-order mark: save it as UTF-8" if wide else ""
        raise CorpusError(f"{label} is binary, not text: byte 0x00 at offset {offset + zero}{hint}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{label} is not UTF-8: byte 0x{data[error.start]:02x} at offset {offset + error.start}"
        ) from error
