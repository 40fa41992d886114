"""Tables and counts of what a store holds: finished, unfinished, failed and imported runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.display.tables import MOST_ROWS, frame_table
from experiments.runs.locks import Owner
from experiments.runs.rows import OURS as TRAINED_HERE
from experiments.runs.rows import SETTINGS, Row
from experiments.runs.spec import STREAM_PREFIX
from scaling.results import markup

CELL = {
    "corpus": "corpus",
    "n_unique_tokens": "D",
    "width": "width",
    "n_params_non_embedding": "N",
    "learning_rate": "lr",
    "weight_decay": "decay",
    "n_epochs": "epochs",
}
"""Settings that define a cell, by column of `RunStore.frame`, and their short names."""
HASHES = ("data_sha256", "init_from")
LOSSES = {"train_loss": "train", "validation_loss": "val", "test_loss": "test"}


STATUSES = ("done", "diverged", "failed", "running", "interrupted", "waiting", "imported")
"""As in `RunStore.overview`, in the order in which they are listed."""


def unfinished_state(n_done: int, *, owner: Owner | None, failure: dict[str, Any] | None) -> Row:
    """Return the `status` of a run without a result, and the `reason` for it.

    Args:
        n_done: steps it has trained.
        owner: the process that is training it.
        failure: how it failed last, as `RunStore.failure` returns it.
    """
    if owner is not None:
        reason = f"process {owner.pid} on {owner.host} since {owner.since}"
        return {"status": "running", "reason": reason}
    if failure is not None:
        times = f" ({failure['attempts']} attempts)" if failure["attempts"] > 1 else ""
        return {"status": "failed", "reason": f"{failure['error']}{times}"}
    return {"status": "interrupted" if n_done else "waiting", "reason": None}


def summary(runs: pd.DataFrame) -> str:
    """Count runs by status in one line."""
    counts = runs["status"].value_counts()
    return ", ".join(f"{counts[status]:,} {status}" for status in STATUSES if status in counts)


def unfinished_lines(runs: pd.DataFrame) -> list[str]:
    """Return a line for every run that is not done: its settings, steps done, and the reason."""
    unfinished = runs[~runs["status"].isin(["done", "imported"])]
    order = unfinished["status"].map(STATUSES.index).sort_values(kind="stable").index
    return [_line(run) for _, run in unfinished.loc[order].iterrows()]


def _line(run: pd.Series) -> str:
    settings = (
        f"width {run['width']:g} decay {run['weight_decay']:g} epochs {run['n_epochs']:g} "
        f"seed {run['seed']:g}"
    )
    steps = "" if run["status"] == "diverged" else f"{run['n_steps_done']:g}/{run['n_steps']:g}"
    line = f"{run['run_id']}  {run['status']:11}  {settings}  {steps}".rstrip()
    return f"{line}\n    {run['reason']}" if isinstance(run["reason"], str) else line


def imported_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each import, with the columns imported, runs, columns and doubtful."""
    imported = runs[runs["status"] == "imported"]
    rows = []
    for source, group in imported.groupby("source"):
        columns = [
            name for name in group.columns if name not in IDENTIFYING and group[name].notna().any()
        ]
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
    """Return a row for each column of an import: column, theirs, runs, least and greatest."""
    rows = []
    for ours in (name for name in imported.columns if name not in IDENTIFYING):
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


IDENTIFYING = ("run_id", "source", "status", "reason")
"""Columns that no import can set."""


def cells_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds, a row for each text, size and choice of settings.

    The columns are those of `CELL` and `LOSSES`, seeds, diverged, s (seconds) and also. The text
    has a column only if there are several, diverged runs only if there are any. If runs of one cell
    differ in other settings, `also` names those that differ from the most frequent ones. Hashes are
    cut to eight digits; texts that recipes wrote are named by their labels.
    """
    runs = runs.assign(
        corpus=runs["corpus"].str.removeprefix(STREAM_PREFIX),
        **{name: runs[name].str[:8] for name in HASHES if name in runs.columns},
    )
    others = _other_settings(runs)
    cell = CELL | {name: name for name in others}
    groups = runs.groupby(list(cell), sort=True, dropna=False)
    table = groups[list(LOSSES)].mean().round(3).rename(columns=LOSSES)
    table["seeds"] = groups["seed"].nunique()
    table["diverged"] = groups["status"].agg(lambda status: int((status == "diverged").sum()))
    table["s"] = groups["seconds"].mean().round(1)
    table = table.reset_index().rename(columns=cell)
    if others:
        usual = {name: runs[name].mode(dropna=False).iloc[0] for name in others}
        alone = ~table.duplicated(list(CELL.values()), keep=False)
        table["also"] = [_unusual(row, usual) for _, row in table[others].iterrows()]
        table.loc[alone, "also"] = ""
    same = [name for name in ("corpus", "D") if table[name].nunique() == 1]
    calm = [] if table["diverged"].any() else ["diverged"]
    return table.drop(columns=[*same, *calm, *others])


def _unusual(settings: pd.Series, usual: Mapping[str, object]) -> str:
    """Return the settings that differ from the usual ones, as text."""
    return ", ".join(
        f"{str(name).removesuffix('_seed')} {value}"
        for name, value in settings.items()
        if value != usual[str(name)] and not (pd.isna(value) and pd.isna(usual[str(name)]))
    )


def _other_settings(runs: pd.DataFrame) -> list[str]:
    """Return the settings in which runs of one cell differ: averaging over them would mislead."""
    groups = runs.groupby(list(CELL), sort=False, dropna=False)
    others = [name for name in SETTINGS if name in runs.columns and name not in CELL]
    return [name for name in others if groups[name].nunique(dropna=False).max() > 1]


def store_html(root: Path, runs: pd.DataFrame) -> str:
    """Return an HTML page of a store: numbers of runs of each status, and their mean losses.

    Args:
        root: folder of the store.
        runs: as `RunStore.overview` returns them.
    """
    if runs.empty:
        return markup.fragment(f"{root} holds no runs")
    title = f"{root}: {summary(runs)}"
    finished = runs[(runs["source"] == TRAINED_HERE) & runs["status"].isin(["done", "diverged"])]
    if finished.empty:
        return markup.fragment(title)
    cells = cells_table(finished)
    more = f"{len(cells) - MOST_ROWS} more rows." if len(cells) > MOST_ROWS else ""
    return markup.fragment(
        title, tables=[frame_table(cells)], notes=["Means over seeds, nats per token.", more]
    )
