"""The laws of Part 1 and their limits, with intervals that account for shared members.

The losses of ensembles of K members are means over subsets of the same few members, so they are not
independent. Members are therefore the unit of resampling: every limit is refitted with one member
left out at a time (delete-one jackknife; members of different sizes are independent).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from experiments.analysis.intervals import Estimate, jackknife, unbounded
from scaling import FitResult, LimitResult, fit_law, joint_limit
from scaling.fit import best_parameters
from scaling.limits import asymptotes_among

N = "n_params_non_embedding"
K = "n_members"
LOSS = "test_loss"
N_BOOT = 1000
ROW_LOSS = "squared_log"
"""Row loss for means over subsets, which have no outliers."""


def member_curve(
    curves: pd.DataFrame, width: int, *, average: str = "logit", left_out: int | None = None
) -> pd.DataFrame:
    """Return the mean losses over subsets of the members of one width, tuned for the ensemble.

    Args:
        curves: `Ensembles.curves`.
        width: width of the members.
        average: "logit" or "probability".
        left_out: index of a member; subsets with it are left out.

    Returns:
        A row for each number of members, with columns `n_params_non_embedding`, `n_members`,
        `validation_loss`, `test_loss` (means over subsets) and `n_subsets`.
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
    """The fits of one world. Limits that are not identified have unbounded intervals.

    Attributes:
        single: loss of the tuned single model against size, fitted to one row per seed.
        single_limit: its limit, with the interval whatever smooth decreasing law holds.
        ensembles: loss against the number of members, by width, fitted to means over subsets.
        limits: limit of infinitely many members, by width, with the jackknife over members.
        exponents: exponent of 1/K, by width, with the jackknife over members.
        joint: the joint fit over sizes and members, with both nested orders of limits.
        joint_limit: its limit, with the wider one of the interval of the fit and the jackknife.
        joint_refits: parameters of the joint law without each member, grouped by width.
        tables: `member_curve` of each width.
        left_out: `member_curve` of each width without each of its members.
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
        """`member_curve` of all widths: a row per width and number of members, the same columns."""
        return pd.concat(self.tables.values(), ignore_index=True)

    @cached_property  # by far the slowest fit, and rarely needed
    def nested_gap(self) -> Estimate:
        """Limit in members first minus limit in parameters first, with the jackknife over members.

        The interval is unbounded if one of the two has no asymptote, i.e. a limit of zero.
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
    """Return the fits of all laws of Part 1.

    Args:
        best: tuned single models, a row per seed with columns `width`, `n_params_non_embedding` and
            `test_loss`.
        curves: `Ensembles.curves`; only members tuned for the ensemble are used.
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
            estimates[width] = spread if fit.status.usable else unbounded(spread)
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


def predicted_largest(best: pd.DataFrame) -> Estimate:
    """Return the loss that the law of all sizes but the largest predicts for the largest.

    The law is fitted to mean losses. Its prediction has the error that the means have from their
    seeds: each mean in turn is moved by its standard error. The degrees of freedom are those of
    Welch and Satterthwaite. The interval is unbounded with fewer than three smaller sizes or two
    seeds.

    Args:
        best: as in `laws_of`.
    """
    by_size = best.groupby(N)[LOSS].agg(["mean", "std", "count"]).sort_index()
    sizes, largest = by_size.index[:-1], by_size.index[-1]
    rows = by_size.iloc[:-1]
    n = int(rows["count"].min())
    if len(rows) < 3 or n < 2:
        return Estimate(value=np.nan, low=-np.inf, high=np.inf, n=n)

    def predict(means: np.ndarray) -> float:
        law = best_parameters({N: sizes, LOSS: means}, "power", x=N, y=LOSS)
        return law["E"] + law["A"] / largest ** law["alpha"]

    means = rows["mean"].to_numpy()
    value = predict(means)
    moves = np.diag(rows["std"] / np.sqrt(rows["count"]))
    errors = np.array([predict(means + move) - value for move in moves])
    variance = float((errors**2).sum())
    df = variance**2 / float((errors**4 / (rows["count"] - 1)).sum())
    half = float(stdtrit(df, 0.975) * np.sqrt(variance))
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def _limit_of(fit: FitResult, n: int) -> Estimate:
    """Return the asymptote of a fit, with its interval whatever smooth decreasing law holds."""
    assert fit.limit_interval is not None
    low, high = fit.limit_interval
    limit = Estimate(
        value=fit.asymptote, low=low, high=high, n=n, if_law_holds=fit.asymptote_interval
    )
    return limit if fit.status.usable else unbounded(limit)


def without_each(
    tables: Mapping[int, pd.DataFrame], left_out: Mapping[int, list[pd.DataFrame]]
) -> Iterator[list[pd.DataFrame]]:
    """Yield, for each width, the rows of all widths without each member of that width.

    The frames have the columns of `member_curve`.

    Args:
        tables: `member_curve` of each width.
        left_out: `member_curve` of each width without each of its members.
    """
    for width, parts in left_out.items():
        others = [table for other, table in tables.items() if other != width]
        yield [pd.concat([part, *others], ignore_index=True) for part in parts]


def _joint_limit(joint: LimitResult, refits: Sequence[Sequence[Mapping[str, float]]]) -> Estimate:
    """Return the joint limit with the wider interval: that of the fit or of the jackknife."""
    by_members = jackknife(joint.limit, [[refit["E"] for refit in group] for group in refits])
    (low, high), (law_low, law_high) = joint.model_interval, joint.interval
    wider = replace(
        by_members,
        low=min(low, by_members.low),
        high=max(high, by_members.high),
        if_law_holds=(min(law_low, by_members.low), max(law_high, by_members.high)),
    )
    return wider if joint.identified else unbounded(wider)


def _nested(table: pd.DataFrame, first: str, second: str) -> float:
    """Return the limit in `first` at each value of `second`, then the limit of these in `second`.

    As in `scaling.joint_limit`, limits of zero are left out; NaN means that too few remain.
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
    """Return, for each width, `member_curve` without each of its members (the same columns)."""
    return {
        width: [
            member_curve(curves, width, left_out=member)
            for member in range(int(member_curve(curves, width)[K].max()))
        ]
        for width in widths
    }
