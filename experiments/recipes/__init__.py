"""The training recipes: one file or folder each, found by listing this folder.

The recipe NAME is the function NAME decorated with `@recipe` in `NAME.py` or in `NAME/recipe.py`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from experiments.lab.recipe import Recipe
from experiments.worlds import recipe_names


def find_recipe(name: str) -> Recipe[Any]:
    """Return the recipe of that name, importing its module.

    Raises:
        ValueError: no recipe has that name.
    """
    if name not in recipe_names():
        raise ValueError(f"recipe must be one of {', '.join(recipe_names())}; not {name!r}")
    is_folder = (Path(__file__).parent / name).is_dir()
    module = importlib.import_module(f"{__name__}.{name}" + (".recipe" if is_folder else ""))
    found: Recipe[Any] = getattr(module, name)
    return found
