"""Average the predictions of several models, and score every subset of them in one pass.

Two averages of K members with weights w_i, 1/K unless learned (all in nats):

- `logit`: log p = sum_i w_i log p_i - log Z, the normalised geometric mean. Up to a constant per
  position this is the average of the logits (Kim et al. 2025, arXiv 2509.14786).
- `probability`: p = sum_i w_i p_i, the mixture.

Weights are learned on validation windows by `mixture.fit_mixture_weights` of a `gold_table` or by
`logit_weights.fit_logit_weights`. Memory is bounded, see `member_stream`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from models.ensembles.member_stream import (
    DEFAULT_MEMORY,
    MemberLike,
    averaged_scores,
    check_windows,
    checked_members,
    gold_rows,
)
from models.ensembles.mixture import mixture_loss
from models.training.diffusion import subset_bounds

Average = Literal["logit", "probability"]
AVERAGES: tuple[Average, ...] = get_args(Average)

FEW_SUBSETS = 100_000
"""Most subsets of one size that are enumerated to draw from."""


def average_log_probs(
    log_probs: jax.Array, how: Average = "logit", *, weights: ArrayLike | None = None
) -> jax.Array:
    """Return members' log-probabilities combined into one prediction [..., vocab].

    Args:
        log_probs: predictions of the members [K, ..., vocab], in nats.
        how: one of AVERAGES.
        weights: weight of each member [K] (default: equal), see `member_weights`.

    Raises:
        ValueError: `how` is not one of AVERAGES, or it does not allow these weights.
    """
    w = jnp.asarray(member_weights(len(log_probs), how, weights), jnp.float32)
    if how == "logit":
        return jax.nn.log_softmax(jnp.tensordot(w, log_probs, axes=1), axis=-1)
    # Averaging probabilities directly can underflow for overfitted members.
    shape = (-1,) + (1,) * (log_probs.ndim - 1)
    return jax.nn.logsumexp(log_probs, axis=0, b=w.reshape(shape))


def member_weights(
    n_members: int, how: Average = "logit", weights: ArrayLike | None = None
) -> np.ndarray:
    """Return the weights of an average, float64 [n_members]; equal ones unless given.

    Args:
        n_members: number of members.
        how: one of AVERAGES.
        weights: weight of each member [n_members].

    Raises:
        ValueError: `how` is not one of AVERAGES, or the weights are not one number >= 0 for each
            member, with at least one positive. Those of a probability average must sum to one; the
            sum of a logit average's is an inverse temperature.
    """
    if how not in AVERAGES:
        raise ValueError(f"how must be one of {AVERAGES}; not {how!r}")
    if weights is None:
        return np.full(n_members, 1 / n_members)
    w = np.asarray(weights, np.float64)
    good = w.shape == (n_members,) and bool(np.isfinite(w).all() and (w >= 0).all() and w.any())
    if not good or (how == "probability" and abs(w.sum() - 1) > 1e-6):
        also = " that sum to 1" if how == "probability" else ", not all 0"
        raise ValueError(f"weights must be {n_members} numbers >= 0{also}; not {w.tolist()}")
    return w


def member_subsets(n_members: int, *, most_per_size: int = 20, seed: int = 0) -> np.ndarray:
    """Return subsets of the members, of every size from 1 to `n_members`.

    All subsets of a size are taken if there are at most `most_per_size`, otherwise that many are
    drawn without replacement.

    Args:
        n_members: number of members.
        most_per_size: most subsets of one size.
        seed: random seed of the draws.

    Returns:
        bool array [n_subsets, n_members], sizes ascending.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for size in range(1, n_members + 1):
        for subset in _subsets_of_size(n_members, size, most_per_size, rng):
            rows.append(np.isin(np.arange(n_members), subset))
    return np.array(rows)


def _subsets_of_size(
    n_members: int, size: int, most: int, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    n_subsets = math.comb(n_members, size)
    if n_subsets > max(most, FEW_SUBSETS):  # duplicates are rare, so they are redrawn
        drawn: set[tuple[int, ...]] = set()
        while len(drawn) < most:
            drawn.add(tuple(sorted(rng.choice(n_members, size, replace=False).tolist())))
        return sorted(drawn)
    subsets = list(itertools.combinations(range(n_members), size))
    if n_subsets <= most:
        return subsets
    return [subsets[i] for i in sorted(rng.choice(n_subsets, most, replace=False))]


def block_subsets(n_members: int) -> np.ndarray:
    """Return subsets for a curve over many members: adjacent blocks of 1, 2, 4, 8 ...

    Members are taken as exchangeable. Blocks of a size do not overlap, and the last subset is the
    ensemble of all. Scoring them takes one pass over the members and one running sum per size,
    while random subsets would need nearly all sums at once.

    Returns:
        bool array [n_subsets, n_members], sizes ascending.
    """
    sizes = [2**i for i in range(n_members.bit_length())]
    rows = [
        (first <= np.arange(n_members)) & (np.arange(n_members) < first + size)
        for size in sizes
        for first in range(0, n_members - size + 1, size)
    ]
    if sizes[-1] != n_members:
        rows.append(np.ones(n_members, bool))
    return np.array(rows)


def subset_losses(
    members: Sequence[MemberLike],
    windows: np.ndarray,
    subsets: np.ndarray,
    *,
    memory: int = DEFAULT_MEMORY,
) -> Mapping[Average, np.ndarray]:
    """Return the loss of every subset of the members on held-out windows.

    Args:
        members: the M members, of one tokenizer, vocabulary and context: pairs of architecture and
            weights, or `Member` to load weights only when needed.
        windows: held-out windows [n_windows, positions + 1].
        subsets: bool [S, M], see `member_subsets` and `block_subsets`.
        memory: most bytes of predictions held at once.

    Returns:
        For each average, the loss of each subset [S] in nats per token; of masked diffusion models,
        the bound on it.

    Raises:
        ValueError: members that cannot be averaged, subsets of another shape, windows with ids
            outside the vocabulary, or too little memory for one window.
    """
    pool = checked_members(members)
    check_windows(windows, pool[0].model)
    chosen = _checked_subsets(subsets, len(pool))
    if pool[0].model.is_diffusion:
        bounds = subset_bounds([(one.model, one.load()) for one in pool], windows, chosen)
        return {how: bounds[how] for how in AVERAGES}
    weights = chosen / chosen.sum(axis=1, keepdims=True)
    totals = {how: np.zeros(len(weights)) for how in AVERAGES}
    for scores in averaged_scores(pool, windows, weights, memory=memory):
        gold = scores.gold.astype(np.float64)
        n_tokens = gold.shape[1]
        totals["logit"] += scores.log_normalisers.sum(axis=1, dtype=np.float64)
        totals["logit"] -= weights @ gold.sum(axis=1)
        totals["probability"] += [
            n_tokens * mixture_loss(gold[rows], row[rows])
            for rows, row in zip(chosen, weights, strict=True)
        ]
    n_tokens = windows.shape[0] * (windows.shape[1] - 1)
    return {how: total / n_tokens for how, total in totals.items()}


def gold_table(
    members: Sequence[MemberLike], windows: np.ndarray, *, memory: int = DEFAULT_MEMORY
) -> np.ndarray:
    """Return every member's log-probabilities of the true tokens, loading each member once.

    Rows of other models that score the same tokens may be appended, such as
    `NgramModel.log_probs(windows).ravel()`.

    Args:
        members: the M members, as for `subset_losses`.
        windows: held-out windows [n_windows, positions + 1].
        memory: most bytes of predictions held at once.

    Returns:
        float32 table [M, n_windows * positions] in nats.

    Raises:
        ValueError: as `subset_losses`.
    """
    pool = checked_members(members)
    check_windows(windows, pool[0].model)
    table = np.empty((len(pool), windows[:, 1:].size), np.float32)
    for row, scores in zip(table, gold_rows(pool, windows, memory=memory), strict=True):
        row[:] = scores
    return table


def ensemble_log_probs(
    members: Sequence[MemberLike],
    windows: np.ndarray,
    *,
    how: Average = "logit",
    weights: ArrayLike | None = None,
    memory: int = DEFAULT_MEMORY,
) -> np.ndarray:
    """Return an ensemble's log-probability of every true next token.

    Args:
        members: as for `subset_losses`.
        windows: held-out windows [n_windows, positions + 1].
        how: one of AVERAGES.
        weights: weight of each member [M] (default: equal), see `member_weights`.
        memory: most bytes of predictions held at once.

    Returns:
        float32 array [n_windows, positions] in nats, as `evaluate.gold_log_probs`.

    Raises:
        ValueError: as `subset_losses`, an unknown average, or weights that it does not allow.
    """
    pool = checked_members(members)
    check_windows(windows, pool[0].model)
    w = member_weights(len(pool), how, weights)
    pool, w = [member for member, x in zip(pool, w, strict=True) if x > 0], w[w > 0]
    if how == "logit":
        pieces = averaged_scores(pool, windows, w[None], memory=memory)
        found = np.concatenate([w @ gold - normalisers[0] for gold, normalisers in pieces])
    else:
        found = np.full(windows[:, 1:].size, -np.inf)
        for x, row in zip(w, gold_rows(pool, windows, memory=memory), strict=True):
            np.logaddexp(found, np.log(x) + row, out=found)
    return found.astype(np.float32).reshape(len(windows), -1)


def _checked_subsets(subsets: np.ndarray, n_members: int) -> np.ndarray:
    chosen = np.asarray(subsets, bool)
    if chosen.ndim != 2 or chosen.shape[1] != n_members or not chosen.any(axis=1).all():
        raise ValueError(
            f"subsets must be bool [n_subsets, {n_members}] with a member in each; "
            f"not of shape {chosen.shape}"
        )
    return chosen
