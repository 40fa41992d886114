"""Evaluation files: JSON lines, plain or packed, in a file or a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from models.text.data_home import files_under
from models.text.unpacking import open_files


class EvalFileError(ValueError):
    """An evaluation file with invalid content; the message names file and line."""


class JsonLine(NamedTuple):
    """One line of an evaluation file.

    Attributes:
        where: its file and line, as "file:line".
        values: its fields.
    """

    where: str
    values: dict[str, Any]

    def text(self, name: str) -> str:
        """Return a field that must be text.

        Raises:
            EvalFileError: it is missing, or not text.
        """
        value = self.values.get(name)
        if not isinstance(value, str):
            raise EvalFileError(
                f"{self.where}: {name!r} must be text; "
                + (f"not {value!r}" if name in self.values else "it is missing")
            )
        return value


def read_json_lines(path: Path | str) -> Iterator[JsonLine]:
    """Yield the lines of a file, or of every .jsonl file in a folder; .gz, .xz and .tar too.

    Raises:
        CorpusError: no such file, or an archive is damaged.
        EvalFileError: a line is not a JSON object, or there are no lines.
    """
    path, n_records = Path(path), 0
    for file in files_under(path):
        if file != path and ".jsonl" not in file.name and ".tar" not in file.name:
            continue
        for label, name, stream in open_files(file):
            if label != str(file) and not name.endswith(".jsonl"):
                continue
            for record in _lines_of(label, stream):
                n_records += 1
                yield record
    if not n_records:
        raise EvalFileError(f"{path} holds no JSON lines")


def _lines_of(label: str, lines: Iterable[bytes]) -> Iterator[JsonLine]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{label}:{number}"
        try:
            values = json.loads(line)
        except ValueError as error:
            raise EvalFileError(f"{where}: this line is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise EvalFileError(f"{where}: a line must be a JSON object; not {values!r}")
        yield JsonLine(where, values)
