"""Stream the predictions of many models over a text within a budget of memory.

A prediction is a distribution over the vocabulary: 128 members, a million tokens and 8,192 ids
would take 4.3 TB. The text is therefore read in chunks; each member's weights are loaded once per
chunk, one member at a time, and only the arrays that the averages need are held: either every
member's predictions (few members, many subsets) or the running sums of the incomplete subsets, in
the order of the members (many members, few subsets at a time).

At the full size with `ensemble.block_subsets` eight running sums are held, 32 KiB per token each.
With three working copies of the forward pass a budget of 1 GiB holds chunks of 2,816 tokens: every
member is loaded 356 times, which at 10M parameters reads 1.8 TB (from the page cache if they fit)
beside 2.6e15 floating-point operations. The gold tokens' log-probabilities of a chunk take 1.4 MB,
of the whole text (`ensemble.gold_table`) 512 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import NamedTuple

import jax
import numpy as np

from models.config import ModelConfig
from models.training.evaluate import BATCH_WINDOWS, all_log_probs, gold_log_probs
from models.training.train import Params

DEFAULT_MEMORY = 2**30
"""Default limit of bytes of predictions held at once, not counting the members' weights."""

WORKING_COPIES = 3
"""Arrays of a batch's predictions held while one is computed and added."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """A model of an ensemble, whose weights are loaded when they are needed.

    Attributes:
        model: architecture.
        load: returns the weights; called once for every chunk of the text.
        tokenizer: fingerprint of the tokenizer (sha256), if known.
    """

    model: ModelConfig
    load: Callable[[], Params]
    tokenizer: str | None = None


MemberLike = Member | tuple[ModelConfig, Params]
"""A member, or a pair of architecture and weights in memory."""


def checked_members(members: Sequence[MemberLike]) -> list[Member]:
    """Return members as `Member`, checked to be compatible.

    Raises:
        ValueError: no members, or members of different tokenizers, vocabularies or contexts.
    """
    found = [
        member
        if isinstance(member, Member)
        else Member(model=member[0], load=partial(_identity, member[1]))
        for member in members
    ]
    if not found:
        raise ValueError("an ensemble needs at least one member")
    if len({member.model.objective for member in found}) > 1:
        raise ValueError(
            "members must share one objective: next tokens and masked ones are other predictions"
        )
    kinds = {(member.model.vocab_size, member.model.context) for member in found}
    if len(kinds) != 1:
        raise ValueError(
            f"members must share one vocabulary size and context; these have {sorted(kinds)}"
        )
    check_tokenizers([member.tokenizer for member in found])
    return found


def check_tokenizers(fingerprints: Sequence[str | None]) -> None:
    """Check that members have one tokenizer; None stands for an unknown tokenizer.

    Raises:
        ValueError: two fingerprints differ.
    """
    first = next((i for i, name in enumerate(fingerprints) if name is not None), None)
    for i, name in enumerate(fingerprints):
        if first is not None and name not in (None, fingerprints[first]):
            raise ValueError(
                f"members must share one tokenizer; that of member {i} (sha256 {name}) is not "
                f"that of member {first} ({fingerprints[first]})"
            )


def check_windows(windows: np.ndarray, model: ModelConfig) -> None:
    """Check that windows are valid held-out text for a model.

    Raises:
        ValueError: windows not of shape [n_windows, positions + 1], longer than the context, or
            with ids outside the vocabulary.
    """
    if windows.ndim != 2 or not windows.size or windows.shape[1] < 2:
        raise ValueError(
            f"windows must be [n_windows, positions + 1] with a target in each; "
            f"not of shape {windows.shape}"
        )
    if windows.shape[1] - 1 > model.context:
        raise ValueError(
            f"windows have {windows.shape[1] - 1} positions, more than the members' "
            f"context {model.context}"
        )
    low, high = int(windows.min()), int(windows.max())
    if low < 0 or high >= model.vocab_size:
        raise ValueError(
            f"token ids must lie in the vocabulary, 0 to {model.vocab_size - 1}; "
            f"the windows hold {low if low < 0 else high}"
        )


class Batch(NamedTuple):
    """Windows [B, positions + 1] and every member's log-probabilities, M of [B, positions, V]."""

    windows: np.ndarray
    log_probs: list[jax.Array]


def stacked_predictions(
    members: Sequence[Member], windows: np.ndarray, *, memory: int = DEFAULT_MEMORY
) -> Iterator[Batch]:
    """Yield the predictions of all members together, batch by batch.

    Args:
        members: M models of one vocabulary.
        windows: held-out windows [n_windows, positions + 1].
        memory: most bytes of predictions held at once.

    Raises:
        ValueError: one window of all members does not fit the memory.
    """
    for batches in _chunks(members[0].model, windows, len(members), memory):
        held = [Batch(batch, []) for batch in batches]
        for member in members:
            params = member.load()
            for batch in held:
                batch.log_probs.append(all_log_probs(member.model, params, batch.windows))
            del params
        while held:
            yield held.pop(0)


class Scores(NamedTuple):
    """Scores of averages on n tokens.

    Attributes:
        gold: members' log-probabilities of the true tokens [M, n].
        log_normalisers: log sum_v exp(sum_i w_i log p_i(v)) for each average [R, n].
    """

    gold: np.ndarray
    log_normalisers: np.ndarray


def averaged_scores(
    members: Sequence[Member],
    windows: np.ndarray,
    weights: np.ndarray,
    *,
    memory: int = DEFAULT_MEMORY,
) -> Iterator[Scores]:
    """Yield scores of weighted averages of the members' log-probabilities, chunk by chunk.

    Args:
        members: M models of one vocabulary.
        windows: held-out windows [n_windows, positions + 1].
        weights: weights of each average [R, M].
        memory: most bytes of predictions held at once.

    Yields:
        Scores of consecutive tokens.

    Raises:
        ValueError: one window does not fit the memory.
    """
    if len(members) <= _most_alive(weights):
        yield from _scores_of_stacks(members, windows, weights, memory)
    else:
        yield from _scores_of_running_sums(members, windows, weights, memory)


def _scores_of_stacks(
    members: Sequence[Member], windows: np.ndarray, weights: np.ndarray, memory: int
) -> Iterator[Scores]:
    for batch in stacked_predictions(members, windows, memory=memory):
        gold = [_gold(log_probs, batch.windows[:, 1:]) for log_probs in batch.log_probs]
        normalisers = _log_normalisers(batch.log_probs, weights.astype(np.float32))
        yield Scores(_flat(gold), _flat(normalisers))


def _scores_of_running_sums(
    members: Sequence[Member], windows: np.ndarray, weights: np.ndarray, memory: int
) -> Iterator[Scores]:
    plan = _plan_sums(weights)
    for batches in _chunks(members[0].model, windows, _most_alive(weights), memory):
        gold: list[list[np.ndarray]] = [[] for _ in batches]
        normalisers = [np.empty((len(weights), batch[:, 1:].size), np.float32) for batch in batches]
        sums: list[dict[int, jax.Array]] = [{} for _ in batches]
        for m, member in enumerate(members):
            params = member.load()
            for b, batch in enumerate(batches):
                log_probs = all_log_probs(member.model, params, batch)
                gold[b].append(np.asarray(_gold(log_probs, batch[:, 1:])))
                _add_to(sums[b], plan.of_member[m], log_probs)
                for row in plan.ending[m]:
                    total = sums[b].pop(row)
                    normalisers[b][row] = np.asarray(_log_normaliser(total)).ravel()
                    _add_to(sums[b], plan.of_sum[row], total)
            del params
        for of_batch, normaliser in zip(gold, normalisers, strict=True):
            yield Scores(_flat(of_batch), normaliser)


Targets = list[tuple[int, np.float32]]
"""Averages that an array is added to, each with its factor."""


@dataclass(frozen=True, kw_only=True)
class _SumPlan:
    """How running sums are composed, members taken in order.

    A subset that consists of smaller ones is the sum of their sums, so that blocks of 2, 4, 8 ...
    members cost one addition each instead of one per member.

    Attributes:
        of_member: for each member, the averages that its predictions are added to.
        of_sum: for each average, the averages that it is added to when complete.
        ending: for each member, the averages that it completes, small ones first.
    """

    of_member: list[Targets]
    of_sum: list[Targets]
    ending: list[list[int]]


def _plan_sums(weights: np.ndarray) -> _SumPlan:
    n_averages, n_members = weights.shape
    plan = _SumPlan(
        of_member=[[] for _ in range(n_members)],
        of_sum=[[] for _ in range(n_averages)],
        ending=[[] for _ in range(n_members)],
    )
    used = weights != 0
    by_size = np.argsort(used.sum(axis=1), kind="stable")
    last = _last_members(weights)
    for at, row in enumerate(by_size.tolist()):
        left = used[row].copy()
        for part in by_size[:at][::-1].tolist():
            ratio = weights[row, used[part]] / weights[part, used[part]]
            if left[used[part]].all() and np.ptp(ratio) <= 1e-9 * abs(ratio[0]):
                plan.of_sum[part].append((row, np.float32(ratio[0])))
                left &= ~used[part]
        for member in np.flatnonzero(left).tolist():
            plan.of_member[member].append((row, np.float32(weights[row, member])))
        plan.ending[last[row]].append(row)
    return plan


def _add_to(sums: dict[int, jax.Array], targets: Targets, values: jax.Array) -> None:
    for row, factor in targets:
        before = sums.pop(row, None)
        sums[row] = _times(values, factor) if before is None else _add(before, values, factor)


def gold_rows(
    members: Sequence[Member], windows: np.ndarray, *, memory: int = DEFAULT_MEMORY
) -> Iterator[np.ndarray]:
    """Yield each member's log-probabilities of the true tokens, float32 [n_windows * positions].

    Args:
        members: M models of one vocabulary.
        windows: held-out windows [n_windows, positions + 1].
        memory: most bytes of predictions held at once.

    Raises:
        ValueError: one window does not fit the memory.
    """
    step = _batch_windows(members[0].model, windows.shape[1] - 1, 0, memory)
    for member in members:
        params = member.load()
        yield np.concatenate(
            [
                gold_log_probs(member.model, params, windows[first : first + step]).ravel()
                for first in range(0, len(windows), step)
            ]
        )
        del params


def _identity(params: Params) -> Params:
    return params


def _last_members(weights: np.ndarray) -> np.ndarray:
    """Return the last member of positive weight in each average [R]."""
    return weights.shape[1] - 1 - np.argmax(weights[:, ::-1] != 0, axis=1)


def _most_alive(weights: np.ndarray) -> int:
    """Return the largest number of running sums held at once, members taken in order."""
    first, last = np.argmax(weights != 0, axis=1), _last_members(weights)
    at = np.arange(weights.shape[1])[:, None]
    return int(((first <= at) & (at <= last)).sum(axis=1).max(initial=0))


def _batch_windows(model: ModelConfig, n_positions: int, n_held: int, memory: int) -> int:
    """Return how many windows are passed through a model together.

    Raises:
        ValueError: not even one window fits.
    """
    of_one = 4 * n_positions * model.vocab_size * (WORKING_COPIES + n_held)
    if of_one > memory:
        raise ValueError(
            f"one window of {n_positions} positions needs {of_one:,} bytes to hold {n_held} "
            f"predictions over {model.vocab_size:,} ids; memory is only {memory:,} bytes"
        )
    return min(memory // of_one, BATCH_WINDOWS)


def _chunks(
    model: ModelConfig, windows: np.ndarray, n_held: int, memory: int
) -> Iterator[list[np.ndarray]]:
    """Yield the batches of each chunk: windows of which `n_held` predictions fit in memory."""
    n_positions = windows.shape[1] - 1
    batch = _batch_windows(model, n_positions, n_held, memory)
    of_one = 4 * n_positions * model.vocab_size
    room = memory // of_one - WORKING_COPIES * batch
    chunk = max(batch, room // n_held // batch * batch)
    for first in range(0, len(windows), chunk):
        held = windows[first : first + chunk].astype(np.int32)
        yield [held[at : at + batch] for at in range(0, len(held), batch)]


def _flat(rows: Sequence[jax.Array | np.ndarray]) -> np.ndarray:
    return np.stack([np.asarray(row).ravel() for row in rows])


@jax.jit
def _gold(log_probs: jax.Array, targets: jax.Array) -> jax.Array:
    return jax.numpy.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]


@jax.jit
def _log_normalisers(log_probs: list[jax.Array], weights: jax.Array) -> jax.Array:
    """Return the log-normalisers [R, B, positions] of averages with weights [R, M]."""

    def of_one(weight: jax.Array) -> jax.Array:
        terms = [w * values for w, values in zip(weight, log_probs, strict=True)]
        return jax.nn.logsumexp(reduce(jax.numpy.add, terms), axis=-1)

    return jax.lax.map(of_one, weights)


@jax.jit
def _times(log_probs: jax.Array, weight: jax.Array) -> jax.Array:
    return weight * log_probs


@partial(jax.jit, donate_argnums=0)
def _add(total: jax.Array, log_probs: jax.Array, weight: jax.Array) -> jax.Array:
    return total + weight * log_probs


@jax.jit
def _log_normaliser(total: jax.Array) -> jax.Array:
    return jax.nn.logsumexp(total, axis=-1)
