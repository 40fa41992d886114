"""How a world runs the recipes on bootstrapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from experiments.worlds.plans import TUNING_SEED

Arm = Literal["baseline", "oracle", "sbp", "random", "unconditional", "scratch"]
"""What a model reads: the real documents repeated; as many new ones; or, in part, documents written
by a synthesiser of nearest pairs, of random pairs, by the baseline from nothing, or by a
synthesiser of nearest pairs that starts from random weights."""

USUAL_DECAY = 0.1


@dataclass(frozen=True, kw_only=True)
class BootstrapPlan:
    """What is trained, whatever the documents.

    Attributes:
        width: of the model, as `ModelConfig.from_width` takes it.
        small_width: of the smaller model at which quality is measured too.
        n_layers: blocks of every model.
        epochs: passes over the real documents that fill the budget of training tokens.
        batch: windows of two documents in a step.
        learning_rate: of every model but synthesisers.
        weight_decays: tried for each arm alike, on worlds of their own; the usual one among them.
        synthesizer_rates: learning rates tried for the synthesiser, on those worlds.
        synthesizer_decay: its weight decay.
        n_neighbors: neighbours that each document is paired with.
        synthesizer_epochs: passes of the synthesiser over the pairs.
        share: synthetic part of the tokens.
        temperature: of the sampling.
        arms: what is compared.
        n_worlds: worlds reported.
        first_world: seed of the first of them; a plan that was enlarged after a look at some worlds
            reports others.
        n_tuning_worlds: worlds for choosing.
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
    share: float = 0.5
    temperature: float = 1.0
    arms: tuple[Arm, ...] = ("baseline", "oracle", "sbp", "random", "unconditional")
    n_worlds: int = 3
    first_world: int = 0
    n_tuning_worlds: int = 1
    n_members: int = 2

    @property
    def reported(self) -> range:
        """Seeds of the worlds reported."""
        return range(self.first_world, self.first_world + self.n_worlds)

    @property
    def tuning(self) -> range:
        """Seeds of the worlds for choosing."""
        return range(TUNING_SEED, TUNING_SEED + self.n_tuning_worlds)


@dataclass(frozen=True, kw_only=True)
class ConceptPlan(BootstrapPlan):
    """What the recipe `bootstrapped` trains.

    Attributes:
        n_concepts: concepts of each world.
        per_concept: real documents about each.
        held_out_per_concept: documents about each that select, and as many that are reported.
    """

    n_concepts: int = 128
    per_concept: int = 4
    held_out_per_concept: int = 4


@dataclass(frozen=True, kw_only=True)
class ExcerptPlan(BootstrapPlan):
    """What the recipe `bootstrapped_text` trains; a world is a draw of excerpts.

    Attributes:
        n_documents: real documents of a world.
        n_held_out: documents that select, and as many that are reported.
        length: tokens of a document, its end-of-text token included.
    """

    n_documents: int = 512
    n_held_out: int = 512
    length: int = 64


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
"""Chosen on worlds for choosing: here a model has learned to use what it knows long before the
tokens are spent, and two documents leave much of a concept unsaid."""
