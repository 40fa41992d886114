"""The laws of Part 1 and their limits, with intervals that account for shared members.

The losses of ensembles of K members are means over subsets of the same few members, so they are not
independent. Members are therefore the unit of resampling: every limit is refitted with one member
left out at a time (delete-one jackknife; members of different sizes are independent).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from experiments.analysis.intervals import Estimate, jackknife, unbounded
from scaling import FitResult, LimitResult, fit_law, joint_limit
from scaling.fit import best_parameters, best_parameters_of_each
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

    Each is fitted when it is first read: a figure reads few of them.

    Attributes:
        best: tuned single models, a row per seed with columns `width`, `n_params_non_embedding` and
            `test_loss`.
        curves: `Ensembles.curves`; only members tuned for the ensemble are used.
    """

    best: pd.DataFrame
    curves: pd.DataFrame

    @cached_property
    def single(self) -> FitResult:
        """Loss of the tuned single model against size, fitted to one row per seed."""
        return fit_law(self.best, "power", x=N, y=LOSS, n_boot=N_BOOT)

    @cached_property
    def single_limit(self) -> Estimate:
        """Its limit, with the interval whatever smooth decreasing law holds."""
        return _limit_of(self.single, int(self.best.groupby("width").size().min()))

    @cached_property
    def tables(self) -> dict[int, pd.DataFrame]:
        """`member_curve` of each width: a row per number of members, the same columns."""
        tuned = self.curves.loc[self.curves["chosen_for"] == "ensemble", "width"]
        return {width: member_curve(self.curves, width) for width in sorted({*map(int, tuned)})}

    @cached_property
    def left_out(self) -> dict[int, list[pd.DataFrame]]:
        """`member_curve` of each width without each of its members, the same columns."""
        return leave_one_out(self.curves, self.tables)

    @property
    def ensemble_table(self) -> pd.DataFrame:
        """`member_curve` of all widths: a row per width and number of members, the same columns."""
        return pd.concat(self.tables.values(), ignore_index=True)

    @cached_property
    def ensembles(self) -> dict[int, FitResult]:
        """Loss against the number of members, by width, fitted to means over subsets."""
        return {
            width: fit_law(table, "power", x=K, y=LOSS, loss=ROW_LOSS, n_boot=0)
            for width, table in self.tables.items()
        }

    @cached_property
    def refits(self) -> dict[int, list[dict[str, float]]]:
        """Parameters of the law of members, by width, without each member."""
        return {
            width: parameters_of_each(parts, "power", [K]) for width, parts in self.left_out.items()
        }

    @property
    def limits(self) -> dict[int, Estimate]:
        """Limit of infinitely many members, by width, with the jackknife over members."""
        return self._with_jackknife("E")

    @property
    def exponents(self) -> dict[int, Estimate]:
        """Exponent of 1/K, by width, with the jackknife over members."""
        return self._with_jackknife("alpha")

    def _with_jackknife(self, name: str) -> dict[int, Estimate]:
        found = {}
        for width, fit in self.ensembles.items():
            replicates = [refit[name] for refit in self.refits[width]]
            spread = jackknife(fit.params[name], [replicates])
            found[width] = spread if fit.status.usable else unbounded(spread)
        return found

    @cached_property
    def joint(self) -> LimitResult:
        """The joint fit over sizes and members, with both nested orders of limits."""
        # The jackknife over members, and not the scatter of the few sizes, gives the errors that
        # means over subsets have in common. Its refits hold the exponent of K at 1, so the fit does
        # too.
        return joint_limit(
            self.ensemble_table, params=N, members=K, y=LOSS, loss=ROW_LOSS,
            shared_members="independent", fixed={"gamma": 1.0},
        )  # fmt: skip

    @cached_property
    def joint_refits(self) -> list[list[dict[str, float]]]:
        """Parameters of the joint law without each member, grouped by width."""
        return [
            parameters_of_each(tables, "ensemble", [N, K])
            for tables in without_each(self.tables, self.left_out)
        ]

    @cached_property
    def joint_limit(self) -> Estimate:
        """Its limit, with the wider one of the interval of the fit and the jackknife."""
        return _joint_limit(self.joint, self.joint_refits)

    @cached_property
    def nested_gap(self) -> Estimate:
        """Limit in members first minus limit in parameters first, with the jackknife over members.

        The interval is unbounded if one of the two has no asymptote, i.e. a limit of zero.
        """
        first, second = self.joint.members_first, self.joint.params_first
        value = float(first - second)
        if not min(first, second) > 0:
            return Estimate(value=value, low=-np.inf, high=np.inf, n=0)
        tables = [one for group in without_each(self.tables, self.left_out) for one in group]
        gaps = iter(np.subtract(_nested(tables, K, N), _nested(tables, N, K)).tolist())
        replicates = [list(itertools.islice(gaps, len(of))) for of in self.left_out.values()]
        if not all(np.isfinite(group).all() for group in replicates):
            return Estimate(value=value, low=-np.inf, high=np.inf, n=0)
        return jackknife(value, replicates)


def parameters_of_each(
    tables: Sequence[pd.DataFrame], law: str, x: Sequence[str], y: str = LOSS
) -> list[dict[str, float]]:
    """Return the parameters of a law on each of several tables.

    Those of the same rows are fitted at once, and equal ones only once.

    Args:
        tables: with columns `x` and `y`.
        law: a name in `scaling.LAWS`.
        x: columns of the law in its order.
        y: column of the losses.
    """
    rows = [table[[*x]].to_numpy(float) for table in tables]
    losses = [table[y].to_numpy(float) for table in tables]
    keys = [(of.tobytes(), values.tobytes()) for of, values in zip(rows, losses, strict=True)]
    found: dict[tuple[bytes, bytes], dict[str, float]] = {}
    for design in dict.fromkeys(design for design, _ in keys):
        at = {key: place for place, key in enumerate(keys) if key[0] == design}
        first, *_ = at.values()
        columns = dict(zip(x, rows[first].T, strict=True))
        laws = best_parameters_of_each(
            columns, law, x=[*x], losses=[losses[place] for place in at.values()], loss=ROW_LOSS
        )
        found |= zip(at, laws, strict=True)
    return [found[key] for key in keys]


def predicted_largest(best: pd.DataFrame) -> Estimate:
    """Return the loss that the law of all sizes but the largest predicts for the largest.

    The law is fitted to mean losses. Its prediction has the error that the means have from their
    seeds: each mean in turn is moved by its standard error. The degrees of freedom are those of
    Welch and Satterthwaite. The interval is unbounded with fewer than three smaller sizes or two
    seeds.

    Args:
        best: as in `Laws`.
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


def _nested(tables: Sequence[pd.DataFrame], first: str, second: str) -> list[float]:
    """Return the limit in `first` at each value of `second`, then the limit of these in `second`.

    As in `scaling.joint_limit`, limits of zero are left out; NaN means that too few remain.

    Args:
        tables: `member_curve` of all widths, each of which gives one value.
        first: column of the first limit.
        second: column of the second one.
    """
    parts = [
        (place, value, part)
        for place, table in enumerate(tables)
        for value, part in table.groupby(second)
        if part[first].nunique() >= 3
    ]
    laws = parameters_of_each([part for *_, part in parts], "power", [first])
    limits = pd.DataFrame(
        [(place, value, law["E"]) for (place, value, _), law in zip(parts, laws, strict=True)],
        columns=["table", second, "limit"],
    )
    found = np.full(len(tables), np.nan)
    asymptotes = {
        place: asymptotes_among(of, losses=tables[int(str(place))][LOSS])
        for place, of in limits.groupby("table")
    }
    enough = [place for place, of in asymptotes.items() if len(of) >= 3]
    laws = parameters_of_each([asymptotes[place] for place in enough], "power", [second], "limit")
    found[enough] = [law["E"] for law in laws]
    return found.tolist()


def leave_one_out(curves: pd.DataFrame, widths: Iterable[int]) -> dict[int, list[pd.DataFrame]]:
    """Return, for each width, `member_curve` without each of its members (the same columns)."""
    return {
        width: [
            member_curve(curves, width, left_out=member)
            for member in range(int(member_curve(curves, width)[K].max()))
        ]
        for width in widths
    }
