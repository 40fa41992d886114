"""Learned weights of a logit average: the log-linear pool of several models.

The average log p = sum_i w_i log p_i - log Z(w) is an exponential family in w, so its loss on
held-out tokens is convex: minus its gradient is the mean of log p_i of the true token minus its
expectation under p, and its Hessian the mean covariance of the log p_i under p (Heskes 1998,
"Selecting weighting factors in logarithmic opinion pools"). Weights are kept non-negative; their
sum is free, because it is an inverse temperature, and overfitted members need a sum below one.

Unlike a mixture's, the loss needs whole distributions, which are too large to store: each of about
six Newton steps runs all members over the windows again, and the members' predictions of one
window must fit into memory together. For many members, learn mixture weights instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from models.ensembles.member_stream import (
    DEFAULT_MEMORY,
    MemberLike,
    check_windows,
    checked_members,
    stacked_predictions,
)
from models.ensembles.nonnegative import Derivatives, OptimumStatus, minimise

SINGLE = 1e-7
"""Relative rounding of sums in single precision."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LogitFit:
    """Weights of a logit average, fitted to held-out windows.

    Attributes:
        weights: weight of each member [M], non-negative; zero if a member does not help.
        loss: loss of the average on the windows it was fitted to, in nats per token.
        kkt_residual: largest violation of the first-order conditions, in nats per unit of weight.
        n_iterations: Newton steps taken.
        n_tokens: tokens it was fitted to.
        status: whether the optimum is certified, as a sentence.
    """

    weights: np.ndarray
    loss: float
    kkt_residual: float
    n_iterations: int
    n_tokens: int
    status: OptimumStatus

    @property
    def converged(self) -> bool:
        """Whether the optimum is certified."""
        return self.status is OptimumStatus.OPTIMAL


def fit_logit_weights(
    members: Sequence[MemberLike],
    windows: np.ndarray,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 50,
    memory: int = DEFAULT_MEMORY,
) -> LogitFit:
    """Return the weights that minimise the loss of a logit average, the global optimum.

    Use them with `ensemble.ensemble_log_probs` or `average_log_probs`.

    Args:
        members: as for `ensemble.subset_losses`.
        windows: held-out windows [n_windows, positions + 1].
        tolerance: KKT residual at which the search ends; single precision allows about 1e-6.
        max_iterations: most Newton steps.
        memory: most bytes of predictions held at once.

    Raises:
        ValueError: as `ensemble.subset_losses`.

    Source:
        Heskes 1998, Selecting weighting factors in logarithmic opinion pools.
    """
    pool = checked_members(members)
    check_windows(windows, pool[0].model)
    n_tokens = windows[:, 1:].size

    def loss(weights: np.ndarray) -> Derivatives:
        value, gradient = 0.0, np.zeros(len(pool))
        hessian = np.zeros((len(pool), len(pool)))
        # The derivatives of a batch take three times the memory of its predictions.
        for batch in stacked_predictions(pool, windows, memory=memory // 4):
            terms = _derivatives(batch.log_probs, batch.windows[:, 1:], weights.astype(np.float32))
            nats, slope, curvature = (np.asarray(term, np.float64) for term in terms)
            value += float(nats.sum())
            gradient += slope.sum(axis=(1, 2))
            hessian += curvature
        return Derivatives(value / n_tokens, gradient / n_tokens, hessian / n_tokens)

    start = np.full(len(pool), 1 / len(pool))
    found = minimise(
        loss, start, tolerance=tolerance, max_iterations=max_iterations, rounding=SINGLE
    )
    found.weights.setflags(write=False)
    return LogitFit(
        weights=found.weights,
        loss=found.value,
        kkt_residual=found.kkt_residual,
        n_iterations=found.n_iterations,
        n_tokens=n_tokens,
        status=found.status,
    )


@jax.jit
def _derivatives(
    log_probs: list[jax.Array], targets: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the loss [B, T] and gradient [M, B, T] of each token and the summed Hessian [M, M].

    Covariances are taken about the expectations, to avoid cancellation.
    """
    stack = jnp.stack(log_probs)
    log_p = jax.nn.log_softmax(jnp.tensordot(weights, stack, axes=1), axis=-1)
    p = jnp.exp(log_p)
    expected = jnp.einsum("mbtv,btv->mbt", stack, p)
    gold = jnp.take_along_axis(stack, targets[None, ..., None], axis=-1)[..., 0]
    spread = (stack - expected[..., None]) * jnp.sqrt(p)
    hessian = jnp.einsum("mbtv,kbtv->mk", spread, spread)
    nats = -jnp.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
    return nats, expected - gold, hessian
