"""Results as HTML, as notebooks show them: pandas' own tables, which take on the page's theme."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 10


def curve_html(title: str, columns: Mapping[str, NDArray[np.float64]]) -> str:
    """Show at most `MOST_ROWS` rows, the first and the last among them, below a title."""
    import pandas as pd

    frame = pd.DataFrame(columns)
    shown = np.unique(np.linspace(0, len(frame) - 1, MOST_ROWS).round().astype(int))
    left_out = f"; {len(shown)} of {len(frame)} rows shown" if len(shown) < len(frame) else ""
    table = frame.iloc[shown].to_html(index=False, border=0, float_format="{:.4g}".format)
    return f"<div><p><b>{html.escape(title + left_out)}</b></p>{table}</div>"


def values_html(title: str, values: Mapping[str, float]) -> str:
    """Show named values, a row each, below a title."""
    import pandas as pd

    said = [f"{value:,}" if isinstance(value, int) else f"{value:.4g}" for value in values.values()]
    table = pd.DataFrame({"": list(values), "value": said}).to_html(index=False, border=0)
    return f"<div><p><b>{html.escape(title)}</b></p>{table}</div>"
