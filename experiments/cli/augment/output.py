"""What the methods that write new texts say at their end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.augment.writing.output import OutputFolder


def say_quality(source: Path, folder: OutputFolder) -> None:
    """Print the quality of the texts beside that of their sources."""
    from models.augment.quality.comparison import compare, quality_table
    from models.augment.texts.records import read_records

    print(quality_table(compare(lambda: read_records(source), folder.records)))
