"""The published laws that the planner uses, each with a range.

The reference is the data law of the standard recipe (Kim et al. 2025), L = E + (L0 - E) (D /
D0)^-alpha with L0 = 3.75 nats at D0 = 200M tokens. The paper finds the same E and alpha, within a
narrow range, for every recipe. The data multiplier of a recipe at D0 therefore holds at every D,
and its loss is that of the standard recipe with the multiplied data. No paper gives intervals. The
ranges here are the extremes over the published ranges of E and alpha, the rounding of printed
losses and, for a given size, two assumptions that bracket the published limits at four D: losses
depend on the size itself, or on its ratio to the data.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from experiments.planner.plan import Range
from scaling import MEMBER_LIMITS, PUBLISHED_FIGURES, data_multiplier
from scaling.fit import best_parameters
from scaling.published import talk
from scaling.published.figures import MEMBER_EPOCHS, PUBLISHED_TOKENS
from scaling.published.talk import BILLION

Number = TypeVar("Number", int, float)

HALF_DIGIT = 0.005
"""Rounding error of losses printed with two decimals."""
PUBLISHED_SIZES = tuple(BILLION * size for size in MEMBER_LIMITS["209M"])
PUBLISHED_STOCKS = (PUBLISHED_TOKENS, 8 * PUBLISHED_TOKENS)
"""The smallest and the largest published number of unique tokens."""


@dataclass(frozen=True, kw_only=True)
class DataLaw:
    """The data law that all recipes share.

    Attributes:
        asymptote: E, in nats per token.
        exponent: alpha.
    """

    asymptote: float
    exponent: float

    def at(self, loss: float, tokens: float) -> float:
        """Return the loss at a number of tokens, given that at 200M tokens."""
        scale = (tokens / PUBLISHED_TOKENS) ** -self.exponent
        return self.asymptote + (loss - self.asymptote) * scale


def data_laws() -> Iterator[DataLaw]:
    """Yield the printed law, then the corners of its published ranges."""
    asymptote = PUBLISHED_FIGURES["data_law_asymptote"]
    exponent = PUBLISHED_FIGURES["data_law_exponent"]
    yield DataLaw(asymptote=asymptote.value, exponent=exponent.value)
    for corner in itertools.product(asymptote.interval or (), exponent.interval or ()):
        yield DataLaw(asymptote=corner[0], exponent=corner[1])


def loss_at(tokens: float, loss: float, *others: float, rounding: float = HALF_DIGIT) -> Range:
    """Return the loss at a number of tokens, given that at 200M tokens.

    Args:
        tokens: number of unique tokens.
        loss: loss at 200M tokens.
        others: alternative values of it, for the range.
        rounding: rounding error of all of them.
    """
    readings = [one + step for one in (loss, *others) for step in (-rounding, 0.0, rounding)]
    values = [law.at(one, tokens) for law in data_laws() for one in readings]
    return Range.over(next(data_laws()).at(loss, tokens), values)


def multiplier_of(loss: float, *others: float, rounding: float = HALF_DIGIT) -> Range:
    """Return how many times more data the standard recipe needs for a loss at 200M tokens.

    Args:
        loss: loss at 200M tokens.
        others: alternative values of it, for the range.
        rounding: rounding error of all of them.
    """
    standard = PUBLISHED_FIGURES["standard_loss"].value
    values = [
        data_multiplier(standard + up, one + down, law.asymptote, law.exponent)
        for law in data_laws()
        for one in (loss, *others)
        for up in (-HALF_DIGIT, HALF_DIGIT)
        for down in (-rounding, rounding)
    ]
    law = next(data_laws())
    value = data_multiplier(standard, loss, law.asymptote, law.exponent)
    return Range.over(value, values)


def training_flops(n_params: float, tokens: float, n_epochs: float, n_members: int = 1) -> float:
    """Return training FLOPs without attention, 6 N D per epoch and member.

    Args:
        n_params: parameters of a model, N.
        tokens: number of unique tokens, D.
        n_epochs: epochs over them.
        n_members: number of models.

    Source:
        Kaplan et al. 2020, arXiv 2001.08361.
    """
    return 6.0 * n_params * tokens * n_epochs * n_members


def member_epochs(n_params: float, tokens: float) -> int:
    """Return the epochs of a member: those of the nearest published size and stock (log scale)."""
    stocks = dict(zip((1, 2, 4, 8), MEMBER_EPOCHS.values(), strict=True))
    row = stocks[_nearest(tokens / PUBLISHED_TOKENS, stocks)]
    return row[_nearest(n_params / BILLION, row)]


def _nearest(value: float, allowed: Iterable[Number]) -> Number:
    return min(allowed, key=lambda one: abs(math.log(one / value)))


@cache
def member_limit_law() -> dict[str, float]:
    """Return E, A and alpha, fitted to the published limits of many members; N in billions."""
    limits = MEMBER_LIMITS["209M"]
    return best_parameters(None, "power", x=np.array([*limits]), y=np.array([*limits.values()]))


def member_misfit() -> float:
    """Return the largest residual of `member_limit_law`."""
    law = member_limit_law()
    return max(
        abs(law["E"] + law["A"] / size ** law["alpha"] - limit)
        for size, limit in MEMBER_LIMITS["209M"].items()
    )


def member_gain() -> Range:
    """Return B of L(K) = limit + B / K for 300M members, estimated at K = 1 and at K = 8."""
    limit = MEMBER_LIMITS["209M"][0.3]
    one = PUBLISHED_FIGURES["member_loss"].value - limit
    eight = 8 * (PUBLISHED_FIGURES["eight_members_loss"].value - limit)
    return Range.over(one, [eight])


def single_excess(n_params: float) -> float:
    """Return the loss of one regularized model above its limit, at 200M tokens."""
    law = talk.REGULARIZED_LAW
    return law["A"] / (n_params / BILLION) ** law["alpha"]


def member_excess(n_params: float) -> float:
    """Return the loss of infinitely many members above the joint limit, at 200M tokens."""
    law = member_limit_law()
    return law["A"] / (n_params / BILLION) ** law["alpha"]


def size_readings(n_params: float, tokens: float) -> tuple[float, float, float]:
    """Return three sizes at 200M tokens that are equivalent to a size at other tokens.

    The geometric mean of the other two, the size itself, and the size with the same ratio to the
    data; see the module docstring.
    """
    ratio = PUBLISHED_TOKENS / tokens
    return n_params * ratio**0.5, n_params, n_params * ratio


def shrink(tokens: float) -> float:
    """Return differences in loss at a number of tokens relative to those at 200M tokens."""
    return next(data_laws()).at(1.0, tokens) - next(data_laws()).at(0.0, tokens)
