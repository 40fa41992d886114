"""Certificates as JSON files in the folder `tuning` of a run store, one per size and objective.

A file holds everything that the search evaluated; derived values are recomputed when it is read.
The key `summary` repeats them for people and other programs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.runs.files import read_json, write_json
from experiments.runs.rows import finite
from experiments.runs.spec import RunSpec
from experiments.tuning.certificates import OBJECTIVES, Certificate
from experiments.tuning.grid import Grid, Point
from experiments.tuning.search import Tuned

SCHEMA_VERSION = 1
FOLDER = "tuning"


def certificate_dict(certificate: Certificate) -> dict[str, Any]:
    """Return a certificate as JSON types."""
    return {
        "schema": SCHEMA_VERSION,
        "objective": certificate.objective,
        "spec": certificate.spec.to_dict(),
        **grid_dict(certificate.tuned.grid),
        **tuned_dict(certificate.tuned),
        "runs": dict(certificate.runs),
        "summary": certificate.summary(),
    }


def grid_dict(grid: Grid) -> dict[str, Any]:
    """Return a grid as JSON types."""
    return {
        "axes": [[name, list(values)] for name, values in grid.axes.items()],
        "widest": {name: list(ends) for name, ends in grid.widest.items()},
        "together": [list(direction) for direction in grid.together],
    }


def tuned_dict(tuned: Tuned) -> dict[str, Any]:
    """Return what a search found on its grid as JSON types; losses that diverged are None."""
    return {
        "n_look": tuned.n_look,
        "path": [tuned.grid.named(point) for point in tuned.path],
        "looks": [
            {**tuned.grid.named(point), "mean": finite(mean)} for point, mean in tuned.looks.items()
        ],
        "values": [
            {**tuned.grid.named(point), "by_seed": [finite(x) for x in values]}
            for point, values in tuned.values.items()
        ],
    }


def read_certificate(values: Mapping[str, Any]) -> Certificate:
    """Return the certificate that `certificate_dict` turned into JSON types.

    Raises:
        ValueError: the schema version is unknown.
    """
    if values.get("schema") != SCHEMA_VERSION:
        raise ValueError(f"schema must be {SCHEMA_VERSION}; not {values.get('schema')!r}")
    return Certificate(
        objective=values["objective"],
        spec=RunSpec.from_dict(values["spec"]),
        tuned=read_tuned(values, read_grid(values)),
        runs=values["runs"],
    )


def read_grid(values: Mapping[str, Any]) -> Grid:
    """Return the grid that `grid_dict` turned into JSON types."""
    return Grid(
        axes={name: tuple(of_axis) for name, of_axis in values["axes"]},
        widest={name: (least, most) for name, (least, most) in values["widest"].items()},
        together=tuple(map(tuple, values.get("together", []))),
    )


def read_tuned(values: Mapping[str, Any], grid: Grid) -> Tuned:
    """Return what `tuned_dict` turned into JSON types."""

    def point(row: Mapping[str, Any]) -> Point:
        return tuple(row[name] for name in grid.axes)

    return Tuned(
        grid=grid,
        n_look=values["n_look"],
        path=tuple(point(row) for row in values["path"]),
        looks={point(row): _number(row["mean"]) for row in values["looks"]},
        values={point(row): tuple(map(_number, row["by_seed"])) for row in values["values"]},
    )


def _number(value: float | None) -> float:
    return math.inf if value is None else value


def save_certificate(certificate: Certificate, store: Path) -> Path:
    """Write a certificate into a run store, unless the file exists with the same content.

    Returns:
        The path of the file.
    """
    path = store / FOLDER / f"{certificate.key}.json"
    values = json.loads(json.dumps(certificate_dict(certificate)))
    if read_json(path) != values:  # so that a finished store can be read-only
        write_json(path, values)
    return path


def load_certificates(store: Path) -> list[Certificate]:
    """Return all certificates of a run store, sorted by objective and size.

    Files that were only partly written are left out.

    Raises:
        ValueError: a file has an unknown schema version; the message names it.
    """
    found = []
    for path in sorted((store / FOLDER).glob("*.json")):
        values = read_json(path)
        if values is not None:
            try:
                found.append(read_certificate(values))
            except (TypeError, KeyError, ValueError) as error:
                raise ValueError(f"{path} is not a certificate of this version: {error}") from error
    return sorted(
        found,
        key=lambda c: (
            OBJECTIVES.index(c.objective),
            c.spec.data.n_unique_tokens,
            c.spec.model.width,
        ),
    )
