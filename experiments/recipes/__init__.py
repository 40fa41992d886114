"""The training recipes: one file or folder each, found by listing this folder.

The recipe NAME is the function NAME decorated with `@recipe` in `NAME.py` or in `NAME/recipe.py`;
`members/` is a folder of recipes on one subject.
"""

from __future__ import annotations

import importlib
from typing import Any

from experiments.lab.recipe import Recipe
from experiments.worlds import recipe_modules


def find_recipe(name: str) -> Recipe[Any]:
    """Return the recipe of that name, importing its module.

    Raises:
        ValueError: no recipe has that name.
    """
    modules = recipe_modules()
    if name not in modules:
        raise ValueError(f"recipe must be one of {', '.join(modules)}; not {name!r}")
    found: Recipe[Any] = getattr(importlib.import_module(f"{__name__}.{modules[name]}"), name)
    return found
