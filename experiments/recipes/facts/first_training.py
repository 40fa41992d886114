"""How much EntiGraph's text teaches after first trainings of several lengths."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.entigraph.recipe import FactResults, entigraph
from experiments.recipes.entigraph.runs import Cell, FactRuns


@dataclass(frozen=True, kw_only=True)
class FirstTrainings:
    """Accuracy on new facts after first trainings of several lengths, by the same text.

    Attributes:
        n_synthetic: tokens of EntiGraph's corpus.
        answers: a row a length and graph: `base_tokens`, `graph`, accuracy on the worlds of the
            first training (`own_explicit`, `own_implicit`) and, after EntiGraph's corpus, on the
            new graph (`explicit`, `implicit`).
    """

    n_synthetic: int
    answers: pd.DataFrame

    def of(self, base_tokens: int, column: str) -> np.ndarray:
        """Return a column of `answers` at one length [n_graphs]."""
        rows = self.answers[self.answers["base_tokens"] == base_tokens]
        return rows.sort_values("graph")[column].to_numpy(float)


@recipe(entigraph, part=2)
def first_training(lab: Lab, entigraph: FactResults) -> FirstTrainings:
    """Train first for several lengths, at the rates that the recipe `entigraph` chose, then go on.

    Raises:
        ValueError: the world has no plan for it.
    """
    lengths = lab.world.plan_of(lab.world.first_trainings, "first_training")
    plan, n_synthetic = entigraph.plan, entigraph.plan.entigraph_tokens[-1]
    rows: list[dict[str, object]] = []
    for base_tokens in lengths:
        planned = FactRuns(
            lab, replace(plan, base_tokens=base_tokens), entigraph.base_learning_rate
        )
        planned.train_bases(plan.graphs)
        cells = [Cell("entigraph", n_synthetic, graph) for graph in plan.graphs]
        specs = [planned.spec(cell, entigraph.learning_rates["entigraph"]) for cell in cells]
        lab.trained(specs, title=f"entigraph, first training of {base_tokens:,} tokens")
        before = lab.on_devices(planned.before, plan.graphs)
        after = [
            planned.answers(graph, [spec]) for graph, spec in zip(plan.graphs, specs, strict=True)
        ]
        rows += [
            {"base_tokens": base_tokens, "graph": graph}
            | {name: known[name] for name in ("own_explicit", "own_implicit")}
            | {name: learned[name] for name in ("explicit", "implicit")}
            for graph, known, learned in zip(plan.graphs, before, after, strict=True)
        ]
    return FirstTrainings(n_synthetic=n_synthetic, answers=pd.DataFrame(rows))
