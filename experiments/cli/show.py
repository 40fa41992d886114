"""`datawall show`: the runs in a run store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.cli.options import readable

if TYPE_CHECKING:
    import pandas as pd

MOST_RUNS = 30


@readable
@dataclass(frozen=True, kw_only=True)
class Show:
    """Print the runs in a run store: losses averaged over seeds, optima and unfinished runs."""

    runs: Annotated[Path, tyro.conf.Positional] = Path("runs/quick")
    """The run store."""
    csv: Path | None = None
    """Instead, write a row for each finished or imported run to this file."""
    parquet: Path | None = None
    """Instead, write these rows with the full spec of each run to this file."""
    json: bool = False
    """Instead, print a JSON object for each run, finished or not."""

    def run(self) -> int:
        """Print or write the tables."""
        from experiments.runs.files import write_text
        from experiments.runs.store import RunStore

        store = RunStore(self.runs)
        runs = store.overview()
        if runs.empty:
            one = (self.runs / "spec.json").is_file()
            hint = f": it is one run of the store {self.runs.parent}" if one else ""
            raise FileNotFoundError(f"{self.runs} holds no runs{hint}")
        if self.json:
            for row in runs.astype(object).where(runs.notna(), None).to_dict("records"):
                print(json.dumps(row))
        if self.csv is not None:
            write_text(self.csv, store.frame().to_csv(index=False))
            print(self.csv)
        if self.parquet is not None:
            store.compact(self.parquet)
            print(self.parquet)
        if not (self.json or self.csv or self.parquet):
            _print_tables(self.runs, runs)
        return 0


def _print_tables(root: Path, runs: pd.DataFrame) -> None:
    from experiments.display.tables import print_table
    from experiments.runs.overview import cells_table, imported_table, summary, unfinished_lines
    from experiments.runs.rows import OURS
    from experiments.tuning.certificate_files import load_certificates
    from experiments.tuning.certificates import print_certificates

    print(f"{root}: {summary(runs)}")
    finished = runs[(runs["source"] == OURS) & runs["status"].isin(["done", "diverged"])]
    if not finished.empty:
        print_table(cells_table(finished), title="means over seeds, nats per token")
    print_certificates(load_certificates(root))
    unfinished = unfinished_lines(runs)
    if unfinished:
        print("unfinished: steps trained / steps planned, and the reason")
        print("\n".join(unfinished[:MOST_RUNS]))
    if len(unfinished) > MOST_RUNS:
        print(f"and {len(unfinished) - MOST_RUNS:,} more; --json prints all")
    imported = imported_table(runs)
    if not imported.empty:
        print_table(imported, title="imported")
