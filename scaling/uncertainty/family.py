"""Intervals of asymptotes and predictions that rest on what smooth decreasing laws share.

Each power term of a law is replaced by a non-negative mixture of powers,
``E + sum_j c_j N^-a_j`` with ``c_j >= 0`` and exponents ``a_j`` between a stated least one and 4.
Sums of powers, breaks to a flatter power and gently bending curves are of this form, or nearly so.
E is profiled under the whole family by non-negative least squares. So is the loss V at a scale M,
which takes the place of E: ``V + sum_j c_j (N^-a_j - M^-a_j)``.

On logarithmic axes, L - E of such a law never becomes steeper with scale. A curve that does become
steeper has a higher asymptote than the family allows, so the upper end is also computed from the
largest scales alone: half of them, and a quarter. The asymptote of any decreasing law is below the
loss at the largest scale, which limits the upper end. The lower end is the higher one of those from
all scales and from the larger half of them; for a law of the family both are valid.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, lsq_linear, nnls

from scaling.fitting.problem import Problem
from scaling.laws.laws import Law, Term
from scaling.uncertainty.profiles import student

Array = NDArray[np.float64]

LEAST_EXPONENT = 0.2
"""Smallest exponent of the family. A slower power could still lower the loss at scales that no run
reaches, so a least exponent has to be assumed; it is printed with the interval."""
STEEPEST_EXPONENT = 4.0
EXPONENTS = 14
"""Exponents of the mixture of a term in one column, evenly spaced in their logarithm."""
FEW_EXPONENTS = 8
"""The same where a law has several terms, or a term several columns."""
OUTLIER = 4.0
"""Residuals are cut at this many robust standard deviations."""
STEPS = 30
"""Most steps of non-negative least squares, for each column."""
ENOUGH_REPEATS = 4
"""Degrees of freedom among repeats from which these alone give the noise."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Rows and columns of the family, scaled so that all rows have the same noise.

    Attributes:
        design: (n_rows, 1 + n_powers); the first column belongs to the asymptote.
        target: losses without outliers, (n_rows,).
        place: number of the scale of each row, (n_rows,), ascending in the fitted loss: 0 is the
            largest scale.
        variance: of a row.
        judged: whether the variance is that among repeats, so that lack of fit can be seen.
        degrees: degrees of freedom of the variance, clusters counted by how far they agree.
        fewest: number of scales in the smallest window at the end of the curve.
        ceiling: mean loss at the largest scale, in units of one row.
        ceiling_error: standard error of that mean, in units of that of a row.
        windows: whether rows of the largest scales may be fitted alone: not where clusters join
            them with others.
        reached: fitted loss at the largest scale.
    """

    design: Array
    target: Array
    place: NDArray[np.int64]
    variance: float
    judged: bool
    degrees: float
    fewest: int
    ceiling: float
    ceiling_error: float
    windows: bool
    reached: float

    def measured_from(self, powers: Array) -> Mixture:
        """The same rows with the loss at another scale in place of the asymptote.

        Args:
            powers: columns of the family at that scale, (n_powers,).
        """
        own = self.design[:, :1]
        return replace(self, design=np.hstack([own, self.design[:, 1:] - own * powers]))


def has_family(law: Law) -> bool:
    """Whether a law has an asymptote and powers, or one column, from which a family is made."""
    return law.asymptote is not None and (bool(law.terms) or _is_curve(law))


def _is_curve(law: Law) -> bool:
    return len(law.columns) == 1 and law.n_effective is None


def model_interval(
    problem: Problem, best: Array, level: float = 0.95, least: float = LEAST_EXPONENT
) -> tuple[float, float]:
    """Confidence interval of the asymptote under all laws of the family.

    Args:
        problem: the fitted problem, of a law that has a family.
        best: its optimum, internal coordinates (n_parameters,).
        level: confidence level.
        least: smallest exponent of the family, above 0.

    Returns:
        (low, high); infinite ends if the rows leave no degrees of freedom.
    """
    return _interval(mixture(problem, best, least), level)


def model_predictions(
    problem: Problem, best: Array, new: dict[str, Array], level: float = 0.95,
    least: float = LEAST_EXPONENT,
) -> tuple[Array, Array]:  # fmt: skip
    """Confidence intervals of the loss at new scales under all laws of the family.

    Args:
        problem: the fitted problem, of a law that has a family.
        best: its optimum, internal coordinates (n_parameters,).
        new: column of the law -> values at the new rows, (n_new,).
        level: confidence level.
        least: smallest exponent of the family, above 0.

    Returns:
        Lower and upper ends, each (n_new,); infinite if the rows leave no degrees of freedom.
    """
    rows = mixture(problem, best, least)
    used = problem.table.weights > 0
    units = {name: float(v[used].min()) for name, v in problem.table.columns.items()}
    powers = family_columns(problem.law, new, problem.pinned, least, units)[:, 1:]
    expected = problem.model.at(new).value(best[:, None], slice(None))[0]
    ends = [
        _interval(rows.measured_from(each), level, beyond=bool(loss <= rows.reached))
        for each, loss in zip(powers, expected, strict=True)
    ]
    low, high = np.array(ends).reshape(-1, 2).T
    return low, high


def _interval(rows: Mixture, level: float, *, beyond: bool = True) -> tuple[float, float]:
    """Interval of the first coefficient, a loss that lies `beyond` the largest scale or not."""
    if rows.degrees < 1:
        return -np.inf, np.inf
    factor = student(level, rows.degrees) ** 2
    rise = factor * _variance(rows, np.ones(len(rows.place), dtype=bool))
    low, high = profile_ends(rows.design, rows.target, rise)
    if not beyond:
        return low, high
    ceiling = rows.ceiling + rows.ceiling_error * float(np.sqrt(rise))
    if not rows.windows:
        return low, max(high, ceiling)
    scales = int(rows.place.max()) + 1
    half = max(rows.fewest + 1, -(-scales // 2))
    for largest in {half, max(rows.fewest, -(-scales // 4))} - {scales}:
        kept = rows.place < largest
        own = factor * _variance(rows, kept)
        high = max(high, profile_ends(rows.design[kept], rows.target[kept], max(own, rise))[1])
        if largest == half:
            low = max(low, profile_ends(rows.design[kept], rows.target[kept], own)[0])
    return low, min(high, ceiling)


def mixture(problem: Problem, best: Array, least: float) -> Mixture:
    """The rows of a problem as rows of the family, without outliers and with one variance.

    Args:
        problem: the fitted problem, of a law that has a family.
        best: its optimum, internal coordinates (n_parameters,).
        least: smallest exponent of the family, above 0.
    """
    table, law = problem.table, problem.law
    used = table.weights > 0
    columns = {name: values[used] for name, values in table.columns.items()}
    fitted = problem.model.value(best[:, None], slice(None))[0][used]
    scale = np.sqrt(table.weights[used] / table.weights[used].mean())
    if problem.loss.log:
        scale = scale * np.exp(np.log(np.abs(fitted)).mean()) / np.abs(fitted)
    place = _places(table.scales[used], fitted)
    design = family_columns(law, columns, problem.pinned, least) * scale[:, None]
    target = _without_outliers(design, table.y[used] * scale)
    largest = place == 0
    weight = scale[largest]
    ceiling = float(weight @ target[largest]) / float(weight @ weight)
    shared, lost, of_law = 0.0, 0.0, float(((target - fitted * scale) ** 2).sum())
    if table.groups is not None:
        design, target, shared, lost = _decorrelated(design, target, table.groups[used])
        of_law *= 1.0 - shared
    variance, degrees, judged = _noise(target, design, place, of_law, problem.n_free)
    per_scale = len(target) / (int(place.max()) + 1)
    if np.any(np.bincount(place) > 1):  # else the residuals contain it
        variance += per_scale * problem.size_error**2
    variance = max(variance, per_scale * problem.size_error**2)
    return Mixture(
        design=design,
        target=target,
        place=place,
        variance=variance,
        judged=judged,
        degrees=degrees - lost,
        fewest=1 + 2 * max(len(law.terms) - 1, 1),
        ceiling=ceiling,
        ceiling_error=float(1.0 / np.sqrt((1.0 - shared) * (weight @ weight))),
        windows=table.groups is None,
        reached=float(fitted[largest].mean()),
    )


def family_columns(
    law: Law,
    columns: dict[str, Array],
    pinned: Mapping[str, float],
    least: float,
    units: Mapping[str, float] | None = None,
) -> Array:
    """Columns of the family, shape (n_rows, 1 + n_powers), the asymptote's first.

    Args:
        law: the law to generalise.
        columns: column of the law -> values (n_rows,).
        pinned: exponents that are held; they are held in the family too.
        least: smallest exponent.
        units: column of the law -> value that counts as 1; by default its smallest.
    """
    n_rows = len(next(iter(columns.values())))
    size = {
        name: values / (units[name] if units else values.min())
        for name, values in columns.items()
        if name not in law.flags
    }
    found = [np.ones(n_rows)]
    terms = law.terms or (Term(coefficient="", exponents={law.columns[0]: ""}),)
    falling = [term for term in terms if term.exponents]
    for term in falling:
        names = list(term.exponents)
        grids = [
            _exponents(pinned.get(term.exponents[name]), least, len(falling), len(names))
            for name in names
        ]
        for powers in itertools.product(*grids):
            if sum(powers) < least:
                continue
            column = np.prod([size[n] ** -p for n, p in zip(names, powers, strict=True)], axis=0)
            if term.where is not None:
                column = column * (columns[term.where[0]] == term.where[1])
            found.append(term.sign * column)
    return np.stack(found, axis=1)


def _exponents(held: float | None, least: float, n_terms: int, n_columns: int) -> Array:
    if held is not None:
        return np.array([held])
    count = EXPONENTS if n_terms == n_columns == 1 else FEW_EXPONENTS
    powers = np.geomspace(least, STEEPEST_EXPONENT, count)
    # One column of a term may have no effect where another has one.
    return powers if n_columns == 1 else np.concatenate([[0.0], powers])


def _least_squares(design: Array, target: Array) -> tuple[Array, float]:
    """Non-negative coefficients (n_columns,) of the least sum of squares, and that sum."""
    # Far from the smallest scale, steep powers are tiny: columns of one length keep it solvable.
    size = np.sqrt((design**2).sum(axis=0))
    size = np.where(size > 0.0, size, 1.0)
    try:
        coefficients, norm = nnls(design / size, target, maxiter=STEPS * design.shape[1])
    except RuntimeError:  # cycles between nearly equal columns
        found = lsq_linear(design / size, target, (0.0, np.inf), tol=1e-12)
        coefficients, norm = found.x, np.sqrt(2.0 * found.cost)
    return coefficients / size, float(norm**2)


def _without_outliers(design: Array, target: Array) -> Array:
    """Targets (n_rows,) with large residuals cut: the pseudo-values of Huber 1981, section 7.4."""
    kept = target
    for _ in range(3):
        coefficients, _ = _least_squares(design, kept)
        fitted = design @ coefficients
        residual = target - fitted
        spent = int((coefficients > 0).sum())
        spread = 1.4826 * float(np.median(np.abs(residual)))
        reach = OUTLIER * spread * np.sqrt(len(target) / max(len(target) - spent, 1))
        kept = fitted + np.clip(residual, -reach, reach)
    return kept


def _places(scales: NDArray[np.int64], fitted: Array) -> NDArray[np.int64]:
    """Rank of the scale of each row in the fitted loss, 0 for the lowest."""
    _, scales = np.unique(scales, return_inverse=True)
    lowest = np.bincount(scales, fitted) / np.bincount(scales)
    return np.argsort(np.argsort(lowest))[scales]


def _noise(
    target: Array, design: Array, place: NDArray[np.int64], of_law: float, n_free: int
) -> tuple[float, float, bool]:
    """Variance of a row, its degrees of freedom, and whether it is that among repeats.

    Without enough repeats it is that of the residuals of the law, whose sum of squares is `of_law`:
    too large if the law is wrong.
    """
    repeats = len(target) - int(place.max()) - 1
    if repeats < ENOUGH_REPEATS:
        degrees = len(target) - n_free
        return (of_law / degrees if degrees > 0 else np.inf), degrees, False
    return _pure_error(target, design[:, 0], place) / repeats, repeats, True


def _pure_error(target: Array, weight: Array, place: NDArray[np.int64]) -> float:
    """Sum of squares of rows around the mean of their scale."""
    total = np.bincount(place, weight**2)
    mean = np.bincount(place, target * weight) / np.where(total > 0, total, 1.0)
    return float(((target - mean[place] * weight) ** 2).sum())


def _variance(rows: Mixture, kept: NDArray[np.bool_]) -> float:
    """Variance of a row, enlarged where the family does not fit the kept rows."""
    if not rows.judged:
        return rows.variance
    design, target, place = rows.design[kept], rows.target[kept], rows.place[kept]
    coefficients, misfit = _least_squares(design, target)
    spare = int(place.max()) + 1 - max(int((coefficients > 0).sum()), rows.fewest)
    lack = misfit - _pure_error(target, design[:, 0], place)
    return max(rows.variance, lack / max(spare, 1))


def _decorrelated(
    design: Array, target: Array, groups: NDArray[np.int64]
) -> tuple[Array, Array, float, float]:
    """Rows without the error that rows of a cluster share, its share, and the degrees it costs.

    The correlation within clusters is estimated from the residuals; rows are transformed as in
    generalised least squares with equal correlations.
    """
    coefficients, misfit = _least_squares(design, target)
    residual = target - design @ coefficients
    _, groups = np.unique(groups, return_inverse=True)
    counts = np.bincount(groups)
    pairs = float((counts * (counts - 1.0)).sum())
    if pairs == 0 or misfit == 0:
        return design, target, 0.0, 0.0
    between = float((np.bincount(groups, residual) ** 2).sum()) - misfit
    share = min(max(between / pairs / (misfit / len(target)), 0.0), 0.98)
    pull = 1.0 - np.sqrt((1.0 - share) / (1.0 - share + counts * share))

    def whitened(values: Array) -> Array:
        return values - (pull * np.bincount(groups, values) / counts)[groups]

    effective = float((counts / (1.0 + (counts - 1.0) * share)).sum())
    columns = np.stack([whitened(column) for column in design.T], axis=1)
    return columns, whitened(target), share, len(target) - effective


def profile_ends(design: Array, target: Array, rise: float) -> tuple[float, float]:
    """E below and above its optimum, (low, high), at which the best misfit has risen by `rise`.

    Args:
        design: (n_rows, 1 + n_powers); the first column belongs to E.
        target: losses (n_rows,).
        rise: rise of the sum of squares over its least value.
    """
    if len(target) > design.shape[1] + 1:
        reduced = np.asarray(np.linalg.qr(np.column_stack([design, target]), mode="r"))
        design, target = reduced[:, :-1], reduced[:, -1]
    coefficients, least = _least_squares(design, target)
    centre, own, others = float(coefficients[0]), design[:, 0], design[:, 1:]

    def excess(asymptote: float) -> float:
        misfit = _least_squares(others, target - own * asymptote)[1]
        # the root of the rise is nearly linear
        return float(np.sqrt(max(misfit - least, 0.0)) - np.sqrt(rise))

    def end(side: int) -> float:
        inside, outside, stride = centre, centre, float(np.sqrt(rise / (own @ own)))
        while stride > 0.0 and excess(outside) <= 0.0:
            if outside <= 0.0 and side < 0:
                return 0.0
            inside, outside = outside, max(outside + side * stride, 0.0)
            stride *= 3.0
        near, far = sorted((inside, outside))
        return float(brentq(excess, near, far, xtol=1e-3 * (far - near))) if near < far else centre

    return end(-1), end(1)
