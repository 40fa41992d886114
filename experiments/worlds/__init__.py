"""The experimental settings called worlds, and the plans of their recipes."""

from pathlib import Path


def recipe_modules() -> dict[str, str]:
    """Return the module of each recipe, relative to `experiments.recipes`, by name.

    The recipe NAME is in `NAME.py`, in `NAME/recipe.py`, or in `SUBJECT/NAME.py`, where SUBJECT is
    a folder of several recipes.
    """
    found: dict[str, str] = {}
    for path in (Path(__file__).parents[1] / "recipes").iterdir():
        if path.stem[0] in "._":
            continue
        if path.suffix == ".py":
            found[path.stem] = path.stem
        elif (path / "recipe.py").is_file():
            found[path.name] = f"{path.name}.recipe"
        else:
            names = (one.stem for one in path.glob("[!_]*.py"))
            found |= {name: f"{path.name}.{name}" for name in names}
    return dict(sorted(found.items()))


def recipe_names() -> tuple[str, ...]:
    """Return the names of all recipes, sorted."""
    return tuple(recipe_modules())
