"""The figures of the talk, one module each.

A module defines `NAME`, `TITLE`, `CAPTION` and `draw(story) -> (figure, frame)`, where the frame
holds the numbers that are plotted. `story` is an `experiments.story.story.Story`. Those of
`paper_figs.published` draw published numbers alone, from no story.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.story.story import Story

SUFFIXES = ("png", "pdf", "csv")
PNG_DPI = 160


WITHOUT_RUNS = ("fig17", "fig18", "fig20")
"""Figures of this package that need no story either, and are drawn with the published ones."""


def _files(*, published: bool = False) -> dict[str, str]:
    """Module names below this package, by figure, in the order of the talk."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    files = {name.split("_")[0]: name for name in names if name.startswith("fig")}
    if published:
        files = {name: files[name] for name in WITHOUT_RUNS}
        folder = [str(Path(path) / "published") for path in __path__]
        for module in pkgutil.iter_modules(folder):
            files[module.name.split("_")[0]] = f"published.{module.name}"
    return dict(sorted(files.items()))


def figure_names() -> list[str]:
    """Return the names of all figures, in the order of the talk."""
    return list(_files())


def figure_modules(names: Iterable[str] = (), *, published: bool = False) -> list[ModuleType]:
    """Import figures by name (all when none is named), from runs or from published numbers.

    Raises:
        ValueError: no figure of that name.
    """
    files = _files(published=published)
    for name in names:
        if name not in files:
            raise ValueError(f"figure must be one of {', '.join(files)}; not {name!r}")
    return [importlib.import_module(f"{__name__}.{files[name]}") for name in names or files]


def save(module: ModuleType, story: Story | None, folder: Path) -> list[Path]:
    """Draw one figure and write it as PNG, PDF and CSV; return the paths.

    Published figures need no story.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from experiments.runs.files import replacing
    from paper_figs.style import STYLE

    with plt.style.context(STYLE):
        figure, frame = module.draw(story)
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
