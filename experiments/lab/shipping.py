"""Pack what recipes asked of a lab, to be shipped with the package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.lab.lab import Lab
from experiments.runs.archive import ARCHIVE_SCHEMA, Archive
from experiments.runs.files import read_json, write_json
from experiments.runs.rows import provenance, write_compact


def write_archive(
    lab: Lab, root: Path, *, recipes: Iterable[str], kept: Lab | None = None
) -> list[Path]:
    """Write the runs and records that recipes have asked of a lab, to be shipped.

    Args:
        lab: on which the recipes have run.
        root: folder of the archive.
        recipes: their names.
        kept: lab of an `Archive` on which other recipes have run, whose results are shipped again
            as they are.

    Returns:
        The files.

    Raises:
        ValueError: pyarrow is not installed.
    """
    name, source = lab.world.name, provenance()  # before the files change what git says
    labs = [lab] if kept is None else [kept, lab]  # what both have is shipped as it was
    about = {
        "schema": ARCHIVE_SCHEMA,
        "world": name,
        "recipes": sorted([*recipes, *(kept.world.recipes if kept else ())], key=_place_in(lab)),
        "text": asdict(lab.text.facts),
        "provenance": source,
    }
    if kept is not None and isinstance(kept.store, Archive):
        about["kept"] = _provenance_of(kept.store, kept.world.recipes)
    frame = pd.concat([_runs(one) for one in labs])
    labels = frame.groupby("run_id")["recipes"].agg(
        lambda each: ",".join(dict.fromkeys(label for one in each for label in one.split(",")))
    )
    frame = frame.drop_duplicates("run_id", ignore_index=True)
    frame["recipes"] = labels.loc[frame["run_id"]].to_numpy()
    records = {
        place: _values(one, place) for one in reversed(labs) for place in one.account.records
    }
    about |= {"n_runs": len(frame), "device_seconds": float(frame["seconds"].sum())}
    rows = [(*place.split("/"), json.dumps(values)) for place, values in sorted(records.items())]
    paths = [root / f"{name}{suffix}" for suffix in (".parquet", ".records.parquet", ".json")]
    write_compact(paths[0], frame)
    write_compact(paths[1], pd.DataFrame(rows, columns=["kind", "key", "values_json"]))
    write_json(paths[2], about)
    return paths


def _provenance_of(archive: Archive, recipes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the provenance of recipes that are shipped again, those of one provenance together."""
    earlier: list[dict[str, Any]] = archive.about.get("kept", [])
    older = {name for part in earlier for name in part["recipes"]}
    latest = [name for name in archive.recipes if name not in older]
    parts = [{"recipes": latest, "provenance": archive.about["provenance"]}, *earlier]
    return [
        {**part, "recipes": names}
        for part in parts
        if (names := [name for name in part["recipes"] if name in recipes])
    ]


def _place_in(lab: Lab) -> Callable[[str], int]:
    """Return a function that gives the place of a recipe in the world."""
    places = {name: at for at, name in enumerate(lab.world.recipes)}
    return lambda name: places.get(name, len(places))


def _runs(lab: Lab) -> pd.DataFrame:
    """Return the runs asked for, with their specs as JSON."""
    specs = [json.dumps(spec.to_dict(), sort_keys=True) for spec in lab.account.runs.values()]
    return lab.used().assign(spec=specs)


def _values(lab: Lab, place: str) -> Any:
    """Return the values of a record asked for."""
    if isinstance(lab.store, Archive):
        return lab.store.values(place)
    record: Any = read_json(lab.store.root / f"{place}.json")
    return record["values"]
