"""What the recipes of a world take, before anything is trained: runs, FLOPs, memory.

The recipes are run in a lab whose store makes up losses, so that they ask for what they would ask
for. Searches are assumed to end where they begin, and the standard recipe to have its best number
of epochs in the middle of those it tries; where they do not, they take more runs or fewer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from experiments.lab.lab import SCORES, Lab
from experiments.lab.recipe import LazyResults, Recipe
from experiments.recipes import find_recipe
from experiments.recipes.entigraph.recipe import METHODS
from experiments.recipes.entigraph.runs import FactWorlds
from experiments.recipes.entigraph.streams import Method
from experiments.runs.rows import frame_of, settings_row
from experiments.runs.spec import RunSpec
from experiments.runs.texts import HELD_OUT, TextFacts
from experiments.worlds.levers import with_levers
from experiments.worlds.plans_part2 import FactPlan
from experiments.worlds.world import PLANS, World
from models.config import TrainConfig
from models.ensembles.ensemble import AVERAGES, member_subsets
from models.training.devices import training_bytes

MADE_UP = ("standard", "regularized", "ensembles", "data_scaling", "draws")
"""Recipes that read nothing but losses, which can be made up."""

TAUGHT: Mapping[str, tuple[Method, ...]] = {
    "entigraph": METHODS,
    "entigraph_large": ("entigraph",),
}
"""Recipes that teach facts, by these methods."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a recipe takes on top of those before it.

    Attributes:
        recipe: its name.
        n_runs: trained models; NaN if that cannot be said before.
        flops: floating-point operations of their training.
    """

    recipe: str
    n_runs: float
    flops: float


class MadeUpRuns:
    """A store in which every run is finished, with a loss that is made up.

    Args:
        world: whose searches are assumed to end where they begin.
    """

    read_only: ClassVar[bool] = True

    def __init__(self, world: World) -> None:
        self.world, self.root = world, Path("made up")

    def is_done(self, spec: RunSpec) -> bool:
        """Return True."""
        del spec
        return True

    def params(self, spec: RunSpec) -> Any:
        """Raise LookupError: a run that was not trained has no weights."""
        raise LookupError(f"run {spec.run_id} was not trained: it has no weights")

    def frame(self, specs: Iterable[RunSpec]) -> pd.DataFrame:
        """Return runs, a row each, with the columns of `RunStore.frame` that recipes read."""
        rows = []
        for spec in specs:
            loss = self._loss(spec)
            rows.append(
                settings_row(spec)
                | dict.fromkeys(("train_loss", "validation_loss", "test_loss"), loss)
                | {
                    "status": "done",
                    "n_params_non_embedding": spec.model.n_params_non_embedding,
                    "train_flops": spec.train_flops,
                }
            )
        return frame_of(rows)

    def column(self, specs: Sequence[RunSpec], name: str) -> list[Any]:
        """Return one column of `frame`, a value for each run."""
        return self.frame(specs)[name].tolist() if specs else []  # no runs, no columns

    def record(self, kind: str, identity: Any, source: str | None = None) -> Any | None:
        """Return made-up scores of ensembles, None for anything else.

        Args:
            kind: "ensembles".
            identity: ids of the members.
            source: not used.
        """
        del source
        if kind != "ensembles":
            return None
        subsets = member_subsets(len(identity))
        return [
            dict(zip(SCORES, (",".join(map(str, np.flatnonzero(of))), int(of.sum()), how,
                               loss, loss), strict=True))
            for how in AVERAGES
            for of in subsets
            for loss in [3 + 0.3 / of.sum()]
        ]  # fmt: skip

    def _loss(self, spec: RunSpec) -> float:
        """Return a loss that is least where searches begin, and falls with size and data."""
        optimizer, world = spec.optimizer, self.world
        decay, epochs = world.start
        if optimizer.weight_decay == world.standard_decay:
            decay, epochs = world.standard_decay, max(1, world.standard_epochs[-1] // 2)
        off = (
            math.log2(optimizer.learning_rate / world.learning_rate(spec.model.width)),
            math.log2(max(optimizer.weight_decay, 1e-3) / max(decay, 1e-3)),
            math.log2(spec.train.n_epochs / epochs),
        )
        size = spec.model.n_params_non_embedding**-0.3 + spec.data.n_unique_tokens**-0.3
        return 3 + 10 * size + 0.02 * sum(one**2 for one in off) + 1e-4 * spec.seed


def costs(world: World, recipes: Iterable[Recipe[Any]] | None = None) -> list[Cost]:
    """Return what each recipe of a world takes, in their order; nothing is trained or read.

    Args:
        world: the world.
        recipes: some of its recipes (default: all). What others take that these build on counts
            with the first of these.
    """
    if recipes is None:
        recipes = map(find_recipe, world.recipes)
    names = [one.name for one in recipes]
    text = TextFacts(
        corpus=world.corpus,
        vocab_size=world.vocab_size,
        sha256="",
        corpus_sha256="",
        n_tokens=dict.fromkeys(("train", *HELD_OUT), 10**12),
        bytes_per_token=1.0,
    )
    lab = Lab(world, MadeUpRuns(world), facts=text)
    found = LazyResults(lab, [find_recipe(one) for one in names if one in MADE_UP])
    rows, known = [], dict[str, RunSpec]()
    for name in names:
        if name in TAUGHT:
            rows.append(
                _facts(name, world.plan_of(getattr(world, PLANS[name]), name), TAUGHT[name])
            )
            continue
        if name not in MADE_UP:
            rows.append(Cost(recipe=name, n_runs=math.nan, flops=math.nan))
            continue
        found.require(find_recipe(name))
        new = [spec for run_id, spec in lab.account.runs.items() if run_id not in known]
        known = dict(lab.account.runs)
        flops = sum(spec.train_flops for spec in new)
        rows.append(Cost(recipe=name, n_runs=len(new), flops=flops))
    return rows


def _facts(recipe: str, facts: FactPlan, methods: Sequence[Method]) -> Cost:
    """Return what a recipe that teaches facts by these methods takes."""
    plan = FactWorlds(**vars(facts))
    rates = list(product(plan.base_learning_rates, plan.learning_rates))
    n_tuning = len(methods) * len(rates) * plan.n_tuning_graphs
    n_cells = sum(len(plan.sizes(method)) for method in methods) * plan.n_graphs
    n_runs = n_tuning + n_cells * plan.n_members
    n_bases = len(plan.base_learning_rates)
    if not plan.shared_base:
        n_bases = plan.n_graphs + n_bases * plan.n_tuning_graphs
    n_tokens = n_bases * plan.base_tokens + n_runs * plan.tokens
    return Cost(
        recipe=recipe,
        n_runs=n_bases + n_runs,
        flops=n_tokens * plan.model().train_flops_per_token,
    )


def memory(world: World) -> pd.DataFrame:
    """Return the estimated memory of training: columns `width`, `n_params`, `one`, `members`.

    `one` is that of one model in GiB, `members` that of as many as an ensemble has.
    """
    rows = []
    train = with_levers(TrainConfig(n_epochs=1, batch_size=world.batch_size), world.levers)
    for width in world.widths:
        model = world.model(width)
        one = training_bytes(model, batch_size=world.batch_size, train=train) / 2**30
        rows.append((width, model.n_params, one, one * world.n_members))
    return pd.DataFrame(rows, columns=["width", "n_params", "one", "members"])
