"""What a store holds besides finished runs: what is under way, what failed, what is imported."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

STATUSES = ("done", "diverged", "failed", "running", "interrupted", "waiting", "imported")
"""As in `RunStore.overview`, in the order in which they are told."""


def summary(runs: pd.DataFrame) -> str:
    """Count runs by status in one line."""
    counts = runs["status"].value_counts()
    return ", ".join(f"{counts[status]:,} {status}" for status in STATUSES if status in counts)


def unfinished_lines(runs: pd.DataFrame) -> list[str]:
    """Tell of every run that is not done: what it is, how far it got, and why."""
    unfinished = runs[~runs["status"].isin(["done", "imported"])]
    order = unfinished["status"].map(STATUSES.index).sort_values(kind="stable").index
    return [_told(run) for _, run in unfinished.loc[order].iterrows()]


def _told(run: pd.Series) -> str:
    settings = (
        f"width {run['width']:g} decay {run['weight_decay']:g} epochs {run['n_epochs']:g} "
        f"seed {run['seed']:g}"
    )
    steps = "" if run["status"] == "diverged" else f"{run['n_steps_done']:g}/{run['n_steps']:g}"
    line = f"{run['run_id']}  {run['status']:11}  {settings}  {steps}".rstrip()
    return f"{line}\n    {run['reason']}" if isinstance(run["reason"], str) else line


def imported_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Lay out what was imported: a row a source."""
    imported = runs[runs["status"] == "imported"]
    rows = []
    for source, group in imported.groupby("source"):
        columns = [name for name in group.columns if name not in OURS and group[name].notna().any()]
        rows.append(
            {
                "imported": source,
                "runs": len(group),
                "columns": ", ".join(columns),
                "doubtful": int(group["reason"].notna().sum()),
            }
        )
    return pd.DataFrame(rows)


def import_report(imported: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Lay out what an import read: a row a column, with the least and the greatest value."""
    rows = []
    for ours in (name for name in imported.columns if name not in OURS):
        values = imported[ours].dropna()
        rows.append(
            {
                "column": ours,
                "theirs": columns.get(ours, "(set)"),
                "runs": len(values),
                "least": "" if values.empty else _short(values.min()),
                "greatest": "" if values.empty else _short(values.max()),
            }
        )
    return pd.DataFrame(rows)


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float | int) else str(value)


OURS = ("run_id", "source", "status", "reason")
"""Columns that no import brings."""
