"""Text and HTML reports of fits."""

from __future__ import annotations

import numpy as np

from scaling.results import markup
from scaling.results.fitted import AssessedFit
from scaling.uncertainty.family import LEAST_EXPONENT


def number(value: float) -> str:
    """Text of a number with at most five significant digits."""
    if np.isinf(value):
        return "∞" if value > 0 else "-∞"
    return "none" if np.isnan(value) else f"{value:.5g}"


def rows(fit: AssessedFit, level: float = 0.95) -> list[tuple[str, str, str, str]]:
    """Name, estimate, standard error and interval of each parameter, as text."""
    found = []
    for name in fit.law.parameters:
        pinned = not fit.problem.free[fit.law.parameters.index(name)]
        if pinned:
            found.append((name, number(fit.params[name]), "pinned", ""))
            continue
        interval = span(fit.interval(name, level))
        found.append((name, number(fit.params[name]), number(fit.stderr[name]), interval))
    return found


def headline(fit: AssessedFit) -> str:
    """One line: law, columns, number of rows and loss."""
    names = [fit.problem.table.names[role] for role in fit.law.columns]
    delta = f", delta {fit.problem.delta:.3g}" if fit.problem.loss.uses_delta else ""
    return (
        f"{fit.law.name}: {fit.problem.table.y_name} = {fit.law.formula} "
        f"in {', '.join(names)}; {fit.n_rows} rows, {fit.problem.loss.name}{delta}"
    )


def source_of_intervals(fit: AssessedFit, level: float = 0.95) -> str:
    """One line: method of the intervals, and the objective."""
    how = {
        "profile": "profile likelihood",
        "sandwich": "sandwich covariance",
        "bootstrap": "",
    }[fit.method]
    if fit.method == "bootstrap" and fit.draws is not None:
        count = fit.draws.parameters.shape[1]
        how = f"{count:,} bootstrap draws of {fit.draws.resample}, seed {fit.seed}"
    return f"{100 * level:g} % intervals if the law holds: {how}. Objective {fit.objective:.10g}."


def whatever_law(fit: AssessedFit) -> str:
    """One line: the interval of the asymptote that does not rest on the law; empty without one."""
    if fit.model_interval is None or fit.law.asymptote in fit.problem.pinned:
        return ""
    return (
        f"{fit.law.asymptote} whatever smooth decreasing law holds "
        f"(exponents >= {LEAST_EXPONENT:g}): {span(fit.model_interval)}"
    )


def summary(fit: AssessedFit) -> str:
    """Plain-text table of the parameters, with status and warnings."""
    table = [("", "estimate", "s.e.", "95 % interval"), *rows(fit)]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    lines = [headline(fit)]
    lines += ["  " + "  ".join(c.rjust(w) for c, w in zip(r, widths, strict=True)) for r in table]
    lines += [source_of_intervals(fit), *filter(None, [whatever_law(fit)])]
    lines.append(f"{fit.status.name}: {fit.message}")
    lines += [f"Warning: {sentence}" for sentence in fit.warnings]
    return "\n".join(lines)


def html(fit: AssessedFit) -> str:
    """HTML fragment with the content of `summary`, for notebooks."""
    found = markup.table(("", "estimate", "s.e.", "95 % interval"), rows(fit))
    notes = [source_of_intervals(fit), *filter(None, [whatever_law(fit)])]
    notes += [f"Warning: {sentence}" for sentence in fit.warnings]
    return markup.fragment(
        headline(fit), tables=[found], notes=notes, verdict=f"{fit.status.name}: {fit.message}"
    )


def span(interval: tuple[float, float]) -> str:
    """Text of an interval."""
    return f"[{number(interval[0])}, {number(interval[1])}]"


def ranged(value: float, interval: tuple[float, float]) -> str:
    """Text of a value with its interval."""
    return f"{number(value)} {span(interval)}"
