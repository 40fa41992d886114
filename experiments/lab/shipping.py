"""Pack what recipes asked of a lab, to be shipped with the package."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.lab.lab import Lab
from experiments.runs.archive import ARCHIVE_SCHEMA
from experiments.runs.files import read_json, write_json
from experiments.runs.rows import provenance, write_compact


def write_archive(lab: Lab, root: Path, *, recipes: Iterable[str]) -> list[Path]:
    """Write the runs and records that recipes have asked of a lab, to be shipped.

    Args:
        lab: on which the recipes have run.
        root: folder of the archive.
        recipes: their names.

    Returns:
        The files.

    Raises:
        ValueError: pyarrow is not installed.
    """
    name, source = lab.world.name, provenance()  # before the files change what git says
    runs, records = root / f"{name}.parquet", root / f"{name}.records.parquet"
    frame = lab.used()
    frame["spec"] = [
        json.dumps(spec.to_dict(), sort_keys=True) for spec in lab.account.runs.values()
    ]
    write_compact(runs, frame)
    rows = []
    for place in sorted(lab.account.records):
        kind, key = place.split("/")
        record: Any = read_json(lab.store.root / kind / f"{key}.json")
        rows.append({"kind": kind, "key": key, "values_json": json.dumps(record["values"])})
    write_compact(records, pd.DataFrame(rows, columns=["kind", "key", "values_json"]))
    about = {
        "schema": ARCHIVE_SCHEMA,
        "world": name,
        "recipes": list(recipes),
        "text": asdict(lab.text.facts),
        "provenance": source,
        "n_runs": len(frame),
        "device_seconds": float(frame["seconds"].sum()),
    }
    write_json(root / f"{name}.json", about)
    return [runs, records, root / f"{name}.json"]
