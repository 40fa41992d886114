"""The experimental settings called worlds, and the plans of their recipes."""

from pathlib import Path


def recipe_names() -> tuple[str, ...]:
    """Return the names of all recipes: those of the files and folders of `experiments/recipes`."""
    paths = (Path(__file__).parents[1] / "recipes").iterdir()
    return tuple(sorted(path.stem for path in paths if path.stem[0] not in "._"))
