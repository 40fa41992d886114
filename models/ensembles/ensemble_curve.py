"""Loss against the number of members, with intervals over members.

The loss of K members is estimated by a mean over subsets of the same few members. Subsets overlap
and are not independent, so the unit that is resampled is the member. To first order, a subset's
loss is the mean of its members' influences (Hoeffding's projection, 1948): these are estimated by
least squares from the losses of the subsets, whatever subsets were scored, and the bootstrap draws
members with their influences. Resampling the members themselves would form ensembles that contain
a member twice, which are worse than any real one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

ENOUGH_DEGREES = 8
"""Degrees of freedom from which a size's own spread is used; fewer suffice for few members."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EnsembleCurve:
    """Mean loss of ensembles of each size.

    Attributes:
        n_members: sizes K [n_sizes], ascending.
        loss: mean over the subsets of each size [n_sizes], in nats per token.
        low: lower end of the interval [n_sizes]; -inf if a single member leaves it unknown.
        high: upper end of the interval [n_sizes]; inf likewise.
        n_subsets: subsets averaged for each size [n_sizes].
        draws: bootstrap curves [n_boot, n_sizes]; a row is one draw of the members for all sizes.
        level: confidence level of the interval.
    """

    n_members: np.ndarray
    loss: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_subsets: np.ndarray
    draws: np.ndarray
    level: float


def ensemble_curve(
    subsets: np.ndarray,
    losses: np.ndarray,
    *,
    level: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
) -> EnsembleCurve:
    """Return the mean loss of subsets of each size, with a bootstrap over members.

    The interval is for the mean loss of K members of this kind, not for the tokens they were scored
    on. Its quantiles are widened to Student's for the degrees of freedom of the influences. A size
    with few subsets, such as the one ensemble of all, shows little spread of its own: it takes the
    influences of the largest smaller size.

    Args:
        subsets: bool [S, M], see `ensemble.member_subsets` and `ensemble.block_subsets`.
        losses: loss of each subset [S] in nats per token.
        level: confidence level of the interval.
        n_boot: bootstrap draws of the members.
        seed: random seed of the draws.

    Raises:
        ValueError: a subset without members, losses of another length or not finite, or a level
            outside (0, 1).

    Source:
        Hoeffding 1948, Ann. Math. Stat. 19, 293.
    """
    subsets, losses = np.asarray(subsets, bool), np.asarray(losses, np.float64)
    if subsets.ndim != 2 or losses.shape != subsets.shape[:1] or not subsets.any(axis=1).all():
        raise ValueError(
            "subsets must be bool [S, M] with a member in each and losses [S]; "
            f"not of shapes {subsets.shape} and {losses.shape}"
        )
    if not np.isfinite(losses).all():
        raise ValueError(f"losses must be finite; subset {np.argmin(np.isfinite(losses))} is not")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; not {level!r}")
    n_pool = subsets.shape[1]
    sizes, n_subsets = np.unique(subsets.sum(axis=1), return_counts=True)
    of_size = [subsets.sum(axis=1) == size for size in sizes]
    means = np.array([losses[rows].mean() for rows in of_size])
    influences, degrees = np.full((len(sizes), n_pool), np.nan), np.ones(len(sizes))
    for i, rows in enumerate(of_size):
        found = _influences(subsets[rows], losses[rows])
        influences[i], degrees[i] = found or (influences[i - 1], degrees[i - 1])
    drawn = np.random.default_rng(seed).multinomial(n_pool, np.full(n_pool, 1 / n_pool), n_boot)
    spread = influences @ (drawn.T / n_pool)
    tail = (1 - level) / 2
    widen = stdtrit(degrees, tail) / ndtri(tail)
    low, high = widen * np.quantile(spread, [tail, 1 - tail], axis=1)
    known = np.isfinite(low)
    return EnsembleCurve(
        n_members=sizes,
        loss=means,
        low=np.where(known, means + low, -np.inf),
        high=np.where(known, means + high, np.inf),
        n_subsets=n_subsets,
        draws=means + spread.T,
        level=level,
    )


def _influences(subsets: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Estimate each member's influence on the loss of subsets of one size.

    Least squares of: loss = mean + average of the influences of the subset's members, the shortest
    solution. Influences of unit variance that are independent give the losses' squared deviations
    an expectation that follows from the subsets alone; scaling the squared influences by observed
    over expected makes their variance unbiased, however many subsets there are.

    Returns:
        Influences [M] and their degrees of freedom; None where the subsets leave too few.
    """
    share = subsets / subsets.sum(axis=1, keepdims=True)
    overlap = share @ share.T
    expected = float(np.trace(overlap) - overlap.mean() * len(subsets))
    deviations = losses - losses.mean()
    influences, _, rank, _ = np.linalg.lstsq(share - share.mean(axis=0), deviations, rcond=1e-9)
    if rank < max(1, min(subsets.shape[1] - 1, ENOUGH_DEGREES)):
        return None
    size = float((influences**2).mean())
    scale = float((deviations**2).sum()) / expected
    return influences * np.sqrt(scale / size) if size > 0 else influences, int(rank)
