"""`datawall run`: train one recipe of a world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.cli.options import readable
from experiments.cli.world_options import WorldOptions
from experiments.recipes.registry import RECIPES

if TYPE_CHECKING:
    RecipeName = str
else:
    RecipeName = Literal[tuple(RECIPES)]


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
            lab = open_lab(self.world, corpus=self.corpus, runs=self.runs, executor=executor)
            run_recipes(lab, [self.recipe])
        print_table(cells_table(lab.used()), title=f"{self.recipe}, world {lab.world.name}")
        return 0
