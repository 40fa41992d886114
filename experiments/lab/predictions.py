"""Settings of tuned models predicted from searches at other sizes and on other numbers of tokens.

For worlds that are too large to search: power laws of size and data through the settings that come
with `quick` (32,768 unique tokens) and those that Kim et al. 2025 publish (209M and more). Sizes
and stocks between these are interpolated; batches and contexts differ too, and are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pandas as pd

from experiments.tuning.grid import Grid, Point
from experiments.worlds.quick import QUICK
from experiments.worlds.settings import read_settings
from experiments.worlds.world import World
from scaling import HyperparameterLaw, fit_hyperparameter
from scaling.published.figures import MEMBER_EPOCHS
from scaling.published.talk import BILLION, STOCK_TOKENS, TUNED, TUNED_DECAY

OBJECTIVES = ("single", "ensemble")
"""Objectives of which settings are known."""
VARIABLES = ["n_params", "n_unique_tokens"]


def searched(objective: str, axis: str) -> pd.DataFrame:
    """Return what searches found: a row each, columns `n_params`, `n_unique_tokens` and the axis.

    Published are the learning rates and weight decays of single models, and the epochs of members.
    By the heuristic of the same authors, members have half the weight decay of single models and
    twice their epochs.

    Args:
        objective: one of `OBJECTIVES`.
        axis: `learning_rate`, `weight_decay` or `n_epochs`.
    """
    settings = read_settings(str(QUICK.settings))
    ours = [
        (QUICK.model(width).n_params_non_embedding, QUICK.n_unique_tokens, found.best[axis])
        for width, found in settings.tuned[objective].items()
    ]
    is_single = objective == "single"
    if axis == "learning_rate":
        tokens = [min(STOCK_TOKENS.values())] * len(TUNED)
        theirs = [*zip(TUNED["n_params"], tokens, TUNED[axis], strict=True)]
    elif axis == "weight_decay":
        table = TUNED_DECAY[[*VARIABLES, axis]].to_numpy(float)
        theirs = [(n, d, decay * (1 if is_single else 0.5)) for n, d, decay in table]
    else:
        theirs = [
            (BILLION * billions, STOCK_TOKENS[stock], epochs / (2 if is_single else 1))
            for stock, by_size in MEMBER_EPOCHS.items()
            for billions, epochs in by_size.items()
        ]
    return pd.DataFrame([*ours, *theirs], columns=[*VARIABLES, axis])


@cache
def law(objective: str, axis: str) -> HyperparameterLaw:
    """Return the power law of a hyperparameter through all that searches found.

    Args:
        objective: one of `OBJECTIVES`.
        axis: the hyperparameter.
    """
    return fit_hyperparameter(searched(objective, axis), axis, VARIABLES)


def predicted(world: World, objective: str, widths: Iterable[int], grid: Grid) -> dict[int, Point]:
    """Return the points that the laws predict for sizes of a world, by width.

    Args:
        world: has the number of tokens, and of parameters of a width.
        objective: one of `OBJECTIVES`.
        widths: sizes wanted.
        grid: whose nearest point is taken.
    """
    points = {}
    for width in widths:
        size = world.model(width).n_params_non_embedding
        at = {"n_params": size, "n_unique_tokens": world.n_unique_tokens}
        laws = (law(objective, axis) for axis in grid.axes)
        points[width] = grid.nearest(tuple(one.predict(at)[0] for one in laws))
    return points
