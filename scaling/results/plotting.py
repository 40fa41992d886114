"""Plots of fits: data, curve and interval, extrapolation dashed, asymptote dotted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.results.fitted import AssessedFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MOST_CURVES = 7


def plot_fit(
    fit: AssessedFit,
    ax: Axes | None = None,
    *,
    along: str | None = None,
    beyond: float = 10.0,
    level: float = 0.95,
    points: int = 48,
    curves: pd.DataFrame | None = None,
) -> Axes:
    """Plot of a fit against one of its columns.

    Args:
        fit: the fit.
        ax: axes to draw on; new ones by default.
        along: column on the horizontal axis, by the caller's name; by default the first. Each
            combination of the other columns has a curve; of more than seven, seven are chosen.
        beyond: end of the extrapolation, as a multiple of the largest size.
        level: confidence level of the intervals.
        points: number of points per curve.
        curves: result of `curve_table` for this fit and `along`, if already computed.

    Returns:
        The axes.

    Raises:
        ValueError: `along` is not a column of the fit.
    """
    import matplotlib.pyplot as plt

    if curves is None:
        curves = curve_table(fit, along=along, beyond=beyond, level=level, points=points)
    role = _role(fit, along)
    if ax is None:
        _, ax = plt.subplots(figsize=(6.0, 4.0), layout="constrained")
    table = fit.problem.table
    many = curves["curve"].nunique() > 1
    for k, (label, part) in enumerate(curves.groupby("curve", sort=False)):
        color, marker = OKABE_ITO[k % len(OKABE_ITO)], MARKERS[k % len(MARKERS)]
        seen, further = part[~part["extrapolated"]], part[part["extrapolated"]]
        mask = _rows_of_curve(fit, role, part)
        ax.plot(
            table.columns[role][mask],
            table.y[mask],
            marker,
            color=color,
            markersize=4,
            linestyle="none",
        )
        ax.plot(seen["x"], seen["mean"], color=color, label=str(label) if many else fit.law.name)
        ax.plot(further["x"], further["mean"], color=color, linestyle="--")
        ax.fill_between(part["x"], part["low"], part["high"], color=color, alpha=0.15, linewidth=0)
    if np.isfinite(fit.asymptote) and fit.status.usable:
        ax.axhline(fit.asymptote, color="0.4", linestyle=":", linewidth=1)
        for ends in filter(None, (fit.model_interval, fit.asymptote_interval)):
            if np.isfinite(
                ends
            ).all():  # light: whatever law holds; darker inside: if this one does
                ax.axhspan(*ends, color="0.4", alpha=0.12, linewidth=0)
        ax.annotate(
            f"{fit.law.asymptote} = {fit.asymptote:.4g}",
            (0.99, fit.asymptote),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="top",
            color="0.3",
            fontsize=8,
        )
    ax.set_xscale("log")
    ax.set_xlabel(table.names[role])
    ax.set_ylabel(table.y_name)
    ax.legend(frameon=False, fontsize=8)
    return ax


def curve_table(
    fit: AssessedFit,
    *,
    along: str | None = None,
    beyond: float = 10.0,
    level: float = 0.95,
    points: int = 48,
) -> pd.DataFrame:
    """Table of the curves that `plot_fit` draws.

    Args:
        fit: the fit.
        along: column on the horizontal axis, by the caller's name; by default the first.
        beyond: end of the extrapolation, as a multiple of the largest size.
        level: confidence level of the intervals.
        points: number of points per curve.

    Returns:
        A row per point: columns curve (label), x, mean, low, high, extrapolated, and the other
        columns of the law, which are constant along a curve.

    Raises:
        ValueError: `along` is not a column of the fit.
    """
    role = _role(fit, along)
    table = fit.problem.table
    sizes = table.columns[role]
    grid = np.geomspace(sizes.min(), sizes.max() * beyond, points)
    others = [name for name in fit.law.columns if name != role]
    frames = []
    for values in _combinations(fit, others):
        held = dict(zip(others, values, strict=True))
        label = ", ".join(f"{table.names[n]} = {v:.3g}" for n, v in held.items())
        part = pd.DataFrame({"curve": label or fit.law.name, "x": grid})
        frames.append(part.assign(extrapolated=grid > sizes.max(), **held))
    curves = pd.concat(frames, ignore_index=True)
    columns = {table.names[name]: curves.get(name, curves["x"]) for name in fit.law.columns}
    predicted = fit.predict(pd.DataFrame(columns), level)
    for place, name in enumerate(("mean", "low", "high"), start=2):
        curves.insert(place, name, predicted[name])
    return curves


def _role(fit: AssessedFit, along: str | None) -> str:
    names = fit.problem.table.names
    if along is None:
        return fit.law.columns[0]
    for role, name in names.items():
        if along in (role, name) and role not in fit.law.flags:
            return role
    allowed = ", ".join(repr(name) for role, name in names.items() if role not in fit.law.flags)
    raise ValueError(f"`along` must be one of {allowed}; not {along!r}")


def _combinations(fit: AssessedFit, others: list[str]) -> Array:
    if not others:
        return np.empty((1, 0))
    design = np.stack([fit.problem.table.columns[name] for name in others], axis=1)
    distinct = np.unique(design, axis=0)
    if len(distinct) > MOST_CURVES:
        distinct = distinct[np.linspace(0, len(distinct) - 1, MOST_CURVES).round().astype(int)]
    return distinct


def _rows_of_curve(fit: AssessedFit, role: str, part: pd.DataFrame) -> NDArray[np.bool_]:
    table = fit.problem.table
    mask = np.ones(table.n_rows, dtype=bool)
    for name in fit.law.columns:
        if name != role:
            mask &= table.columns[name] == part[name].iloc[0]
    return mask
