"""One large model against several small ones with as many parameters in all.

An ensemble of K members of N parameters is compared with one tuned model of K x N. K is rarely a
whole number: the loss of the ensemble is then read between the two nearest, on a straight line in
1 / K, as its law has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.analysis import intervals
from experiments.analysis.intervals import Estimate
from experiments.recipes.ensembles import Ensembles
from experiments.recipes.regularized import Regularized
from models.ensembles.ensemble_curve import EnsembleCurve, ensemble_curve

COUNTS = ("n_params", "n_params_non_embedding")
"""All weights, or those of the blocks alone, which leave out what small models have most of."""


@dataclass(frozen=True, kw_only=True)
class EqualSize:
    """A comparison at equal size.

    Attributes:
        large: width of the one model.
        small: width of the members.
        n_members: members that have as many parameters as the large model, a real number.
        one: test loss of the large model, interval over seeds.
        ensemble: test loss of the ensemble, interval over members.
    """

    large: int
    small: int
    n_members: float
    one: Estimate
    ensemble: Estimate

    @property
    def gain(self) -> Estimate:
        """Loss of the one model less that of the ensemble."""
        return intervals.gap(self.one, self.ensemble)


def compare(
    regularized: Regularized, ensembles: Ensembles, *, count: str = "n_params"
) -> list[EqualSize]:
    """Return a comparison of every pair of sizes for which enough members have been trained.

    Args:
        regularized: the tuned single models.
        ensembles: the tuned members, logits averaged.
        count: which parameters are counted, one of COUNTS.

    Raises:
        ValueError: another count.
    """
    if count not in COUNTS:
        raise ValueError(f"count must be one of {', '.join(COUNTS)}; not {count!r}")
    best = regularized.best
    sizes = best.groupby("width")[count].first()
    found = []
    for small in sorted(ensembles.tuned):
        curve = curve_of(ensembles.at(small, ensembles.tuned[small].point))
        for large in (width for width in sizes.index if width > small):
            n_members = float(sizes[large] / sizes[small])
            if n_members <= curve.n_members[-1]:
                losses = best.loc[best["width"] == large, "test_loss"].to_numpy()
                found.append(
                    EqualSize(
                        large=int(large),
                        small=small,
                        n_members=n_members,
                        one=intervals.mean_estimate(losses),
                        ensemble=_between(curve, n_members),
                    )
                )
    return found


def curve_of(scores: pd.DataFrame, column: str = "test_loss") -> EnsembleCurve:
    """Return the loss of a pool's ensembles against their number of members, logits averaged."""
    logit = scores[scores["average"] == "logit"]
    n_pool = int(logit["n_members"].max())
    subsets = np.array(
        [np.isin(np.arange(n_pool), [int(i) for i in of.split(",")]) for of in logit["members"]]
    )
    return ensemble_curve(subsets, logit[column].to_numpy())


def _between(curve: EnsembleCurve, n_members: float) -> Estimate:
    """Read a curve and its interval between two numbers of members."""
    at, known = -1 / n_members, -1 / curve.n_members
    value, low, high = (
        float(np.interp(at, known, part)) for part in (curve.loss, curve.low, curve.high)
    )
    return Estimate(value=value, low=low, high=high, n=int(curve.n_members[-1]))
