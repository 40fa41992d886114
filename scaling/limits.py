"""The limit of infinitely many parameters and infinitely many ensemble members.

Kim et al. (2025, arXiv 2509.14786) compute the joint limit by nested fits: first members to
infinity at each size, then size to infinity over those asymptotes. One joint fit of all runs has
about half the standard deviation of that estimator and is the result here; the nested limits in
both orders are reported beside it as diagnostics.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fit import best_parameters, fit_law
from scaling.fitting.status import FitStatus
from scaling.results import markup, report
from scaling.results.result import FitResult
from scaling.uncertainty.shared_members import find_walks, limit_interval, looks_shared

Array = NDArray[np.float64]

NO_ASYMPTOTE = 1e-6
"""A fitted limit below this share of the lowest loss is treated as the bound at zero."""


@dataclass(frozen=True, kw_only=True)
class LimitResult:
    """Joint limit in parameters and members, with its interval and diagnostics.

    Attributes:
        limit: loss at infinitely many parameters and members, by the joint fit.
        interval: 95 % interval of the limit.
        joint: the joint fit of law "ensemble".
        members_first: nested limit, members first, then parameters; NaN if it cannot be computed.
        params_first: nested limit, parameters first, then members; NaN if it cannot be computed.
        status: NOT_IDENTIFIED if no limit may be quoted, else the status of the joint fit.
        message: the status in a sentence.
        shared_members: whether the interval assumes that ensembles share members.
        member_limits: asymptote in members at each size, columns n_params and limit.
        param_limits: asymptote in parameters at each ensemble size, columns n_members and limit.
        seconds: wall-clock time.
    """

    limit: float
    interval: tuple[float, float]
    joint: FitResult
    members_first: float
    params_first: float
    status: FitStatus
    message: str
    shared_members: bool
    member_limits: pd.DataFrame
    param_limits: pd.DataFrame
    seconds: float

    @property
    def identified(self) -> bool:
        """Whether the data determine the limit."""
        return self.status.usable

    def summary(self) -> str:
        """Text with the limit, the nested limits and the joint fit."""
        low, high = self.interval
        shown = f"{self.limit:.4f} [{low:.4f}, {high:.4f}]"
        head = (
            f"Joint limit (N, K to infinity): {shown}"
            if self.identified
            else (f"Joint limit: not identified (best fit {shown})")
        )
        return "\n".join(
            [
                head,
                f"  interval for ensembles that {self._sharing()}",
                f"  nested, members first:    {self.members_first:.4f}",
                f"  nested, parameters first: {self.params_first:.4f}",
                self.joint.summary(),
            ]
        )

    def _sharing(self) -> str:
        return "share members" if self.shared_members else "do not share members"

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        found = [
            ("joint fit", report.ranged(self.limit, self.interval)),
            ("nested, members first", report.number(self.members_first)),
            ("nested, parameters first", report.number(self.params_first)),
        ]
        limit = markup.fragment(
            "Joint limit: loss at infinitely many parameters and members",
            tables=[markup.table(("estimator", "limit"), found)],
            verdict=f"{self.status.name}: {self.message}",
            notes=[f"The interval is for ensembles that {self._sharing()}."],
        )
        return limit + self.joint._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """The limit as JSON types, with infinities and NaN as strings."""
        from scaling.results.storage import plain

        values = plain(
            np.array([self.limit, *self.interval, self.members_first, self.params_first])
        )
        return {
            "limit": values[0],
            "interval_95": values[1:3],
            "members_first": values[3],
            "params_first": values[4],
            "status": self.status.name,
            "message": self.message,
            "shared_members": self.shared_members,
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
    shared_members: bool | None = None,
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
        fixed: parameters to hold or to free; `{"gamma": None}` frees the exponent of K.
        weights: row weights, as in `fit_law`.
        shared_members: whether the ensemble of K contains the members of the smaller ensembles of
            the same size and group; the interval then simulates members. By default the residuals
            decide.
        seed: random seed of the draws.

    Returns:
        The limit with its interval and the nested limits.

    Raises:
        ValueError: as for `fit_law`; or members cannot be shared, because a size has two rows with
            the same number of members. At least 3 sizes and 2 ensemble sizes are needed.

    Source:
        Kim et al. 2025, arXiv 2509.14786, whose nested estimator is `members_first`.
    """
    begun = time.perf_counter()
    joint = fit_law(
        frame,
        "ensemble",
        x=[params, members],
        y=y,
        loss=loss,
        delta=delta,
        n_boot=n_boot,
        resample=resample,
        groups=groups,
        fixed=fixed,
        weights=weights,
        seed=seed,
    )
    table = joint.problem.table
    rows = pd.DataFrame({**table.columns, "loss": table.y, "weight": table.weights})
    by_size = _asymptotes(rows, "n_params", "n_members")
    by_members = _asymptotes(rows, "n_members", "n_params")
    interval, shared = joint.interval("E"), False
    walk = find_walks(table) if shared_members is not False else None
    if shared_members and walk is None:
        raise ValueError(
            "`shared_members`: some size has two rows with the same number of members; "
            "pass the column of seeds or repeats as `groups`"
        )
    if walk is not None and (shared_members or looks_shared(walk, joint.residuals)):
        shared = True
        interval = limit_interval(joint.problem, joint.coordinates, walk, level=0.95, seed=seed)
    status, message = joint.status, joint.message
    if status.usable and interval[0] <= 0.0:
        status = FitStatus.NOT_IDENTIFIED
        message = f"E is not identified: its 95 % interval [0, {interval[1]:.4g}] reaches zero."
    return LimitResult(
        limit=joint.asymptote,
        interval=interval,
        joint=joint,
        members_first=_last_limit(by_size, "n_params", rows["loss"]),
        params_first=_last_limit(by_members, "n_members", rows["loss"]),
        status=status,
        message=message,
        shared_members=shared,
        member_limits=by_size,
        param_limits=by_members,
        seconds=time.perf_counter() - begun,
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
