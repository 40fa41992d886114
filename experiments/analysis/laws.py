"""The laws of a story and the limits they imply, with intervals that respect shared members.

The K-curves of an ensemble are means over subsets of the same few members, so their points are not
independent. The unit that is resampled is therefore the member: every limit is refitted with one
member left out at a time (delete-one jackknife, members of different sizes independent).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, jackknife
from scaling import FitResult, LimitResult, fit_law, joint_limit
from scaling.fit import best_parameters
from scaling.limits import asymptotes_among

N = "n_params_non_embedding"
K = "n_members"
LOSS = "test_loss"
N_BOOT = 1000
ROW_LOSS = "squared_log"
"""For means over subsets, which have no outliers for a robust loss to guard against."""


def member_curve(
    curves: pd.DataFrame, width: int, *, average: str = "logit", left_out: int | None = None
) -> pd.DataFrame:
    """Average the ensemble-tuned cell of one width over subsets, for each number of members.

    Args:
        curves: `Ensembles.curves`.
        width: size of the members.
        average: "logit" or "probability".
        left_out: position of a member whose subsets are not used.

    Returns:
        A row for each number of members: `n_params_non_embedding`, `n_members`, `validation_loss`,
        `test_loss` (means over subsets), `n_subsets`.
    """
    rows = curves[
        (curves["width"] == width)
        & (curves["chosen_for"] == "ensemble")
        & (curves["average"] == average)
    ]
    if left_out is not None:
        rows = rows[[str(left_out) not in members.split(",") for members in rows["members"]]]
    means = rows.groupby([N, K])[["validation_loss", LOSS]].mean()
    return means.assign(n_subsets=rows.groupby([N, K]).size()).reset_index()


@dataclass(frozen=True, kw_only=True)
class Laws:
    """Fits of one story.

    Attributes:
        single: loss of the tuned single model against size, a row a seed.
        single_limit: its limit, unbounded where the fit says that it is not identified.
        ensembles: loss against members at each width, means over subsets.
        limits: limit of infinitely many members at each width, jackknife over members,
            unbounded where the fit says that it is not identified.
        exponents: exponent of 1/K at each width, jackknife over members.
        joint: the joint fit over sizes and members, and both nested orders.
        joint_limit: its limit, with the wider of the fit's interval and the members' jackknife,
            unbounded where the fit says that it is not identified.
        joint_refits: parameters of the joint law without each member, grouped by width.
        tables: the K-curve of each width, means over subsets.
        left_out: the same without each member of that width.
    """

    single: FitResult
    single_limit: Estimate
    ensembles: Mapping[int, FitResult]
    limits: Mapping[int, Estimate]
    exponents: Mapping[int, Estimate]
    joint: LimitResult
    joint_limit: Estimate
    joint_refits: Sequence[Sequence[Mapping[str, float]]]
    tables: Mapping[int, pd.DataFrame]
    left_out: Mapping[int, list[pd.DataFrame]]

    @property
    def ensemble_table(self) -> pd.DataFrame:
        """Means over subsets for every width and number of members."""
        return pd.concat(self.tables.values(), ignore_index=True)

    @cached_property  # the slowest of all, and few ask
    def nested_gap(self) -> Estimate:
        """Limit by members first minus limit by parameters first, jackknife over members.

        Unbounded where one of the two has no asymptote: a limit at zero is none.
        """
        first, second = self.joint.members_first, self.joint.params_first
        value = float(first - second)
        if not min(first, second) > 0:
            return Estimate(value=value, low=-np.inf, high=np.inf, n=0)
        replicates = [
            [_nested(table, K, N) - _nested(table, N, K) for table in group]
            for group in without_each(self.tables, self.left_out)
        ]
        if not all(np.isfinite(group).all() for group in replicates):
            return Estimate(value=value, low=-np.inf, high=np.inf, n=0)
        return jackknife(value, replicates)


def laws_of(best: pd.DataFrame, curves: pd.DataFrame) -> Laws:
    """Fit every law of Part 1 to tables of losses.

    Args:
        best: tuned single models, a row a seed: `width`, `n_params_non_embedding`, `test_loss`.
        curves: as `Ensembles.curves`; members tuned for their ensemble are used.
    """
    single = fit_law(best, "power", x=N, y=LOSS, n_boot=N_BOOT)
    n_seeds = int(best.groupby("width").size().min())
    tuned = curves.loc[curves["chosen_for"] == "ensemble", "width"]
    widths = sorted({int(width) for width in tuned})
    tables = {width: member_curve(curves, width) for width in widths}
    left_out = leave_one_out(curves, widths)
    fits = {
        width: fit_law(table, "power", x=K, y=LOSS, loss=ROW_LOSS, n_boot=0)
        for width, table in tables.items()
    }
    limits: dict[int, Estimate] = {}
    exponents: dict[int, Estimate] = {}
    for width, fit in fits.items():
        refits = [
            best_parameters(part, "power", x=K, y=LOSS, loss=ROW_LOSS) for part in left_out[width]
        ]
        for name, estimates in (("E", limits), ("alpha", exponents)):
            spread = jackknife(fit.params[name], [[refit[name] for refit in refits]])
            estimates[width] = spread if fit.status.usable else _unbounded(spread)
    everything = pd.concat(tables.values(), ignore_index=True)
    # The jackknife over members, and not the scatter of the few sizes, gives the errors that means
    # over subsets have in common. Its refits hold the exponent of K at 1, so the fit does too.
    joint = joint_limit(
        everything, params=N, members=K, y=LOSS, loss=ROW_LOSS, shared_members="independent",
        fixed={"gamma": 1.0},
    )  # fmt: skip
    refits_of_joint = [
        [best_parameters(table, "ensemble", x=[N, K], y=LOSS, loss=ROW_LOSS) for table in group]
        for group in without_each(tables, left_out)
    ]
    return Laws(
        single=single,
        single_limit=_limit_of(single, n_seeds),
        ensembles=fits,
        limits=limits,
        exponents=exponents,
        joint=joint,
        joint_limit=_joint_limit(joint, refits_of_joint),
        joint_refits=refits_of_joint,
        tables=tables,
        left_out=left_out,
    )


def _limit_of(fit: FitResult, n: int) -> Estimate:
    """Return the asymptote of a fit with the fit's own interval."""
    low, high = fit.interval("E")
    limit = Estimate(value=fit.asymptote, low=low, high=high, n=n)
    return limit if fit.status.usable else _unbounded(limit)


def _unbounded(estimate: Estimate) -> Estimate:
    return replace(estimate, low=-np.inf, high=np.inf)


def without_each(
    tables: Mapping[int, pd.DataFrame], left_out: Mapping[int, list[pd.DataFrame]]
) -> Iterator[list[pd.DataFrame]]:
    """Yield, for each width, the whole table without each of that width's members."""
    for width, parts in left_out.items():
        others = [table for other, table in tables.items() if other != width]
        yield [pd.concat([part, *others], ignore_index=True) for part in parts]


def _joint_limit(joint: LimitResult, refits: Sequence[Sequence[Mapping[str, float]]]) -> Estimate:
    """Return the joint limit with the wider of two intervals: the fit's and the jackknife's."""
    by_members = jackknife(joint.limit, [[refit["E"] for refit in group] for group in refits])
    low, high = joint.interval
    wider = replace(by_members, low=min(low, by_members.low), high=max(high, by_members.high))
    return wider if joint.identified else _unbounded(wider)


def _nested(table: pd.DataFrame, first: str, second: str) -> float:
    """Return the limit along `first` at each value of `second`, then along `second`.

    As in `scaling.joint_limit`, a limit at zero is no asymptote; NaN says that too few are left.
    """
    rows = [
        (value, best_parameters(part, "power", x=first, y=LOSS, loss=ROW_LOSS)["E"])
        for value, part in table.groupby(second)
        if part[first].nunique() >= 3
    ]
    limits = pd.DataFrame(rows, columns=[second, "limit"])
    limits = asymptotes_among(limits, losses=table[LOSS])
    if len(limits) < 3:
        return float("nan")
    return best_parameters(limits, "power", x=second, y="limit", loss=ROW_LOSS)["E"]


def leave_one_out(curves: pd.DataFrame, widths: Iterable[int]) -> dict[int, list[pd.DataFrame]]:
    """Return the K-curve of each width without each of its members in turn."""
    return {
        width: [
            member_curve(curves, width, left_out=member)
            for member in range(int(member_curve(curves, width)[K].max()))
        ]
        for width in widths
    }
