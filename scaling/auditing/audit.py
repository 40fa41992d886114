"""`audit`: what is wrong with a table of runs before any law is fitted to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scaling.auditing.checks import CHECKS, Finding, Rows, comparable, floats
from scaling.comparison.directions import column_roles
from scaling.fitting.dependence import RUN_COLUMNS
from scaling.fitting.table import check_columns, without_loss
from scaling.results import markup


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The problems of a table.

    Attributes:
        findings: the problems, the most serious kinds first.
        checked: kinds that were checked.
        not_checked: kind -> what the table lacks for it.
        n_rows: number of rows.
    """

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    not_checked: Mapping[str, str]
    n_rows: int

    def summary(self) -> str:
        """Text: a line per problem, then what was and was not checked."""
        lines = [f"{self.n_rows} rows, {len(self.findings)} problem(s)"]
        lines += [f"{finding.kind}: {finding}" for finding in self.findings]
        sound = [kind for kind in self.checked if kind not in {f.kind for f in self.findings}]
        if sound:
            lines.append(f"no problem: {', '.join(sound)}")
        lines += [f"not checked: {kind} ({lack})" for kind, lack in self.not_checked.items()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The audit as JSON types."""
        return {
            "rows": self.n_rows,
            "findings": [
                {"kind": f.kind, "sentence": f.sentence, "remedy": f.remedy, "rows": list(f.rows)}
                for f in self.findings
            ],
            "checked": list(self.checked),
            "not_checked": dict(self.not_checked),
        }

    def _repr_html_(self) -> str:
        rows = [(f.kind, f.sentence, f.remedy) for f in self.findings]
        title, *notes = self.summary().split("\n")
        found = markup.table(("problem", "found", "remedy"), rows)
        return markup.fragment(title, tables=[found], notes=notes[len(rows) :])

    def __str__(self) -> str:
        return self.summary()


def audit(
    frame: pd.DataFrame,
    *,
    x: Sequence[str] | Mapping[str, str] | None = None,
    y: str = "loss",
    unique_tokens: float | None = None,
    groups: str | None = None,
) -> Audit:
    """Problems of a table of runs that spoil fits, each with its rows and a remedy.

    Args:
        frame: a row per run or checkpoint.
        x: columns of n_params, n_tokens and n_unique_tokens, as in `compare_laws`.
        y: loss column.
        unique_tokens: number of unique tokens of the text, if no column states it.
        groups: column of runs; by default run, run_id or run_name.

    Returns:
        The problems found, and what could not be checked.

    Raises:
        ValueError: a column is missing, no column has a role, or `unique_tokens` is not positive.
    """
    roles = column_roles(frame, x)
    check_columns(frame, y, *([groups] if groups else []))
    if unique_tokens is not None and not (np.isfinite(unique_tokens) and unique_tokens > 0):
        raise ValueError(f"`unique_tokens` must be a finite number above 0; not {unique_tokens!r}")
    sizes = {role: floats(frame[column]) for role, column in roles.items()}
    run = groups or next((name for name in RUN_COLUMNS if name in frame.columns), None)
    stated = None if unique_tokens is None else np.full(len(frame), float(unique_tokens))
    rows = Rows(
        frame=comparable(frame),
        y=y,
        roles=roles,
        sizes=sizes,
        loss=np.where(without_loss(frame[y]), np.nan, floats(frame[y])),
        unique=sizes.get("n_unique_tokens") if stated is None else stated,
        run=run,
    )
    findings: list[Finding] = []
    checked: list[str] = []
    not_checked: dict[str, str] = {}
    for kind, check in CHECKS.items():
        found = check(rows)
        if isinstance(found, str):
            not_checked[kind] = found
            continue
        checked.append(kind)
        findings += found
    return Audit(
        findings=tuple(findings),
        checked=tuple(checked),
        not_checked=not_checked,
        n_rows=len(frame),
    )
