"""Tuned settings that come with the package, so that a world trains only its final models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.runs.archive import SHIPPED
from experiments.tuning.grid import Grid, Point

SCHEMA_VERSION = 1
SUFFIX = ".settings.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Hyperparameters of the tuned models of each size.

    Attributes:
        provenance: where they come from, and whether a search has certified them.
        n_unique_tokens: D for which they were chosen.
        points: values by axis of the grid, by objective (see `tuning.certificates.Objective`) and
            width.
    """

    provenance: str
    n_unique_tokens: int
    points: Mapping[str, Mapping[int, Mapping[str, float]]]

    def point(self, objective: str, width: int, grid: Grid) -> Point:
        """Return the point of a size.

        Args:
            objective: what it was tuned for, one of `points`.
            width: size dial of the model.
            grid: on which it lies.

        Raises:
            ValueError: the settings lack this size, or the point is not on the grid.
        """
        known = self.points[objective]
        if width not in known:
            raise ValueError(
                f"there are tuned settings for widths {', '.join(map(str, known))}; none for "
                f"{width}, which has to be searched (--search)"
            )
        point = tuple(known[width][axis] for axis in grid.axes)
        for (axis, values), value in zip(grid.values.items(), point, strict=True):
            if value not in values:
                raise ValueError(
                    f"{axis} of the tuned settings must be on the grid "
                    f"({', '.join(f'{x:g}' for x in values)}); not {value:g}"
                )
        return point


def read_settings(name: str, folder: Path = SHIPPED) -> Settings:
    """Return the settings of that name.

    Raises:
        ValueError: the file is missing or has another schema.
    """
    path = folder / f"{name}{SUFFIX}"
    if not path.is_file():
        there = sorted(found.name.removesuffix(SUFFIX) for found in folder.glob(f"*{SUFFIX}"))
        raise ValueError(f"settings must be one of {', '.join(there)}; not {name!r}")
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["schema"] != SCHEMA_VERSION:
        raise ValueError(f"{path} has schema {values['schema']!r}; readable is {SCHEMA_VERSION}")
    return Settings(
        provenance=values["provenance"],
        n_unique_tokens=values["n_unique_tokens"],
        points={
            objective: {int(width): point for width, point in by_width.items()}
            for objective, by_width in values["points"].items()
        },
    )
