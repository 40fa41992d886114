"""The output folder of an augmentation: texts to train on, answers, failures and models.

Other readers see only `texts.jsonl` (`files:OUT` of `models.text.corpora`, Hugging Face
`datasets`); the hidden folder `.augment` holds every paid answer, the failures and models.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from models.augment.texts.records import Record, write_parquet
from models.augment.writing.judging import Judgement
from models.augment.writing.ledger import lock, whole_lines
from models.augment.writing.megadocs import MEGADOC
from models.augment.writing.requests import FailedRequest, Outcome


@dataclass(frozen=True)
class OutputFolder:
    """Paths in an output folder."""

    root: Path

    @classmethod
    def beside(cls, source: Path, root: Path) -> OutputFolder:
        """Return the folder for texts made from a source.

        Raises:
            ValueError: it lies inside the source, so that the next run would read this run's
                output.
        """
        inside, outside = root.expanduser().resolve(), source.expanduser().resolve()
        if outside == inside or outside in inside.parents:
            raise ValueError(f"the output folder {root} must not lie in the input {source}")
        return cls(root)

    @property
    def texts(self) -> Path:
        """Synthetic records, JSON lines."""
        return self.root / "texts.jsonl"

    @property
    def parquet(self) -> Path:
        """The same records as a parquet table, if requested."""
        return self.root / ".augment" / "texts.parquet"

    @property
    def calls(self) -> Path:
        """Every paid answer, see `ledger`."""
        return self.root / ".augment" / "calls.jsonl"

    @property
    def batches(self) -> Path:
        """What was sent in batches, and their answers, see `backends.batch`."""
        return self.root / ".augment" / "batches"

    @property
    def graph(self) -> Path:
        """The graph of the entities (GraphML) if EntiGraph wrote the texts."""
        return self.root / ".augment" / "graph.graphml"

    @property
    def edges(self) -> Path:
        """The same graph as an edge list."""
        return self.root / ".augment" / "graph.tsv"

    @property
    def judgements(self) -> Path:
        """What a filter has decided on each text, and why; with the texts that were dropped."""
        return self.root / ".augment" / "judgements.jsonl"

    @property
    def failures(self) -> Path:
        """Requests of the last run that led to no text, with reasons."""
        return self.root / ".augment" / "failed.jsonl"

    def records(self) -> Iterator[Record]:
        """Yield the synthetic records; an unfinished last line is skipped."""
        if self.texts.is_file():
            with self.texts.open("rb") as texts:
                for _, line in whole_lines(texts):
                    yield Record(**json.loads(line))


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """What a filter has decided.

    Attributes:
        n_kept: records kept.
        n_dropped: records dropped.
        reasons: how many have no judgement for each reason.
    """

    n_kept: int
    n_dropped: int
    reasons: Counter[str]


@dataclass(frozen=True, kw_only=True)
class Written:
    """Numbers of records that a run has written.

    Attributes:
        n_new: records appended.
        n_before: records already present.
        n_failed: failures.
        reasons: how many there are of each reason.
    """

    n_new: int
    n_before: int
    n_failed: int
    reasons: Counter[str] = field(default_factory=Counter)


def write_outcomes(outcomes: Iterable[Outcome], folder: OutputFolder) -> Written:
    """Append records whose ids are new, one by one, and overwrite the list of failures.

    A record left unfinished by a killed run is cut off and written again.

    Args:
        outcomes: records and failures, read as they arrive.
        folder: where to write.

    Raises:
        LockedError: another process is writing to the folder.
        ValueError: a line of the texts is no record, or one of an earlier version.
    """
    folder.failures.parent.mkdir(parents=True, exist_ok=True)
    n_new = 0
    reasons: Counter[str] = Counter()
    with folder.texts.open("a+b") as texts, folder.failures.open("w", encoding="utf-8") as failed:
        lock(texts, folder.texts)
        end, known = 0, set()
        for place, line in whole_lines(texts):
            known.add(_checked_id(line, folder.texts))
            end = place + len(line)
        texts.truncate(end)
        n_before = len(known)
        for outcome in outcomes:
            if isinstance(outcome, FailedRequest):
                reasons[outcome.reason] += 1
                failed.write(json.dumps(_described(outcome), ensure_ascii=False) + "\n")
                failed.flush()
            elif outcome.id not in known:
                known.add(outcome.id)
                n_new += 1
                texts.write(outcome.to_json().encode() + b"\n")
                texts.flush()
    return Written(n_new=n_new, n_before=n_before, n_failed=reasons.total(), reasons=reasons)


def write_filtered(
    records: Iterable[Record],
    judgements: Iterable[Judgement | FailedRequest],
    folder: OutputFolder,
    *,
    is_kept: Callable[[float], bool],
) -> Filtered:
    """Write the records whose score is good enough, and all judgements, instead of earlier ones.

    Args:
        records: the texts, in any order.
        judgements: a judgement of each text, or the request that failed; a text without a
            judgement is neither kept nor dropped.
        folder: where to write; its files appear when they are complete.
        is_kept: whether a score is good enough.

    Raises:
        ValueError: the folder holds texts that no filter has written.
    """
    if folder.texts.exists() and not folder.judgements.exists():
        raise ValueError(f"{folder.texts} was not written by a filter: choose another folder")
    folder.failures.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, Judgement] = {}
    reasons: Counter[str] = Counter()
    with folder.failures.open("w", encoding="utf-8") as failed:
        for judgement in judgements:
            if isinstance(judgement, FailedRequest):
                reasons[judgement.reason] += 1
                failed.write(json.dumps(_described(judgement), ensure_ascii=False) + "\n")
            else:
                known[judgement.id] = judgement
    n_kept = n_dropped = 0
    beside = [path.with_suffix(".unfinished") for path in (folder.texts, folder.judgements)]
    with beside[0].open("wb") as texts, beside[1].open("w", encoding="utf-8") as decided:
        for record in records:
            found = known.get(record.id)
            if found is None:
                continue
            kept = found.score is not None and is_kept(found.score)
            line: dict[str, object] = {"kept": kept, **asdict(found)}
            if kept:
                n_kept += 1
                texts.write(record.to_json().encode() + b"\n")
            else:
                n_dropped += 1
                line |= {"text": record.text, "metadata": dict(record.metadata)}
            decided.write(json.dumps(line, ensure_ascii=False) + "\n")
    for path, target in zip(beside, (folder.texts, folder.judgements), strict=True):
        path.replace(target)
    return Filtered(n_kept=n_kept, n_dropped=n_dropped, reasons=reasons)


def write_megadocs(megadocs: Iterable[Record], folder: OutputFolder) -> None:
    """Write megadocs instead of earlier ones; the file appears when it is complete.

    Args:
        megadocs: see `megadocs.stitched`.
        folder: where to write.

    Raises:
        ValueError: the folder holds texts that are not megadocs.
    """
    if any(record.metadata.get("task") != MEGADOC for record in folder.records()):
        raise ValueError(f"{folder.texts} holds texts that are not megadocs: choose another folder")
    folder.root.mkdir(parents=True, exist_ok=True)
    beside = folder.texts.with_suffix(".unfinished")
    try:
        with beside.open("wb") as texts:
            for record in megadocs:
                texts.write(record.to_json().encode() + b"\n")
        beside.replace(folder.texts)
    finally:
        beside.unlink(missing_ok=True)


def write_table(folder: OutputFolder) -> Path:
    """Write the records as a parquet table; return its path."""
    write_parquet(folder.records(), folder.parquet)
    return folder.parquet


def _checked_id(line: bytes, path: Path) -> str:
    """Return the id of a record whose metadata has the types of `Provenance.as_metadata`."""
    try:
        record = json.loads(line)
        metadata = record["metadata"]
        if isinstance(metadata["entities"], str) and isinstance(metadata.get("joined"), str):
            return str(record["id"])
        problem = "of an earlier version, and would not load together with new ones"
    except (ValueError, KeyError, TypeError):
        problem = "not records of this command"
    raise ValueError(
        f"{path} holds lines that are {problem}: move it away; what is recorded in .augment is "
        "written again without being asked again"
    )


def _described(failed: FailedRequest) -> dict[str, object]:
    request = failed.request
    return {
        "reason": failed.reason,
        "asked_again": not failed.is_final,
        "method": request.method,
        "task": request.task,
        "source_id": request.source_id,
        "part": request.part,
        "entities": [*request.entities],
    }
