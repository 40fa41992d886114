"""A run as a row of a table: settings, scores, cost and origin."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.runs.files import read_json, replacing
from experiments.runs.metrics import Line, losses_by_step
from experiments.runs.spec import PARTS, SCHEMA_VERSION, RunSpec

if TYPE_CHECKING:
    from models.training.job_list import Finished


import platform
import subprocess
from functools import cache
from importlib import metadata

Row = dict[str, Any]

PATHS = (
    *(f"{part}.{field.name}" for part, kind in PARTS.items() for field in dataclasses.fields(kind)),
    "init_from",
    "synthetic",
)
RENAMED = {"data.sha256": "data_sha256", "optimizer.name": "optimizer"}
SETTINGS = tuple(RENAMED.get(path, path.rpartition(".")[2]) for path in PATHS)
"""The column of every setting: its own name, or one that also names its part."""
settings_of = attrgetter(*PATHS)

RESULT_FIELDS = (
    "n_params",
    "n_params_non_embedding",
    "n_steps",
    "n_tokens_seen",
    "train_flops",
    "seconds",
    "tokens_per_second",
    "device",
)
ORIGIN_FIELDS = ("git_revision", "git_dirty", "python", "platform", "host")
OURS = "datawall"
"""The `source` of runs trained here; imported ones name theirs."""


PACKAGES = ("datawall", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "tokenizers")


def _git(*arguments: str) -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def provenance() -> dict[str, object]:
    """Return revision, versions and machine; computed once a process."""
    # Installed inside another repository, this file is not tracked there.
    tracked = bool(_git("ls-files", Path(__file__).name))
    changes = _git("status", "--porcelain", "--untracked-files=no") if tracked else None
    return {
        "git_revision": _git("rev-parse", "HEAD") if tracked else None,
        "git_dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def settings_row(spec: RunSpec) -> Row:
    """Return the settings of a run as columns."""
    row = {"run_id": spec.run_id, "source": OURS, "status": None, "reason": None}
    row |= dict(zip(SETTINGS, map(_cell, settings_of(spec)), strict=True))
    return row | {"seed": spec.seed, "recipes": ",".join(spec.recipes)}


def frame_of(rows: Iterable[Row]) -> pd.DataFrame:
    """Return rows as a table: the columns of `COLUMNS` in their order, then others by name.

    Losses are floats, NaN where a row has none, so that types do not depend on the rows.
    """
    rows = list(rows)
    found = {name for row in rows for name in row}
    columns = [name for name in COLUMNS if name in found]
    columns += sorted(found.difference(COLUMNS))
    frame = pd.DataFrame({name: [row.get(name) for row in rows] for name in columns})
    losses = [name for name in columns if name.endswith("_loss")]
    return frame.astype(dict.fromkeys(losses, float))


def finite(value: float) -> float | None:
    """Return the value, or None if NaN or infinite (not representable in JSON)."""
    return float(value) if math.isfinite(value) else None


def result_of(
    spec: RunSpec, event: Finished, lines: Sequence[Line], *, session: str
) -> dict[str, Any]:
    """Return the content of `result.json` of a run that has just finished.

    Args:
        spec: the run.
        event: its weights, scores and cost in this session.
        lines: its recorded segments of all sessions.
        session: name of this session, whose seconds the event counts.
    """
    job = event.job
    losses = losses_by_step(lines)
    last_epoch = range(job.n_steps - job.steps_per_epoch, job.n_steps)
    recorded = [losses[step] for step in last_epoch if math.isfinite(losses.get(step, math.nan))]
    seconds = event.seconds + sum(line.seconds for line in lines if line.session != session)
    n_tokens = job.n_steps * job.tokens_per_step
    return {
        "schema": SCHEMA_VERSION,
        "run_id": spec.run_id,
        "status": "diverged" if event.diverged else "done",
        "reason": _why_diverged(losses) if event.diverged else None,
        "scores": {name: finite(loss) for name, loss in event.scores.items()},
        "document_losses": {
            name: [finite(loss) for loss in losses]
            for name, losses in event.document_losses.items()
        },
        "train_loss": float(np.mean(recorded)) if recorded and not event.diverged else None,
        "n_params": spec.model.n_params,
        "n_params_non_embedding": spec.model.n_params_non_embedding,
        "n_steps": job.n_steps,
        "n_tokens_seen": n_tokens,
        "train_flops": job.flops,
        "seconds": seconds,
        "n_sessions": len({session, *(line.session for line in lines)}),
        "tokens_per_second": n_tokens / seconds if seconds > 0 else None,
        "device": event.device,
        "provenance": provenance(),
    }


def _why_diverged(losses: dict[int, float]) -> str:
    bad = [step for step, loss in losses.items() if not math.isfinite(loss)]
    if bad:
        return f"the training loss stopped being a number at step {min(bad)}"
    return "the held-out loss is not a number"


def read_result(path: Path, run_id: str) -> tuple[dict[str, Any], Row] | None:
    """Return the result of a run, as written and as columns.

    Returns:
        None if it is missing, truncated, incomplete or another run's.

    Raises:
        ValueError: it was written by a later version.
    """
    result = read_json(path)
    if not isinstance(result, dict) or result.get("run_id") != run_id:
        return None
    schema = result.get("schema")
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise ValueError(f"{path} has schema {schema}; readable are 1 to {SCHEMA_VERSION}")
    try:
        return result, _result_row(result)
    except (KeyError, TypeError, AttributeError):
        return None


def _result_row(result: Mapping[str, Any]) -> Row:
    """Return a result as columns; an incomplete one raises any of the errors caught above.

    The loss of each held-out part has a column with its standard deviation between documents if
    there are two or more.
    """
    origin = result["provenance"]
    return {
        "status": result["status"],
        "reason": result.get("reason") or ("diverged" if result["status"] == "diverged" else None),
        "train_loss": result["train_loss"],
        **{f"{name}_loss": result["scores"].get(name) for name in ("validation", "test")},
        **{name: result[name] for name in RESULT_FIELDS},
        "n_sessions": result.get("n_sessions"),
        **{name: origin.get(name) for name in ORIGIN_FIELDS},
        "packages": json.dumps(origin.get("packages", {}), sort_keys=True),
        **{f"{name}_loss": loss for name, loss in result["scores"].items()},
        **{
            f"{name}_document_sd": float(np.std(losses, ddof=1))
            for name, losses in result.get("document_losses", {}).items()
            if len(losses) > 1 and None not in losses
        },
    }


def _cell(value: Any) -> Any:
    """Return a setting as a value that tables and JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return json.dumps(dataclasses.asdict(value), sort_keys=True)
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


COLUMNS = (
    *("run_id", "source", "status", "reason"),
    *SETTINGS,
    *("seed", "recipes"),
    *("train_loss", "validation_loss", "test_loss"),
    *("validation_document_sd", "test_document_sd"),
    *RESULT_FIELDS,
    "n_sessions",
    *ORIGIN_FIELDS,
    "packages",
)
"""Columns in their order; scores of other names follow."""


COMPACT_SCHEMA = 1


def write_compact(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Write rows of runs to a parquet file atomically.

    Returns:
        The rows, with their columns.

    Raises:
        ValueError: pyarrow is not installed.
    """
    frame.attrs["datawall.compact"] = COMPACT_SCHEMA
    try:
        with replacing(path) as beside:
            frame.to_parquet(beside, index=False)
    except ImportError as error:
        raise ValueError("parquet needs pyarrow: pip install 'datawall[parquet]'") from error
    return frame


def read_compact(path: Path | str) -> pd.DataFrame:
    """Return what `RunStore.compact` wrote: `RunStore.frame` and a column `spec`.

    `RunSpec.from_dict` reads the JSON in that column.

    Raises:
        ValueError: another file, a later version, or pyarrow is not installed.
        OSError: the file cannot be read.
    """
    from scaling.files import read_parquet

    frame = read_parquet(Path(path))
    if (schema := frame.attrs.get("datawall.compact")) != COMPACT_SCHEMA:
        raise ValueError(
            f"{path} has schema {schema!r} of compacted runs; readable is {COMPACT_SCHEMA}"
        )
    return frame
