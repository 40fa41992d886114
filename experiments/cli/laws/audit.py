"""`datawall audit`: what is wrong with a table of runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.cli.laws.common import print_lines, print_next, save_json
from experiments.cli.options import RowOptions, UniqueOptions, readable
from experiments.cli.output import check_outputs, print_json


@readable
@dataclass(frozen=True, kw_only=True)
class AuditCommand(RowOptions, UniqueOptions):
    """Check a table of runs for what spoils fits: repetition, units, collinear sizes, copies.

    Each problem is a sentence with its rows and a remedy.
    """

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines or parquet with one row per run; exports of wandb are supported."""
    x: tuple[str, ...] = ()
    """Columns of n_params, n_tokens and n_unique_tokens, in this order; role=column names another
    role. By default the names of the roles."""
    y: str = "loss"
    """Column of the loss."""
    groups: str | None = None
    """Column that names the run of a row; by default run, run_id or run_name."""
    json: bool = False
    """Print JSON."""
    out: Path | None = None
    """Save the result as JSON."""

    def run(self) -> int:
        """Check the table; print and save what was found."""
        from experiments.cli.laws.compare import Compare
        from scaling import audit

        check_outputs(None, self.out, self.table)
        frame, x = self.with_unique(self.read(self.table), self.x)
        found = audit(frame, x=x or None, y=self.y, groups=self.groups)
        save_json(self.out, found.to_dict())
        if self.json:
            print_json(found.to_dict())
        else:
            print_lines(found.summary().split("\n"))
            print_next("compare", self, Compare)
        return 0
