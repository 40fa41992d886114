"""How a world runs the recipes of Part 2 on a small domain and on facts."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.worlds.plans import TUNING_SEED


@dataclass(frozen=True, kw_only=True)
class ContinuedPlan:
    """Sizes of the experiment.

    Attributes:
        width: of the model.
        general_tokens: of the first training, at most.
        n_tokens: D, tokens of the domain.
        many_times: how many times as many the reference has.
        usual_batch: windows in a step of the usual recipe.
        small_batch: in a step of all others.
        epochs: passes over the domain that are tried.
        replay: replayed windows for each window of the domain.
        base_learning_rate: of the first training.
        learning_rates: tried on every rung alike.
        weight_decay: of all runs.
        n_members: most members of an ensemble.
        n_draws: draws of the domain that are reported.
    """

    width: int = 64
    general_tokens: int = 400_000
    n_tokens: int = 4_096
    many_times: int = 16
    usual_batch: int = 8
    small_batch: int = 2
    epochs: tuple[int, ...] = (1, 2, 4, 8)
    replay: float = 0.1
    base_learning_rate: float = 5e-3
    learning_rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    weight_decay: float = 0.1
    n_members: int = 8
    n_draws: int = 3


@dataclass(frozen=True, kw_only=True)
class FactPlan:
    """What the recipe `entigraph` trains.

    Attributes:
        n_entities: V of each world.
        mean_degree: expected stated edges of an entity.
        n_base_worlds: worlds of the first training.
        width: of the model, which has `n_layers` blocks of `mlp_width` hidden channels.
        n_layers: blocks.
        n_heads: attention heads; one head does not find subject and relation at once.
        mlp_width: hidden channels of each block's SwiGLU layer.
        context: tokens in a window.
        base_tokens: tokens of the first training.
        base_batch: windows in its steps.
        n_bases: first trainings, on worlds of their own; targets take turns at them.
        tokens: tokens of every continued training, whatever the method.
        batch: windows in its steps.
        weight_decay: of both trainings.
        base_learning_rate: of the first training.
        learning_rates: tried for each method alike, on graphs of their own.
        tuning_tokens: synthetic tokens of the runs that choose among them.
        n_tuning_graphs: those graphs.
        paraphrase_tokens: sizes of the paraphrased corpora.
        entigraph_tokens: sizes of EntiGraph's corpora.
        n_graphs: target worlds reported.
        first_graph: seed of the first of them; the model was chosen by looking at graphs 0 and 1,
            and a plan that was made after a look at some graphs reports others.
        ensemble_tokens: corpus size at which ensembles are compared.
        n_members: their members; with 1 there are no ensembles.
    """

    n_entities: int = 30
    mean_degree: float = 3.0
    n_base_worlds: int = 3
    width: int = 64
    n_layers: int = 1
    n_heads: int = 4
    mlp_width: int = 512
    context: int = 64
    base_tokens: int = 1_024_000
    base_batch: int = 8
    n_bases: int = 1
    tokens: int = 307_200
    batch: int = 4
    weight_decay: float = 0.05
    base_learning_rate: float = 4e-3
    learning_rates: tuple[float, ...] = (2e-3, 4e-3, 8e-3)
    tuning_tokens: int = 16_000
    n_tuning_graphs: int = 1
    paraphrase_tokens: tuple[int, ...] = (4_000, 32_000, 256_000)
    entigraph_tokens: tuple[int, ...] = (4_000, 16_000, 64_000, 256_000)
    n_graphs: int = 3
    first_graph: int = 10
    ensemble_tokens: int = 16_000
    n_members: int = 1

    @property
    def graphs(self) -> range:
        """Seeds of the target worlds that are reported."""
        return range(self.first_graph, self.first_graph + self.n_graphs)

    @property
    def tuning_graphs(self) -> range:
        """Seeds of those on which learning rates are chosen."""
        return range(TUNING_SEED, TUNING_SEED + self.n_tuning_graphs)

    def sizes(self, method: str) -> tuple[int, ...]:
        """Return the corpus sizes of a method; raw training has one, the source's."""
        return {
            "raw": (0,),
            "paraphrase": self.paraphrase_tokens,
            "entigraph": self.entigraph_tokens,
        }[method]
