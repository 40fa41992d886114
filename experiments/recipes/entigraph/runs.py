"""The runs that teach facts: first trainings, what each method goes on with, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.lab.lab import Lab
from experiments.lab.streams import plan_stream
from experiments.recipes.entigraph.answers import (
    accuracies,
    balanced,
    coverage,
    expected_coverage,
    right_by_times,
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

N_SCORED_TOKENS = 4_096
"""Tokens of fresh EntiGraph documents on which runs are scored besides the questions."""
SCORED_SEEDS = (1_000_000, 1_000_001)
"""They draw the documents of the validation and of the test part."""


class Cell(NamedTuple):
    """Continued training: how, on how many synthetic tokens, about which graph."""

    method: Method
    n_synthetic: int
    graph: int


@dataclass(frozen=True, kw_only=True)
class FactWorlds(FactPlan):
    """A plan with the fact worlds and the model that it stands for."""

    def settings(self, seed: int) -> FactSettings:
        """Return the worlds of one target."""
        return FactSettings(
            n_entities=self.n_entities,
            mean_degree=self.mean_degree,
            n_base_worlds=self.n_base_worlds,
            base_seed=0 if self.shared_base else seed,
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


class FactRuns:
    """The runs of a plan in one lab after first trainings at one rate, and their answers."""

    def __init__(self, lab: Lab, plan: FactWorlds, base_rate: float) -> None:
        self.lab, self.plan, self.model = lab, plan, plan.model()
        self.base_rate = base_rate

    def train_bases(self, graphs: Sequence[int]) -> None:
        """Train what these targets start from."""
        bases = sorted({self.plan.settings(graph).base_seed for graph in graphs})
        self.lab.trained([self.base(base) for base in bases], title="entigraph, first training")

    def base(self, base: int) -> RunSpec:
        """Return the first training of this seed."""
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

    def spec(self, cell: Cell, learning_rate: float, member: int = 0) -> RunSpec:
        """Return the continued training of one member.

        Args:
            cell: what is read, and about which graph.
            learning_rate: its peak.
            member: seed of the order of the text.
        """
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
            seed=member,
            init_from=self.base(settings.base_seed).run_id,
        )

    def before(self, graph: int) -> dict[str, object]:
        """Answer the questions on a graph before continued training, and those on what was read."""
        settings = self.plan.settings(graph)
        base = self.base(settings.base_seed)
        row: dict[str, object] = {"method": "base", "n_synthetic": 0, "graph": graph}
        return row | self.answers(graph, [base]) | self._own(settings, base)

    def _own(self, settings: FactSettings, base: RunSpec) -> dict[str, float]:
        """Return a first training's accuracies on the worlds that it read about, their mean."""

        def measure() -> dict[str, float]:
            members = [(base.model, self.lab.store.params(base))]
            each = [accuracies(author, members) for author in settings.base()]
            return {
                f"own_{kind}": float(np.mean([found[kind] for found in each]))
                for kind in ("explicit", "implicit")
            }

        identity = ["own", asdict(settings), base.run_id]
        found: dict[str, float] = self.lab.remember("answers", identity, measure)
        return found

    def row(self, cell: Cell, specs: Sequence[RunSpec]) -> dict[str, object]:
        """Describe the corpus of a cell, and the mean of its members' answers."""
        each = pd.DataFrame([self.answers(cell.graph, [spec]) for spec in specs])
        row: dict[str, object] = {
            "method": cell.method,
            "n_synthetic": cell.n_synthetic,
            "graph": cell.graph,
            "learning_rate": specs[0].optimizer.learning_rate,
        }
        return row | self.corpus(cell) | each.mean().to_dict()

    def by_times(self, cell: Cell, specs: Sequence[RunSpec]) -> pd.DataFrame:
        """Return how members answer about facts that their corpus states more or less often.

        Returns:
            Rows as of `right_by_times`, with the columns `graph` and `n_synthetic` besides.
        """
        settings = self.plan.settings(cell.graph)

        def measure() -> list[dict[Hashable, float]]:
            author = settings.target()
            corpus = synthesize(author, cell.method, cell.n_synthetic, seed=cell.graph)
            models = [(spec.model, self.lab.store.params(spec)) for spec in specs]
            return right_by_times(author, corpus, models).to_dict("records")

        identity = [asdict(settings), cell.method, cell.n_synthetic, *(s.run_id for s in specs)]
        rows = self.lab.remember("answers_by_times", identity, measure)
        return pd.DataFrame(rows).assign(graph=cell.graph, n_synthetic=cell.n_synthetic)

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
