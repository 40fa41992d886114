"""The recipes by name: the module that runs each, and those whose results it builds on.

A module of a recipe has a function `run(lab, **needed)` that trains what is missing and returns the
result, a frozen dataclass; `needed` holds the results of the recipes that it needs, by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.lab.lab import Lab


@dataclass(frozen=True)
class Recipe:
    """Where a recipe is, and what it needs.

    Attributes:
        module: the module with its function.
        needs: recipes whose results it is given.
        part: of the talk: 1, using data better, or 2, making new data.
        function: the function that runs it.
    """

    module: str
    needs: tuple[str, ...] = ()
    part: int = 1
    function: str = "run"


RECIPES: dict[str, Recipe] = {
    "standard": Recipe("experiments.recipes.standard"),
    "regularized": Recipe("experiments.recipes.regularized"),
    "ensembles": Recipe("experiments.recipes.ensembles", needs=("regularized",)),
    "member_counts": Recipe(
        "experiments.recipes.member_counts", needs=("regularized", "ensembles")
    ),
    "learned_weights": Recipe("experiments.recipes.learned_weights", needs=("ensembles",)),
    "diversity": Recipe("experiments.recipes.diversity", needs=("ensembles",)),
    "data_scaling": Recipe(
        "experiments.recipes.data_scaling", needs=("standard", "regularized", "ensembles")
    ),
    "distillation": Recipe("experiments.recipes.distillation", needs=("regularized", "ensembles")),
    "ablations": Recipe("experiments.recipes.ablations", needs=("standard", "regularized")),
    "learning_curves": Recipe("experiments.recipes.learning_curves", needs=("regularized",)),
    "classical": Recipe(
        "experiments.recipes.classical", needs=("standard", "regularized", "ensembles")
    ),
    "downstream": Recipe(
        "experiments.recipes.downstream", needs=("standard", "regularized", "ensembles")
    ),
    "calibration": Recipe("experiments.recipes.calibration.recipe"),
    "continued": Recipe("experiments.recipes.continued.recipe", part=2),
    "entigraph": Recipe("experiments.recipes.entigraph.recipe", part=2),
    "bootstrapped": Recipe("experiments.recipes.bootstrapped.recipe", part=2),
    "bootstrapped_text": Recipe(
        "experiments.recipes.bootstrapped.recipe", function="run_on_excerpts", part=2
    ),
}
"""In the order of the talk; a recipe comes after those that it needs."""


def with_needs(names: Iterable[str]) -> list[str]:
    """Return recipes and all that they build on, in the order in which to run them.

    Raises:
        ValueError: no recipe of that name.
    """
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in RECIPES:
            raise ValueError(f"recipe must be one of {', '.join(RECIPES)}; not {name!r}")
        wanted.add(name)
        waiting += RECIPES[name].needs
    return [name for name in RECIPES if name in wanted]


def run_recipes(lab: Lab, names: Iterable[str]) -> dict[str, Any]:
    """Run recipes and all that they build on; their runs carry the recipes' names.

    Returns:
        The result of each.
    """
    results: dict[str, Any] = {}
    for name in with_needs(names):
        recipe = RECIPES[name]
        run = getattr(importlib.import_module(recipe.module), recipe.function)
        with lab.labeling(name):
            results[name] = run(lab, **{need: results[need] for need in recipe.needs})
    return results
