"""All runs of a store in one parquet file, to be shipped with what was found in them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from experiments.runs.files import replacing

COMPACT_SCHEMA = 1


def write_compact(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Write rows of runs to a parquet file, whole or not at all.

    Returns:
        The rows.

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
    """Read what `RunStore.compact` wrote: the rows of `RunStore.frame`, without the run folders.

    `RunSpec.from_dict` reads the JSON in the column `spec`.

    Raises:
        ValueError: another file, a later version, or pyarrow is not installed.
        OSError: the file cannot be read.
    """
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise ValueError("parquet needs pyarrow: pip install 'datawall[parquet]'") from error
    except ValueError as error:
        raise ValueError(f"{path} is not a parquet file") from error
    if (schema := frame.attrs.get("datawall.compact")) != COMPACT_SCHEMA:
        raise ValueError(
            f"{path} has schema {schema!r} of compacted runs; readable is {COMPACT_SCHEMA}"
        )
    return frame
