"""The figures of the talk, one file each.

A file `figNN_name.py` defines `NAME` and what it draws:

- `TITLE`, `CAPTION` and `draw(story)`, from the runs of a world;
- `PUBLISHED_TITLE`, `PUBLISHED_CAPTION` and `draw_published()`, from published numbers alone, with
  laws refitted here.

It has one of the two or both. Each function returns the figure and a frame of the plotted numbers.
A figure without measurements, such as a schematic, sets `draw_published = draw` and needs only
`TITLE` and `CAPTION`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.story.story import Story

SUFFIXES = ("png", "pdf", "csv")
PNG_DPI = 160


def _files(*, published: bool) -> dict[str, str]:
    """Return the modules of this package by the name of their figure, in the order of the talk.

    They are found by searching the files, because importing all of them would load jax.
    """
    drawing = re.compile(r"^(def )?draw_published\b" if published else r"^def draw\b", re.MULTILINE)
    return {
        path.stem.split("_")[0]: path.stem
        for folder in __path__
        for path in sorted(Path(folder).glob("fig*.py"))
        if drawing.search(path.read_text(encoding="utf-8"))
    }


def figure_names(*, published: bool = False) -> list[str]:
    """Return the names of the figures drawn from runs, or from published numbers."""
    return list(_files(published=published))


def figure_modules(names: Iterable[str] = (), *, published: bool = False) -> list[ModuleType]:
    """Import figures by name.

    Args:
        names: names such as "fig06"; by default all, in the order of the talk.
        published: whether to import figures of published numbers instead of figures of runs.

    Returns:
        Modules with `draw_published`, or with `draw`.

    Raises:
        ValueError: there is no such figure.
    """
    files = _files(published=published)
    names = list(names)
    for name in names:
        if name not in files:
            raise ValueError(f"figure must be one of {', '.join(files)}; not {name!r}")
    return [importlib.import_module(f"{__name__}.{files[name]}") for name in names or files]


def published_texts(module: ModuleType) -> tuple[str, str]:
    """Return title and caption of a figure as drawn from published numbers."""
    if module.draw_published is getattr(module, "draw", None):
        return module.TITLE, module.CAPTION
    return module.PUBLISHED_TITLE, module.PUBLISHED_CAPTION


def save(module: ModuleType, story: Story | None, folder: Path) -> list[Path]:
    """Draw one figure and write it as PNG, PDF and CSV.

    Args:
        module: module of the figure.
        story: results of a world, or None to draw the published numbers.
        folder: folder of the files.

    Returns:
        The paths of the files.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from experiments.runs.files import replacing
    from paper_figs.style import STYLE

    with plt.style.context(STYLE):
        figure, frame = module.draw_published() if story is None else module.draw(story)
        paths = [folder / f"{module.NAME}.{suffix}" for suffix in SUFFIXES]
        for path in paths:
            with replacing(path) as beside:
                if path.suffix == ".csv":
                    frame.to_csv(beside, index=False)
                else:
                    # Without dates, the same numbers give the same file.
                    undated = {"CreationDate": None} if path.suffix == ".pdf" else None
                    figure.savefig(beside, dpi=PNG_DPI, metadata=undated)
        plt.close(figure)
    return paths
