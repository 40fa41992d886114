"""`datawall report`: the report of a world, from what has been trained or is shipped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.cli.options import readable
from experiments.cli.world_options import WorldOptions


@readable
@dataclass(frozen=True, kw_only=True)
class Report(WorldOptions):
    """Write the report, from your own runs or else from those shipped with the package."""

    out: Path = Path("out")
    """Folder of the figures, tables and the report."""

    def run(self) -> int:
        """Write it and name it."""
        from experiments.report.report import write_report
        from experiments.story.story import tell
        from paper_figs.gallery import Gallery

        with self.open_executor() as executor:
            story = tell(
                self.world, corpus=self.corpus, runs=self.runs, executor=executor, shipped=True
            )
        with Gallery(story, self.out) as drawings:
            write_report(story, drawings, self.out)
        print(self.out / "report.html")
        return 0
