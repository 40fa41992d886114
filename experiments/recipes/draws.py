"""The tuned models on other draws of as many tokens: what holds for more than one text?

The settings are those that were tuned on the world's own draw. The intervals of the other recipes
are over seeds and members, on one draw; here a draw is what they are over.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.analysis.laws import LOSS
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.data_scaling.losses import Optima, losses_of_draws
from experiments.recipes.ensembles import Ensembles, ensembles
from experiments.recipes.regularized import Regularized, regularized
from experiments.recipes.standard import Standard, standard

RECIPES = ("standard", "regularized", "ensemble", "ensemble limit")


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What the recipes reach on each draw of the text.

    Attributes:
        losses: a row for each recipe, draw and width; columns as of `DataScaling.losses`.
    """

    losses: pd.DataFrame

    @property
    def widths(self) -> list[int]:
        """Sizes of model, ascending."""
        return sorted(set(self.losses["width"]) - {0})

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return int(self.losses["draw_seed"].nunique())

    def loss(self, recipe: str, width: int | None = None) -> np.ndarray:
        """Return test losses, [n_draws].

        Args:
            recipe: one of `RECIPES`.
            width: size of model; by default the one with the lowest validation loss over draws.
        """
        rows = self.losses[self.losses["recipe"] == recipe]
        if width is None:
            width = int(rows.groupby("width")["validation_loss"].mean().idxmin())
        return rows[rows["width"] == width].sort_values("draw_seed")[LOSS].to_numpy(float)

    @property
    def held(self) -> tuple[int, int]:
        """How many losses lie in the 95 % prediction interval that the other draws give, of all.

        Every recipe and size counts once for each draw; those of one draw rise and fall together.
        """
        inside, n = 0, 0
        for name in RECIPES:
            for width in self.widths:
                losses = self.loss(name, width)
                for out, loss in enumerate(losses):
                    inside += _holds(np.delete(losses, out), loss)
                    n += 1
        return inside, n


def _holds(others: np.ndarray, loss: float) -> bool:
    """Whether the prediction interval of normal draws holds one more."""
    mean: Estimate = mean_estimate(others)
    half = (mean.high - mean.value) * np.sqrt(len(others) + 1)
    return bool(abs(loss - mean.value) <= half)


@recipe(standard, regularized, ensembles)
def draws(lab: Lab, standard: Standard, regularized: Regularized, ensembles: Ensembles) -> Draws:
    """Train the tuned models on every draw.

    Raises:
        ValueError: the world has no plan for it.
    """
    plan = lab.world.plan_of(lab.world.draws, "draws")
    labs = [
        lab.within(
            dataclasses.replace(
                lab.world, draw_seed=draw, n_seeds=plan.n_seeds, n_members=plan.n_members
            )
        )
        for draw in range(lab.world.draw_seed, lab.world.draw_seed + plan.n_draws)
    ]
    found = {
        "standard": {width: one.tuned for width, one in standard.certificates.items()},
        "single": regularized.tuned,
        "ensemble": ensembles.tuned,
    }
    optima: Optima = {
        name: {width: of[width].point for width in plan.widths} for name, of in found.items()
    }
    return Draws(losses=losses_of_draws(labs, optima))
