"""The laws of a story and the limits they imply, with intervals that respect shared members.

The K-curves of an ensemble are means over subsets of the same few members, so their points are not
independent. The unit that is resampled is therefore the member: every limit is refitted with one
member left out at a time (delete-one jackknife, members of different sizes independent).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from experiments.ensembles import Ensembles
from experiments.intervals import Estimate, jackknife
from experiments.regularized import Regularized
from scaling import FitResult, LimitResult, fit_law, joint_limit

N = "n_params_non_embedding"
K = "n_members"
LOSS = "test_loss"
N_BOOT = 1000


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
        ensembles: loss against members at each width, means over subsets.
        limits: limit of infinitely many members at each width, jackknife over members.
        exponents: exponent of 1/K at each width, jackknife over members.
        joint: the joint fit over sizes and members, and both nested orders.
        joint_limit: its limit, with the wider of the fit's interval and the members' jackknife.
        ensemble_table: means over subsets for every width and number of members.
    """

    single: FitResult
    ensembles: Mapping[int, FitResult]
    limits: Mapping[int, Estimate]
    exponents: Mapping[int, Estimate]
    joint: LimitResult
    joint_limit: Estimate
    ensemble_table: pd.DataFrame

    @property
    def joint_is_identified(self) -> bool:
        """Tell whether the runs bound the joint limit from both sides."""
        return self.joint.identified and self.joint_limit.low > 0


def fit_laws(regularized: Regularized, ensembles: Ensembles) -> Laws:
    """Fit every law of Part 1 to the runs, test losses throughout."""
    best, curves = regularized.best, ensembles.curves
    single = fit_law(best, "power", x=N, y=LOSS, n_boot=N_BOOT)
    widths = sorted(ensembles.tuned)
    fits: dict[int, FitResult] = {}
    limits: dict[int, Estimate] = {}
    exponents: dict[int, Estimate] = {}
    left_out = {width: _leave_one_out(curves, width) for width in widths}
    tables = {width: member_curve(curves, width) for width in widths}
    for width, table in tables.items():
        fits[width] = _fit_members(table)
        refits = [_fit_members(part) for part in left_out[width]]
        for name, estimates in (("E", limits), ("alpha", exponents)):
            estimates[width] = jackknife(
                fits[width].params[name], [[fit.params[name] for fit in refits]]
            )
    everything = pd.concat(tables.values(), ignore_index=True)
    joint = joint_limit(everything, params=N, members=K, y=LOSS)
    replicates = [
        [
            fit_law(
                pd.concat([part, *(tables[w] for w in widths if w != width)]),
                "ensemble", x=[N, K], y=LOSS, n_boot=0,
            ).asymptote
            for part in left_out[width]
        ]
        for width in widths
    ]  # fmt: skip
    by_members = jackknife(joint.limit, replicates)
    low, high = joint.interval
    wider = Estimate(
        value=joint.limit,
        low=min(low, by_members.low),
        high=max(high, by_members.high),
        n=by_members.n,
    )
    return Laws(
        single=single,
        ensembles=fits,
        limits=limits,
        exponents=exponents,
        joint=joint,
        joint_limit=wider,
        ensemble_table=everything,
    )


def _fit_members(table: pd.DataFrame) -> FitResult:
    """Fit E + A / K^alpha to the means over subsets."""
    return fit_law(table, "power", x=K, y=LOSS, loss="squared_log", n_boot=0)


def _leave_one_out(curves: pd.DataFrame, width: int) -> list[pd.DataFrame]:
    """Return the K-curve of a width without each of its members in turn."""
    n_members = int(member_curve(curves, width)[K].max())
    return [member_curve(curves, width, left_out=member) for member in range(n_members)]
