"""Quality of synthetic texts in an output folder compared with their source documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields

import numpy as np

from models.augment.quality.quality import Quality, measure_quality
from models.augment.sbp.embeddings import LSA
from models.augment.texts.minhash import HashedTexts
from models.augment.texts.records import Record

MOST_RECORDS = 100_000
"""Most records measured on either side; a uniform sample of larger sets."""

WIDTH = 16
"""Characters of a column of the table."""

Read = Callable[[], Iterable[Record]]
"""Returns an iterable over the records; called once for each pass."""


def compare(real: Read, synthetic: Read, *, seed: int = 0) -> dict[str, Quality]:
    """Return the quality of real and synthetic records, see `quality.measure_quality`.

    Records are read several times, one at a time; at most `MOST_RECORDS` of either are measured.

    Args:
        real: reads the source records.
        synthetic: reads records with a `Provenance`.
        seed: random seed of the samples.

    Returns:
        `Quality` of "real" and "synthetic".

    Raises:
        ValueError: there are no real or no synthetic texts.
    """
    chosen = _sample(real, seed), _sample(synthetic, seed)
    if not len(chosen[0]) or not len(chosen[1]):
        raise ValueError("quality needs both real and synthetic texts")
    place_of = {record.id: place for place, record in enumerate(_kept(real, chosen[0]))}
    origins = [
        next((place_of[i] for i in record.metadata.get("source_ids", ()) if i in place_of), -1)
        for record in _kept(synthetic, chosen[1])
    ]
    sources = np.array(origins)
    # Only pairs whose source is in the sample are measured.
    paired = sources >= 0
    if not paired.all():
        chosen = chosen[0], chosen[1][paired] if paired.any() else chosen[1]
        sources = sources[paired]
    vectors: list[np.ndarray | None] = [None, None]
    if len(sources) and len(place_of) > 1:
        try:
            lsa = LSA.fit(_texts(real, chosen[0]), seed=seed)
            vectors = [
                lsa.embed(_texts(read, places))
                for read, places in zip((real, synthetic), chosen, strict=True)
            ]
        except ValueError:
            pass  # too few distinct words to embed documents: relevance stays None
    return measure_quality(
        HashedTexts.of(_texts(real, chosen[0])),
        HashedTexts.of(_texts(synthetic, chosen[1])),
        sources=sources if len(sources) else None,
        real_vectors=vectors[0],
        synthetic_vectors=vectors[1],
        seed=seed,
    )


def quality_table(measured: dict[str, Quality]) -> str:
    """Return the measures as lines of text, a column for each key, shares in per cent."""
    columns = list(measured)
    lines = [f"{'quality':<24}" + "".join(f"{column:>{WIDTH}}" for column in columns)]
    for field in fields(Quality):
        values = [getattr(measured[column], field.name) for column in columns]
        # Pairs are of synthetic texts with their sources; real texts have none.
        empty = [field.name.startswith("pair_") and column == "real" for column in columns]
        cells = [
            "-" if is_empty else _cell(field.name, value)
            for value, is_empty in zip(values, empty, strict=True)
        ]
        lines.append(f"{field.name:<24}" + "".join(f"{cell:>{WIDTH}}" for cell in cells))
    return "\n".join(lines)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "not measurable"
    return f"{value:,}" if name.startswith("n_") else f"{100 * value:.1f} %"


def _sample(read: Read, seed: int) -> np.ndarray:
    n_records = sum(1 for _ in read())
    if n_records <= MOST_RECORDS:
        return np.arange(n_records)
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(n_records, MOST_RECORDS, replace=False))


def _kept(read: Read, chosen: np.ndarray) -> Iterator[Record]:
    wanted = set(chosen.tolist())
    return (record for place, record in enumerate(read()) if place in wanted)


def _texts(read: Read, chosen: np.ndarray) -> Iterator[str]:
    return (record.text for record in _kept(read, chosen))
