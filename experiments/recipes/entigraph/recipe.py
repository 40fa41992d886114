"""The EntiGraph recipe: continued training on facts, from the source, paraphrases or EntiGraph.

Every method reads the same number of tokens, has its learning rate chosen from the same values on
graphs that are not reported, and gives source and replay the same shares. All methods start from
the same first training, whose learning rate is chosen on those graphs too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.lab.streams import plan_stream
from experiments.recipes.entigraph.answers import (
    accuracies,
    balanced,
    coverage,
    expected_coverage,
)
from experiments.recipes.entigraph.streams import (
    FactSettings,
    Method,
    base_stream,
    continued_stream,
    synthesize,
)
from experiments.runs.spec import DataConfig, RunSpec
from experiments.runs.texts import Stream
from experiments.worlds.plans_part2 import FactPlan
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.text.batches import evaluation_windows

METHODS: tuple[Method, ...] = ("raw", "paraphrase", "entigraph")
IN_ENSEMBLES: tuple[Method, ...] = ("paraphrase", "entigraph")
N_SCORED_TOKENS = 4_096
"""Tokens of fresh EntiGraph documents on which runs are scored besides the questions."""
SCORED_SEEDS = (1_000_000, 1_000_001)
"""They draw the documents of the validation and of the test part."""


class Cell(NamedTuple):
    """A continued training: how, on how many synthetic tokens, about which graph."""

    method: Method
    n_synthetic: int
    graph: int
    member: int = 0


@dataclass(frozen=True, kw_only=True)
class FactWorlds(FactPlan):
    """A plan with the fact worlds and the model that it stands for."""

    def settings(self, seed: int) -> FactSettings:
        """Return the worlds of one target; targets take turns at the first trainings."""
        return FactSettings(
            n_entities=self.n_entities,
            mean_degree=self.mean_degree,
            n_base_worlds=self.n_base_worlds,
            base_seed=seed % self.n_bases,
            seed=seed,
        )

    def model(self) -> ModelConfig:
        """Return the architecture."""
        return ModelConfig(
            vocab_size=len(self.settings(0).words),
            width=self.width,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            mlp_width=self.mlp_width,
            context=self.context,
        )


@dataclass(frozen=True, kw_only=True)
class FactResults:
    """What continued training on facts teaches.

    Attributes:
        plan: the sizes.
        base_learning_rate: chosen for the first training, by the mean over methods.
        learning_rates: chosen for each method after that first training.
        tuning: a row a method, rate of the first training, rate and tuning graph, with its
            balanced accuracy.
        answers: a row a run, and one a graph for the model before it (method "base"): `method`,
            `n_synthetic` (tokens asked for), `n_unique` (tokens written), `n_steps`, `graph`,
            `learning_rate`, an accuracy a sheet of questions (see `facts.answers`), `balanced`;
            and for EntiGraph the share of implicit pairs `stated`, `stated_twice` and `expected`.
        ensembles: rows of members' averaged predictions at one corpus size: `method`, `graph`,
            `n_members` and the accuracies.
    """

    plan: FactWorlds
    base_learning_rate: float
    learning_rates: Mapping[Method, float]
    tuning: pd.DataFrame
    answers: pd.DataFrame
    ensembles: pd.DataFrame

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
        [_tune(_FactRuns(lab, plan, rate), methods) for rate in plan.base_learning_rates],
        ignore_index=True,
    )
    base_rate, rates = chosen_rates(tuning)
    planned = _FactRuns(lab, plan, base_rate)
    planned.train_bases(plan.graphs)
    cells = [
        Cell(method, n_synthetic, graph)
        for method in methods
        for n_synthetic in plan.sizes(method)
        for graph in plan.graphs
    ]
    groups = {
        (method, graph): [
            Cell(method, plan.ensemble_tokens, graph, member) for member in range(plan.n_members)
        ]
        for method, graph in product(IN_ENSEMBLES, plan.graphs)
        if method in methods
    }
    every = dict.fromkeys([*cells, *(cell for group in groups.values() for cell in group)])
    specs = {cell: planned.spec(cell, rates[cell.method]) for cell in every}
    lab.trained(specs.values(), title="entigraph")
    rows = lab.on_devices(planned.before, plan.graphs)
    rows += lab.on_devices(lambda cell: planned.row(cell, specs[cell]), cells)
    pools = [
        (method, graph, group[:n])
        for (method, graph), group in groups.items()
        for n in sorted({1, plan.n_members})
    ]
    answers = lab.on_devices(
        lambda pool: planned.answers(pool[1], [specs[cell] for cell in pool[2]]), pools
    )
    ensembles = [
        {"method": method, "graph": graph, "n_members": len(pool)} | found
        for (method, graph, pool), found in zip(pools, answers, strict=True)
    ]
    return FactResults(
        plan=plan,
        base_learning_rate=base_rate,
        learning_rates=rates,
        tuning=tuning,
        answers=pd.DataFrame(rows),
        ensembles=pd.DataFrame(ensembles),
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


def _tune(planned: _FactRuns, methods: Sequence[Method]) -> pd.DataFrame:
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


class _FactRuns:
    """The runs of a plan in one lab after first trainings at one rate, and their answers."""

    def __init__(self, lab: Lab, plan: FactWorlds, base_rate: float) -> None:
        self.lab, self.plan, self.model = lab, plan, plan.model()
        self.base_rate = base_rate

    def train_bases(self, graphs: Sequence[int]) -> None:
        """Train what these targets start from."""
        bases = sorted({self.plan.settings(graph).base_seed for graph in graphs})
        self.lab.trained([self.base(base) for base in bases], title="entigraph, first training")

    def base(self, base: int) -> RunSpec:
        """Return the first training that targets of this turn start from."""
        plan, settings = self.plan, self.plan.settings(base)
        data = self._stream(
            f"facts, first training {base}",
            ["base", plan.base_tokens],
            settings,
            lambda: base_stream(settings, plan.base_tokens),
        )
        return RunSpec(
            model=self.model,
            data=data,
            optimizer=OptimizerConfig(learning_rate=self.base_rate, weight_decay=plan.weight_decay),
            train=TrainConfig(n_epochs=1, batch_size=plan.base_batch),
            seed=base,
        )

    def spec(self, cell: Cell, learning_rate: float) -> RunSpec:
        """Return the continued training of a cell."""
        plan, settings = self.plan, self.plan.settings(cell.graph)
        data = self._stream(
            f"facts, {cell.method} {cell.n_synthetic}, graph {cell.graph}",
            [cell.method, cell.n_synthetic, plan.tokens],
            settings,
            lambda: continued_stream(
                settings, cell.method, cell.n_synthetic, plan.tokens, seed=cell.graph
            ),
        )
        return RunSpec(
            model=self.model,
            data=data,
            optimizer=OptimizerConfig(learning_rate=learning_rate, weight_decay=plan.weight_decay),
            train=TrainConfig(n_epochs=1, batch_size=plan.batch),
            seed=cell.member,
            init_from=self.base(settings.base_seed).run_id,
        )

    def before(self, graph: int) -> dict[str, object]:
        """Answer the questions on a graph before continued training."""
        base = self.base(self.plan.settings(graph).base_seed)
        return {"method": "base", "n_synthetic": 0, "graph": graph} | self.answers(graph, [base])

    def row(self, cell: Cell, spec: RunSpec) -> dict[str, object]:
        """Describe the corpus of a cell, and answer the questions after reading it."""
        row: dict[str, object] = {
            "method": cell.method,
            "n_synthetic": cell.n_synthetic,
            "graph": cell.graph,
            "learning_rate": spec.optimizer.learning_rate,
        }
        return row | self.corpus(cell) | self.answers(cell.graph, [spec])

    def corpus(self, cell: Cell) -> dict[str, float]:
        """Count what the corpus of a cell states; it is written again only where that is not kept.

        Returns:
            `n_unique` (tokens), `n_steps` (documents written), and for EntiGraph the shares of
            pairs `stated` once, `stated_twice` and `expected` by the random graph.
        """
        settings = self.plan.settings(cell.graph)

        def count() -> dict[str, float]:
            author = settings.target()
            corpus = synthesize(author, cell.method, cell.n_synthetic, seed=cell.graph)
            counts: dict[str, float] = {"n_unique": corpus.n_tokens, "n_steps": corpus.n_steps}
            if cell.method == "entigraph":
                counts |= {
                    "stated": coverage(author, corpus),
                    "stated_twice": coverage(author, corpus, times=2),
                    "expected": expected_coverage(author, corpus.n_steps),
                }
            return counts

        identity = [asdict(settings), cell.method, cell.n_synthetic]
        found: dict[str, float] = self.lab.remember("corpora", identity, count, from_losses=True)
        return found

    def answers(self, graph: int, specs: Sequence[RunSpec]) -> dict[str, float]:
        """Question finished runs, their predictions averaged; the answers are kept."""
        settings = self.plan.settings(graph)

        def measure() -> dict[str, float]:
            members = [(spec.model, self.lab.store.params(spec)) for spec in specs]
            return accuracies(settings.target(), members)

        identity = [asdict(settings), *(spec.run_id for spec in specs)]
        found = self.lab.remember("answers", identity, measure)
        return {**found, "balanced": balanced(found)}

    def _stream(
        self,
        label: str,
        identity: Sequence[object],
        settings: FactSettings,
        write: Callable[[], np.ndarray],
    ) -> DataConfig:
        """Keep a stream with fresh EntiGraph documents on the target to score."""

        def stream() -> Stream:
            context = self.model.context
            fresh = [
                np.concatenate(
                    synthesize(
                        settings.target(), "entigraph", N_SCORED_TOKENS + 1, seed=seed
                    ).documents
                )[: N_SCORED_TOKENS + 1]
                for seed in SCORED_SEEDS
            ]
            return Stream(
                tokens=write(),
                held_out={
                    name: evaluation_windows(ids, context=context)
                    for name, ids in zip(("validation", "test"), fresh, strict=True)
                },
            )

        return plan_stream(self.lab, label, [asdict(settings), *identity], stream)
