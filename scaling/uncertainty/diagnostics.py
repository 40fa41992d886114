"""Diagnostics: bounds, asymptotes that are not identified, collinear columns, influential rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fitting.problem import Problem
from scaling.fitting.status import FitStatus
from scaling.fitting.table import Table
from scaling.laws.laws import Law
from scaling.uncertainty.bootstrap import Draws
from scaling.uncertainty.covariance import free_coordinates, known_covariance, noise_scale
from scaling.uncertainty.profiles import student
from scaling.uncertainty.rejection import LackOfFit

Array = NDArray[np.float64]

COLLINEAR = 0.98
"""Correlation of two log columns above which their exponents cannot be distinguished."""
IDENTIFIED_SHARE = 0.05
"""An asymptote is identified if its 95 % half-width is below this share of the smallest loss."""
FEW_CLUSTERS = 10
SMALL_TERM = 1e-9
DELTA_FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
AT_BOUND_MEANS = "The data do not determine the shape of the law, nor what it says of the limit."
NEARLY_ZERO = 0.1
"""A loss that has fallen below this share of its largest value may have the asymptote zero."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Status of a fit, the status in a sentence, and all warnings."""

    status: FitStatus
    message: str
    warnings: tuple[str, ...]


def check_design(law: Law, table: Table, n_free: int, pinned: set[str]) -> tuple[str, ...]:
    """Warnings about the columns of a table, before any fit.

    Args:
        law: the law to fit.
        table: the rows.
        n_free: number of fitted parameters.
        pinned: names of the parameters that are held.

    Raises:
        ValueError: there are fewer rows, or fewer distinct rows of columns, than free parameters,
            or a column is constant.
    """
    used = table.weights > 0
    if used.sum() < n_free:
        raise ValueError(
            f"law {law.name!r} has {n_free} free parameters but the table has {int(used.sum())} "
            "rows; add rows or pin parameters with `fixed`"
        )
    for name, values in table.columns.items():
        free_here = _exponents_of(law, name) - pinned
        if np.ptp(values[used]) == 0 and free_here:
            raise ValueError(
                f"column {table.names[name]!r} has one value, {values[used][0]:g}, in every row; "
                f"{', '.join(sorted(free_here))} of law {law.name!r} cannot be fitted"
            )
    design = np.stack([values[used] for values in table.columns.values()], axis=1)
    distinct = len(np.unique(design, axis=0))
    if distinct < n_free:
        raise ValueError(
            f"law {law.name!r} has {n_free} free parameters but the table has only {distinct} "
            f"distinct values of {', '.join(table.names.values())}; "
            "add sizes or pin parameters with `fixed`"
        )
    return _collinear(law, table, used)


def _exponents_of(law: Law, column: str) -> set[str]:
    if column in law.flags:
        return set()
    if not law.terms:
        return {parameter.name for parameter in law.nonlinear} if len(law.columns) == 1 else set()
    return {t.exponents[column] for t in law.terms if column in t.exponents}


def _collinear(law: Law, table: Table, used: NDArray[np.bool_]) -> tuple[str, ...]:
    sizes = [name for name in law.columns if name not in law.flags]
    warnings = []
    for i, one in enumerate(sizes):
        for other in sizes[:i]:
            first, second = (np.log(table.columns[name][used]) for name in (one, other))
            if np.ptp(first) == 0 or np.ptp(second) == 0:
                continue
            correlation = float(np.corrcoef(first, second)[0, 1])
            if abs(correlation) > COLLINEAR:
                warnings.append(
                    f"{table.names[other]} and {table.names[one]} move together (correlation of "
                    f"their logs {correlation:.3f}): their exponents cannot be distinguished. "
                    "Vary one at a fixed value of the other."
                )
    return tuple(warnings)


def diagnose(
    problem: Problem,
    best: Array,
    *,
    converged: bool,
    draws: Draws | None,
    asymptote: tuple[float, float] | None,
    rejected: LackOfFit | None,
) -> Diagnosis:
    """Status and warnings of a fit.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        converged: whether Newton's method reached the optimum.
        draws: the bootstrap draws, if any.
        asymptote: 95 % interval of the asymptote, if the law has one, that the status rests on.
        rejected: what contradicts the law, if anything does.
    """
    bounds = at_bounds(problem, best)
    warnings = [*problem.table.warnings, *_design_warnings(problem), *draw_warnings(draws, problem)]
    printed = problem.model.printed(best[:, None])
    if not converged or not np.isfinite(printed).all():
        return Diagnosis(
            status=FitStatus.NOT_CONVERGED,
            message=FitStatus.NOT_CONVERGED.value,
            warnings=tuple(warnings),
        )
    flat = flat_sentence(problem, best)
    if flat:
        return Diagnosis(status=FitStatus.FLAT, message=flat, warnings=tuple(warnings))
    unknown = unidentified_sentence(problem, best, asymptote)
    held = {term.coefficient for term in problem.law.terms if term.exponents}
    held |= {name for term in problem.law.terms for name in term.exponents.values()}
    message = " ".join(sentence for _, sentence in bounds)
    if unknown or any(name in held for name, _ in bounds):
        warnings += [sentence for _, sentence in bounds if unknown]
        message = unknown or f"{message} {AT_BOUND_MEANS}"
        return Diagnosis(status=FitStatus.NOT_IDENTIFIED, message=message, warnings=tuple(warnings))
    if rejected is not None:
        warnings += [sentence for _, sentence in bounds]
        return Diagnosis(
            status=FitStatus.LAW_REJECTED, message=rejected.sentence, warnings=tuple(warnings)
        )
    if bounds:
        return Diagnosis(status=FitStatus.AT_BOUND, message=message, warnings=tuple(warnings))
    return Diagnosis(
        status=FitStatus.CONVERGED, message=FitStatus.CONVERGED.value, warnings=tuple(warnings)
    )


def _design_warnings(problem: Problem) -> tuple[str, ...]:
    warnings = _collinear(problem.law, problem.table, problem.table.weights > 0)
    groups = problem.table.groups
    if groups is not None and groups.max() + 1 < FEW_CLUSTERS:
        warnings += (f"Only {int(groups.max()) + 1} clusters: intervals from so few are rough.",)
    return warnings


def at_bounds(problem: Problem, best: Array) -> list[tuple[str, str]]:
    """Name of each free parameter whose optimum is on a bound, with a sentence about it."""
    inside = set(free_coordinates(problem, best).tolist())
    printed = problem.model.printed(best[:, None])[:, 0]
    found = []
    for i, name in enumerate(problem.law.parameters):
        if problem.law.n_effective is not None and name != problem.law.asymptote:
            continue  # a grid of coefficients, most of which are zero by design
        if problem.free[i] and i not in inside:
            side = "lower" if best[i] <= problem.low[i] + 1e-9 * abs(best[i]) else "upper"
            found.append((name, f"{name} is at its {side} bound, {printed[i]:.4g}."))
    return found


def draw_warnings(draws: Draws | None, problem: Problem) -> tuple[str, ...]:
    """Warnings about draws that did not converge, are at a bound or missed the optimum."""
    if draws is None:
        return ()
    total = draws.parameters.shape[1]
    warnings = []
    failed = int((~draws.converged).sum())
    if failed:
        warnings.append(f"{failed} of {total} draws did not converge; they are kept.")
    for i, name in enumerate(problem.law.parameters):
        if not problem.free[i] or problem.law.n_effective is not None:
            continue
        limits = problem.law.limits[i]
        values = draws.parameters[i]
        share = float(
            np.mean((values <= limits.low * (1 + 1e-9)) | (values >= limits.high * (1 - 1e-9)))
        )
        if share >= 0.01:
            warnings.append(f"{100 * share:.0f} % of the draws have {name} at a bound.")
    if draws.missed:
        warnings.append(
            f"The global search found a better optimum for {draws.missed} of the {draws.audited} "
            "draws that it checked."
        )
    return tuple(warnings)


def flat_sentence(problem: Problem, best: Array) -> str:
    """A sentence if no term of the fitted law changes with scale, else empty."""
    law, table = problem.law, problem.table
    names = [c.name for c in law.linear]
    if law.asymptote not in names or len(names) < 2 or not law.nonlinear:
        return ""
    constant = names.index(law.asymptote)
    basis = problem.model.basis(best[len(names) :, None], slice(None))
    typical = float(np.median(np.abs(table.y)))
    others = [j for j in range(len(names)) if j != constant]
    if any(abs(best[j]) * np.ptp(basis[j]) > SMALL_TERM * typical for j in others):
        return ""
    first = law.columns[0]
    size, loss = np.log(table.columns[first]), table.y
    rising = np.ptp(size) > 0 and np.cov(size, loss, aweights=table.weights)[0, 1] > 0
    verb = "rises" if rising and np.ptp(loss) > 0 else "does not fall"
    return f"{table.y_name} {verb} with {table.names[first]}, so there is no scaling to fit."


def unidentified_sentence(
    problem: Problem, best: Array, interval: tuple[float, float] | None
) -> str:
    """A sentence if nothing is left to judge the law, or the asymptote's interval has no end.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        interval: 95 % interval of the asymptote, if the law has one.
    """
    if problem.degrees <= 0:
        scales = len(np.unique(problem.table.scales))
        return (
            f"Nothing in the table could contradict the law: it has {scales} distinct values of "
            f"{', '.join(problem.table.names.values())} and {problem.n_free} free parameters. "
            "Add scales, or pin parameters with `fixed`."
        )
    name = problem.law.asymptote
    if name is None or interval is None:
        return ""
    index = problem.law.parameters.index(name)
    if not problem.free[index]:
        return ""
    floor = problem.law.linear[index].low if index < len(problem.law.linear) else -np.inf
    low, high = interval
    smallest = float(np.min(np.abs(problem.table.y)))
    wide = high - low > IDENTIFIED_SHARE * 2 * smallest
    ended = np.isfinite(low) and np.isfinite(high) and low > floor + 1e-6 * smallest
    still_high = smallest > NEARLY_ZERO * float(np.max(np.abs(problem.table.y)))
    at_floor = best[index] <= problem.low[index] and still_high
    if ended or not (wide or at_floor):
        return ""
    shown = f"[{low:.4g}, {high:.4g}]"
    return (
        f"{name} is not identified: its 95 % interval {shown} reaches the end of its allowed "
        f"range. {extra_run_sentence(problem, best)}"
    )


def extra_run_sentence(problem: Problem, best: Array) -> str:
    """A sentence about the size of one extra run that would identify the asymptote."""
    factor = identifying_scale(problem, best)
    columns = " and ".join(
        problem.table.names[name] for name in problem.law.columns if name not in problem.law.flags
    )
    if factor is None:
        return f"No single extra run up to 1e6 times the largest {columns} would identify it."
    return f"One extra run at {factor:,.0f} times the largest {columns} would identify it."


def identifying_scale(problem: Problem, best: Array) -> float | None:
    """Smallest factor on the largest sizes at which one extra run would identify the asymptote.

    The information of the extra row is added to the Hessian of the fit at its optimum. Identified
    means a 95 % half-width below 5 % of the smallest loss.

    Returns:
        A power of 2 up to 2^20, or None if no such run is enough.
    """
    law, table = problem.law, problem.table
    assert law.asymptote is not None
    index = law.parameters.index(law.asymptote)
    factors = 2.0 ** np.arange(1, 21)
    extra = {
        name: (values.max() * factors if name not in law.flags else np.zeros(len(factors)))
        for name, values in table.columns.items()
    }
    model = problem.model.at(extra)
    predicted, first, _ = model.derivatives(best[:, None], slice(None))
    scale = predicted[0] if problem.loss.log else np.ones(len(factors))
    gradient = np.stack([np.broadcast_to(p, (1, len(factors)))[0] for p in first]) / scale
    rows, _, bend = problem.objective().scores(best)
    information = rows.T @ (rows * (table.weights * np.maximum(bend, 1e-12))[:, None])
    if problem.degrees <= 0:
        return None
    noise = noise_scale(problem, best)
    half = IDENTIFIED_SHARE * float(np.min(np.abs(table.y)))
    t = student(0.95, problem.degrees)
    free = np.flatnonzero(problem.free)
    scales = np.sqrt(np.maximum(np.diag(information)[free], 1e-290))
    for k, factor in enumerate(factors):
        added = information + np.outer(gradient[:, k], gradient[:, k]) * float(np.mean(bend))
        matrix = added[np.ix_(free, free)] / np.outer(scales, scales) + 1e-12 * np.eye(len(free))
        inverse = np.linalg.inv(matrix) / np.outer(scales, scales)
        at = int(np.flatnonzero(free == index)[0])
        if t * np.sqrt(max(noise * inverse[at, at], 0.0)) <= half:
            return float(factor)
    return None


def delta_sensitivity(problem: Problem, best: Array) -> pd.DataFrame:
    """Parameters at the optimum for other deltas, each refitted from the optimum `best`.

    Returns:
        A row per delta: columns delta, a column per parameter, and objective.

    Raises:
        ValueError: the loss has no delta.
    """
    if not problem.loss.uses_delta:
        raise ValueError(f"loss {problem.loss.name!r} has no delta")
    rows = []
    for factor in DELTA_FACTORS:
        other = problem.with_delta(problem.delta * factor)
        found = other.refine(best[:, None])
        printed = other.model.printed(found.coordinates)[:, 0]
        values = dict(zip(problem.law.parameters, printed, strict=True))
        rows.append({"delta": other.delta, **values, "objective": float(found.value[0])})
    return pd.DataFrame(rows)


def influence(problem: Problem, best: Array) -> pd.DataFrame:
    """Influence of each row: the change of each parameter due to the row, in standard errors.

    It is computed by one Newton step per row. Rows with values above 1 decide the result.

    Returns:
        A row per fitted row (rows without a loss are excluded): a column per free parameter, and
        column residual.

    Source:
        Cook and Weisberg 1982, Residuals and Influence in Regression.
    """
    gradient, score, _ = problem.objective().scores(best)
    spread = known_covariance(problem, best, robust=False)
    noise = noise_scale(problem, best)
    pull = (gradient * (score * problem.table.weights)[:, None]) @ (spread / noise)
    error = np.sqrt(np.maximum(np.diag(spread), 1e-300))
    names = problem.law.parameters
    shown = {name: pull[:, i] / error[i] for i, name in enumerate(names) if spread[i, i] > 0}
    table = pd.DataFrame(shown)
    table["residual"] = problem.objective().residuals(best)
    return table
