"""Plans of the recipes of Part 2: continued training, facts and bootstrapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from experiments.worlds.plans import TUNING_SEED, USUAL_DECAY


@dataclass(frozen=True, kw_only=True)
class ContinuedPlan:
    """Settings of the recipe `continued`, continued pre-training on a small domain.

    Attributes:
        width: width of the model.
        general_tokens: maximum number of tokens for training the base model.
        n_tokens: tokens of the domain, D.
        many_times: how many times as many domain tokens the reference run has.
        usual_batch: windows in a step of the usual recipe.
        small_batch: windows in a step of all other recipes.
        epochs: epochs over the domain that are tried.
        replay: replayed windows per window of the domain.
        base_learning_rate: peak learning rate of the base model.
        learning_rates: peak learning rates that every recipe tries.
        weight_decay: weight decay of all runs.
        n_members: maximum number of members of an ensemble.
        n_draws: samples of the domain that are reported.
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
    """Settings of the recipe `entigraph`, which teaches the facts of random graphs.

    Attributes:
        n_entities: number of entities of each graph, V.
        mean_degree: expected number of stated edges per entity.
        n_base_worlds: number of graphs that the base model is trained on.
        width: width of the model.
        n_layers: number of blocks.
        n_heads: attention heads; a single head does not attend to subject and relation at once.
        mlp_width: hidden channels of the SwiGLU layer of each block.
        context: tokens in a window.
        base_tokens: training tokens of the base model.
        base_batch: windows in a step of the base model's training.
        shared_base: whether all target graphs start from one base model, on which an interval over
            graphs then conditions, or each from one of its own, trained on other graphs.
        tokens: training tokens of every continued training, for each method.
        batch: windows in a step of continued training.
        weight_decay: weight decay of all training.
        base_learning_rates: peak learning rates tried for the base model, on separate graphs.
        learning_rates: peak learning rates tried for each method, on those graphs.
        tuning_tokens: synthetic tokens of the runs that select among them.
        n_tuning_graphs: number of those separate graphs.
        paraphrase_tokens: sizes of the paraphrased corpora, in tokens.
        entigraph_tokens: sizes of EntiGraph's corpora, in tokens.
        n_graphs: number of target graphs that are reported.
        first_graph: seed of the first reported graph. The model was chosen on graphs 0 and 1; a
            plan that was revised after inspecting some graphs reports others.
        ensemble_tokens: size of the corpora at which ensembles are compared, in tokens.
        n_members: runs on every corpus, whose accuracies are averaged, and members of those
            ensembles; 1 means no ensembles.
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
    shared_base: bool = True
    tokens: int = 307_200
    batch: int = 4
    weight_decay: float = 0.05
    base_learning_rates: tuple[float, ...] = (4e-3,)
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
        """Seeds of the target graphs that are reported."""
        return range(self.first_graph, self.first_graph + self.n_graphs)

    @property
    def tuning_graphs(self) -> range:
        """Seeds of the graphs on which learning rates are chosen."""
        return range(TUNING_SEED, TUNING_SEED + self.n_tuning_graphs)

    def sizes(self, method: str) -> tuple[int, ...]:
        """Return the sizes of a method's synthetic corpora in tokens; 0 for training on sources."""
        return {
            "raw": (0,),
            "paraphrase": self.paraphrase_tokens,
            "entigraph": self.entigraph_tokens,
        }[method]


Arm = Literal["baseline", "oracle", "sbp", "random", "unconditional", "scratch"]
"""Training text of an arm: real documents, repeated (`baseline`); as many new real documents
(`oracle`); or real and synthetic documents. The latter are written by a synthesizer trained on
nearest pairs (`sbp`), on random pairs (`random`), by the baseline without a source document
(`unconditional`), or by a synthesizer trained on nearest pairs from random weights (`scratch`)."""


@dataclass(frozen=True, kw_only=True)
class BootstrapPlan:
    """Settings that the recipes `bootstrapped` and `bootstrapped_text` share.

    Attributes:
        width: width of the model.
        small_width: width of a smaller model, for which quality is also measured.
        n_layers: number of blocks of every model.
        epochs: epochs over the real documents; they set the budget of training tokens.
        batch: windows of two documents in a training step.
        learning_rate: peak learning rate of every model except synthesizers.
        weight_decays: weight decays tried for each arm on separate worlds; `USUAL_DECAY` is one.
        synthesizer_rates: peak learning rates tried for the synthesizer on those worlds.
        synthesizer_decay: weight decay of the synthesizer.
        n_neighbors: number of neighbours that each document is paired with.
        synthesizer_epochs: epochs of the synthesizer over the pairs.
        synthesizer_width: width of the synthesizer; by default that of the model that it teaches.
        share: synthetic share of the training tokens.
        synthetic_passes: passes over the synthetic documents, of which so many times fewer are
            written.
        stitched: synthetic documents from one real document that are joined to one.
        fills_share: whether documents are written until the share is full. Otherwise they are as
            many as would fill it if each were as long as a real one; those that end before leave
            room for more real text.
        temperature: sampling temperature.
        arms: the arms to compare.
        n_worlds: number of worlds that are reported.
        first_world: seed of the first reported world. A plan that was enlarged after inspecting
            some worlds reports others.
        n_tuning_worlds: number of worlds on which hyperparameters are chosen.
        n_members: models averaged in each world, for the ensembles of baseline and SBP.
    """

    width: int = 64
    small_width: int = 32
    n_layers: int = 2
    epochs: int = 16
    batch: int = 8
    learning_rate: float = 8e-3
    weight_decays: tuple[float, ...] = (USUAL_DECAY, 0.4, 1.6, 6.4)
    synthesizer_rates: tuple[float, ...] = (4e-3, 8e-3)
    synthesizer_decay: float = 0.3
    n_neighbors: int = 3
    synthesizer_epochs: int = 3
    synthesizer_width: int | None = None
    share: float = 0.5
    synthetic_passes: int = 1
    stitched: int = 1
    fills_share: bool = False
    temperature: float = 1.0
    arms: tuple[Arm, ...] = ("baseline", "oracle", "sbp", "random", "unconditional")
    n_worlds: int = 3
    first_world: int = 0
    n_tuning_worlds: int = 1
    n_members: int = 2

    @property
    def mixture(self) -> list[int | bool]:
        """How synthetic documents are mixed in; [] if once each, as they are."""
        unusual = [self.synthetic_passes, self.stitched, self.fills_share]
        return unusual if unusual != [1, 1, False] else []

    @property
    def reported(self) -> range:
        """Seeds of the worlds that are reported."""
        return range(self.first_world, self.first_world + self.n_worlds)

    @property
    def tuning(self) -> range:
        """Seeds of the worlds on which hyperparameters are chosen."""
        return range(TUNING_SEED, TUNING_SEED + self.n_tuning_worlds)


@dataclass(frozen=True, kw_only=True)
class ConceptPlan(BootstrapPlan):
    """Settings of the recipe `bootstrapped`.

    Attributes:
        n_concepts: number of concepts of each world.
        per_concept: real documents about each concept.
        held_out_per_concept: validation documents about each concept, and as many test documents.
    """

    n_concepts: int = 128
    per_concept: int = 4
    held_out_per_concept: int = 4


@dataclass(frozen=True, kw_only=True)
class MixingPlan:
    """Settings of the recipe `mixing`, which changes the arm "sbp" of `bootstrapped` in one way
    at a time.

    Attributes:
        shares: synthetic shares of the training tokens.
        passes: passes over the synthetic documents, at the share `share_of_passes`.
        share_of_passes: a share at which a few passes are not yet many documents.
        synthesizers: widths of synthesizers and their epochs over the pairs.
        stitched: documents written from one real document that are joined to one, a megadoc.
    """

    shares: tuple[float, ...] = (1 / 9, 1 / 4, 1 / 2, 3 / 4)
    passes: tuple[int, ...] = (1, 4, 16)
    share_of_passes: float = 1 / 2
    synthesizers: tuple[tuple[int, int], ...] = (
        *((64, 12), (64, 3), (64, 1)),
        *((32, 12), (16, 12), (16, 1)),
    )
    stitched: tuple[int, ...] = (1, 2, 8)


@dataclass(frozen=True, kw_only=True)
class ExcerptPlan(BootstrapPlan):
    """Settings of `bootstrapped_text` and `prototypes`; here, a world is a sample of excerpts.

    Attributes:
        n_documents: number of real documents of a world.
        n_held_out: number of validation documents, and of test documents.
        length: tokens of a document, including its end-of-text token.
        n_nearest: prototypes nearest to a held-out document, whose edits are all summed.
        n_others: prototypes drawn from the others, which stand for all of them in the sum.
        n_edited: validation documents, and test documents, that are scored as edits.
    """

    n_documents: int = 512
    n_held_out: int = 512
    length: int = 64
    n_nearest: int = 64
    n_others: int = 192
    n_edited: int = 128


LEARNED_CONCEPTS = ConceptPlan(
    n_concepts=64,
    per_concept=2,
    epochs=64,
    batch=4,
    learning_rate=4e-3,
    n_neighbors=1,
    synthesizer_epochs=12,
    share=0.25,
)
"""Chosen on tuning worlds: models learn to use what they know long before the token budget is
spent, and two documents leave much of a concept unstated."""
