"""Every recipe on stocks of text of several sizes: do the gains persist as data grows?

At each size the recipes are tuned as at the world's own, starting from the optimum of the nearest
size that has been tuned. The first draw of the corpus tunes; the tuned settings are then trained on
every draw, and a draw is what the intervals are over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, jackknife, mean_estimate
from experiments.analysis.laws import LOSS
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.data_scaling.losses import D, Optima, losses_of_draws
from experiments.recipes.ensembles import Ensembles, ensembles, tune_members
from experiments.recipes.regularized import Regularized, regularized, tune_singles
from experiments.recipes.standard import Standard, standard, tune_standard
from experiments.tuning.certificates import Certificate
from experiments.worlds.plans import DataScalingPlan
from experiments.worlds.world import World
from scaling import FitResult, data_multiplier, fit_law
from scaling.fit import best_parameters

REFERENCE = "standard"
REPORTED = ("standard", "regularized", "ensemble", "ensemble limit", "joint limit")
"""Recipes of which a loss is reported at every size: the best size of model by validation loss, of
all members trained or of infinitely many; and of infinitely many infinitely large ones."""
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
        """The stocks, ascending."""
        return sorted(self.certificates)

    @cached_property
    def best(self) -> pd.DataFrame:
        """The rows of `losses` at the width that validation selects; the same columns."""
        means = self.losses.groupby(["recipe", D, "width"])["validation_loss"].mean()
        chosen = means.groupby(["recipe", D]).idxmin().tolist()
        index = pd.MultiIndex.from_frame(self.losses[["recipe", D, "width"]])
        return self.losses[index.isin(chosen)]

    @property
    def recipes(self) -> list[str]:
        """Recipes with a loss at every stock."""
        n_sizes = self.best.groupby("recipe")[D].nunique()
        return [name for name in REPORTED if n_sizes.get(name, 0) == len(self.sizes)]

    def loss(self, recipe: str, size: int) -> Estimate:
        """Return the mean test loss of a recipe over the draws of a stock."""
        rows = self.best[(self.best["recipe"] == recipe) & (self.best[D] == size)]
        return mean_estimate(rows[LOSS].to_numpy(float))

    @cached_property
    def laws(self) -> dict[str, FitResult]:
        """The data law E + A / D^alpha of each recipe."""
        return {
            name: fit_law(self.best[self.best["recipe"] == name], "power", x=D, y=LOSS, n_boot=0)
            for name in self.recipes
        }

    def multiplier(self, recipe: str, size: int) -> Estimate:
        """Return the data multiplier of a recipe over the standard one on a stock of text.

        ((L1 - E) / (L2 - E))^(1/alpha), see `scaling.data_multiplier`, with the standard recipe's
        data law. Both recipes read the same draws, whose luck they share: the interval is that of
        the delete-one-draw jackknife of its logarithm, the law being fitted again each time. It is
        infinite where the loss lies below the law's asymptote.
        """
        value, *logs = (
            self._log_multiplier(recipe, size, draws, law)
            for draws, law in self._reference_laws.items()
        )
        if not np.isfinite([value, *logs]).all():
            return Estimate(value=float(np.exp(value)), low=0.0, high=np.inf, n=len(logs))
        found = jackknife(value, [logs])
        low, at, high = np.exp([found.low, found.value, found.high]).tolist()
        return Estimate(value=at, low=low, high=high, n=found.n)

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
        table = self._by_draw.dropna()
        curves = dict(
            zip(table.index, np.minimum.accumulate(table.to_numpy(), axis=1), strict=True)
        )
        at = np.log(table.columns.to_numpy(float))
        found = {}
        for draw in sorted({draw for draw, of in curves if of == recipe}):
            theirs, ours = curves[draw, REFERENCE], curves[draw, recipe]
            losses = np.unique([theirs, ours])
            reached = (losses >= max(theirs[-1], ours[-1])) & (losses <= min(theirs[0], ours[0]))
            here, there = (np.interp(losses[reached], of[::-1], at[::-1]) for of in (ours, theirs))
            if len(here):
                found[draw] = np.exp(here), np.exp(there - here)
        return found

    @cached_property
    def _reference_laws(self) -> dict[tuple[int, ...], dict[str, float]]:
        """The standard recipe's data law by the draws it is of: all, then all but each of them."""
        draws = sorted(self.best["draw_seed"].unique())
        reference = self.best[self.best["recipe"] == REFERENCE]
        laws = {}
        for out in (None, *draws):
            kept = tuple(draw for draw in draws if draw != out)
            means = reference[reference["draw_seed"].isin(kept)].groupby(D)[LOSS].mean()
            laws[kept] = best_parameters(means.reset_index(), "power", x=D, y=LOSS)
        return laws

    def _log_multiplier(
        self, recipe: str, size: int, draws: tuple[int, ...], law: dict[str, float]
    ) -> float:
        rows = self.best[self.best["draw_seed"].isin(draws) & (self.best[D] == size)]
        means = rows.groupby("recipe")[LOSS].mean()
        ours, theirs = float(means[recipe]), float(means[REFERENCE])
        if not min(law["alpha"], theirs - law["E"]) > 0:
            return float("nan")
        return float(np.log(data_multiplier(theirs, ours, law["E"], law["alpha"])))


@recipe(standard, regularized, ensembles)
def data_scaling(
    lab: Lab, standard: Standard, regularized: Regularized, ensembles: Ensembles
) -> DataScaling:
    """Tune every recipe on every stock, nearest to the world's own first; then train all draws.

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
    for size in sorted(plan.sizes, key=lambda size: abs(np.log(size / lab.world.n_unique_tokens))):
        nearest = min(optima, key=lambda known: abs(np.log(known / size)))
        found = _tune(lab.within(_world_of(lab.world, plan, size)), optima[nearest])
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
    at = {
        name: {width: points[width] for width in lab.world.widths}
        for name, points in starts.items()
    }
    return {
        "standard": tune_standard(lab, at["standard"]),
        "single": tune_singles(lab, at["single"]),
        "ensemble": tune_members(lab, at["ensemble"]),
    }
