"""Runs: their identity, their storage, and the text that they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd

    from experiments.runs.spec import RunSpec
    from models.training.train import Params


class Runs(Protocol):
    """Finished runs and records of them: a `RunStore`, or an `Archive` of shipped results.

    Attributes:
        root: the folder.
        read_only: whether no runs and no records can be added.
    """

    root: Path
    read_only: ClassVar[bool]

    def is_done(self, spec: RunSpec) -> bool:
        """Return whether a run is finished."""

    def frame(self, specs: Iterable[RunSpec]) -> pd.DataFrame:
        """Return finished runs, a row each, with the columns of `experiments.runs.rows.COLUMNS`."""

    def column(self, specs: Sequence[RunSpec], name: str) -> list[Any]:
        """Return one column of `frame`, a value for each run."""

    def params(self, spec: RunSpec) -> Params:
        """Return the weights of a finished run."""

    def record(self, kind: str, identity: Any, source: str | None = None) -> Any | None:
        """Return a record, see `experiments.runs.records`; or None if it is missing.

        Args:
            kind: what is measured.
            identity: everything that decides the values, as JSON.
            source: hash of the current code that measures it: cached records of other code are
                ignored, shipped records are returned for any code.
        """
