"""Compare the numbers that a figure draws with its table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle


def missing_numbers(axes: Axes | Sequence[Axes], frame: pd.DataFrame) -> list[str]:
    """Return the lines, bars and bands of a figure whose numbers its table lacks.

    The table must hold the values along one axis, because those along the other may only separate
    the series. A number drawn in percent may be a share in the table. 0 and 1 need not be there:
    figures draw lines of reference at them.

    Args:
        axes: axes of the figure.
        frame: table of the figure.

    Returns:
        A description of each such line, bar and band; empty if the table is complete.
    """
    numbers = [pd.to_numeric(frame[name], errors="coerce").to_numpy(float) for name in frame]
    known = np.concatenate([*numbers, [0.0, 1.0]])
    known = np.sort(np.concatenate([known, 100 * known])[np.isfinite([*known, *known])])

    def share(values: object) -> float:
        values = np.asarray(values, float)
        values = values[np.isfinite(values)]
        after = np.clip(np.searchsorted(known, values), 1, len(known) - 1)
        off = np.minimum(np.abs(known[after] - values), np.abs(known[after - 1] - values))
        near = off <= 1e-6 * np.maximum(np.abs(values), 1e-3)
        return float(near.mean()) if len(near) else 1.0

    found = []
    for ax in [axes] if isinstance(axes, Axes) else axes:
        for line in ax.lines:
            x, y = share(line.get_xdata()), share(line.get_ydata())
            transform = line.get_transform()  # a line of reference has a value on one axis only
            upright, level = ax.get_xaxis_transform(), ax.get_yaxis_transform()
            if (x if transform == upright else y if transform == level else max(x, y)) < 1:
                found.append(f"line {line.get_label()}: {line.get_xydata()[:3].tolist()}")
        for bar in ax.patches:
            if isinstance(bar, Rectangle):
                height, width = bar.get_height(), bar.get_width()
                if max(share([height]), share([width])) < 1:
                    found.append(f"bar {height} x {width}")
        for band in ax.collections:
            if "Poly" in type(band).__name__:
                ends = np.concatenate([[], *(path.vertices[:, 1] for path in band.get_paths())])
                if share(ends) < 1:
                    found.append(f"band {ends[:3].tolist()}")
    return found
