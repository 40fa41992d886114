"""Results as HTML for notebooks: tables of pandas, which follow the theme of the page."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 10


def curve_html(title: str, columns: Mapping[str, NDArray[np.float64]]) -> str:
    """Return a title and a table of at most `MOST_ROWS` rows, including the first and the last."""
    import pandas as pd

    frame = pd.DataFrame(columns)
    shown = np.unique(np.linspace(0, len(frame) - 1, MOST_ROWS).round().astype(int))
    left_out = f"; {len(shown)} of {len(frame)} rows shown" if len(shown) < len(frame) else ""
    table = frame.iloc[shown].to_html(index=False, border=0, float_format="{:.4g}".format)
    return f"<div><p><b>{html.escape(title + left_out)}</b></p>{table}</div>"


def values_html(title: str, values: Mapping[str, float]) -> str:
    """Return a title and a table with a row per value."""
    import pandas as pd

    cells = [
        f"{value:,}" if isinstance(value, int) else f"{value:.4g}" for value in values.values()
    ]
    table = pd.DataFrame({"": list(values), "value": cells}).to_html(index=False, border=0)
    return f"<div><p><b>{html.escape(title)}</b></p>{table}</div>"
