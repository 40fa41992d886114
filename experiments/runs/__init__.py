"""Runs: what identifies one, where they are kept, and the text that they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

    from experiments.runs.spec import RunSpec
    from models.training.train import Params


class Runs(Protocol):
    """Finished runs and what was measured on them: a `RunStore`, or an `Archive` of shipped ones.

    Attributes:
        root: the folder.
        read_only: whether nothing can be added: no run trained, no record kept.
    """

    root: Path
    read_only: ClassVar[bool]

    def is_done(self, spec: RunSpec) -> bool:
        """Return whether a run is finished."""

    def frame(self, specs: Iterable[RunSpec]) -> pd.DataFrame:
        """Return finished runs, a row each: settings, scores, cost, origin."""

    def params(self, spec: RunSpec) -> Params:
        """Return the weights of a finished run."""

    def record(self, kind: str, identity: Any, source: str | None = None) -> Any | None:
        """Return what was measured, see `experiments.runs.records`; None where nothing was.

        Args:
            kind: what is measured.
            identity: what decides it.
            source: hash of the code that measures it now, which a cached record must have been
                measured by; shipped records are evidence with its provenance, of any code.
        """
