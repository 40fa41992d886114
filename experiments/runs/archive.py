"""Results of a world that are shipped with the package, so that its figures need no training.

    results/WORLD.parquet           a row a run, with its spec, as `RunStore.compact` writes it
    results/WORLD.records.parquet   records of the runs: kind, key, JSON; no quotations
    results/WORLD.json              the text, and the provenance of the results

An `Archive` replaces a `RunStore` where runs are only read: recipes find all their runs finished.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from experiments.runs.files import read_json
from experiments.runs.rows import frame_of, read_compact
from experiments.runs.spec import RunSpec, digest
from experiments.runs.texts import TextFacts

if TYPE_CHECKING:
    from models.training.train import Params

ARCHIVE_SCHEMA = 2
"""2 left version numbers out of the identities of records."""
SHIPPED = Path(__file__).parents[1] / "results"


class NotShipped(ValueError):
    """A recipe needs a run or a record that an archive does not hold."""


class Archive:
    """The shipped results of one world, read like a `RunStore`.

    Args:
        root: folder of the archive.
        name: name of the world.

    Raises:
        ValueError: written by another version, or pyarrow is not installed.
    """

    read_only: ClassVar[bool] = True

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        self._columns: dict[str, list[Any]] = {}
        self.about: dict[str, Any] = read_json(root / f"{name}.json") or {}
        if (schema := self.about.get("schema")) != ARCHIVE_SCHEMA:
            raise ValueError(
                f"{root / name}.json has schema {schema!r} of shipped results; "
                f"readable is {ARCHIVE_SCHEMA}"
            )

    @staticmethod
    def exists(root: Path, name: str) -> bool:
        """Return whether results of a world are shipped."""
        return (root / f"{name}.json").is_file()

    @property
    def recipes(self) -> tuple[str, ...]:
        """Recipes whose results are held: all of the world, or those of a part of the talk."""
        return tuple(self.about["recipes"])

    @property
    def facts(self) -> TextFacts:
        """Description of the text."""
        return TextFacts(**self.about["text"])

    @cached_property
    def _runs(self) -> pd.DataFrame:
        """All runs; where one has no value, a loss is NaN, and other columns hold objects."""
        runs = read_compact(self.root / f"{self.name}.parquet").drop(columns="spec")
        plain = runs.astype(object).where(runs.notna(), None)
        plain = plain[list(frame_of([dict.fromkeys(plain)]))]
        full = plain.columns[plain.notna().all()]
        losses = [name for name in plain if name.endswith("_loss")]
        return plain.astype({**plain[full].infer_objects().dtypes, **dict.fromkeys(losses, float)})

    @cached_property
    def _places(self) -> dict[str, int]:
        return {run_id: place for place, run_id in enumerate(self._runs["run_id"])}

    @cached_property
    def _records(self) -> _Records:
        table = pd.read_parquet(self.root / f"{self.name}.records.parquet")
        places = [f"{kind}/{key}" for kind, key in zip(table["kind"], table["key"], strict=True)]
        return _Records(dict(zip(places, table["values_json"], strict=True)))

    @property
    def runs(self) -> pd.DataFrame:
        """All runs, a row each, with the columns of `RunStore.frame`."""
        return self._taken(range(len(self._runs)))

    @property
    def records(self) -> Mapping[str, str]:
        """Digest of the values of each record, by "kind/key"."""
        return self._records

    def is_done(self, spec: RunSpec) -> bool:
        """Return whether a run is held."""
        return spec.run_id in self._places

    def frame(self, specs: Iterable[RunSpec]) -> pd.DataFrame:
        """Return runs, a row each, with the columns of `RunStore.frame`.

        Raises:
            NotShipped: one is not held.
        """
        return self._taken([self._place(spec) for spec in specs])

    def column(self, specs: Sequence[RunSpec], name: str) -> list[Any]:
        """Return one column of `frame`, a value for each run, without making the others.

        Raises:
            NotShipped: one is not held.
        """
        values = self._column(name)
        return [values[self._place(spec)] for spec in specs]

    def _column(self, name: str) -> list[Any]:
        if name not in self._columns:
            self._columns[name] = self._runs[name].tolist()
        return self._columns[name]

    def _place(self, spec: RunSpec) -> int:
        if not self.is_done(spec):
            raise NotShipped(
                f"the shipped results of world {self.name} lack run {spec.run_id}: they are of "
                "another version; `datawall reproduce` trains what is missing"
            )
        return self._places[spec.run_id]

    def _taken(self, places: Sequence[int]) -> pd.DataFrame:
        """Return runs with types that depend on their values, as `frame_of` gives them."""
        return self._runs.take(places).reset_index(drop=True).infer_objects()

    def params(self, spec: RunSpec) -> Params:
        """Raise NotShipped: weights are not shipped.

        Raises:
            NotShipped: always.
        """
        raise NotShipped(
            f"the weights of run {spec.run_id} are not shipped; `datawall reproduce` trains them"
        )

    def record(self, kind: str, identity: Any, source: str | None = None) -> Any | None:
        """See `Runs.record`."""
        place = f"{kind}/{digest(identity)}"
        return self.values(place) if place in self._records else None

    def values(self, place: str) -> Any:
        """Return the values of a record that is held, by "kind/key"."""
        return self._records.values_of(place)


class _Records(Mapping[str, str]):
    """Digest of the values of each record, by "kind/key"; a record is parsed when it is read."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts, self._digests = texts, dict[str, str]()

    def __getitem__(self, place: str) -> str:
        if place not in self._digests:
            self._digests[place] = digest(self.values_of(place))
        return self._digests[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def values_of(self, place: str) -> Any:
        """Return the values of a record."""
        return json.loads(self._texts[place])
