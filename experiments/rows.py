"""A run as a row of a table: settings, scores, cost and origin."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from experiments.spec import PARTS, RunSpec

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


def settings_row(spec: RunSpec) -> dict[str, Any]:
    """Flatten the settings of a run; every setting is a column of its own name."""
    row: dict[str, Any] = {"run_id": spec.run_id, "source": OURS}
    for part in PARTS:
        settings = getattr(spec, part)
        row |= {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    row["data_sha256"] = row.pop("sha256")
    return {**row, "seed": spec.seed, "recipes": ",".join(spec.recipes)}


def result_row(result: dict[str, Any]) -> dict[str, Any]:
    """Flatten the result of a run.

    Raises:
        KeyError: it is not a whole result.
    """
    origin = result["provenance"]
    return {
        "status": result["status"],
        "reason": result.get("reason") or ("diverged" if result["status"] == "diverged" else None),
        "train_loss": result["train_loss"],
        **{f"{name}_loss": result["scores"].get(name) for name in ("validation", "test")},
        **{f"{name}_loss": loss for name, loss in result["scores"].items()},
        **{name: result[name] for name in RESULT_FIELDS},
        "n_sessions": result.get("n_sessions"),
        **{name: origin.get(name) for name in ORIGIN_FIELDS},
        "packages": json.dumps(origin.get("packages", {}), sort_keys=True),
    }


def finite(value: float) -> float | None:
    """Return a number, or None for what is none: JSON has no word for it."""
    return float(value) if math.isfinite(value) else None
