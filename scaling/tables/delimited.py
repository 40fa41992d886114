"""Delimited text: its separator, header, comments and rows, each row as wide as the header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from scaling.tables.numerals import is_number
from scaling.tables.raw import RawTable

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
WORDS = {word: separator for separator, word in SEPARATORS.items()}
SAMPLED, PROBED = 100, 2**20
"""Numbers of lines and of characters from which the separator is determined."""

csv.field_size_limit(2**24)


def read_delimited(name: str, text: str, separator: str | None = None) -> RawTable:
    """Cells of a delimited text, without spaces around them.

    Lines that are empty, repeat the header or, outside the table, start with `#` or say `sep=;` are
    left out, as are empty cells beyond the header and columns without a name.

    Args:
        name: name of the file, for messages.
        text: its text.
        separator: between cells; by default the one of `SEPARATORS` that fits.

    Raises:
        ValueError: no separator or several fit, a column occurs twice or all names are numbers, or
            a row is wider or narrower than the header; the message names the line.
    """
    start, comment, stated = _above(text)
    body = text[start:].replace("\r\n", "\n").replace("\r", "\n")
    offset = len(re.findall(r"\r\n|\r|\n", text[:start]))
    separator = WORDS.get(separator or "", separator)
    separator = separator or stated or _separator(f"{name}, line {offset + 1}", body)
    if len(separator) != 1 or not separator.isascii():
        raise ValueError(
            f"`separator` must be one character, such as a semicolon; not {separator!r}"
        )
    notes = [] if separator == "," else [f"separator {SEPARATORS.get(separator, separator)}"]
    columns, lines = _simple_columns(body, separator) or _columns(
        name, body, separator, offset, notes
    )
    header = [column[0].strip() for column in columns]
    if _all_numbers(header):
        # numpy.savetxt writes the header as a comment
        header = [cell.strip() for cell in comment.split(separator)]
        if len(header) != len(columns) or _all_numbers(header):
            raise ValueError(
                f"{name}, line {offset + 1}: the first row holds only numbers; name the columns in "
                "a line above it"
            )
        notes.append("header in a comment")
    else:
        lines = lines[1:]
        for column in columns:
            del column[0]
    for twice, count in Counter(header).items():
        if twice and count > 1:
            places = [str(place) for place, cell in enumerate(header, 1) if cell == twice]
            raise ValueError(
                f"{name}, line {offset + 1}: column {twice!r} appears more than once, as columns "
                f"{' and '.join(places)}; rename all but one"
                + (" (runs of the same name? export their ids)" if " - " in twice else "")
            )
    for place, column in enumerate(columns):
        if header[place]:
            continue
        row = next((row for row, value in enumerate(column) if value), None)
        if row is not None and place > 0:
            raise ValueError(
                f"{name}, line {offset + lines[row]}: {column[row]!r} is in a column without a "
                "name; name it in the header"
            )
        if row is not None:
            notes.append("the first column, without a name, left out")
    if " " in body or "\u00a0" in body or (separator != "\t" and "\t" in body):
        columns = [list(map(str.strip, column)) for column in columns]
    return RawTable(
        name=name,
        columns={cell: column for cell, column in zip(header, columns, strict=True) if cell},
        lines=[line + offset for line in lines] if offset else lines,
        notes=tuple(notes),
        separator=separator,
    )


def _above(text: str) -> tuple[int, str, str | None]:
    """Where the header starts, the last comment above it, and the separator that a line states."""
    start, comment, stated = 0, "", None
    for line in io.StringIO(text[:PROBED], newline=""):
        plain = line.strip()
        if found := re.fullmatch(r'"?sep=(.)"?', line.rstrip("\r\n"), flags=re.IGNORECASE):
            stated = found[1]
        elif plain.startswith("#"):
            comment = plain.lstrip("# ")
        elif plain:
            break
        start += len(line)
    return start, comment, stated


def _all_numbers(cells: Iterable[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(map(is_number, filled))


def _separator(where: str, body: str) -> str:
    """The separator by which the first rows are as wide as the header."""
    sample = "".join(body[:PROBED].splitlines(keepends=True)[:SAMPLED])
    fits, widest = [], (1, "")
    for separator in SEPARATORS:
        # the last row of the sample may be cut off within quotes
        header, *rows = list(_parsed(sample, separator, strict=False)) or [[]]
        rows = [row for row in rows[:-1] if any(row) and not row[0].startswith("#")]
        width = len(header)
        if width > 1 and all(len(row) >= width and not any(row[width:]) for row in rows):
            fits.append(separator)
        widest = max(widest, (width, separator))
    if len(fits) > 1:
        words = " or ".join(SEPARATORS[separator] for separator in fits)
        raise ValueError(
            f"{where}: cells may be separated by {words}; say by which, as in `--separator ';'`"
        )
    if not fits and widest[0] == 1:
        raise ValueError(f"{where}: the header has no separator (comma, semicolon, tab or |)")
    return fits[0] if fits else widest[1]


def _parsed(text: str, separator: str, *, strict: bool) -> Any:
    source = io.StringIO(text, newline="")
    return csv.reader(source, delimiter=separator, skipinitialspace=True, strict=strict)


def _simple_columns(body: str, separator: str) -> tuple[list[list[str]], Sequence[int]] | None:
    """Columns with their header, and their lines, if all rows have its width and none is special.

    Splitting the whole text is several times faster than reading row by row.
    """
    text = body.rstrip("\n")
    header = text.partition("\n")[0]
    width = header.count(separator) + 1
    rows = f"{text}\n"
    special = ('"', "\n#", "\n" + separator * (width - 1) + "\n", f"\n{header}\n")
    if any(part in rows for part in special):
        return None
    signs = np.frombuffer(rows.encode(), dtype=np.uint8)
    ends = signs == ord("\n")
    last = ends[ends | (signs == ord(separator))]
    if len(last) % width or not (last.reshape(-1, width) == (np.arange(width) == width - 1)).all():
        return None
    cells = text.replace("\n", separator).split(separator)
    return [cells[place::width] for place in range(width)], range(1, len(last) // width + 1)


def _columns(
    name: str, body: str, separator: str, offset: int, notes: list[str]
) -> tuple[list[list[str]], list[int]]:
    """As `_simple_columns`, of any text; what is left out is added to the notes."""
    rows: list[list[str]] = []
    lines: list[int] = []
    left_out: Counter[str] = Counter()
    for line, row in _numbered(name, body, separator, offset):
        width = len(rows[0]) if rows else len(row)
        if not any(row) and len(row) in (0, 1, width):
            continue
        # 4,31 without quotes also makes a cell more, where the last one is empty
        if len(row) > width and not any(row[width:]) and (separator != "," or "." in "".join(row)):
            left_out["rows that end in a separator"] += 1
            row = row[:width]
        if rows and row == rows[0]:
            left_out["repeated headers left out"] += 1
        elif len(row) == 1 < width and row[0].startswith("#"):
            left_out["comments left out"] += 1
        elif len(row) != width:
            raise ValueError(
                f"{name}, line {offset + line}: {len(row)} cells where the header has {width}"
            )
        else:
            rows.append(row)
            lines.append(line)
    notes += [f"{what}: {count}" for what, count in left_out.items()]
    return [list(column) for column in zip(*rows, strict=True)], lines


def _numbered(name: str, body: str, separator: str, offset: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows, each with the line of the body that it starts at."""
    reader = _parsed(body, separator, strict=True)
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{name}, line {offset + line}: {error}") from error
