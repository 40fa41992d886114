"""The axes of a figure: its own, or those that the caller gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

Place = Axes | Sequence[Axes] | FigureBase | None
"""Where to draw: axes, one for each panel; a figure or subfigure; or None for a new figure."""

MOST_INCHES = 50.0


def panels(
    place: Place,
    n_rows: int = 1,
    n_columns: int = 1,
    *,
    wide: float = 1.0,
    tall: float = 1.0,
    width_ratios: Sequence[float] | None = None,
    height_ratios: Sequence[float] | None = None,
    sharex: bool | Literal["row", "col"] = False,
    sharey: bool | Literal["row", "col"] = False,
) -> list[Axes]:
    """Return the axes of the panels of a figure, row by row.

    Args:
        place: one axes per panel, which are returned; or a figure or subfigure that is divided into
            panels; by default a new figure.
        n_rows: number of rows of panels.
        n_columns: number of columns of panels.
        wide: width of a new figure in units of the style parameter `figure.figsize`.
        tall: its height in the same units.
        width_ratios: relative widths of the columns.
        height_ratios: relative heights of the rows.
        sharex: as in `matplotlib.pyplot.subplots`; given axes are left as they are.
        sharey: likewise.

    Returns:
        `n_rows` times `n_columns` axes.

    Raises:
        ValueError: another number of axes was given.
    """
    if place is None:
        width, height = plt.rcParams["figure.figsize"]
        place = plt.figure(figsize=(wide * width, tall * height))
    if isinstance(place, FigureBase):
        grid: dict[str, Any] = {"width_ratios": width_ratios, "height_ratios": height_ratios}
        made = place.subplots(
            n_rows, n_columns, squeeze=False, sharex=sharex, sharey=sharey, gridspec_kw=grid
        )
        return list(made.flat)
    given = [place] if isinstance(place, Axes) else list(place)
    if len(given) != n_rows * n_columns:
        raise ValueError(
            f"this figure has {n_rows * n_columns} panel{'s' * (n_rows * n_columns > 1)}: give as "
            f"many axes, or a figure or subfigure; not {len(given)} axes"
        )
    return given


def panel(place: Place, *, wide: float = 1.0, tall: float = 1.0) -> Axes:
    """Return the axes of a figure of one panel; see `panels`.

    Args:
        place: axes, a figure or None, as for `draw`.
        wide: width in multiples of that of the style.
        tall: height, likewise.
    """
    return panels(place, wide=wide, tall=tall)[0]


def parse_size(text: str) -> tuple[float, float]:
    """Return width and height in inches of a text such as "3.3x2.4".

    Raises:
        ValueError: it is not of that form, or a side is not between 0.5 and 50 inches.
    """
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)x(\d+\.?\d*|\.\d+)", text.strip().lower())
    sides = tuple(map(float, found.groups())) if found else ()
    if len(sides) != 2 or not all(0.5 <= side <= MOST_INCHES for side in sides):
        raise ValueError(
            "size must be WIDTHxHEIGHT in inches, such as 3.3x2.4, with sides between 0.5 and "
            f"{MOST_INCHES:g}; not {text!r}"
        )
    return sides[0], sides[1]


def check_styles(styles: Sequence[str]) -> None:
    """Check that each style is a file or a name that matplotlib knows.

    Raises:
        ValueError: one is neither; the message lists the names.
    """
    for style in styles:
        if style == "default" or style in plt.style.available or Path(style).is_file():
            continue
        names = ", ".join(name for name in plt.style.available if not name.startswith("_"))
        raise ValueError(f"style must be a file such as paper.mplstyle, or one of {names}; "
                         f"not {style!r}")  # fmt: skip
