"""Every recipe on stocks of text of several sizes: do the gains persist as data grows?

At each size the recipes are tuned as at the world's own, starting from the optimum of the nearest
size that has been tuned. The first draw of the corpus tunes; the tuned settings are then trained on
every draw, and a draw is what the intervals are over. What a recipe is worth in data is read off
the losses of the standard one, which may be trained on larger stocks than the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.analysis.laws import LOSS
from experiments.analysis.multiplier import Multiplier, multiplier_of
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.data_scaling.losses import D, Optima, losses_of_draws
from experiments.recipes.ensembles import Ensembles, ensembles, tune_members
from experiments.recipes.regularized import Regularized, regularized, tune_singles
from experiments.recipes.standard import Standard, standard, tune_standard
from experiments.tuning.certificates import Certificate
from experiments.worlds.plans import DataScalingPlan
from experiments.worlds.world import World
from models.text.stock import LEAST_DOCUMENTS
from scaling import FitResult, fit_law

REFERENCE = "standard"
REPORTED = ("standard", "regularized", "ensemble", "ensemble limit", "joint limit")
"""Recipes of which a loss is reported at every size: the best size of model by validation loss, of
all members trained or of infinitely many; and of infinitely many infinitely large ones."""
_TUNING = {"standard": tune_standard, "single": tune_singles, "ensemble": tune_members}
"""How the settings behind the recipes are searched, by objective."""
_UNKNOWN = Estimate(value=float("nan"), low=-np.inf, high=np.inf, n=0)


@dataclass(frozen=True, kw_only=True)
class DataScaling:
    """What the recipes reach on each stock of text.

    Attributes:
        certificates: the tuned points, by size of the stock.
        losses: a row for each recipe, stock, draw and width; columns `recipe`, `n_unique_tokens`,
            `draw_seed`, `width` (0 for the joint limit), `n_params_non_embedding`,
            `validation_loss`, `test_loss`. The joint limit is there where three sizes or more
            determine it.
    """

    certificates: Mapping[int, list[Certificate]]
    losses: pd.DataFrame

    @property
    def sizes(self) -> list[int]:
        """The stocks on which recipes are compared, ascending."""
        return sorted(self.losses.loc[self.losses["recipe"] != REFERENCE, D].unique().tolist())

    def sizes_of(self, recipe: str) -> list[int]:
        """Return the stocks on which a recipe was trained, ascending."""
        return sorted(self.losses.loc[self.losses["recipe"] == recipe, D].unique().tolist())

    @cached_property
    def best(self) -> pd.DataFrame:
        """The rows of `losses` at the width that validation selects; the same columns."""
        means = self.losses.groupby(["recipe", D, "width"])["validation_loss"].mean()
        chosen = means.groupby(["recipe", D]).idxmin().tolist()
        index = pd.MultiIndex.from_frame(self.losses[["recipe", D, "width"]])
        return self.losses[index.isin(chosen)]

    @property
    def recipes(self) -> list[str]:
        """Recipes with a loss at every stock on which they are compared."""
        return [name for name in REPORTED if {*self.sizes} <= {*self.sizes_of(name)}]

    def loss(self, recipe: str, size: int) -> Estimate:
        """Return the mean test loss of a recipe over the draws of a stock."""
        rows = self.best[(self.best["recipe"] == recipe) & (self.best[D] == size)]
        return mean_estimate(rows[LOSS].to_numpy(float))

    @cached_property
    def laws(self) -> dict[str, FitResult]:
        """The data law E + A / D^alpha of each recipe with three stocks or more."""
        return {
            name: fit_law(self.best[self.best["recipe"] == name], "power", x=D, y=LOSS, n_boot=0)
            for name in self.recipes
            if len(self.sizes_of(name)) >= 3
        }

    def multiplier(self, recipe: str, size: int) -> Multiplier:
        """Return how many times the data the standard recipe needs for the loss of a recipe.

        It is read between the losses of the standard recipe on all its stocks, by draw of the
        corpus, which the recipes share; see `multiplier_of`.

        Args:
            recipe: one of `recipes`.
            size: the stock of the recipe, one of `sizes`.
        """
        by_draw = self._by_draw.xs(recipe, level="recipe")[size].dropna()
        stocks = self._by_draw.xs(REFERENCE, level="recipe")[self.sizes_of(REFERENCE)]
        return multiplier_of(
            by_draw.to_numpy(float),
            stocks.loc[by_draw.index].rename(columns=lambda stock: stock / size),
        )

    def gain(self, recipe: str, size: int) -> Estimate:
        """Return by how much a recipe's test loss lies below the standard one's, paired by draw."""
        by_recipe = self._by_draw[size].unstack("recipe")
        return mean_estimate((by_recipe[REFERENCE] - by_recipe[recipe]).dropna().to_numpy())

    @cached_property
    def _by_draw(self) -> pd.DataFrame:
        """Test losses: a row for each draw and recipe, a column for each stock."""
        return self.best.pivot(index=["draw_seed", "recipe"], columns=D, values=LOSS)

    def measured_multiplier(self, recipe: str) -> Estimate:
        """Return the data multiplier of a recipe within the measured range, over draws.

        The geometric mean over what `measured_multipliers` gives for each draw, then over draws.
        """
        logs = [np.log(worth).mean() for _, worth in self.measured_multipliers(recipe).values()]
        found = mean_estimate(logs) if logs else _UNKNOWN
        low, value, high = np.exp([found.low, found.value, found.high]).tolist()
        return Estimate(value=value, low=low, high=high, n=found.n)

    def multiplier_slope(self, recipe: str) -> Estimate:
        """Return the slope of ln(multiplier) on ln D within the measured range, over draws.

        Least squares over what `measured_multipliers` gives for each draw.
        """
        slopes = [
            np.polyfit(np.log(size), np.log(worth), 1)[0]
            for size, worth in self.measured_multipliers(recipe).values()
            if len(size) > 1
        ]
        return mean_estimate(slopes) if slopes else _UNKNOWN

    def measured_multipliers(self, recipe: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Return the data multipliers of a recipe that can be read off the losses of each draw.

        Both losses are lines in ln D between the stocks. A multiplier is the ratio of the data with
        which the standard recipe and this one reach the same loss, at every measured loss of either
        that both reach. Nothing is extrapolated.

        Returns:
            By draw: the recipe's data, in tokens, and the multipliers there, both [n] for n such
            losses. Draws without any are left out.
        """
        found = {}
        for draw in sorted(draw for draw, of in self._by_draw.index if of == recipe):
            (at, ours), (where, theirs) = self._curve(draw, recipe), self._curve(draw, REFERENCE)
            losses = np.unique([*ours, *theirs])
            reached = (losses >= max(theirs[0], ours[0])) & (losses <= min(theirs[-1], ours[-1]))
            here = np.interp(losses[reached], ours, at)
            there = np.interp(losses[reached], theirs, where)
            if len(here):
                found[draw] = np.exp(here), np.exp(there - here)
        return found

    def _curve(self, draw: int, recipe: str) -> tuple[np.ndarray, np.ndarray]:
        """Return ln D and the lowest loss with at most as much data, by rising loss."""
        losses = self._by_draw.loc[(draw, recipe)].dropna()
        lowest = np.minimum.accumulate(losses.to_numpy())
        return np.log(losses.index.to_numpy(float))[::-1], lowest[::-1]


@recipe(standard, regularized, ensembles)
def data_scaling(
    lab: Lab, standard: Standard, regularized: Regularized, ensembles: Ensembles
) -> DataScaling:
    """Tune the recipes on every stock, nearest to the world's own first; then train all draws.

    Raises:
        ValueError: the world has no plan for it.
    """
    plan = lab.world.plan_of(lab.world.data_scaling, "data_scaling")
    optima: dict[int, Optima] = {
        lab.world.n_unique_tokens: {
            "standard": {w: found.tuned.point for w, found in standard.certificates.items()},
            "single": {w: found.point for w, found in regularized.tuned.items()},
            "ensemble": {w: found.point for w, found in ensembles.tuned.items()},
        }
    }
    certificates: dict[int, list[Certificate]] = {}
    rows: list[pd.DataFrame] = []
    sizes = sorted(
        (*plan.sizes, *plan.reference_sizes),
        key=lambda size: abs(np.log(size / lab.world.n_unique_tokens)),
    )
    for size in sizes:
        names = (REFERENCE,) if size in plan.reference_sizes else _TUNING
        starts = {
            name: min(
                (known for known in optima if name in optima[known]),
                key=lambda known: abs(np.log(known / size)),
            )
            for name in names
        }
        found = _tune(
            lab.within(_world_of(lab.world, plan, size)),
            {name: optima[nearest][name] for name, nearest in starts.items()},
        )
        optima[size] = {
            name: {width: one.tuned.point for width, one in by_width.items()}
            for name, by_width in found.items()
        }
        certificates[size] = [one for by_width in found.values() for one in by_width.values()]
        labs = [
            lab.within(_world_of(lab.world, plan, size, draw_seed=draw))
            for draw in range(plan.n_draws)
        ]
        rows.append(losses_of_draws(labs, optima[size]))
    return DataScaling(certificates=certificates, losses=pd.concat(rows, ignore_index=True))


def _world_of(world: World, plan: DataScalingPlan, size: int, *, draw_seed: int = 0) -> World:
    """Return the world with another stock of text, and the effort of the plan."""
    return dataclasses.replace(
        world,
        n_unique_tokens=size,
        # A stock smaller than the world's may need shorter chunks to come from as many documents.
        chunk_tokens=min(world.chunk_tokens, size // LEAST_DOCUMENTS),
        draw_seed=draw_seed,
        widths=plan.widths,
        learning_rates=plan.learning_rates,
        standard_epochs=plan.standard_epochs,
        n_seeds=plan.n_seeds,
        n_members=plan.n_members,
        # Those of a file are of one D.
        settings=world.settings
        if world.predicts_settings or size == world.n_unique_tokens
        else None,
    )


def _tune(lab: Lab, starts: Optima) -> dict[str, dict[int, Certificate]]:
    """Tune each recipe on one stock, each width from where it ended on another."""
    return {
        name: _TUNING[name](lab, {width: points[width] for width in lab.world.widths})
        for name, points in starts.items()
    }
