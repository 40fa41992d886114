"""Estimates of the loss of infinitely many members from a few, with a value for each member."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd


def limit_estimate(scores: pd.DataFrame, column: str = "validation_loss") -> float:
    """Return an estimate of the loss of infinitely many members, logits averaged.

    If L(K) = E + B / K, then E = (K L(K) - L(1)) / (K - 1). Only tuning uses this estimate;
    reported limits are fitted with a free exponent.
    """
    return _limit(*_logit(scores, column)[:2])


def _logit(scores: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sizes [n], losses [n] and members [n] (as text) of subsets, logits averaged.

    Arrays, because a search asks for hundreds of estimates and selecting rows of a frame is slow.
    """
    is_logit = scores["average"].to_numpy() == "logit"
    names, kinds = (column, "n_members", "members"), (float, int, object)
    losses, sizes, members = (
        scores[name].to_numpy(kind)[is_logit] for name, kind in zip(names, kinds, strict=True)
    )
    return sizes, losses, members


@cache
def _without(members: tuple[str, ...], n_members: int) -> np.ndarray:
    """Return whether each subset lacks each member, bool [n_members, n]."""
    subsets = [of.split(",") for of in members]
    return np.array([[str(i) not in of for of in subsets] for i in range(n_members)])


def _limit(sizes: np.ndarray, losses: np.ndarray) -> float:
    most = int(sizes.max())
    return float((most * losses[sizes == most].mean() - losses[sizes == 1].mean()) / (most - 1))


def limit_by_member(scores: pd.DataFrame, column: str = "validation_loss") -> list[float]:
    """Return one value per member whose mean is `limit_estimate`.

    The value of member i is estimate + (n - 1) * (mean of the estimates without one member -
    estimate without i), as in the jackknife, so that the spread of the values gives the standard
    error of the estimate. With two members, there is a single value, because one member is too few
    for an estimate.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 11.
    """
    sizes, losses, members = _logit(scores, column)
    estimate = _limit(sizes, losses)
    n_members = int(scores["n_members"].max())
    if n_members < 3 or not math.isfinite(estimate):
        return [estimate] * (1 if n_members < 3 else n_members)
    lacks = _without(tuple(members), n_members)
    without = np.array([_limit(sizes[lack], losses[lack]) for lack in lacks])
    return list(estimate + (n_members - 1) * (without.mean() - without))


def loss_by_member(
    scores: pd.DataFrame, n_members: int, column: str = "validation_loss"
) -> list[float]:
    """Return one value per member whose mean is the loss of ensembles of `n_members`.

    The values are those of the jackknife, as in `limit_by_member`. The ensemble of all members is
    undefined without one of them, so its values have the spread of the next smaller size.

    Args:
        scores: a row per subset, with columns `average`, `members`, `n_members` and `column`.
        n_members: size of the ensembles.
        column: loss to use.
    """
    sizes, losses, members = _logit(scores, column)
    n_all = int(sizes.max())
    mean = _mean(losses[sizes == n_members])
    of_size = sizes == min(n_members, n_all - 1)
    if not of_size.any() or not math.isfinite(mean):
        return [mean] * n_all
    lacks = _without(tuple(members), n_all)
    without = np.array([_mean(losses[of_size & lack]) for lack in lacks])
    return list(mean + (n_all - 1) * (without.mean() - without))


def _mean(losses: np.ndarray) -> float:
    """Return the mean of those that are known, NaN if none is."""
    known = losses[~np.isnan(losses)]
    return float(known.mean()) if len(known) else math.nan


def predicted_loss(losses: Mapping[int, float], n_members: int) -> float:
    """Return the loss of K members that E + B / K through the losses of one and two gives.

    Args:
        losses: mean loss by number of members, with 1 and 2.
        n_members: K.
    """
    return losses[1] - 2 * (1 - 1 / n_members) * (losses[1] - losses[2])


def exponent_of(losses: Mapping[int, float], n_members: int) -> float:
    """Return the exponent of E + B / K^alpha through the losses of 1, 2 and K > 2 members.

    Where every mean is over all subsets of a pool of at least K + 2 members, it is also the mean
    over all ways to take the pair and the K apart, so that the K share no member with the pair.

    Args:
        losses: mean loss by number of members, with 1, 2 and K.
        n_members: K.

    Returns:
        The exponent, or NaN if no exponent between 0.001 and 20 fits: if the loss does not fall at
        both steps, or falls more from 2 to K than the logarithm of K does.
    """

    def excess(alpha: float) -> float:
        first, last = 1 - 2**-alpha, 2**-alpha - n_members**-alpha
        return float(first * (losses[2] - losses[n_members]) - last * (losses[1] - losses[2]))

    falls = losses[1] > losses[2] > losses[n_members]
    if not falls or excess(1e-3) * excess(20.0) >= 0:
        return math.nan
    from scipy.optimize import brentq  # takes a third of a second to import

    return float(brentq(excess, 1e-3, 20.0))
