"""Roles of the columns of a table, and the directions in which its largest runs are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fitting.table import check_columns, numbers
from scaling.laws.registry import LAWS

Array = NDArray[np.float64]

IN_ORDER = ("n_params", "n_tokens", "n_unique_tokens")
"""Roles of the columns that `x` lists without naming a role."""
PRODUCTS = {"compute": ("n_params", "n_tokens"), "repetitions": ("n_tokens", "n_unique_tokens")}
"""Directions that two columns span: training compute N D, and repetitions D / U."""
DIRECTIONS = ("compute", "n_params", "n_tokens", "repetitions")
FEWEST_OUTSIDE = 3
MOST_OUTSIDE = 0.5
"""Largest share of the rows that may be held out where the sizes are too few for a smaller one."""


@dataclass(frozen=True, kw_only=True)
class Direction:
    """A direction of extrapolation, and the rows held out at its end.

    Attributes:
        name: such as "compute".
        outside: whether each row is held out, shape (n_rows,).
        edge: largest value among the other rows.
        largest: largest value of all rows.
    """

    name: str
    outside: NDArray[np.bool_]
    edge: float
    largest: float

    @property
    def reach(self) -> float:
        """How far beyond the fitted rows the hold-out goes, as a factor."""
        return self.largest / self.edge


def column_roles(
    frame: pd.DataFrame, x: Sequence[str] | Mapping[str, str] | None = None
) -> dict[str, str]:
    """Role of the laws -> column of the table.

    Args:
        frame: the table.
        x: columns in the order n_params, n_tokens, n_unique_tokens; an entry "role=column", or a
            mapping, names another role, such as n_members. By default every role that is a column.

    Raises:
        ValueError: a role or column is unknown, a role is given twice, or no column has a role.
    """
    roles = list(dict.fromkeys(name for law in LAWS.values() for name in law.columns))
    found: dict[str, str] = {}
    pairs = x.items() if isinstance(x, Mapping) else _pairs(x, roles, frame)
    for role, column in pairs:
        if role not in roles:
            raise ValueError(f"`x`: the role must be one of {_quoted(roles)}; not {role!r}")
        if role in found:
            raise ValueError(f"`x` gives two columns, {found[role]!r} and {column!r}, for {role}")
        check_columns(frame, column)
        found[role] = column
    if not found:
        raise ValueError(
            f"no column has the name of a variable of a law ({_quoted(roles)}); the table has "
            f"{_quoted(frame.columns[:30])}; list those of {', '.join(IN_ORDER)} with `x`, in this "
            "order, as far as there are any"
        )
    return found


def _pairs(
    x: Sequence[str] | None, roles: Sequence[str], frame: pd.DataFrame
) -> list[tuple[str, str]]:
    """Pairs of a role and a column, from words such as "N", "n_tokens" and "n_members=K"."""
    if x is None:
        return [(role, role) for role in roles if role in frame.columns]
    words = [x] if isinstance(x, str) else list(x)
    named = [(role, column) for role, sign, column in (w.partition("=") for w in words) if sign]
    named += [(word, word) for word in words if word in roles]
    rest = [word for word in words if "=" not in word and word not in roles]
    left = [role for role in IN_ORDER if role not in dict(named)]
    if len(rest) > len(left):
        raise ValueError(
            f"`x` lists {len(rest)} columns without a role, at most {len(left)} are possible; "
            "write role=column, such as n_members=K"
        )
    return [*named, *zip(left, rest, strict=False)]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(str(name)) for name in names) or "no columns"


def direction_values(name: str, columns: Mapping[str, Array]) -> Array | None:
    """Position of each row in a direction, shape (n_rows,); None where the table lacks a column.

    Args:
        name: a direction.
        columns: role -> values (n_rows,).
    """
    one, *others = PRODUCTS.get(name, (name,))
    if not {one, *others} <= columns.keys():
        return None
    if not others:
        return columns[one]
    other = columns[others[0]]
    return columns[one] * other if name == "compute" else columns[one] / other


def hold_out(name: str, columns: Mapping[str, Array], share: float) -> Direction | str:
    """The rows at the end of a direction, or the reason why none can be held out, as a predicate.

    The boundary lies between two distinct values, so that rows of one size are not divided; the
    share outside is the nearest possible one.

    Args:
        name: a direction.
        columns: role -> values (n_rows,).
        share: share of the rows to hold out.
    """
    values = direction_values(name, columns)
    if values is None:
        needed = " and ".join(PRODUCTS.get(name, (name,)))
        return f"needs columns {needed}; the table has {', '.join(columns)}"
    distinct = np.unique(values)
    if len(distinct) < 3:
        return f"has {len(distinct)} distinct value(s); at least 3 are needed"
    outside = np.array([np.mean(values > value) for value in distinct[:-1]])
    enough = (outside * len(values) >= FEWEST_OUTSIDE) & (outside <= MOST_OUTSIDE)
    if not enough.any():
        return (
            f"has too few rows outside: no boundary between sizes leaves {FEWEST_OUTSIDE} rows to "
            f"{100 * MOST_OUTSIDE:.0f} % of the {len(values)} rows beyond it"
        )
    place = int(np.argmin(np.where(enough, np.abs(np.log(outside / share)), np.inf)))
    return Direction(
        name=name,
        outside=values > distinct[place],
        edge=float(distinct[place]),
        largest=float(distinct[-1]),
    )


def sizes_at(frame: pd.DataFrame, roles: Mapping[str, str]) -> dict[str, Array]:
    """Checked values of the roles in a table: role -> values (n_rows,).

    Args:
        frame: a table with the columns of `roles`.
        roles: role -> column.

    Raises:
        ValueError: a column is missing or holds a value that is not a positive number.
    """
    for role, column in roles.items():
        if column not in frame.columns:
            raise ValueError(
                f"column {column!r} ({role}) is missing; given are {_quoted(frame.columns)}"
            )
    flags = {name for law in LAWS.values() for name in law.flags}
    return {
        role: numbers(frame[column], column, positive=role not in flags)
        for role, column in roles.items()
    }
