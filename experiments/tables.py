"""Tables for a terminal and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from experiments.claims import Claim

CELL = ["corpus", "n_unique_tokens", "width", "n_params_non_embedding", "weight_decay", "n_epochs"]


def cells_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Average runs over seeds: a row for each size, weight decay and number of epochs."""
    groups = runs.groupby(CELL, sort=True)
    table = groups[["train_loss", "validation_loss", "test_loss"]].mean().round(3)
    table["n_seeds"] = groups["seed"].nunique()
    table["n_diverged"] = groups["status"].agg(lambda status: int((status == "diverged").sum()))
    table["seconds"] = groups["seconds"].mean().round(1)
    return table.reset_index()


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """Lay claims out as a table: one row each, in the order of the talk."""
    return pd.DataFrame(
        [
            {
                "id": claim.id,
                "the talk says": claim.statement,
                "verdict": claim.verdict,
                "measured": claim.headline,
                "n": claim.n_samples,
            }
            for claim in claims
        ]
    )


def print_table(frame: pd.DataFrame, *, title: str) -> None:
    """Print a data frame to stdout, as wide as the terminal allows."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in frame.columns:
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        table.add_column(str(column), justify="right" if numeric else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:g}" if isinstance(value, float) else str(value) for value in row))
    Console().print(table)
