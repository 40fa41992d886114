"""The figures of the talk, one file each.

A file `figNN_name.py` defines `NAME` and what it draws:

- `TITLE`, `CAPTION` and `draw(story)`, from the runs of a world;
- `PUBLISHED_TITLE`, `PUBLISHED_CAPTION` and `draw_published()`, from published numbers alone, with
  laws refitted here.

It has one of the two or both, and `CLAIMS`: ids of the claims that it shows evidence for, whose
first letter says in which part of the report it is shown. Each function returns the figure and a
frame of the plotted numbers.
A figure without measurements, such as a schematic, sets `draw_published = draw` and needs only
`TITLE` and `CAPTION`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.story.story import Story

SUFFIXES = ("png", "pdf", "csv")
PNG_DPI = 200
PNG_COLORS = 256


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


def save(
    module: ModuleType,
    story: Story | None,
    folder: Path,
    *,
    suffixes: Sequence[str] = SUFFIXES,
) -> list[Path]:
    """Draw one figure and write it; the same numbers give the same bytes.

    Args:
        module: module of the figure.
        story: results of a world, or None to draw the published numbers.
        folder: folder of the files.
        suffixes: files to write: "png", "pdf", "svg", and "csv" for the plotted numbers.

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
        paths = [folder / f"{module.NAME}.{suffix}" for suffix in suffixes]
        for path in paths:
            with replacing(path) as beside:
                if path.suffix == ".csv":
                    frame.to_csv(beside, index=False)
                else:
                    _write(figure, beside, path.suffix)
        plt.close(figure)
    return paths


def _write(figure: Figure, path: Path, suffix: str) -> None:
    """Write a figure without dates, a PNG with a palette, which makes it three times smaller."""
    import io

    from PIL import Image

    undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(suffix)
    if suffix != ".png":
        figure.savefig(path, format=suffix[1:], metadata=undated)
        return
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=PNG_DPI, format="png")
    image = Image.open(drawn).convert("RGB")
    palette = image.quantize(PNG_COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette.save(path, format="png", optimize=True)
