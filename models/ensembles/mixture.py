"""Learned mixtures: weights for any models whose probabilities of the same tokens are known.

A mixture gives token t the probability sum_i w_i p_i(t), with weights that sum to one. The weights
that minimise its loss on held-out tokens are found to the certified global optimum; Herel and
Mikolov (2023, arXiv 2312.03735) mix classical and neural models of different kinds in this way,
with weights fitted on validation text and evaluated on test text.

A table of log-probabilities is an array [models, tokens] in nats: row i holds what model i gave to
each true next token. Further axes are tokens too, so stacked `evaluate.gold_log_probs` are a table.
It is read in blocks and never copied, so it may be memory-mapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.ensembles.nonnegative import Derivatives, OptimumStatus, kkt_residual, minimise

BLOCK_VALUES = 2**17
"""Values of the table processed at a time, sized to fit a core's cache."""

LARGEST_LOG_PROB = 1e-3
"""Tolerance for rounding above zero; losses and probabilities exceed it and are rejected."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureFit:
    """Weights of a mixture, fitted to a table.

    Attributes:
        weights: weight of each model, summing to one; exactly zero where a model does not help.
        loss: loss of the mixture on the table it was fitted to, in nats per token.
        kkt_residual: largest violation of the first-order conditions, mean_t p_i / p_mixture = 1
            where w_i > 0 and <= 1 elsewhere. No weights can lower the loss by more than this.
        n_iterations: Newton steps taken.
        n_tokens: tokens in the table.
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

    def log_probs(self, log_probs: ArrayLike) -> np.ndarray:
        """Return another table [models, ...] of the same models mixed, see `mixture_log_probs`."""
        return mixture_log_probs(log_probs, self.weights)

    def loss_on(self, log_probs: ArrayLike) -> float:
        """Return the loss on another table [models, ...] of the same models, see `mixture_loss`."""
        return mixture_loss(log_probs, self.weights)


def fit_mixture_weights(
    log_probs: ArrayLike, *, tolerance: float = 1e-9, max_iterations: int = 200
) -> MixtureFit:
    """Return the weights that minimise the loss of a mixture: the global optimum, with certificate.

    The loss -mean_t log sum_i w_i p_i(t) is convex over the simplex. The constraint that the
    weights sum to one is replaced by adding sum_i w_i to the loss, whose optimum over non-negative
    weights sums to one.

    Args:
        log_probs: table [models, tokens] in nats; -inf for probability zero.
        tolerance: KKT residual at which the search ends.
        max_iterations: most Newton steps; about ten are usual.

    Raises:
        ValueError: a table without models or tokens, NaN, a positive log-probability, or a token
            to which every model gives probability zero (with its position).

    Source:
        Herel and Mikolov 2023, arXiv 2312.03735, for mixtures of classical and neural models.
    """
    table = _as_table(log_probs)
    best = _check(table)
    n_models, n_tokens = table.shape

    def penalised(weights: np.ndarray) -> Derivatives:
        nats, ratios, products = _derivatives(table, weights)
        return Derivatives(nats + weights.sum() - 1, 1 - ratios, products)

    start = np.full(n_models, 1 / n_models)
    found = minimise(penalised, start, tolerance=tolerance / 2, max_iterations=max_iterations)
    weights = found.weights / found.weights.sum()
    nats, ratios, _ = _derivatives(table, weights)
    residual = kkt_residual(weights, 1 - ratios)
    weights.setflags(write=False)
    return MixtureFit(
        weights=weights,
        loss=nats - best,
        kkt_residual=residual,
        n_iterations=found.n_iterations,
        n_tokens=n_tokens,
        status=OptimumStatus.OPTIMAL if residual <= tolerance else OptimumStatus.STOPPED,
    )


def mixture_log_probs(log_probs: ArrayLike, weights: ArrayLike) -> np.ndarray:
    """Return a table [models, ...] mixed with given weights [models].

    Returns:
        float64 log-probabilities [...], -inf where all models of positive weight give zero.

    Raises:
        ValueError: weights that are negative, do not sum to one, or are not one for each model.
    """
    table = _as_table(log_probs)
    chosen = _checked_weights(weights, len(table))
    parts = [shift + _log(chosen @ scaled) for scaled, shift in _blocks(table)]
    return np.concatenate(parts).reshape(np.shape(log_probs)[1:])


def mixture_loss(log_probs: ArrayLike, weights: ArrayLike) -> float:
    """Return the loss of a table [models, ...] mixed with weights [models], in nats per token.

    It is inf if a token has probability zero under all models of positive weight.

    Raises:
        ValueError: weights that are negative, do not sum to one, or are not one for each model.
    """
    table = _as_table(log_probs)
    chosen = _checked_weights(weights, len(table))
    total = sum(float((shift + _log(chosen @ scaled)).sum()) for scaled, shift in _blocks(table))
    return -total / table.shape[1]


def _as_table(log_probs: ArrayLike) -> np.ndarray:
    """View an array [models, ...] as [models, tokens]."""
    if isinstance(log_probs, list | tuple) and len({np.shape(row) for row in log_probs}) > 1:
        shapes = [np.shape(row) for row in log_probs]
        raise ValueError(f"every model must score the same tokens; the rows have shapes {shapes}")
    table = np.asarray(log_probs)
    if table.ndim < 2 or not table.size:
        raise ValueError(
            "log_probs must be [models, tokens] with at least one of each; "
            f"not of shape {table.shape}"
        )
    return table.reshape(len(table), -1)


def _check(table: np.ndarray) -> float:
    """Return the mean over tokens of the largest log-probability; raise if the table is invalid."""
    total, first = 0.0, 0
    for block in _slices(table):
        wrong = np.isnan(block) | (block > LARGEST_LOG_PROB)
        if wrong.any():
            model, token = np.argwhere(wrong)[0]
            raise ValueError(
                f"log_probs must be log-probabilities, at most 0; model {model} gives token "
                f"{first + token} {block[model, token]:g}"
            )
        largest = block.max(axis=0)
        if np.isneginf(largest).any():
            token = first + int(np.argmin(largest))
            raise ValueError(
                f"every model gives token {token} probability zero, so no mixture can score it"
            )
        total, first = total + float(largest.sum()), first + block.shape[1]
    return total / table.shape[1]


def _checked_weights(weights: ArrayLike, n_models: int) -> np.ndarray:
    chosen = np.asarray(weights, np.float64)
    good = chosen.shape == (n_models,) and (chosen >= 0).all() and abs(chosen.sum() - 1) < 1e-6
    if not good:
        raise ValueError(
            f"weights must be {n_models} numbers >= 0 that sum to 1, one for each model; "
            f"not {chosen.tolist()}"
        )
    return chosen


def _slices(table: np.ndarray) -> Iterator[np.ndarray]:
    """Yield float64 blocks of tokens [models, tokens of the block]."""
    width = max(1, BLOCK_VALUES // len(table))
    for first in range(0, table.shape[1], width):
        yield np.asarray(table[:, first : first + width], np.float64)


def _blocks(table: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield probabilities relative to the token's largest [models, b], and its logarithm [b]."""
    for block in _slices(table):
        shift = block.max(axis=0)
        shift[np.isneginf(shift)] = 0.0
        yield np.exp(block - shift), shift


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):  # probability zero gives -inf
        return np.log(values)


def _derivatives(table: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the loss beyond the tokens' largest log-probabilities, and its derivatives.

    With a_i = p_i / p_mixture at each token: minus the gradient, mean a_i [models], and the
    Hessian, mean a_i a_j [models, models]. The loss is inf where a token has no probability.
    """
    n_models, n_tokens = table.shape
    nats, ratios, products = 0.0, np.zeros(n_models), np.zeros((n_models, n_models))
    for scaled, _ in _blocks(table):
        mixed = weights @ scaled
        if not (mixed > 0).all():
            return np.inf, ratios, products
        nats -= float(np.log(mixed).sum())
        scaled /= mixed
        ratios += scaled.sum(axis=1)
        products += scaled @ scaled.T
    return nats / n_tokens, ratios / n_tokens, products / n_tokens
