"""The limit of infinitely many parameters and infinitely many ensemble members.

Kim et al. (2025, arXiv 2509.14786) compute the joint limit by nested fits: first members to
infinity at each size, then size to infinity over those asymptotes. One joint fit of all runs has
about half the standard deviation of that estimator and is the result here; the nested limits in
both orders are reported beside it as diagnostics.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fit import best_parameters, fit_law
from scaling.fitting.status import FitStatus
from scaling.results import markup, report
from scaling.results.result import FitResult
from scaling.uncertainty.profiles import check_level
from scaling.uncertainty.shared_members import (
    REJECTED,
    Sharing,
    Walk,
    exponent_p_value,
    find_walks,
    limit_interval,
    nested_reach,
    recognise_sharing,
    size_limits,
)

Array = NDArray[np.float64]

NO_ASYMPTOTE = 1e-6
"""A fitted limit below this share of the lowest loss is treated as the bound at zero."""


@dataclass(frozen=True, kw_only=True)
class LimitResult:
    """Joint limit in parameters and members, with its interval and diagnostics.

    Attributes:
        limit: loss at infinitely many parameters and members, by the joint fit.
        interval: 95 % interval of the limit if the law holds.
        model_interval: 95 % interval of the limit under whatever smooth decreasing law holds; the
            status depends on it, and it contains `interval` unless the law is rejected.
        joint: the joint fit of law "ensemble".
        members_first: nested limit, members first, then parameters; NaN if it cannot be computed.
        params_first: nested limit, parameters first, then members; NaN if it cannot be computed.
        status: NOT_IDENTIFIED if no limit may be quoted, else the status of the joint fit.
        message: the status in a sentence.
        sharing: what the interval assumes about the members of the rows of a size: "independent",
            "nested" or "subsets".
        notes: what was found about members and the exponent of K, one sentence each.
        member_limits: asymptote in members at each size, columns n_params and limit.
        param_limits: asymptote in parameters at each ensemble size, columns n_members and limit.
        seconds: wall-clock time.
    """

    limit: float
    interval: tuple[float, float]
    model_interval: tuple[float, float]
    joint: FitResult
    members_first: float
    params_first: float
    status: FitStatus
    message: str
    sharing: Sharing
    notes: tuple[str, ...]
    member_limits: pd.DataFrame
    param_limits: pd.DataFrame
    seconds: float

    @property
    def shared_members(self) -> bool:
        """Whether the interval assumes that ensembles share members."""
        return self.sharing != "independent"

    @property
    def identified(self) -> bool:
        """Whether the data determine the limit."""
        return self.status.usable

    def summary(self) -> str:
        """Text with the limit, the nested limits and the joint fit."""
        low, high = self.model_interval
        shown = f"{self.limit:.4f} [{low:.4f}, {high:.4f}]"
        head = (
            f"Joint limit (N, K to infinity): {shown}"
            if self.identified
            else (f"Joint limit: not identified (best fit {shown})")
        )
        return "\n".join(
            [
                head,
                f"  if the law holds: [{self.interval[0]:.4f}, {self.interval[1]:.4f}]",
                *(f"  {note}" for note in self.notes),
                f"  nested, members first:    {self.members_first:.4f}",
                f"  nested, parameters first: {self.params_first:.4f}",
                self.joint.summary(),
            ]
        )

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        found = [
            ("joint fit", report.ranged(self.limit, self.model_interval)),
            ("if the law holds", report.span(self.interval)),
            ("nested, members first", report.number(self.members_first)),
            ("nested, parameters first", report.number(self.params_first)),
        ]
        limit = markup.fragment(
            "Joint limit: loss at infinitely many parameters and members",
            tables=[markup.table(("estimator", "limit"), found)],
            verdict=f"{self.status.name}: {self.message}",
            notes=self.notes,
        )
        return limit + self.joint._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """The limit as JSON types, with infinities and NaN as strings."""
        from scaling.results.storage import plain

        values = plain(
            np.array(
                [
                    *(self.limit, *self.interval, self.members_first, self.params_first),
                    *self.model_interval,
                ]
            )
        )
        return {
            "limit": values[0],
            "interval_95": values[1:3],
            "members_first": values[3],
            "params_first": values[4],
            "model_interval_95": values[5:7],
            "status": self.status.name,
            "message": self.message,
            "sharing": self.sharing,
            "notes": list(self.notes),
            "joint": self.joint.to_dict(),
        }


@np.errstate(all="ignore")  # as in `fit_law`
def joint_limit(
    frame: Any,
    params: str = "n_params",
    members: str = "n_members",
    y: str = "loss",
    *,
    loss: str = "huber_log",
    delta: float | None = None,
    n_boot: int | None = None,
    resample: str | None = None,
    groups: Any = None,
    fixed: Mapping[str, float | None] | None = None,
    weights: Any = None,
    shared_members: bool | Sharing | None = None,
    seed: int = 0,
) -> LimitResult:
    """Limit of the loss as parameters and ensemble members both go to infinity.

    Args:
        frame: a row per ensemble; a single model is an ensemble of one member.
        params: column of parameters per member.
        members: column of the number of members.
        y: column of losses.
        loss: row loss, as in `fit_law`.
        delta: transition of the Huber losses, as in `fit_law`.
        n_boot: number of bootstrap draws, as in `fit_law`.
        resample: kind of bootstrap draw, as in `fit_law`.
        groups: cluster labels, for ensembles that share members, as in `fit_law`.
        fixed: parameters to hold or to free. Without `gamma` in it, the exponent of K is 1 unless
            an F-test rejects that, in which case it is freed; `{"gamma": None}` frees it and
            `{"gamma": 1.0}` holds it.
        weights: row weights, as in `fit_law`.
        shared_members: how the rows of a size (and group) share members, which the interval takes
            into account: "nested" or True if the ensemble of K contains the members of the smaller
            ones, "subsets" if each row is a mean over all subsets of a pool, "independent" or False
            if each row has its own members. By default a column `n_subsets` with numbers above 1
            shows subsets, and else the residuals decide.
        seed: random seed of the draws.

    Returns:
        The limit with its interval and the nested limits.

    Raises:
        ValueError: as for `fit_law`; all rows have one size or one number of members; or members
            cannot be nested, because a size has two rows with the same number of members.

    Source:
        Kim et al. 2025, arXiv 2509.14786, whose nested estimator is `members_first`.
    """
    begun = time.perf_counter()
    _check_sharing(shared_members)
    options = {
        "x": [params, members], "y": y, "loss": loss, "delta": delta, "n_boot": n_boot,
        "resample": resample, "groups": groups, "weights": weights, "seed": seed,
    }  # fmt: skip
    _check_columns(frame, params, members)
    joint = fit_law(frame, "ensemble", fixed=fixed, **options)
    table = joint.problem.table
    walk = find_walks(table) if shared_members not in (False, "independent") else None
    if shared_members in (True, "nested") and walk is None:
        raise ValueError(
            "`shared_members`: some size has two rows with the same number of members; "
            "pass the column of seeds or repeats as `groups`"
        )
    sharing, seen = _sharing(frame, joint, walk, shared_members)
    notes = [f"The interval is for ensembles that {SHARED[sharing]}{seen}."]
    if "gamma" not in (fixed or {}):
        p_value = exponent_p_value(table, walk if sharing == "nested" else None)
        if p_value < REJECTED:
            joint = fit_law(frame, "ensemble", fixed={**(fixed or {}), "gamma": None}, **options)
            notes.append(
                f"The loss does not fall as 1/K (p = {p_value:.1g}), so the exponent of K is "
                f"fitted: gamma {joint.params['gamma']:.3g}."
            )
    rows = pd.DataFrame({**table.columns, "loss": table.y, "weight": table.weights})
    by_size = _asymptotes(rows, "n_params", "n_members")
    by_members = _asymptotes(rows, "n_members", "n_params")
    interval = _interval(joint, sharing, walk, seed)
    wider = joint.model_interval or interval
    if not joint.problem.scales_are_units:
        wider = min(wider[0], interval[0]), max(wider[1], interval[1])
    status, message = joint.status, joint.message
    ended = NO_ASYMPTOTE * float(rows["loss"].min()) < wider[0] and np.isfinite(wider[1])
    if status.usable and not ended:
        status = FitStatus.NOT_IDENTIFIED
        message = (
            f"E is not identified: its 95 % interval [{wider[0]:.4g}, {wider[1]:.4g}] "
            "reaches the end of its allowed range."
        )
    return LimitResult(
        limit=joint.asymptote,
        interval=interval,
        model_interval=wider,
        joint=joint,
        members_first=_last_limit(by_size, "n_params", rows["loss"]),
        params_first=_last_limit(by_members, "n_members", rows["loss"]),
        status=status,
        message=message,
        sharing=sharing,
        notes=tuple(notes),
        member_limits=by_size,
        param_limits=by_members,
        seconds=time.perf_counter() - begun,
    )


SHARED: dict[Sharing, str] = {
    "independent": "do not share members",
    "nested": "contain the members of the smaller ones",
    "subsets": "are means over all subsets of a pool",
}
"""What the rows of a size have in common, in words."""


def _check_sharing(shared_members: bool | Sharing | None) -> None:
    if shared_members is not None and shared_members not in (True, False, *SHARED):
        allowed = ", ".join(repr(kind) for kind in SHARED)
        raise ValueError(
            f"`shared_members` must be {allowed}, True, False or None; not {shared_members!r}"
        )


def _check_columns(frame: Any, params: str, members: str) -> None:
    """Raise a ValueError that names the way out if a table has one size or one ensemble size."""
    for name, other, limit in ((params, members, "members"), (members, params, "parameters")):
        values = frame.get(name, ())
        if len(values) > 0 and pd.Series(np.asarray(values)).nunique() == 1:
            raise ValueError(
                f"column {name!r} has one value in every row, so there is no joint limit; for the "
                f"limit in {limit} alone use fit_law(frame, 'power', x={other!r})"
                + (", and predict_members for larger ensembles" if other == members else "")
            )


def _sharing(
    frame: Any, joint: FitResult, walk: Walk | None, stated: bool | Sharing | None
) -> tuple[Sharing, str]:
    """How the rows of a size share members, and how that is known."""
    if stated is not None:
        kind: Sharing = {True: "nested", False: "independent"}.get(stated, stated)  # type: ignore
        return kind, ""
    if "n_subsets" in frame and (pd.to_numeric(frame["n_subsets"], errors="coerce") > 1).any():
        return "subsets", ", as column n_subsets shows"
    # an exponent that is not 1 must not pass for errors that rows have in common
    pinned = {name: value for name, value in joint.problem.pinned.items() if name != "gamma"}
    problem = replace(joint.problem, pinned=pinned)
    best = problem.solve(extra=None).coordinates[:, 0]
    return recognise_sharing(problem, best, walk), ", as the residuals show (see `shared_members`)"


def _interval(
    joint: FitResult, sharing: Sharing, walk: Walk | None, seed: int
) -> tuple[float, float]:
    """95 % interval of E."""
    problem = joint.problem
    if problem.degrees <= 0:
        return 0.0, float("inf")
    if sharing == "nested" and walk is not None:
        return limit_interval(problem, joint.coordinates, walk, level=0.95, seed=seed)
    if sharing == "subsets":
        return _subsets_interval(joint)
    return joint.interval("E")


def _subsets_interval(joint: FitResult) -> tuple[float, float]:
    """95 % interval of E for means over subsets: of a power law through the limits of the sizes.

    The errors of the rows of a size are nearly one number, so that a size counts as a single row.
    """
    sizes, limits = size_limits(joint.problem.table, joint.params["gamma"])
    if len(sizes) <= 3 or not (limits > 0).all():
        return 0.0, float("inf")
    low, high = fit_law(x=sizes, y=limits, loss="squared_log", n_boot=0).interval(
        "E", method="profile"
    )
    return min(low, joint.asymptote), max(high, joint.asymptote)


def predict_members(fit: FitResult, members: Any, level: float = 0.95) -> pd.DataFrame:
    """Losses of larger ensembles that contain those of a fit at one size.

    The rows of the fit and the larger ensembles are taken to be nested: the interval is that of the
    loss that will be measured, from the covariance of nested members and the fit's derivatives at
    its optimum.

    Args:
        fit: a fit of a law of one column, the number of members, without groups.
        members: numbers of members (n_new,), above those of the fit.
        level: confidence level, between 0 and 1.

    Returns:
        A row per number of members, columns n_members, mean, low and high.

    Raises:
        ValueError: the fit is of a law of several columns or its rows cannot be nested, a number of
            members is not above those of the fit, or the level is not between 0 and 1.
    """
    if len(fit.law.columns) != 1:
        raise ValueError(f"`fit` must be of a law of one column; not {fit.law.name!r}")
    check_level(level)
    known = fit.problem.table.columns[fit.law.columns[0]]
    if len(np.unique(known)) < len(known):
        raise ValueError("`fit` has two rows with the same number of members; they are not nested")
    new = np.atleast_1d(np.asarray(members, dtype=float))
    if not (new > known.max()).all():
        raise ValueError(
            f"`members` must be above those of the fit, {known.max():g}; not {members}"
        )
    mean, reach = nested_reach(fit.problem, fit.coordinates, new, level)
    logged = fit.problem.loss.log
    return pd.DataFrame(
        {
            "n_members": new,
            "mean": mean,
            "low": mean * np.exp(-reach) if logged else mean - reach,
            "high": mean * np.exp(reach) if logged else mean + reach,
        }
    )


def _asymptotes(rows: pd.DataFrame, by: str, along: str) -> pd.DataFrame:
    """Asymptote of a power law in one column at each value of the other, columns `by`, limit."""
    found = []
    for value, part in rows.groupby(by, sort=True):
        if part[along].nunique() >= 3:
            best = best_parameters(part, "power", x=along, y="loss", weights="weight")
            found.append((value, best["E"]))
    return pd.DataFrame(found, columns=[by, "limit"])


def asymptotes_among(limits: pd.DataFrame, *, losses: pd.Series) -> pd.DataFrame:
    """Rows, with the same columns, whose `limit` is not the bound of the fit at zero.

    Args:
        limits: fitted asymptotes in column limit.
        losses: the losses that were fitted.
    """
    return limits[limits["limit"] > NO_ASYMPTOTE * losses.min()]


def _last_limit(limits: pd.DataFrame, along: str, losses: pd.Series) -> float:
    usable = asymptotes_among(limits, losses=losses)
    if len(usable) < 3:
        return float("nan")
    return best_parameters(usable, "power", x=along, y="limit")["E"]
