"""Files as trackers keep them: event files of TensorBoard, and metric files of MLflow's store."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from scaling.tables.raw import RawTable

VERSION = b"brain.Event:"
"""What the first record of an event file states."""
CHECKED = 4096
"""Bytes up to which a record is checked though it holds no scalar: larger ones are pictures."""
_METRIC = re.compile(r"\d{12,14} [^\s,;]+ -?\d+(?: .*)?")
_CASTAGNOLI = 0x82F63B78
_MASK = 0xA282EAD8
_FLOATS: dict[bytes | int, tuple[str, int]] = {1: ("<f", 5), 2: ("<d", 6)}
"""By the data type of a tensor (float, double): its binary format and its field of values."""


def is_events(head: bytes) -> bool:
    """Whether a file is an event file of TensorBoard, by its first bytes."""
    return VERSION in head[12:64]


def read_events(name: str, content: bytes) -> RawTable:
    """Scalars of an event file, one value per row, with the number of its record as its line.

    The format is that of TensorFlow: TFRecord files, `event.proto` and `summary.proto`.
    A last record that is not written to its end is left out.

    Raises:
        ValueError: a record is damaged, or there are no scalars.
    """
    rows: list[tuple[int, str, int, float]] = []
    at, number, notes = 0, 0, ["an event file of TensorBoard"]
    while at < len(content):
        number += 1
        length = int.from_bytes(content[at : at + 8], "little")
        if at + 12 <= len(content) and _checksum(content[at : at + 8]) != content[at + 8 : at + 12]:
            raise ValueError(f"{name}, record {number}: damaged, its checksum differs")
        data = content[at + 12 : at + 12 + length]
        end = at + 16 + length
        if end > len(content):
            notes.append("an unfinished last record left out")
            break
        try:
            found = list(_scalars(data))
        except (IndexError, struct.error, ValueError) as error:
            raise ValueError(f"{name}, record {number}: not an event: {error}") from error
        if (found or length <= CHECKED) and _checksum(data) != content[end - 4 : end]:
            raise ValueError(f"{name}, record {number}: damaged, its checksum differs")
        rows += [(number, *scalar) for scalar in found]
        at = end
    if not rows:
        raise ValueError(f"{name} is an event file of TensorBoard without scalars")
    numbers, tags, steps, values = zip(*rows, strict=True)
    return RawTable(
        name=name,
        columns={"tag": [*tags], "step": [*steps], "value": [*values]},
        lines=numbers,
        notes=tuple(notes),
    )


def read_metric_file(name: str, text: str) -> RawTable | None:
    """A file of MLflow's store, `metrics/KEY` of a run, or None if it is something else.

    Raises:
        ValueError: a line has another form than the first.
    """
    if not _METRIC.match(text.partition("\n")[0]):
        return None
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if not _METRIC.fullmatch(line):
            raise ValueError(
                f"{name}, line {number}: not a time, a value and a step, as in the lines above: "
                f"{line[:40]!r}"
            )
    cells = [line.split(" ", 3) for line in lines]
    columns = {key: [row[at] for row in cells] for at, key in enumerate(("time", "value", "step"))}
    return RawTable(
        name=name,
        columns=columns,
        lines=range(1, len(lines) + 1),
        notes=("lines as time, value and step of MLflow",),
    )


def _scalars(event: bytes) -> Iterator[tuple[str, int, float]]:
    """Yield tag, step and value of each scalar of an event."""
    fields = list(_fields(event))
    step = next((value for key, value in fields if key == 2 and isinstance(value, int)), 0)
    for key, summary in fields:
        if key != 5 or not isinstance(summary, bytes):
            continue
        for _, value in _fields(summary):
            parts = dict(_fields(value)) if isinstance(value, bytes) else {}
            tag, simple, number = parts.get(1), parts.get(2), _tensor(parts.get(8))
            if isinstance(simple, bytes):
                number = struct.unpack("<f", simple)[0]
            if number is not None and isinstance(tag, bytes):
                yield tag.decode(), step - (step >> 63 << 64), number


def _tensor(data: bytes | int | None) -> float | None:
    """The number of a tensor that holds one, or None."""
    parts = dict(_fields(data)) if isinstance(data, bytes) else {}
    form, key = _FLOATS.get(parts.get(1, 0), ("", 0))
    value = parts.get(4) or parts.get(key)
    if not form or parts.get(2) or not isinstance(value, bytes):
        return None
    return float(struct.unpack(form, value)[0]) if len(value) == struct.calcsize(form) else None


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield number and value of each field of a protocol buffer: an integer, or its bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"field of kind {kind}")
        if at + length > len(data):
            raise ValueError("a field is cut off")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_CASTAGNOLI if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def _checksum(data: bytes) -> bytes:
    """The masked CRC-32C of a record, as it is stored."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return (((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF).to_bytes(4, "little")
