"""The figures of the talk, one file each.

    axes, numbers = paper_figs.draw("fig06", story)         # a new figure
    ax, numbers = paper_figs.draw("fig06", story, ax=ax)    # in axes of your own
    paper_figs.save("fig06", story, "out", suffixes=("pdf",), size=(3.3, 2.4))

A file `figNN_name.py` defines `NAME` and what it draws:

- `TITLE`, `CAPTION`, `NEEDS` and `draw(story, ax=None)`, from the runs of a world; `NEEDS` are the
  recipes whose results it reads, and `READS_IF_RUN` those it shows in worlds that run them;
- `PUBLISHED_TITLE`, `PUBLISHED_CAPTION` and `draw_published(ax=None)`, from published numbers
  alone, with laws refitted here.

It has one of the two or both, and `CLAIMS`: ids of the claims that it shows evidence for, whose
first letter says in which part of the report it is shown. Both functions draw in the current style
into `ax`: axes (a list with one for each panel if there are several), or a figure or subfigure that
they divide into panels; by default they make a figure. They return the axes (a list if there are
several panels) and a frame that holds every plotted number.
A figure that reads no results, such as a schematic or what is computed here, sets `draw_published =
draw` and needs only `TITLE`, `CAPTION` and an empty `NEEDS`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from paper_figs.files import PNG_DPI

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from experiments.story.story import Story
    from paper_figs.layout import Place

SUFFIXES = ("png", "pdf", "csv")


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
        if name in files:
            continue
        elsewhere = ""
        if name in _files(published=not published):
            of, option = ("runs", "without") if published else ("published numbers", "with")
            elsewhere = f", which is drawn from {of} only: draw it {option} --published"
        raise ValueError(f"figure must be one of {', '.join(files)}; not {name!r}{elsewhere}")
    return [importlib.import_module(f"{__name__}.{files[name]}") for name in names or files]


def published_texts(module: ModuleType) -> tuple[str, str]:
    """Return title and caption of a figure as drawn from published numbers."""
    if module.draw_published is getattr(module, "draw", None):
        return module.TITLE, module.CAPTION
    return module.PUBLISHED_TITLE, module.PUBLISHED_CAPTION


def draw(
    figure: str | ModuleType, story: Story | None = None, ax: Place = None
) -> tuple[Axes | list[Axes], pd.DataFrame]:
    """Draw one figure.

    Args:
        figure: its name, such as "fig06", or its module.
        story: results of a world, or None to draw the published numbers.
        ax: where to draw, in the current style: axes, or a list of axes for a figure of several
            panels, or a figure or subfigure. By default a new figure, in the style of the project.

    Returns:
        The axes (a list for a figure of several panels), and a frame with every plotted number,
        whose columns each figure names.

    Raises:
        ValueError: there is no such figure, or it has another number of panels.
        NotRun: the world does not run a recipe that the figure needs.
    """
    import matplotlib.pyplot as plt

    from paper_figs.style import STYLE

    module = _module(figure, published=story is None)
    with plt.style.context(STYLE if ax is None else {}):
        return _drawn(module, story, ax)


def save(
    figure: str | ModuleType,
    story: Story | None,
    folder: Path | str,
    *,
    suffixes: Sequence[str] = SUFFIXES,
    size: tuple[float, float] | None = None,
    style: Sequence[str] = (),
    dpi: int = PNG_DPI,
) -> list[Path]:
    """Draw one figure and write it; the same numbers give the same bytes.

    The metadata of pictures hold the command that draws them, the version of datawall and a hash
    of the results behind them.

    Args:
        figure: its name, such as "fig06", or its module.
        story: results of a world, or None to draw the published numbers.
        folder: folder of the files.
        suffixes: files to write: "png", "pdf", "svg", and "csv" for the plotted numbers.
        size: width and height in inches; by default a multiple of the style parameter
            `figure.figsize`.
        style: files such as paper.mplstyle, or names of matplotlib's styles, over the project's.
        dpi: dots per inch of a PNG.

    Returns:
        The paths of the files.

    Raises:
        ValueError: unknown figure, suffix or style, or a resolution out of range; the message lists
            what is allowed.
        NotRun: the world does not run a recipe that the figure needs.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from experiments.runs.files import replacing
    from paper_figs.files import check_format, figure_of, lay_out, options_of, origin, write_picture
    from paper_figs.layout import check_styles
    from paper_figs.style import STYLE

    module = _module(figure, published=story is None)
    check_format(suffixes, dpi)
    check_styles(style)
    with plt.style.context([STYLE, *style]):
        axes, frame = _drawn(module, story, plt.figure(figsize=size) if size else None)
        numbers = frame.to_csv(index=False).encode()
        about = origin(module, story, numbers, options_of(size, style, dpi))
        if {*suffixes} != {"csv"}:
            lay_out(figure_of(axes), dpi)
        paths = [Path(folder) / f"{module.NAME}.{suffix}" for suffix in suffixes]
        for path in paths:
            with replacing(path) as beside:
                if path.suffix == ".csv":
                    beside.write_bytes(numbers)
                else:
                    write_picture(figure_of(axes), beside, path.suffix, about, dpi=dpi)
        plt.close(figure_of(axes))
    return paths


def _module(figure: str | ModuleType, *, published: bool) -> ModuleType:
    if not isinstance(figure, str):
        return figure
    (module,) = figure_modules([figure], published=published)
    return module


def _drawn(
    module: ModuleType, story: Story | None, ax: Place
) -> tuple[Axes | list[Axes], pd.DataFrame]:
    drawn: tuple[Axes | list[Axes], pd.DataFrame] = (
        module.draw_published(ax=ax)
        if story is None and hasattr(module, "draw_published")
        else module.draw(story, ax=ax)
    )
    return drawn
