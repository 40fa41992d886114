"""Tuned settings that come with the package, so that a world trains only its final models.

    results/NAME.settings.json    what a search found at each size, with all that it compared

`datawall tune --save` writes such a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.runs.archive import SHIPPED
from experiments.runs.files import write_json
from experiments.tuning.certificate_files import grid_dict, read_grid, read_tuned, tuned_dict
from experiments.tuning.certificates import Certificate
from experiments.tuning.grid import Grid
from experiments.tuning.search import Tuned

SCHEMA_VERSION = 3
SUFFIX = ".settings.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Hyperparameters of the models of each size.

    Attributes:
        provenance: where they come from.
        n_unique_tokens: D for which they were chosen.
        tuned: what the search found, by objective (see `tuning.certificates.Objective`) and width.
    """

    provenance: str
    n_unique_tokens: int
    tuned: Mapping[str, Mapping[int, Tuned]]

    def at(self, objective: str, width: int, grid: Grid) -> Tuned:
        """Return what the search found at a size.

        Args:
            objective: what it was tuned for, one of `tuned`.
            width: size dial of the model.
            grid: on which the point must lie.

        Raises:
            ValueError: the settings lack this size, or the point is not on the grid.
        """
        known = self.tuned[objective]
        if width not in known:
            raise ValueError(
                f"there are tuned settings for widths {', '.join(map(str, known))}; none for "
                f"{width}, which has to be searched (--search)"
            )
        for axis, values in grid.values.items():
            if (value := known[width].best[axis]) not in values:
                raise ValueError(
                    f"{axis} of the tuned settings must be on the grid "
                    f"({', '.join(f'{x:g}' for x in values)}); not {value:g}"
                )
        return known[width]


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
        tuned={
            search["objective"]: {
                found["width"]: read_tuned(found, grid) for found in search["found"]
            }
            for search in values["searches"]
            for grid in [read_grid(search)]
        },
    )


def write_settings(path: Path, certificates: Sequence[Certificate], provenance: str) -> None:
    """Write what searches found as settings that a world can carry.

    Args:
        path: the file, NAME.settings.json.
        certificates: a size and objective each, all of one number of unique tokens, and those of
            one objective on one grid.
        provenance: where they come from.

    Raises:
        ValueError: the file has another name, or the certificates are of several searches.
    """
    if not path.name.endswith(SUFFIX):
        raise ValueError(f"the file must be NAME{SUFFIX}; not {path.name}")
    sizes = {one.spec.data.n_unique_tokens for one in certificates}
    if len(sizes) != 1:
        raise ValueError(f"settings are of one number of unique tokens; not of {sorted(sizes)}")
    searches: dict[str, list[Certificate]] = {}
    for one in certificates:
        searches.setdefault(one.objective, []).append(one)
    for objective, of in searches.items():
        if any(one.tuned.grid != of[0].tuned.grid for one in of):
            raise ValueError(f"settings are of one search; those of {objective} are on two grids")
    write_json(
        path,
        {
            "schema": SCHEMA_VERSION,
            "provenance": provenance,
            "n_unique_tokens": sizes.pop(),
            "searches": [
                {
                    "objective": objective,
                    **grid_dict(of[0].tuned.grid),
                    "found": [
                        {"width": one.spec.model.width, **tuned_dict(one.tuned)} for one in of
                    ],
                }
                for objective, of in searches.items()
            ],
        },
    )
