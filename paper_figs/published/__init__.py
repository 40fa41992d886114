"""The talk's figures from published numbers alone: nothing is trained, laws are refitted here.

A module has the form of those in `paper_figs` and the name of the figure that it stands beside;
`draw` needs no story. Tables come from `scaling.load_dataset`, single numbers from
`scaling.published.figures`, `scaling.published.talk` and `scaling.published.talk_tables`, all with
their sources.
"""

from __future__ import annotations

import pandas as pd

from scaling import load_dataset
from scaling.published.figures import PUBLISHED_TOKENS

KIM = "Kim et al. 2025, arXiv 2509.14786"
STOCKS = ("209M", "419M", "839M", "1.68B")
STOCK_TOKENS = dict(zip(STOCKS, (PUBLISHED_TOKENS * 2**i for i in range(4)), strict=True))
"""Unique tokens of each stock of Kim et al."""


def infinite_compute(kind: str, *, metric: str | None = None) -> pd.DataFrame:
    """Rows of the table of Kim et al. of one kind; `value` is a number.

    Raises:
        FileNotFoundError: the table is not in the data folder.
    """
    table = load_dataset("infinite_compute")
    rows = table[table["kind"] == kind]
    if metric is not None:
        rows = rows[rows["metric"] == metric]
    numbers = ["value", "n_members", "n_unique_tokens", "n_epochs", "weight_decay"]
    return rows.assign(**{name: pd.to_numeric(rows[name]) for name in numbers})
