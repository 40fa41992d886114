"""`datawall reproduce`: train, tune, fit, simulate, draw, judge, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.cli.options import readable
from experiments.cli.world_options import WorldOptions


@readable
@dataclass(frozen=True, kw_only=True)
class Reproduce(WorldOptions):
    """Run the whole story of a world and write its report.

    What is finished is not done again: after an interruption the same command goes on.
    """

    out: Path = Path("out")
    """Folder of the figures, tables and the report."""
    part: Literal[1, 2] | None = None
    """One part of the talk alone: 1, using data better, or 2, making new data."""

    def run(self) -> int:
        """Do it and name the report."""
        from rich.console import Console

        from experiments.report.report import is_current, write_report
        from experiments.story.story import tell
        from paper_figs.gallery import Gallery

        started = time.monotonic()
        with self.open_executor() as executor:
            story = tell(
                self.world,
                corpus=self.corpus,
                runs=self.runs,
                executor=executor,
                part=self.part,
            )
        report = self.out / "report.html"
        console = Console(highlight=False, soft_wrap=True)
        if is_current(report, story):
            console.print(f"Nothing to do: {report} is up to date.")
            return 0
        with Gallery(story, self.out) as drawings:
            claims = write_report(story, drawings, self.out)
        for claim in claims:
            console.print(f"  {claim.id:>4} {claim.verdict:<12} {claim.headline}", markup=False)
        n_runs, seconds = len(story.runs), time.monotonic() - started
        console.print(
            f"{n_runs} runs ({story.n_trained} of them new) in {seconds / 60:.1f} minutes.\n"
            f"Report: {report}"
        )
        return 0
