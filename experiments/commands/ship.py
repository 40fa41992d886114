"""`datawall ship`: pack the results of a world, to be drawn elsewhere without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.commands.readable import readable
from experiments.commands.world_options import WorldOptions


@readable
@dataclass(frozen=True, kw_only=True)
class Ship(WorldOptions):
    """Write runs, scores and their origin as compact files (trains what is missing)."""

    to: Path | None = None
    """Folder of the files; by default the package's own, from which figures are drawn."""

    def run(self) -> int:
        """Write them and name them."""
        from experiments.archive import SHIPPED, write_archive
        from experiments.story import open_lab, tell_of

        with self.open_executor() as executor:
            lab = open_lab(self.world, corpus=self.corpus, runs=self.runs, executor=executor)
            tell_of(lab)
        for path in write_archive(lab, self.to or SHIPPED):
            print(path)
        return 0
