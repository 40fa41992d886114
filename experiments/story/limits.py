"""Where the recipes of Part 1 stop, in the order of the talk: measured here and published."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.analysis.laws import LOSS
from experiments.analysis.multiplier import Multiplier
from experiments.display.quantities import human
from experiments.lab.recipe import NotRun
from experiments.recipes.data_scaling.recipe import DataScaling, data_scaling
from experiments.story.story import Story
from scaling.published import talk


@dataclass(frozen=True, kw_only=True)
class RecipeLimit:
    """The loss at which a recipe stops, in nats per token on the test documents.

    Attributes:
        recipe: name of its look in `paper_figs.style`.
        subject: what stops there, in words.
        limit: the limit with its interval; for the standard recipe, which does not improve without
            end, the loss of its best size.
        reached: loss of the best model or ensemble that was trained, selected by validation loss.
        published: the published value, which has no interval.
    """

    recipe: str
    subject: str
    limit: Estimate
    reached: float
    published: float


def recipe_limits(story: Story) -> list[RecipeLimit]:
    """Return the limits of the standard recipe, tuned single models, ensembles and both growing.

    The ensembles are those of the second smallest size, as in the talk.

    Raises:
        NotRun: the world does not train these recipes.
    """
    laws = story.laws
    second = second_size(story)
    n_second = human(story.world.model(second).n_params_non_embedding)
    best = {}
    for name, runs in (("standard", story.standard_best), ("single", story.regularized.best)):
        width = runs.groupby("width")["validation_loss"].mean().idxmin()
        best[name] = mean_estimate(runs.loc[runs["width"] == width, LOSS].to_numpy(float))
    table = laws.ensemble_table
    return [
        RecipeLimit(
            recipe="standard", subject="the best size of the standard recipe",
            limit=best["standard"], reached=best["standard"].value, published=talk.STANDARD_BEST,
        ),
        RecipeLimit(
            recipe="regularized", subject="ever larger tuned models", limit=laws.single_limit,
            reached=best["single"].value, published=talk.REGULARIZED_LAW["E"],
        ),
        RecipeLimit(
            recipe="ensemble limit",
            subject=f"ensembles of ever more members of the second size (N = {n_second})",
            limit=laws.limits[second], reached=float(laws.tables[second][LOSS].iloc[-1]),
            published=talk.ENSEMBLE_LAW["E"],
        ),
        RecipeLimit(
            recipe="joint limit", subject="ensembles of ever more, then ever larger members",
            limit=laws.joint_limit,
            reached=float(table.loc[table["validation_loss"].idxmin(), LOSS]),
            published=talk.JOINT_LIMIT,
        ),
    ]  # fmt: skip


def standard_is_tuned(story: Story) -> bool:
    """Return whether the standard recipe, if any, had its learning rate searched at every size.

    A rule sets it (`World.learning_rate`) where a world comes with settings that leave it out.
    """
    try:
        certificates = story.standard_certificates
    except NotRun:
        return True
    return all(len(one.tuned.looks) > 1 for one in certificates.values())


def second_size(story: Story) -> int:
    """Return the width of the second smallest members: the talk's 300M is the second of four."""
    return sorted(story.laws.limits)[1]


def worth_in_data(story: Story) -> Multiplier | None:
    """Return how many times more data the standard recipe would need to match ensembles.

    The ensembles have infinitely many members where every stock of text determines their limit,
    otherwise all members that were trained; the stock is the smallest, on which the largest
    multipliers can be measured. None means that the world has no stocks of several sizes.
    """
    if data_scaling not in story.results:
        return None
    found: DataScaling = story[data_scaling]
    recipe = "ensemble limit" if "ensemble limit" in found.recipes else "ensemble"
    return found.multiplier(recipe, found.sizes[0])
