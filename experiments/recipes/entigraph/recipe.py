"""The EntiGraph recipe: continued training on facts, from the source, paraphrases or EntiGraph.

Every method reads the same number of tokens, has its learning rate chosen from the same values on
graphs that are not reported, and gives source and replay the same shares. All methods start from
the same first training, whose learning rate is chosen on those graphs too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.entigraph.runs import Cell, FactRuns, FactWorlds
from experiments.recipes.entigraph.streams import Method
from experiments.worlds.plans_part2 import FactPlan

METHODS: tuple[Method, ...] = ("raw", "paraphrase", "entigraph")


@dataclass(frozen=True, kw_only=True)
class FactResults:
    """What continued training on facts teaches.

    Attributes:
        plan: the sizes.
        base_learning_rate: chosen for the first training, by the mean over methods.
        learning_rates: chosen for each method after that first training.
        tuning: a row a method, rate of the first training, rate and tuning graph, with its
            balanced accuracy.
        answers: a row a corpus, and one a graph for the model before it (method "base"):
            `method`, `n_synthetic` (tokens asked for), `n_unique` (tokens written), `n_steps`,
            `graph`, `learning_rate`, an accuracy a sheet of questions (see `entigraph.answers`)
            and `balanced`, each the mean over the members; for EntiGraph the share of implicit
            pairs `stated`, `stated_twice` and `expected`; and before it `own_explicit` and
            `own_implicit`, accuracies on the worlds that the first training read about.
        ensembles: a row a corpus of one size, of the members' averaged predictions: `method`,
            `graph` and the accuracies. Empty without members.
        by_times: of EntiGraph, a row a corpus and number of `times` that it states implied facts,
            at least (see `entigraph.answers.TIMES`): `n_synthetic`, `graph`, `n_questions` about
            these facts, and the share `right`.
    """

    plan: FactWorlds
    base_learning_rate: float
    learning_rates: Mapping[Method, float]
    tuning: pd.DataFrame
    answers: pd.DataFrame
    ensembles: pd.DataFrame
    by_times: pd.DataFrame

    def of(self, method: str, n_synthetic: int, column: str) -> np.ndarray:
        """Return a column of one method's runs on a corpus of that size [n_graphs].

        Args:
            method: "base", "raw", "paraphrase" or "entigraph".
            n_synthetic: tokens asked for.
            column: of `answers`.
        """
        rows = self.answers[
            (self.answers["method"] == method) & (self.answers["n_synthetic"] == n_synthetic)
        ]
        return rows.sort_values("graph")[column].to_numpy(float)


@recipe(part=2)
def entigraph(lab: Lab) -> FactResults:
    """Teach the facts of graphs by every method.

    Raises:
        ValueError: the world has no plan for it.
    """
    return teach(lab, lab.world.plan_of(lab.world.facts, "entigraph"), METHODS)


def teach(lab: Lab, facts: FactPlan, methods: Sequence[Method]) -> FactResults:
    """Choose learning rates, train the bases, then train and question every cell.

    Args:
        lab: the world.
        facts: sizes of graphs, model and texts.
        methods: those to teach by.
    """
    plan = FactWorlds(**vars(facts))
    tuning = pd.concat(
        [_tune(FactRuns(lab, plan, rate), methods) for rate in plan.base_learning_rates],
        ignore_index=True,
    )
    base_rate, rates = chosen_rates(tuning)
    planned = FactRuns(lab, plan, base_rate)
    planned.train_bases(plan.graphs)
    cells = [
        Cell(method, n_synthetic, graph)
        for method in methods
        for n_synthetic in plan.sizes(method)
        for graph in plan.graphs
    ]
    specs = {
        cell: [planned.spec(cell, rates[cell.method], member) for member in range(plan.n_members)]
        for cell in cells
    }
    lab.trained([spec for members in specs.values() for spec in members], title="entigraph")
    rows = lab.on_devices(planned.before, plan.graphs)
    rows += lab.on_devices(lambda cell: planned.row(cell, specs[cell]), cells)
    pooled = [
        cell for cell in cells if plan.n_members > 1 and cell.n_synthetic == plan.ensemble_tokens
    ]
    answers = lab.on_devices(lambda cell: planned.answers(cell.graph, specs[cell]), pooled)
    ensembles = [
        {"method": cell.method, "graph": cell.graph} | found
        for cell, found in zip(pooled, answers, strict=True)
    ]
    return FactResults(
        plan=plan,
        base_learning_rate=base_rate,
        learning_rates=rates,
        tuning=tuning,
        answers=pd.DataFrame(rows),
        ensembles=pd.DataFrame(ensembles),
        by_times=pd.concat(
            lab.on_devices(
                lambda cell: planned.by_times(cell, specs[cell]),
                [cell for cell in cells if cell.method == "entigraph"],
            ),
            ignore_index=True,
        ),
    )


def chosen_rates(tuning: pd.DataFrame) -> tuple[float, dict[Method, float]]:
    """Return the rate of the first training, and that of each method after it.

    The first training is the same for all methods: its rate has the highest mean of the balanced
    accuracies that each method reaches after it at the method's best rate.

    Args:
        tuning: as of `FactResults`.
    """
    means = tuning.groupby(["base_learning_rate", "learning_rate", "method"])["balanced"].mean()
    by_base = means.unstack("learning_rate")
    base_rate = float(by_base.max(axis=1).groupby("base_learning_rate").mean().idxmax())
    best = by_base.loc[base_rate].idxmax(axis=1)
    return base_rate, {method: float(rate) for method, rate in best.items()}


def _tune(planned: FactRuns, methods: Sequence[Method]) -> pd.DataFrame:
    """Try the same learning rates for each of these methods, on graphs of their own."""
    plan = planned.plan
    planned.train_bases(plan.tuning_graphs)
    tried = {
        (method, rate, graph): planned.spec(
            Cell(method, plan.tuning_tokens if method != "raw" else 0, graph), rate
        )
        for method, rate, graph in product(methods, plan.learning_rates, plan.tuning_graphs)
    }
    planned.lab.trained(tried.values(), title="entigraph, tuning")
    found = planned.lab.on_devices(
        lambda cell: planned.answers(cell[2], [tried[cell]]), list(tried)
    )
    table = pd.DataFrame(
        [
            {"method": method, "learning_rate": rate, "graph": graph} | answers
            for (method, rate, graph), answers in zip(tried, found, strict=True)
        ]
    )
    return table.assign(base_learning_rate=planned.base_rate)
