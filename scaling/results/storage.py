"""Fits as JSON and back. Infinities are strings; reading executes no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.losses import get_loss
from scaling.fitting.problem import Problem
from scaling.fitting.status import FitStatus
from scaling.fitting.table import Table
from scaling.laws.laws import Law
from scaling.results.fitted import AssessedFit
from scaling.uncertainty.bootstrap import Draws
from scaling.uncertainty.family import LEAST_EXPONENT

FORMAT = "datawall.fit/1"


def plain(values: NDArray[Any]) -> list[Any]:
    """An array as nested lists; infinities and NaN as strings."""
    if values.ndim > 1:
        return [plain(row) for row in values]
    return [v if np.isfinite(v) else str(v) for v in values.astype(float).tolist()]


def _number(value: float) -> float | str:
    return float(value) if np.isfinite(value) else str(float(value))


def to_dict(fit: AssessedFit) -> dict[str, Any]:
    """A fit as JSON types: first its results, then the data from which it is rebuilt."""
    table = fit.problem.table
    intervals = {name: [_number(v) for v in fit.interval(name)] for name in fit.law.parameters}
    draws = None
    if fit.draws is not None:
        draws = {
            "resample": fit.draws.resample,
            "parameters": plain(fit.draws.parameters),
            "converged": fit.draws.converged.tolist(),
            "audited": fit.draws.audited,
            "missed": fit.draws.missed,
        }
    return {
        "format": FORMAT,
        "law": fit.law.name,
        "formula": fit.law.formula,
        "params": {name: _number(value) for name, value in fit.params.items()},
        "stderr": {name: _number(value) for name, value in fit.stderr.items()},
        "interval_95": intervals,
        "asymptote": _number(fit.asymptote),
        "model_interval_95": _ends(fit.model_interval),
        "least_exponent": LEAST_EXPONENT,
        "inflation": fit.problem.inflation,
        "scales_are_units": fit.problem.scales_are_units,
        "size_error": fit.problem.size_error,
        "objective": fit.objective,
        "status": fit.status.name,
        "message": fit.message,
        "warnings": list(fit.warnings),
        "method": fit.method,
        "seconds": fit.seconds,
        "seed": fit.seed,
        "loss": fit.problem.loss.name,
        "delta": fit.problem.delta,
        "fixed": dict(fit.problem.pinned),
        "table": {
            "names": table.names,
            "y_name": table.y_name,
            "columns": {name: plain(values) for name, values in table.columns.items()},
            "y": plain(table.y),
            "weights": plain(table.weights),
            "groups": None if table.groups is None else table.groups.tolist(),
            "warnings": list(table.warnings),
            "excluded": dict(table.excluded),
        },
        "draws": draws,
    }


def read(path: Path, law: Law | None) -> dict[str, Any]:
    """Fields of an `AssessedFit` from a JSON file.

    Args:
        path: the file.
        law: the fitted law, if it is not in `LAWS`.

    Raises:
        ValueError: the file is not a stored fit, or its law is not in `LAWS` and was not given.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise ValueError(f"{path} is not a fit written by `to_json` (no format {FORMAT!r})")
    try:
        return _rebuild(stored, law)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from error


def _rebuild(stored: dict[str, Any], law: Law | None) -> dict[str, Any]:
    rows = stored["table"]
    table = Table(
        columns={name: np.array(v, dtype=float) for name, v in rows["columns"].items()},
        y=np.array(rows["y"], dtype=float),
        weights=np.array(rows["weights"], dtype=float),
        groups=None if rows["groups"] is None else np.array(rows["groups"], dtype=np.int64),
        names=dict(rows["names"]),
        y_name=rows["y_name"],
        warnings=tuple(rows["warnings"]),
        excluded=dict(rows.get("excluded", {})),
    )
    problem = Problem(
        law=_law(stored["law"], law),
        table=table,
        loss=get_loss(stored["loss"]),
        delta=float(stored["delta"]),
        pinned={name: float(value) for name, value in stored["fixed"].items()},
        inflation=float(stored.get("inflation", 1.0)),
        scales_are_units=bool(stored.get("scales_are_units", False)),
        size_error=float(stored.get("size_error", 0.0)),
    )
    params = {name: float(value) for name, value in stored["params"].items()}
    printed = np.array([params[name] for name in problem.law.parameters])
    draws = stored["draws"]
    return {
        "params": params,
        "stderr": {name: float(value) for name, value in stored["stderr"].items()},
        "objective": float(stored["objective"]),
        "status": FitStatus[stored["status"]],
        "message": stored["message"],
        "warnings": tuple(stored["warnings"]),
        "method": stored["method"],
        "draws": None
        if draws is None
        else Draws(
            parameters=np.array(draws["parameters"], dtype=float),
            converged=np.array(draws["converged"], dtype=bool),
            resample=draws["resample"],
            audited=int(draws["audited"]),
            missed=int(draws["missed"]),
        ),
        "problem": problem,
        "coordinates": problem.model.internal(printed[:, None])[:, 0],
        "asymptote_interval": _interval(stored["interval_95"].get(problem.law.asymptote)),
        "model_interval": _interval(stored.get("model_interval_95")),
        "seconds": float(stored["seconds"]),
        "seed": int(stored["seed"]),
    }


def _ends(interval: tuple[float, float] | None) -> list[float | str] | None:
    return None if interval is None else [_number(end) for end in interval]


def _interval(stored: list[float | str] | None) -> tuple[float, float] | None:
    return None if stored is None else (float(stored[0]), float(stored[1]))


def _law(name: str, given: Law | None) -> Law:
    from scaling.laws.registry import LAWS

    if given is not None:
        if given.name != name:
            raise ValueError(f"the file holds a fit of law {name!r}; `law` is {given.name!r}")
        return given
    if name not in LAWS:
        raise ValueError(f"law {name!r} is not in LAWS; pass it as `law`")
    return LAWS[name]
