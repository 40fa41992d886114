"""Commands on the story of a world: `reproduce`, `run`, `claims`, `figures`, `report`, `ship`."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.cli.options import WorldOptions, readable
from experiments.recipes.registry import RECIPES

if TYPE_CHECKING:
    from experiments.claims.claim import Claim

    RecipeName = str
else:
    RecipeName = Literal[tuple(RECIPES)]


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
                search=self.search,
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


@readable
@dataclass(frozen=True, kw_only=True)
class Run(WorldOptions):
    """Train one recipe and those it builds on; finished runs are not trained again."""

    recipe: Annotated[RecipeName, tyro.conf.Positional]
    """What to train."""

    def run(self) -> int:
        """Train, then print the losses by cell."""
        from experiments.display.tables import print_table
        from experiments.recipes.registry import run_recipes
        from experiments.runs.overview import cells_table
        from experiments.story.story import open_lab

        with self.open_executor() as executor:
            lab = open_lab(
                self.world,
                corpus=self.corpus,
                runs=self.runs,
                executor=executor,
                search=self.search,
            )
            run_recipes(lab, [self.recipe])
        print_table(cells_table(lab.used()), title=f"{self.recipe}, world {lab.world.name}")
        return 0


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
                self.world,
                corpus=self.corpus,
                runs=self.runs,
                executor=executor,
                search=self.search,
                shipped=True,
            )
        with Gallery(story, self.out) as drawings:
            write_report(story, drawings, self.out)
        print(self.out / "report.html")
        return 0


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
            lab = open_lab(
                self.world,
                corpus=self.corpus,
                runs=self.runs,
                executor=executor,
                search=self.search,
            )
            story = tell_of(lab, part=self.part)
        for path in write_archive(lab, self.to or SHIPPED, recipes=story.results):
            print(path)
        return 0


def _plain(claim: Claim) -> dict[str, object]:
    """Return a claim as JSON types; an end that an interval does not have is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(claim).items()
    }


@readable
@dataclass(frozen=True, kw_only=True)
class Claims(WorldOptions):
    """Print each claim with its verdict, measured value and interval (trains what is missing)."""

    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Test and print."""
        from experiments.claims.claim import claims_table, judge_claims
        from experiments.display.tables import print_table
        from experiments.story.story import tell

        with self.open_executor() as executor:
            story = tell(
                self.world,
                corpus=self.corpus,
                runs=self.runs,
                executor=executor,
                search=self.search,
                shipped=True,
            )
        claims = judge_claims(story)
        if self.json:
            print(json.dumps([_plain(claim) for claim in claims], indent=1, allow_nan=False))
        else:
            print_table(claims_table(claims), title=f"claims, world {self.world}")
        return 0


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
                self.world,
                corpus=self.corpus,
                runs=self.runs,
                executor=executor,
                search=self.search,
                shipped=True,
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
