"""Megadocs: several texts written from one document, joined to one long text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from models.augment.texts.records import Provenance, Record
from models.augment.writing.chunkwise import BETWEEN, digest_of

MEGADOC = "megadoc"
"""Task of the provenance of a megadoc."""

NEEDED = ("method", "task", "source_ids", "model", "seed")
"""Metadata without which it is not known what a text was made from."""

Origin = tuple[tuple[str, ...], int, str, str]
"""Source ids, part, method and model of a text."""


def stitched(records: Iterable[Record], n_generations: int, *, seed: int = 0) -> Iterator[Record]:
    """Yield the texts of each document joined, `n_generations` at a time in random order.

    Each text is used once. Those written from one document, or chunk of it, by one method and
    model are joined; the last megadoc of a document holds what is left and may be shorter, even a
    single text.

    Args:
        records: synthetic texts with their provenance, in any order; all are held in memory.
        n_generations: texts in a megadoc.
        seed: random seed of the order of a document's texts.

    Raises:
        ValueError: fewer than two generations; a text without provenance, or a megadoc.

    Source:
        arXiv 2603.18534 (stitched rephrasings); the order of the texts is ours.
    """
    if n_generations < 2:
        raise ValueError(f"a megadoc joins two generations or more; not {n_generations}")
    groups: dict[Origin, list[Record]] = {}
    for record in records:
        groups.setdefault(_origin(record), []).append(record)
    for origin, texts in groups.items():
        source_ids, part, _, _ = origin
        rng = np.random.default_rng((seed, part, *"\n".join(source_ids).encode()))
        order = [texts[at] for at in rng.permutation(len(texts))]
        for first in range(0, len(order), n_generations):
            members = order[first : first + n_generations]
            yield _joined(members, origin, seed)


def _origin(record: Record) -> Origin:
    metadata = record.metadata
    missing = [name for name in NEEDED if metadata.get(name) in (None, "", [])]
    if missing or not isinstance(metadata["source_ids"], list):
        raise ValueError(
            f"the record {record.id} has no provenance ({', '.join(missing or ['source_ids'])} in "
            "its metadata): only texts of one document can be joined; `datawall augment` writes it"
        )
    if metadata["task"] == MEGADOC:
        raise ValueError(
            f"the record {record.id} is a megadoc already: name the folder of its texts"
        )
    source_ids = tuple(map(str, metadata["source_ids"]))
    return source_ids, int(metadata.get("part", 0)), metadata["method"], metadata["model"]


def _joined(members: list[Record], origin: Origin, seed: int) -> Record:
    source_ids, part, method, model = origin
    ids = tuple(record.id for record in members)
    was_cut = any(record.metadata.get("finish") == "length" for record in members)
    return Record(
        id=f"{MEGADOC}-{digest_of(ids)}",
        text=BETWEEN.join(record.text for record in members),
        metadata=Provenance(
            # That of its texts: `worth` treats some methods differently.
            method=method,
            task=MEGADOC,
            source_ids=source_ids,
            part=part,
            entities=tuple(_distinct("entities", members)),
            model=model,
            prompt_version=", ".join(sorted(_distinct("prompt_version", members))),
            seed=seed,
            finish="length" if was_cut else "stop",
            joined=ids,
        ).as_metadata(),
    )


def _distinct(name: str, members: Iterable[Record]) -> Mapping[str, Any]:
    """Return the distinct lines of a field, in order."""
    values = (str(record.metadata.get(name, "")) for record in members)
    return dict.fromkeys(line for value in values for line in value.splitlines())
