"""Forms of the growth of accuracy: the law of the graph process, and rivals without a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd

from experiments.recipes.entigraph.questions import CHANCE

N_RATES = 200
"""Rates that are tried for the exponential, from a tenth to ten times the range of the tokens."""


def law_of(stated: np.ndarray, ceiling: float = 1.0) -> np.ndarray:
    """Return the accuracy [n] of a reader that knows a share of the facts and guesses the rest.

    Args:
        stated: share of the pairs that are stated, [n].
        ceiling: share of the stated ones that are learned.
    """
    return CHANCE + (1 - CHANCE) * ceiling * np.asarray(stated)


def ceiling_fit(stated: np.ndarray, accuracy: np.ndarray) -> float:
    """Return the ceiling of `law_of` by least squares.

    Args:
        stated: share of the pairs that count as stated [n].
        accuracy: on implied facts [n].
    """
    known = law_of(stated) - CHANCE
    return float(known @ (accuracy - CHANCE) / (known @ known))


Columns = Mapping[str, np.ndarray]


def _by_law(known: Columns, new: Columns, *, column: str) -> np.ndarray:
    return law_of(new[column], ceiling_fit(known[column], known["implicit"]))


def _by_line(known: Columns, new: Columns) -> np.ndarray:
    line = np.polyfit(np.log(known["n_unique"]), known["implicit"], 1)
    return np.polyval(line, np.log(new["n_unique"]))


def _by_exponential(known: Columns, new: Columns) -> np.ndarray:
    tokens, gained = known["n_unique"], known["implicit"] - CHANCE
    rates = 1 / np.geomspace(tokens.min() / 10, tokens.max() * 10, N_RATES)
    shapes = -np.expm1(-np.outer(rates, tokens))
    heights = shapes @ gained / (shapes**2).sum(axis=1)
    best = np.square(gained - heights[:, None] * shapes).sum(axis=1).argmin()
    return CHANCE - heights[best] * np.expm1(-rates[best] * new["n_unique"])


Form = Callable[[Columns, Columns], np.ndarray]
FORMS: Mapping[str, Form] = {
    "law": partial(_by_law, column="expected"),
    "twice": partial(_by_law, column="stated_twice"),
    "line": _by_line,
    "exponential": _by_exponential,
}
"""Each is fitted to the first table's accuracy on implied facts and predicts that of the second:
the law with one free parameter; a line in ln tokens and one exponential with two."""
READ = ("implicit", "n_unique", "expected", "stated_twice")


EARLY = 16
"""Corpora so many times smaller than the largest, or smaller still, from which it is predicted."""


def held_out_error(rows: pd.DataFrame, form: Form) -> float:
    """Return the root mean squared error of accuracies predicted from the other corpus sizes.

    Args:
        rows: answers after EntiGraph's corpora on one graph.
        form: one of `FORMS`; what it predicts is cut to [0, 1].
    """
    places = np.arange(len(rows))
    errors = [_error(rows, form, known=places != place, at=int(place)) for place in places]
    return float(np.sqrt(np.mean(np.square(errors))))


def early_error(rows: pd.DataFrame, form: Form) -> float:
    """Return predicted minus measured accuracy of the largest corpus, from those up to 1/16 of it.

    Args:
        rows: answers after EntiGraph's corpora on one graph.
        form: one of `FORMS`; what it predicts is cut to [0, 1].

    Raises:
        ValueError: fewer than two corpora are that small.
    """
    sizes = rows["n_synthetic"].to_numpy(float)
    known = sizes * EARLY <= sizes.max()
    if known.sum() < 2:
        raise ValueError(f"a prediction needs 2 corpora of 1/{EARLY} of the largest or less")
    return _error(rows, form, known=known, at=int(sizes.argmax()))


def _error(rows: pd.DataFrame, form: Form, *, known: np.ndarray, at: int) -> float:
    """Return predicted minus measured accuracy of one row, from the known ones."""
    table = {name: rows[name].to_numpy(float) for name in READ}
    fitted = {name: values[known] for name, values in table.items()}
    new = {name: values[at : at + 1] for name, values in table.items()}
    return float(np.clip(form(fitted, new)[0], 0, 1) - table["implicit"][at])
