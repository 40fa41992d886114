"""Commands on a world: `reproduce`, `run`, `claims`, `figures`, `report`, `ship`."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.cli.options import WorldOptions, readable
from experiments.cli.output import print_json
from experiments.worlds import recipe_names

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from experiments.claims.claim import Claim
    from experiments.story.story import Story
    from experiments.worlds.world import World

    RecipeName = str
else:
    RecipeName = Literal[recipe_names()]


@readable
@dataclass(frozen=True, kw_only=True)
class Reproduce(WorldOptions):
    """Run all recipes of a world, draw the figures, test the claims and write the report.

    Finished work is not repeated: after an interruption, the same command resumes.
    """

    out: Path = Path("out")
    """Folder of the report and its figures."""
    part: Literal[1, 2] | None = None
    """Run only one part of the talk: 1 (using data better) or 2 (making new data)."""
    plan: bool = False
    """Only print how many runs, FLOPs, minutes and bytes it takes."""
    tflops: float | None = None
    """TFLOP/s of training from which minutes are computed; by default as `datawall doctor
    --accelerator` measured it, or else as a few seconds of training on the CPU have."""

    def run(self) -> int:
        """Write the report and print its path; with `plan`, print what it takes."""
        from experiments.worlds.registry import get_world

        world = get_world(
            self.world, corpus=self.corpus, search=self.search, levers=self.levers,
            score_every=self.score_every, is_trained=not self.plan,
        )  # fmt: skip
        if self.plan or world.predicts_settings:
            print_costs(world, self.tflops, part=self.part, to_stderr=not self.plan)
        return 0 if self.plan else self._reproduce()

    def _reproduce(self) -> int:
        from rich.console import Console

        from experiments.report.report import is_current, write_report
        from experiments.story.story import story_of
        from paper_figs.gallery import Gallery

        started = time.monotonic()
        with self.open_lab() as lab:
            story = story_of(lab, part=self.part)
        report = self.out / "report.html"
        console = Console(highlight=False, soft_wrap=True)
        if is_current(report, story):
            console.print(f"{report} is up to date.")
            return 0
        with Gallery(story, self.out) as drawings:
            claims = write_report(story, drawings, self.out)
        print_claims(claims)
        n_runs, seconds = len(story.runs), time.monotonic() - started
        console.print(
            f"{n_runs} runs ({story.n_trained} of them new) in {seconds / 60:.1f} minutes.\n"
            f"Report: {report}"
        )
        return 0


def print_costs(
    world: World, tflops: float | None, *, part: int | None = None, to_stderr: bool
) -> None:
    """Print what a world takes: a row a recipe, then memory.

    Args:
        world: the world.
        tflops: TFLOP/s of training (default: as measured, see `training_tflops`).
        part: of the talk, 1 or 2; by default both.
        to_stderr: print to stderr instead of stdout.

    Raises:
        ValueError: `tflops` is not positive, or the world runs no recipe of that part.
    """
    from rich.console import Console

    from experiments.display.quantities import human
    from experiments.planner.cost import costs, memory
    from experiments.planner.speed import training_tflops
    from experiments.story.story import recipes_of

    if tflops is not None and not tflops > 0:
        raise ValueError(f"--tflops must be > 0; not {tflops}")
    rate, origin = (tflops, "as given") if tflops else training_tflops(world)
    rows = costs(world, recipes_of(world, part))
    console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)
    known = [row for row in rows if not math.isnan(row.flops)]
    for row in known:
        console.print(
            f"{row.recipe}: {row.n_runs:.0f} runs, {row.flops:.1e} FLOPs, "
            f"{row.flops / rate / 6e13:.0f} minutes"
        )
    if rest := [row.recipe for row in rows if row not in known]:
        console.print(f"not estimated: {', '.join(rest)}")
    flops = sum(row.flops for row in known)
    console.print(
        f"together: {sum(row.n_runs for row in known):.0f} runs, {flops:.1e} FLOPs, "
        f"{flops / rate / 6e13:.0f} minutes at {rate:.3g} TFLOP/s ({origin})"
    )
    for row in memory(world).itertuples():
        console.print(
            f"width {row.width}, {human(row.n_params)} parameters: {row.one:.2g} GiB a model, "
            f"{row.members:.2g} GiB for {world.n_members}"
        )


@readable
@dataclass(frozen=True, kw_only=True)
class Run(WorldOptions):
    """Train one recipe and the recipes it depends on; finished runs are not trained again."""

    recipe: Annotated[RecipeName, tyro.conf.Positional]
    """Recipe to train."""

    def run(self) -> int:
        """Train the recipe and print its losses, averaged over seeds."""
        from experiments.display.tables import print_table
        from experiments.lab.recipe import run_recipes
        from experiments.recipes import find_recipe
        from experiments.runs.overview import cells_table

        with self.open_lab() as lab:
            run_recipes(lab, [find_recipe(self.recipe)])
        print_table(cells_table(lab.used()), title=f"{self.recipe}, world {lab.world.name}")
        return 0


@readable
@dataclass(frozen=True, kw_only=True)
class Report(WorldOptions):
    """Write the report of your own runs or, without any, of those shipped with the package."""

    out: Path = Path("out")
    """Folder of the report and its figures."""

    def run(self) -> int:
        """Write the report and print its path."""
        from experiments.report.report import write_report
        from experiments.story.story import story_of
        from paper_figs.gallery import Gallery

        with self.open_lab(shipped=True) as lab:
            story = story_of(lab)
        with Gallery(story, self.out) as drawings:
            write_report(story, drawings, self.out)
        print(self.out / "report.html")
        return 0


@readable
@dataclass(frozen=True, kw_only=True)
class Ship(WorldOptions):
    """Pack runs, scores and their provenance into compact files (trains missing runs)."""

    to: Path | None = None
    """Folder of the files; by default that of the results shipped with the package."""
    part: Literal[1, 2] | None = None
    """Pack only one part of the talk: 1 (using data better) or 2 (making new data)."""
    keep: tuple[str, ...] = ()
    """Recipes whose shipped results are packed again as they are, rather than from your runs, with
    all that these build on; the others build on these too."""

    def run(self) -> int:
        """Write the files and print their paths."""
        from experiments.lab.recipe import run_recipes
        from experiments.lab.shipping import write_archive
        from experiments.runs.archive import SHIPPED
        from experiments.story.story import recipes_of, shipped_lab

        if self.keep and (self.corpus or self.levers):
            raise ValueError("--keep takes shipped results: of the world's own text, no levers")
        kept = shipped_lab(self.world, self.keep) if self.keep else None
        of_kept = recipes_of(kept.world) if kept else []
        needed = {need.name: None for one in of_kept for need in one.with_needs}
        if missing := [name for name in needed if name not in self.keep]:
            raise ValueError(
                f"--keep must name all that kept recipes build on; add {', '.join(missing)}"
            )
        known = run_recipes(kept, of_kept) if kept else None
        with self.open_lab() as lab:
            wanted = [one for one in recipes_of(lab.world, self.part) if one.name not in self.keep]
            recipes = [one.name for one in run_recipes(lab, wanted, known)]
        for path in write_archive(lab, self.to or SHIPPED, recipes=recipes, kept=kept):
            print(path)
        return 0


@readable
@dataclass(frozen=True, kw_only=True)
class Claims(WorldOptions):
    """Print each claim with its verdict, measured value and interval (trains missing runs)."""

    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Test the claims and print them."""
        from experiments.claims.claim import judge_claims
        from experiments.story.story import story_of

        with self.open_lab(shipped=True) as lab:
            story = story_of(lab)
        claims = judge_claims(story)
        if self.json:
            print_json([asdict(claim) for claim in claims])
        else:
            print_claims(claims)
        return 0


def print_claims(claims: Iterable[Claim]) -> None:
    """Print claims, wrapped: id, verdict and statement first, then what was measured."""
    import shutil
    import textwrap

    width = max(40, shutil.get_terminal_size().columns)
    for claim in claims:
        print(textwrap.fill(claim.sentence, width, subsequent_indent="    "))
        print(textwrap.indent(textwrap.fill(claim.headline, width - 4), "    "))


@readable
@dataclass(frozen=True, kw_only=True)
class Figures(WorldOptions):
    """Draw figures as PNG, PDF or SVG, with the plotted numbers as CSV (trains missing runs).

    Only the recipes that a figure needs are run; schematics need none.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Figures to draw, such as fig06; by default all."""
    published: bool = False
    """Draw published numbers with laws refitted here, which needs no training."""
    format: tuple[Literal["png", "pdf", "svg"], ...] = ("png", "pdf")
    """Formats of the pictures."""
    size: str | None = None
    """Width and height in inches, such as 3.3x2.4; by default that of each figure."""
    style: tuple[str, ...] = ()
    """Style files such as paper.mplstyle, or names of matplotlib's styles."""
    dpi: int = 200
    """Dots per inch of a PNG."""
    out: Path = Path("out")
    """Folder of the report; figures go to its subfolder figures/ or published/."""

    def run(self) -> int:
        """Draw the figures and print the paths of their files."""
        from experiments.story.story import story_of
        from paper_figs import figure_modules
        from paper_figs.files import check_format, recipes_read
        from paper_figs.layout import check_styles, parse_size

        size = parse_size(self.size) if self.size else None
        check_format(self.format, self.dpi)
        check_styles(self.style)
        modules = figure_modules(self.names, published=self.published)
        if self.published or not any(module.NEEDS for module in modules):
            return self._save(modules, None, size)
        with self.open_lab(shipped=True) as lab:
            modules = [one for one in modules if self._can_draw(one, lab.world)]
            available = lab.world.recipes
            needs = {recipe for one in modules for recipe in recipes_read(one, available)}
            story = story_of(lab, recipes=sorted(needs, key=lambda recipe: recipe.name))
        return self._save(modules, story, size)

    def _can_draw(self, module: ModuleType, world: World) -> bool:
        """Return whether a world runs what a figure needs; if not, print why.

        Raises:
            NotRun: it does not, and the figure was asked for by name.
        """
        from experiments.lab.recipe import NotRun
        from experiments.worlds.registry import WORLDS

        lacking = [one.name for one in module.NEEDS if one.name not in world.recipes]
        if not lacking:
            return True
        message = (
            f"figure {module.NAME} was not drawn: it needs the recipe {lacking[0]}, which world "
            f"{world.name} does not run"
        )
        known = WORLDS.get(world.name)
        others = [name for name, one in WORLDS.items() if {*lacking} <= {*one.recipes}]
        if known is not None and {*lacking} <= {*known.recipes}:
            message += (
                f" in its shipped results; `datawall run {lacking[0]} --world {world.name}` trains "
                "it"
            )
        elif others:
            message += f"; `datawall figures {module.NAME} --world {others[0]}` trains it"
        else:
            message += (
                f"; with a world whose `recipes` name it (a TOML file), `datawall figures "
                f"{module.NAME} --world FILE` trains it"
            )
        if self.names:
            raise NotRun(message)
        print(f"datawall: {message}", file=sys.stderr)
        return False

    def _save(
        self, modules: Iterable[ModuleType], story: Story | None, size: tuple[float, float] | None
    ) -> int:
        from experiments.lab.recipe import NotRun
        from paper_figs import save

        folder = self.out / ("published" if self.published else "figures")
        for module in modules:
            try:
                paths = save(
                    module, story, folder, suffixes=(*self.format, "csv"), size=size,
                    style=self.style, dpi=self.dpi,
                )  # fmt: skip
            except (OSError, NotRun) as error:  # a table is missing, or was not measured
                if self.names:
                    raise
                print(f"datawall: {module.NAME} was not drawn: {error}", file=sys.stderr)
                continue
            for path in paths:
                print(path)
        return 0
