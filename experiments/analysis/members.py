"""The loss of infinitely many members, and its error, from a few members."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def limit_estimate(scores: pd.DataFrame, column: str = "validation_loss") -> float:
    """Estimate the loss of infinitely many members from a few, logits averaged.

    Where L(K) = E + B / K, E = (K L(K) - L(1)) / (K - 1). Only tuning uses this: limits
    that are reported are fitted with a free exponent.
    """
    logit = scores[scores["average"] == "logit"].groupby("n_members")[column].mean()
    most = int(logit.index.max())
    return float((most * logit[most] - logit[1]) / (most - 1))


def limit_by_member(scores: pd.DataFrame, column: str = "validation_loss") -> list[float]:
    """Split `limit_estimate` into a value for each member; their mean is the estimate.

    Member i stands for estimate + (n - 1) * (mean of the estimates without one member - estimate
    without i): the jackknife's values, whose spread between members is that of the estimate's error
    (Efron and Tibshirani 1993, chapter 11). Two members, without one of which nothing can be
    estimated, have one value.
    """
    estimate = limit_estimate(scores, column)
    n_members = int(scores["n_members"].max())
    if n_members < 3 or not math.isfinite(estimate):
        return [estimate] * (1 if n_members < 3 else n_members)
    without = np.array(
        [
            limit_estimate(
                scores[[str(i) not in of.split(",") for of in scores["members"]]], column
            )
            for i in range(n_members)
        ]
    )
    return list(estimate + (n_members - 1) * (without.mean() - without))


def loss_by_member(
    scores: pd.DataFrame, n_members: int, column: str = "validation_loss"
) -> list[float]:
    """Split the mean loss of ensembles of `n_members` into a value for each member, as above.

    Of the one ensemble of all members nothing is left without one of them: its values spread as
    those of the next smaller size.
    """
    logit = scores[scores["average"] == "logit"]
    n_all = int(logit["n_members"].max())
    mean = float(logit.loc[logit["n_members"] == n_members, column].mean())
    of_size = logit[logit["n_members"] == min(n_members, n_all - 1)]
    if of_size.empty or not math.isfinite(mean):
        return [mean] * n_all
    without = np.array(
        [
            of_size.loc[[str(i) not in of.split(",") for of in of_size["members"]], column].mean()
            for i in range(n_all)
        ]
    )
    return list(mean + (n_all - 1) * (without.mean() - without))
