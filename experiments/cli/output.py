"""Output that several commands share: JSON, checks of file names, quality of texts."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.augment.writing.output import OutputFolder

FIGURE_SUFFIXES = (".png", ".pdf", ".svg")


def print_json(value: Any) -> None:
    """Print a value as JSON; NaN and infinite numbers, which JSON cannot represent, are null."""
    print(json.dumps(finite(value), indent=1, allow_nan=False))


def print_notes(path: Path, notes: Sequence[str]) -> None:
    """Print what was taken for what in a table to stderr, in one line."""
    if notes:
        print(f"{path.name}: {'; '.join(notes)}", file=sys.stderr)


def finite(value: Any) -> Any:
    """Return a value of JSON types with None for numbers that JSON cannot represent."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_outputs(plot: Path | None, out: Path | None = None, table: Path | None = None) -> None:
    """Check that outputs can be written, before the work starts.

    Args:
        plot: the figure, if one is drawn; its numbers go to a CSV file beside it.
        out: another file to write.
        table: the input, which must not be overwritten.

    Raises:
        ValueError: a folder is missing or not writable, the suffix of the figure is unknown, or the
            input would be overwritten.
    """
    beside = None if plot is None else plot.with_suffix(".csv")
    for path in (plot, out, beside):
        if path is not None and table is not None and path.resolve() == table.resolve():
            raise ValueError(f"this would overwrite {table}; give the output another name")
    for path in (plot, out):
        if path is None:
            continue
        folder = path.resolve().parent
        if not folder.is_dir():
            raise ValueError(f"the folder of {path} does not exist")
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file")
        if not os.access(path if path.exists() else folder, os.W_OK):
            raise ValueError(f"{path} is not writable; name a file in a writable folder")
    if plot is not None and plot.suffix.lower() not in FIGURE_SUFFIXES:
        raise ValueError(f"`--plot` must end in .png, .pdf or .svg; not {plot.suffix!r}")


def print_quality(source: Path, folder: OutputFolder) -> None:
    """Print the quality of synthetic texts beside that of their sources."""
    from models.augment.quality.comparison import compare, quality_table
    from models.augment.texts.records import read_records

    print(quality_table(compare(lambda: read_records(source), folder.records)))


def print_next(source: Path, out: Path, *, hold_out: bool) -> None:
    """Print the command that measures what synthetic texts are worth, to stderr.

    Nothing is printed for fewer documents than that command needs.

    Args:
        source: the real texts.
        out: folder of the synthetic ones.
        hold_out: whether nothing was written from the documents that it holds out.
    """
    from experiments.planner.worth_texts import FEWEST_DOCUMENTS
    from models.augment.texts.records import read_records

    if len(list(islice(read_records(source), FEWEST_DOCUMENTS))) < FEWEST_DOCUMENTS:
        return
    parts = ["datawall", "worth", str(source), "--synthetic", str(out)]
    line = shlex.join(parts if hold_out else [*parts, "--leave-out-overlap"])
    print(f"What these texts are worth in real text: {line}", file=sys.stderr)
