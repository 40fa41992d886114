"""`datawall augment quality` and `stitch`: compare and join texts that are written already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.cli.options import readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.augment.texts.records import Record


@readable
@dataclass(frozen=True, kw_only=True)
class QualityCommand:
    """Measure the quality of one or several sets of synthetic texts beside that of their sources.

    Duplicates are comparable only between sets of about as many texts.
    """

    input: Annotated[Path, tyro.conf.Positional]
    """The real texts, as given to `datawall augment`."""
    synthetic: tuple[Path, ...]
    """Folders of texts that `datawall augment` wrote from them."""
    seed: int = 0
    """Random seed of the samples that are measured."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Print a table with a column for each set."""
        from functools import partial

        from experiments.cli.output import print_json
        from models.augment.quality.comparison import compare_several, quality_table
        from models.augment.texts.records import read_records

        names = [str(path) for path in self.synthetic]
        if len({*names}) < len(names):
            raise ValueError(f"--synthetic names a folder twice: {', '.join(names)}")
        measured = compare_several(
            partial(read_records, self.input),
            {name: partial(read_records, name) for name in names},
            seed=self.seed,
        )
        if self.json:
            print_json(measured)
        else:
            print(quality_table(measured))
        return 0


@readable
@dataclass(frozen=True, kw_only=True)
class Stitch:
    """Join several texts written from one document to one long text (megadoc)."""

    input: Annotated[Path, tyro.conf.Positional]
    """A folder of texts that `datawall augment` wrote."""
    out: Path
    """Folder for texts.jsonl, which is written as a whole."""
    generations: int = 8
    """Number of texts in a megadoc; the last one of a document holds what is left."""
    seed: int = 0
    """Random seed of the order of a document's texts."""

    def run(self) -> int:
        """Write the megadocs; print how many there are of each number of texts."""
        from collections import Counter

        from models.augment.texts.records import read_records
        from models.augment.writing.megadocs import stitched
        from models.augment.writing.output import OutputFolder, write_megadocs

        folder = OutputFolder.beside(self.input, self.out)
        sizes: Counter[int] = Counter()

        def counted() -> Iterator[Record]:
            records = read_records(self.input)
            for megadoc in stitched(records, self.generations, seed=self.seed):
                sizes[len(megadoc.metadata["joined"].splitlines())] += 1
                yield megadoc

        write_megadocs(counted(), folder)
        listed = ", ".join(f"{count:,} of {size}" for size, count in sorted(sizes.items())[::-1])
        print(f"{sizes.total():,} megadocs by number of texts: {listed}: {folder.texts}")
        return 0
