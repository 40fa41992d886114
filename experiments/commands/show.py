"""`datawall show`: what a store of runs holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Show:
    """Print the runs of a store, averaged over seeds, or write them all to a CSV."""

    runs: Annotated[Path, tyro.conf.Positional] = Path("runs/quick")
    """A folder of runs."""
    csv: Path | None = None
    """Write a row for each run to this file instead."""

    def run(self) -> int:
        """Print or write the table."""
        from experiments.files import write_text
        from experiments.store import RunStore
        from experiments.tables import cells_table, print_table

        frame = RunStore(self.runs).frame()
        if frame.empty:
            raise FileNotFoundError(f"{self.runs} holds no finished run")
        if self.csv is None:
            print_table(cells_table(frame), title=str(self.runs))
        else:
            write_text(self.csv, frame.to_csv(index=False))
            print(self.csv)
        return 0
