"""Quality of synthetic texts in output folders compared with their source documents."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict

import numpy as np

from models.augment.quality.fidelity import LEAST_ALIGNMENT, Fidelity
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


def compare_several(
    real: Read, synthetic: Mapping[str, Read], *, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """Return the measures of real records and of several sets of synthetic ones made from them.

    Args:
        real: reads the source records.
        synthetic: reads records with a `Provenance`, by the name of the set.
        seed: random seed of the samples.

    Returns:
        The fields of `Quality`, of "real" and of each set, and of each set `pair_alignment`: the
        share of passages that are aligned with their source, see `fidelity`; None where only one
        document is a source.

    Raises:
        ValueError: there are no texts in one of them; a text without provenance or of an unknown
            source; a set called "real".
    """
    if "real" in synthetic:
        raise ValueError('a set of synthetic texts must not be called "real"')
    found: dict[str, dict[str, float | None]] = {}
    measured = {name: compare(real, read, seed=seed) for name, read in synthetic.items()}
    for name, qualities in measured.items():
        found.setdefault("real", asdict(qualities["real"]))
        found[name] = asdict(qualities["synthetic"])
    has_others = len(list(itertools.islice(real(), 2))) > 1
    fidelity = Fidelity.of(real, seed=seed) if has_others else None
    for name, read in synthetic.items():
        chosen = _sample(read, seed)
        found[name]["pair_alignment"] = (
            None if fidelity is None else _aligned_share(fidelity, _kept(read, chosen))
        )
    return found


def _aligned_share(fidelity: Fidelity, records: Iterable[Record]) -> float:
    """Return the share of the passages of all texts that are aligned with their source."""
    shares = [text.alignments >= LEAST_ALIGNMENT for text in fidelity.alignments(records)]
    return float(np.concatenate(shares).mean())


def quality_table(measured: Mapping[str, Quality | Mapping[str, float | None]]) -> str:
    """Return the measures as lines of text, a column for each key, shares in per cent."""
    columns = {
        name: asdict(found) if isinstance(found, Quality) else found
        for name, found in measured.items()
    }
    widths = {name: max(WIDTH, len(name) + 2) for name in columns}
    rows = dict.fromkeys(row for values in columns.values() for row in values)
    lines = [f"{'quality':<24}" + "".join(f"{name:>{widths[name]}}" for name in columns)]
    for row in rows:
        line = f"{row:<24}"
        for name, values in columns.items():
            # Pairs are of synthetic texts with their sources; real texts have none.
            is_empty = row.startswith("pair_") and name == "real"
            line += f"{'-' if is_empty else _cell(row, values[row]):>{widths[name]}}"
        lines.append(line)
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
