"""The rows of a run table that a command uses: filters, and the best run of each size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 10
"""Values of a column that an error lists."""


def rows_where(frame: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a table in which columns have given values.

    Args:
        frame: a row per run.
        words: column=value; a column that is repeated may have any of its values.

    Raises:
        ValueError: a word has another form, a column is unknown, or no row has the values.
    """
    import pandas as pd

    wanted: dict[str, set[str]] = {}
    for word in words:
        known = [str(name) for name in frame.columns if word.startswith(f"{name}=")]
        if not known:
            columns = ", ".join(map(str, frame.columns[:30]))
            raise ValueError(
                f"`--where` takes column=value with one of the columns {columns}; not {word!r}"
            )
        column = max(known, key=len)
        wanted.setdefault(column, set()).add(word[len(column) + 1 :])
    for column, values in wanted.items():
        cells = frame[column]
        kept = cells.astype(str).isin(values)
        if pd.api.types.is_numeric_dtype(cells):
            kept |= cells.isin(pd.to_numeric(pd.Series(sorted(values)), errors="coerce").dropna())
        if not kept.any():
            there = list(dict.fromkeys(cells.astype(str)))
            more = ", ..." if len(there) > MOST_VALUES else ""
            raise ValueError(
                f"`--where`: no row has {column} = {' or '.join(sorted(values))}; its values are "
                f"{', '.join(there[:MOST_VALUES])}{more}"
            )
        frame = frame[kept]
    return frame


def best_of_size(frame: pd.DataFrame, sizes: Sequence[str], y: str) -> pd.DataFrame:
    """Return the row with the lowest loss of each combination of sizes, all columns, in order.

    Args:
        frame: a row per run.
        sizes: columns of the sizes; those that every run measures count only if there is no other.
        y: loss column.

    Raises:
        ValueError: a column is missing or the loss is text.
    """
    import pandas as pd

    from scaling.auditing.checks import MEASURED
    from scaling.fitting.table import check_columns

    check_columns(frame, y)
    sizes = [name for name in sizes if name not in MEASURED] or sizes
    if not sizes:
        raise ValueError("`--best-of-size` needs columns of sizes; name them with `--x`")
    lost = pd.to_numeric(frame[y], errors="coerce").dropna()
    best = lost.groupby([frame.loc[lost.index, name] for name in sizes]).idxmin()
    return frame.loc[sorted(best)]
