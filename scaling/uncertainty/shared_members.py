"""Ensembles that share members, whose errors are correlated.

Three kinds of table occur. Their errors differ by the members that the rows of a size share:

- *independent*: each row has members of its own;
- *nested*: the ensemble of K contains the members of the smaller ones, as in Kim et al. 2025. K
  times its error is a random walk over members: the covariance of the errors at K and K' is
  sigma^2 / max(K, K');
- *subsets*: each row is the mean over all subsets of a pool. Each member has the same part in every
  row, so all rows of a size have nearly the same error, and nothing but other sizes shows it.

Treating nested rows as independent halves the coverage of a 95 % interval, and that of means over
subsets even more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import fminbound
from scipy.special import fdtrc

from scaling.fitting.problem import Problem
from scaling.fitting.table import Table
from scaling.uncertainty.profiles import student

Array = NDArray[np.float64]
Sharing = Literal["independent", "nested", "subsets"]

MEMBER_DRAWS = 1000
NESTED_PRIOR = 4.0
"""Log-likelihood by which nested rows may be less likely than independent ones and yet be taken to
be nested: a table with one row a number of members comes from one pool as a rule, and a missed case
costs coverage, a false alarm only width."""
ALIKE = (1e-2, 1e-4, 1e-6)
"""Shares of independent noise tried beside the common error of means over subsets."""
EXPONENTS = np.geomspace(0.05, 4.0, 25)
"""Exponents of K tried against 1."""
REJECTED = 0.005
"""Level of the test of the exponent of K."""


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Rows ordered as random walks over members.

    Attributes:
        order: row indices (n_rows,), walk by walk, with the number of members ascending.
        first: whether a row starts a walk, in that order, (n_rows,).
        members: number of members of each row, in that order, (n_rows,).
        steps: members added since the row before, in that order, (n_rows,).
    """

    order: NDArray[np.int64]
    first: NDArray[np.bool_]
    members: Array
    steps: Array

    def whiten(self, errors: Array) -> Array:
        """Independent errors of single members from those of the rows.

        Both have shape (n_rows,), or (n_rows, n_columns) for several kinds at once.
        """
        rest = (-1, *(1,) * (errors.ndim - 1))
        total = self.members.reshape(rest) * errors[self.order]
        before = np.where(self.first.reshape(rest), 0.0, np.roll(total, 1, axis=0))
        return (total - before) / np.sqrt(self.steps).reshape(rest)

    def noise(self, single: Array) -> Array:
        """Errors of the rows from independent errors of members, both (n_draws, n_rows)."""
        out = np.empty_like(single)
        walk = np.cumsum(np.sqrt(self.steps) * single, axis=1)
        starts = np.flatnonzero(self.first)
        lengths = np.diff(np.append(starts, len(self.first)))
        offset = np.where(starts > 0, walk[:, np.maximum(starts - 1, 0)], 0.0)
        out[:, self.order] = (walk - np.repeat(offset, lengths, axis=1)) / self.members
        return out

    @property
    def log_determinant(self) -> float:
        """Logarithm of the determinant of the covariance of the rows, for unit members."""
        return -2.0 * float(np.sum(np.log(self.members / np.sqrt(self.steps))))


def find_walks(table: Table) -> Walk | None:
    """Random walks of an ensemble table, one per size and, if it has groups, per group.

    Returns:
        The walks, or None if one of them has two rows with the same number of members, so that
        the ensembles cannot be nested.
    """
    sizes, members = table.columns["n_params"], table.columns["n_members"]
    label = sizes if table.groups is None else table.groups
    order = np.lexsort((members, sizes, label))
    walk, ranked = np.stack([label[order], sizes[order]]), members[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (walk[:, 1:] != walk[:, :-1]).any(axis=0)
    steps = np.where(first, ranked, ranked - np.roll(ranked, 1))
    if (steps <= 0).any():
        return None
    return Walk(order=order, first=first, members=ranked, steps=steps)


def recognise_sharing(problem: Problem, best: Array, walk: Walk | None) -> Sharing:
    """Kind of table that the residuals of a fit are most likely from.

    The restricted likelihoods of the three covariances are compared, the law being linear in its
    parameters near the optimum.

    Args:
        problem: the fitted problem, of law "ensemble", with the exponent of K free.
        best: its optimum, internal coordinates (n_parameters,).
        walk: the rows as random walks over members, if they can be that.

    Source:
        Patterson and Thompson 1971, Biometrika 58.
    """
    gradient, _, _ = problem.objective().scores(best)
    design = gradient[:, problem.free]
    residual = problem.objective().residuals(best)
    n_rows = len(residual)
    if walk is None or n_rows <= design.shape[1] or not (residual**2).sum() > 0:
        return "independent"
    if len(np.unique(walk.members)) == 1:
        return "independent"
    found: dict[Sharing, float] = {
        "independent": _restricted(residual, design, 0.0),
        "nested": NESTED_PRIOR
        + _restricted(walk.whiten(residual), walk.whiten(design), walk.log_determinant),
        "subsets": max(_subsets_likelihood(problem.table, residual, design, e) for e in ALIKE),
    }
    return max(found, key=lambda kind: found[kind])


def _restricted(residual: Array, design: Array, log_determinant: float) -> float:
    """Restricted log-likelihood of white residuals (n_rows,) after a design (n_rows, p)."""
    scale = np.maximum(np.linalg.norm(design, axis=0), 1e-300)
    basis, values, _ = np.linalg.svd(design / scale, full_matrices=False)
    kept = values > 1e-10 * values[0]
    rest = residual - basis[:, kept] @ (basis[:, kept].T @ residual)
    degrees = len(residual) - int(kept.sum())
    spread = degrees * np.log(max(float(rest @ rest), 1e-300))
    log_information = 2.0 * np.sum(np.log(values[kept])) + 2.0 * np.sum(np.log(scale))
    return -0.5 * float(spread + log_determinant + log_information)


def _subsets_likelihood(table: Table, residual: Array, design: Array, share: float) -> float:
    """Restricted log-likelihood of errors a + b / K at each size and a share of white noise."""
    sizes = np.unique(table.columns["n_params"], return_inverse=True)[1]
    together = sizes[:, None] == sizes[None, :]
    inverse = 1.0 / table.columns["n_members"]
    spread = together * (1.0 + np.outer(inverse, inverse)) + share * np.eye(len(residual))
    root = np.linalg.cholesky(spread)
    white = np.linalg.solve(root, np.column_stack([residual, design]))
    return _restricted(white[:, 0], white[:, 1:], 2.0 * float(np.log(np.diag(root)).sum()))


def exponent_p_value(table: Table, walk: Walk | None) -> float:
    """p-value of the exponent of K being 1, by an F-test within sizes; 1 if no test is possible.

    At each size (and group) the loss is a + b / K^gamma, with one gamma for all. Only differences
    within a size are used, which errors common to a size do not touch.

    Args:
        table: the rows, with columns n_params and n_members.
        walk: the rows as random walks over members if they are nested, else None.

    Source:
        Seber and Wild 1989, Nonlinear Regression, section 5.3.
    """
    sizes, members = table.columns["n_params"], table.columns["n_members"]
    label = np.zeros(len(sizes)) if table.groups is None else table.groups.astype(float)
    part = np.unique(np.stack([sizes, label]), axis=1, return_inverse=True)[1].ravel()
    several = [
        np.flatnonzero(part == k)
        for k in range(part.max() + 1)
        if len(np.unique(members[part == k])) > 2
    ]
    degrees = sum(len(rows) - 2 for rows in several) - 1
    if degrees <= 0:
        return 1.0

    def squares(gamma: float) -> float:
        total = 0.0
        for rows in several:
            columns = np.stack([np.ones(len(rows)), members[rows] ** -gamma, table.y[rows]], axis=1)
            columns = np.sqrt(table.weights[rows])[:, None] * columns / table.y[rows, None]
            if walk is not None:
                whole = np.zeros((len(sizes), 3))
                whole[rows] = columns
                columns = walk.whiten(whole)[np.isin(walk.order, rows)]
            fitted = np.linalg.lstsq(columns[:, :2], columns[:, 2], rcond=None)[0]
            total += float(np.sum((columns[:, 2] - columns[:, :2] @ fitted) ** 2))
        return total

    nearest = int(np.argmin([squares(gamma) for gamma in EXPONENTS]))
    around = EXPONENTS[max(nearest - 1, 0)], EXPONENTS[min(nearest + 1, len(EXPONENTS) - 1)]
    pinned, free = squares(1.0), squares(float(fminbound(squares, *around)))
    if pinned < NOTHING * len(sizes) or pinned <= free:
        return 1.0
    return float(fdtrc(1, degrees, (pinned - free) * degrees / max(free, 1e-300)))


NOTHING = 1e-14
"""Mean squared relative residual below which 1/K holds as exactly as numbers are written."""


def limit_interval(
    problem: Problem, best: Array, walk: Walk, *, level: float, seed: int
) -> tuple[float, float]:
    """Interval of E from refits to simulated ensembles that are nested.

    Member errors are Gaussian with the variance of the whitened residuals. The quantiles are
    widened to Student quantiles for the residual degrees of freedom. As the law is curved in its
    parameters, the interval holds both the quantiles and their mirror images about the estimate:
    either alone covers too little.

    Args:
        problem: the fitted problem, of law "ensemble".
        best: its optimum, internal coordinates (n_parameters,).
        walk: the rows as random walks over members.
        level: confidence level.
        seed: random seed of the simulation.
    """
    rng = np.random.default_rng(seed)
    degrees = problem.table.n_rows - problem.n_free
    if degrees <= 0:
        return 0.0, np.inf
    residual = problem.objective().residuals(best)
    scale = np.sqrt(np.sum(walk.whiten(residual) ** 2) / degrees)
    noise = walk.noise(scale * rng.standard_normal((MEMBER_DRAWS, problem.table.n_rows)))
    fitted = problem.model.value(best[:, None], slice(None))[0]
    target = fitted * np.exp(noise) if problem.loss.log else fitted + noise
    found = problem.refine(np.repeat(best[:, None], MEMBER_DRAWS, axis=1), target=target)
    index = problem.law.parameters.index("E")
    drawn = problem.model.printed(found.coordinates)[index]
    estimate = float(problem.model.printed(best[:, None])[index, 0])
    low, high = np.quantile(drawn, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    widen = student(level, degrees) / student(level, 10**9)
    reach = widen * max(estimate - low, high - estimate)
    return max(estimate - float(reach), 0.0), estimate + float(reach)


def nested_reach(
    problem: Problem, best: Array, members: Array, level: float
) -> tuple[Array, Array]:
    """Predictions (n_new,) and half-widths of their intervals (n_new,) for larger nested ensembles.

    Half-widths are of the logarithm where the loss of the fit is logarithmic, and infinite where no
    row is left for the noise.

    Args:
        problem: the fitted problem, of a law of the number of members alone.
        best: its optimum, internal coordinates (n_parameters,).
        members: numbers of members (n_new,), above those of the table.
        level: confidence level.
    """
    (role,) = problem.law.columns
    known, free = problem.table.columns[role], problem.free
    predicted, first, _ = problem.model.at({role: members}).derivatives(best[:, None], slice(None))
    scale = predicted[0] if problem.loss.log else np.ones(len(members))
    slope = np.stack([np.broadcast_to(part, (1, len(members)))[0] for part in first], axis=1)
    degrees = len(known) - problem.n_free
    if degrees <= 0:
        return predicted[0], np.full(len(members), np.inf)
    design = problem.objective().scores(best)[0][:, free]
    change = (slope / scale[:, None])[:, free] @ np.linalg.pinv(design)
    order = np.argsort(known)
    total = np.diff((known * problem.objective().residuals(best))[order], prepend=0.0)
    steps = np.diff(known[order], prepend=0.0)
    variance = float(np.sum(total**2 / steps)) / degrees
    every = np.concatenate([known, members])
    spread = variance / np.maximum(every[:, None], every)
    error = np.concatenate([change, -np.eye(len(members))], axis=1)
    deviation = np.sqrt(np.einsum("nk,kl,nl->n", error, spread, error))
    return predicted[0], student(level, degrees) * deviation


def size_limits(table: Table, gamma: float) -> tuple[Array, Array]:
    """Sizes (n_sizes,) and the limit of each (n_sizes,), by a straight line in 1 / K^gamma.

    Args:
        table: the rows, with columns n_params and n_members.
        gamma: exponent of K.
    """
    sizes, limits = [], []
    for size in np.unique(table.columns["n_params"]):
        rows = table.columns["n_params"] == size
        inverse = table.columns["n_members"][rows] ** -gamma
        if len(np.unique(inverse)) > 1:
            line = np.stack([np.ones(int(rows.sum())), inverse], axis=1)
            root = np.sqrt(table.weights[rows])
            sizes.append(size)
            limits.append(
                np.linalg.lstsq(root[:, None] * line, root * table.y[rows], rcond=None)[0][0]
            )
    return np.array(sizes), np.array(limits)
