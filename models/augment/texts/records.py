"""Records {id, text, metadata}: the input and output format of augmentation.

On disk they are JSON lines (or a parquet table), which `models.text.corpora` reads as `files:PATH`
and Hugging Face `datasets` as "json". Records are read one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.text.data_home import CorpusError, files_under
from models.text.rows import rows_of

PARQUET_ROWS = 4096
"""Records of a row group."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A text with metadata, and an id that is unique within its file."""

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return one line of JSON, without newline."""
        values = {"id": self.id, "text": self.text, "metadata": dict(self.metadata)}
        return json.dumps(values, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Origin of a synthetic text; the metadata of its record, always with all fields.

    Attributes:
        method: rephrase, rationales, entigraph or sbp.
        task: kind of text within the method, such as "easy" or "pair".
        source_ids: ids of the records it was made from.
        part: index of the chunk of the source, from 0; long sources are cut into chunks.
        entities: entities that it discusses.
        model: backend and model that wrote it.
        prompt_version: version of the prompt's wording; "" if there was no prompt.
        seed: random seed of the sampling.
        finish: "stop", or "length" if it was cut at the token limit.
        joined: what was joined to this text, in its order: keys of recorded answers if it was
            written in chunks or has rationales, ids of records if it is a megadoc; empty if it is
            a single answer.
    """

    method: str
    task: str
    source_ids: tuple[str, ...]
    part: int = 0
    entities: tuple[str, ...] = ()
    model: str
    prompt_version: str = ""
    seed: int
    finish: str = "stop"
    joined: tuple[str, ...] = ()

    def as_metadata(self) -> dict[str, Any]:
        """Return plain values for the metadata of a record, of the same types in every record.

        Entities and joined texts are one string, a line each: readers that take types from the
        first records would hold an empty list for a list of nothing, and refuse what comes later.
        """
        lines = {
            "entities": "\n".join(" ".join(name.split()) for name in self.entities),
            "joined": "\n".join(self.joined),
        }
        return {**asdict(self), "source_ids": [*self.source_ids], **lines}


def read_records(
    path: Path | str, *, on_empty: Callable[[str], None] = lambda place: None
) -> Iterator[Record]:
    """Yield the records of a file or folder.

    JSON objects and rows of tables have a field "text" and optionally "id" and "metadata"; any
    other file is one text, whose id is its path, see `models.text.rows`. Blank texts are left out.

    Args:
        path: a file, or a folder of which all files that are not hidden are read.
        on_empty: called with the place of every blank text.

    Raises:
        CorpusError: no such file; a text that is binary, not UTF-8 or not a record (with its
            place); an id that occurs twice (with both places); no text at all.
    """
    root = Path(path).expanduser()
    seen: set[int] = set()  # hashes take a tenth of the memory of ids and places
    for place, record in _records_under(root):
        if hash(record.id) in seen:
            same = (first for first, other in _records_under(root) if other.id == record.id)
            first = next(same)
            if first != place:
                raise CorpusError(f"the id {record.id!r} occurs twice: in {first} and in {place}")
        seen.add(hash(record.id))
        if record.text.strip():
            yield record
        else:
            on_empty(place)
    if not seen:
        raise CorpusError(f"{root} holds no text")


def _records_under(root: Path) -> Iterator[tuple[str, Record]]:
    """Yield all records, each with the place where it stands."""
    base = root if root.is_dir() else root.parent
    for file in files_under(root):
        for row in rows_of(file):
            name = Path(row.label).relative_to(base).as_posix()
            id_, metadata = row.values.get("id"), row.values.get("metadata")
            if id_ is None:
                id_ = name if row.number is None else f"{name}:{row.number}"
            yield (
                row.place,
                Record(
                    id=str(id_),
                    text=without_surrogates(row.text),
                    metadata=metadata if isinstance(metadata, dict) else {},
                ),
            )


def without_surrogates(text: str) -> str:
    """Return the text with lone surrogates, valid in JSON but not in UTF-8, replaced by `?`."""
    return text.encode(errors="replace").decode()


def write_parquet(records: Iterable[Record], path: Path) -> None:
    """Write synthetic records, whose metadata is a `Provenance`, as a parquet table.

    Rows are written as they arrive; the file is renamed into place when complete.
    """
    import itertools

    import pyarrow
    import pyarrow.parquet

    text, texts = pyarrow.string(), pyarrow.list_(pyarrow.string())
    number = pyarrow.int64()
    types = {"source_ids": texts, "part": number, "seed": number}
    metadata = pyarrow.struct(
        [(name, types.get(name, text)) for name in Provenance.__dataclass_fields__]
    )
    schema = pyarrow.schema([("id", text), ("text", text), ("metadata", metadata)])
    beside = path.with_name(f".{path.name}.unfinished")
    iterator = iter(records)
    try:
        with pyarrow.parquet.ParquetWriter(beside, schema) as writer:
            while rows := [asdict(r) for r in itertools.islice(iterator, PARQUET_ROWS)]:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
