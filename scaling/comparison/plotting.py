"""The plot of a comparison: a row per law, a marker per direction, the average below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scaling.results.plotting import MARKERS, OKABE_ITO

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def plot_errors(
    table: pd.DataFrame, averages: Mapping[str, float], y: str, ax: Axes | None = None
) -> Axes:
    """Plot of the hold-out error of each law in each direction; see `Comparison.plot`.

    Args:
        table: a row per law, columns law and the directions.
        averages: direction -> error of the average.
        y: name of the loss.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter

    names = [*table["law"], "average"]
    if ax is None:
        _, ax = plt.subplots(figsize=(6.0, 1.2 + 0.32 * len(names)), layout="constrained")
    for k, direction in enumerate(averages):
        errors = [*table[direction], averages[direction]]
        places = [place + 0.08 * (k - 0.5 * (len(averages) - 1)) for place in range(len(names))]
        ax.plot(
            [100 * error for error in errors],
            places,
            MARKERS[k % len(MARKERS)],
            color=OKABE_ITO[k % len(OKABE_ITO)],
            linestyle="none",
            label=direction,
        )
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.axhline(len(names) - 1.5, color="0.7", linewidth=0.8)
    ax.set_xlabel(f"error on the held-out rows, % of {y}")
    ax.legend(frameon=False, fontsize=8)
    return ax
