"""Scaling laws: the parts of a law, and the laws that are sums of power terms.

A law is linear in some parameters and nonlinear in the others::

    L(x) = sum_j c_j * basis_j(x; theta),     c_j linear, theta nonlinear.

Most published laws are sums of power terms `c / (x1^t1 x2^t2 ...)`; they are written as `Term`s and
have exact derivatives. Any other law is given by a `basis` function of a few lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A coefficient that multiplies a basis function; `low <= value <= high`."""

    name: str
    low: float = 0.0
    high: float = np.inf


@dataclass(frozen=True, kw_only=True)
class Nonlinear:
    """A parameter inside a basis function.

    Attributes:
        name: name in the paper of the law.
        low: smallest value allowed.
        high: largest value allowed.
        search: range covered by the global search; the refinement may leave it, within the bounds.
        log: whether to search and step in the logarithm: for scales such as R_D, not for exponents.
    """

    name: str
    low: float
    high: float
    search: tuple[float, float]
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Term:
    """One power term `sign * coefficient / prod(column ** exponent)`.

    Attributes:
        coefficient: name of its linear parameter.
        exponents: column -> name of the nonlinear parameter that is the exponent of the column.
        where: (column, value): the term applies only to rows with that value in the column.
        sign: +1 or -1.
    """

    coefficient: str
    exponents: Mapping[str, str] = field(default_factory=dict)
    where: tuple[str, float] | None = None
    sign: float = 1.0


Basis = Callable[..., Sequence[Any]]


@dataclass(frozen=True, kw_only=True)
class Law:
    """A scaling law that `fit_law` can fit.

    Attributes:
        name: name in `fit_law` and `LAWS`.
        formula: the law as text, for summaries.
        columns: the columns that it reads, in the order of `fit_law(x=[...])`; also their default
            names in a table.
        linear: its linear parameters.
        nonlinear: its nonlinear parameters.
        terms: the power terms, one per linear parameter; empty for a law given by `basis`.
        basis: `basis(columns, parameters) -> [array, ...]`, one array per linear parameter, with
            `columns` a dict of arrays (n_rows,) and `parameters` a dict of arrays (n_fits, 1); the
            results broadcast to (n_fits, n_rows). Needed unless `terms` are given.
        offset: whether `basis` returns one more array, which is added with coefficient one.
        starts: `starts(columns, y) -> array (n_starts, n_nonlinear)`: starts of the global search,
            instead of a grid over the `search` ranges; for parameters in the units of the data.
        from_columns: `from_columns(columns) -> {name: value}`: parameters that are computed from
            the table and then held, such as a unit of time.
        n_effective: number of parameters that count against the rows, for laws that are a fine grid
            of bounded coefficients of which few can be active; by default all free parameters.
        fixed: parameters that are held unless the caller frees them with `fixed={name: None}`.
        asymptote: name of the parameter that is the loss at infinite scale, or None.
        flags: columns that hold 0 or 1 instead of a positive size.
        source: publication of the law.

    A law of your own:

        law = Law(name="exponential", formula="E + A exp(-r x)", columns=("x",),
                  linear=(Linear(name="E"), Linear(name="A")),
                  nonlinear=(Nonlinear(name="r", low=1e-9, high=1e3, search=(1e-6, 10), log=True),),
                  basis=lambda x, p: [1.0, np.exp(-p["r"] * x["x"])])
        fit_law(frame, law, x="step", y="loss")

    Raises:
        ValueError: the parts contradict each other.
    """

    name: str
    formula: str
    columns: tuple[str, ...]
    linear: tuple[Linear, ...]
    nonlinear: tuple[Nonlinear, ...] = ()
    terms: tuple[Term, ...] = ()
    basis: Basis | None = None
    offset: bool = False
    starts: Callable[[dict[str, Array], Array], Array] | None = None
    from_columns: Callable[[dict[str, Array]], dict[str, float]] | None = None
    n_effective: int | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    asymptote: str | None = "E"
    flags: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        names = self.parameters
        if len(set(names)) != len(names):
            raise ValueError(f"law {self.name!r}: parameter names must differ; not {list(names)}")
        if bool(self.terms) == (self.basis is not None):
            raise ValueError(f"law {self.name!r}: give either `terms` or `basis`")
        if self.terms and [t.coefficient for t in self.terms] != [c.name for c in self.linear]:
            raise ValueError(f"law {self.name!r}: one term per linear parameter, in the same order")
        if self.asymptote is not None and self.asymptote not in names:
            raise ValueError(
                f"law {self.name!r}: `asymptote` must be one of {list(names)} or None; "
                f"not {self.asymptote!r}"
            )

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters, in printed order: linear, then nonlinear."""
        return tuple(part.name for part in self.limits)

    @property
    def limits(self) -> tuple[Linear | Nonlinear, ...]:
        """The parameters with their bounds, in printed order."""
        return (*self.linear, *self.nonlinear)


def constant(name: str = "E") -> Term:
    """A term that does not depend on any column."""
    return Term(coefficient=name)


def exponent(name: str) -> Nonlinear:
    """An exponent between 0.001 and 10, searched from 0.02 to 2.5."""
    return Nonlinear(name=name, low=1e-3, high=10.0, search=(0.02, 2.5))


def coefficients(*names: str) -> tuple[Linear, ...]:
    """Nonnegative linear parameters with these names."""
    return tuple(Linear(name=name) for name in names)


POWER = Law(
    name="power",
    formula="E + A / N^alpha",
    columns=("n_params",),
    linear=coefficients("E", "A"),
    nonlinear=(exponent("alpha"),),
    terms=(constant(), Term(coefficient="A", exponents={"n_params": "alpha"})),
    source="Hestness et al. 2017, arXiv 1712.00409; Kim et al. 2025, arXiv 2509.14786",
)

CHINCHILLA = Law(
    name="chinchilla",
    formula="E + A / N^alpha + B / D^beta",
    columns=("n_params", "n_tokens"),
    linear=coefficients("E", "A", "B"),
    nonlinear=(exponent("alpha"), exponent("beta")),
    terms=(
        constant(),
        Term(coefficient="A", exponents={"n_params": "alpha"}),
        Term(coefficient="B", exponents={"n_tokens": "beta"}),
    ),
    source="Hoffmann et al. 2022, arXiv 2203.15556, eq. 2",
)

TIED_CHINCHILLA = Law(
    name="tied_chinchilla",
    formula="E + A / N^alpha + B / D^alpha",
    columns=("n_params", "n_tokens"),
    linear=coefficients("E", "A", "B"),
    nonlinear=(exponent("alpha"),),
    terms=(
        constant(),
        Term(coefficient="A", exponents={"n_params": "alpha"}),
        Term(coefficient="B", exponents={"n_tokens": "alpha"}),
    ),
    source="Muennighoff et al. 2023, arXiv 2305.16264, section 3; Gadre et al. 2024, 2403.08540",
)

ENSEMBLE = Law(
    name="ensemble",
    formula="E + A / N^alpha + B / (N^beta K^gamma)",
    columns=("n_params", "n_members"),
    linear=coefficients("E", "A", "B"),
    nonlinear=(exponent("alpha"), exponent("beta"), exponent("gamma")),
    terms=(
        constant(),
        Term(coefficient="A", exponents={"n_params": "alpha"}),
        Term(coefficient="B", exponents={"n_params": "beta", "n_members": "gamma"}),
    ),
    fixed={"gamma": 1.0},
    source="joint form of the two nested fits of Kim et al. 2025, arXiv 2509.14786",
)

LEARNING_CURVES = Law(
    name="learning_curves",
    formula="test: E + B / l^alpha; train: E - C / l^beta",
    columns=("n_examples", "is_train"),
    linear=coefficients("E", "B", "C"),
    nonlinear=(exponent("alpha"), exponent("beta")),
    terms=(
        constant(),
        Term(coefficient="B", exponents={"n_examples": "alpha"}, where=("is_train", 0.0)),
        Term(coefficient="C", exponents={"n_examples": "beta"}, where=("is_train", 1.0), sign=-1.0),
    ),
    flags=("is_train",),
    source="Cortes, Jackel, Solla, Vapnik, Denker 1993, NIPS 6",
)
