"""`datawall figures`: draw figures of the talk."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.cli.options import readable
from experiments.cli.world_options import WorldOptions


@readable
@dataclass(frozen=True, kw_only=True)
class Figures(WorldOptions):
    """Draw figures as PNG and PDF with the plotted numbers as CSV (trains what is missing)."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Figures to draw, such as fig06; all by default."""
    published: bool = False
    """Draw from published numbers, refitted here: in seconds, without training."""
    out: Path = Path("out")
    """Folder of the report; figures go to its subfolder figures/, or published/."""

    def run(self) -> int:
        """Draw and name the files."""
        from experiments.story.story import NotTold, tell
        from paper_figs import figure_modules, save

        if self.published:
            return self._draw_published()
        modules = figure_modules(self.names)
        with self.open_executor() as executor:
            story = tell(
                self.world, corpus=self.corpus, runs=self.runs, executor=executor, shipped=True
            )
        for module in modules:
            try:
                paths = save(module, story, self.out / "figures")
            except (FileNotFoundError, NotTold) as error:
                if self.names:
                    raise
                print(f"datawall: {error}", file=sys.stderr)
                continue
            for path in paths:
                print(path)
        return 0

    def _draw_published(self) -> int:
        from paper_figs import figure_modules, save

        for module in figure_modules(self.names, published=True):
            try:
                paths = save(module, None, self.out / "published")
            except OSError as error:  # a table that is neither in the data folder nor downloaded
                if self.names:
                    raise
                print(f"datawall: {module.NAME} was not drawn: {error}", file=sys.stderr)
                continue
            for path in paths:
                print(path)
        return 0
