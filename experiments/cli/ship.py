"""`datawall ship`: pack the results of a world, to be drawn elsewhere without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.cli.options import readable
from experiments.cli.world_options import WorldOptions


@readable
@dataclass(frozen=True, kw_only=True)
class Ship(WorldOptions):
    """Write runs, scores and their origin as compact files (trains what is missing)."""

    to: Path | None = None
    """Folder of the files; by default the package's own, from which figures are drawn."""
    part: Literal[1, 2] | None = None
    """Ship one part of the talk alone: 1, using data better, or 2, making new data."""

    def run(self) -> int:
        """Write them and name them."""
        from experiments.lab.shipping import write_archive
        from experiments.runs.archive import SHIPPED
        from experiments.story.story import open_lab, tell_of

        with self.open_executor() as executor:
            lab = open_lab(self.world, corpus=self.corpus, runs=self.runs, executor=executor)
            story = tell_of(lab, part=self.part)
        for path in write_archive(lab, self.to or SHIPPED, recipes=story.results):
            print(path)
        return 0
