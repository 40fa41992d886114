"""Sizes of the recipes of Part 2 in each world."""

from __future__ import annotations

from dataclasses import dataclass, replace

from experiments.worlds.bootstrapping_plan import USUAL_DECAY, ConceptPlan, ExcerptPlan
from experiments.worlds.continued_plan import ContinuedPlan
from experiments.worlds.facts_plan import FactPlan


@dataclass(frozen=True, kw_only=True)
class Part2Plan:
    """How the recipes of Part 2 are run.

    Attributes:
        continued: going on in a small domain.
        facts: EntiGraph.
        concepts: bootstrapped pre-training.
        excerpts: the same on the world's own text; None where it is not run.
    """

    continued: ContinuedPlan
    facts: FactPlan
    concepts: ConceptPlan
    excerpts: ExcerptPlan | None = None


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

PLANS = {
    "tiny": Part2Plan(
        continued=ContinuedPlan(
            width=16,
            general_tokens=16_384,
            n_tokens=2_048,
            many_times=4,
            epochs=(1, 4),
            learning_rates=(4e-3,),
            n_members=2,
            n_draws=2,
        ),
        facts=FactPlan(
            n_entities=20,
            n_base_worlds=1,
            width=32,
            mlp_width=64,
            base_tokens=65_536,
            n_bases=1,
            tokens=32_768,
            learning_rates=(4e-3,),
            tuning_tokens=2_000,
            paraphrase_tokens=(1_000, 4_000),
            entigraph_tokens=(1_000, 4_000, 16_000),
            n_graphs=2,
            ensemble_tokens=4_000,
            n_members=2,
        ),
        concepts=ConceptPlan(
            n_concepts=32,
            held_out_per_concept=2,
            width=32,
            small_width=16,
            n_layers=1,
            epochs=8,
            weight_decays=(0.1, 0.8),
            synthesizer_rates=(8e-3,),
            n_worlds=2,
        ),
        excerpts=ExcerptPlan(
            n_documents=64,
            n_held_out=64,
            length=24,
            width=32,
            small_width=16,
            n_layers=1,
            epochs=4,
            weight_decays=(0.1, 0.8),
            synthesizer_rates=(8e-3,),
            arms=("baseline", "oracle", "sbp", "random"),
            n_worlds=2,
        ),
    ),
    "quick": Part2Plan(
        continued=ContinuedPlan(),
        facts=FactPlan(learning_rates=(4e-3, 8e-3)),
        concepts=replace(
            LEARNED_CONCEPTS,
            weight_decays=(USUAL_DECAY, 0.4, 1.6),
            arms=("baseline", "oracle", "sbp", "random"),
            first_world=6,  # other plans were tried on those before
        ),
    ),
    "small": Part2Plan(
        continued=ContinuedPlan(
            learning_rates=(5e-4, 1e-3, 2e-3, 4e-3, 8e-3), epochs=(1, 2, 4, 8, 16, 32), n_draws=5
        ),
        # Quick's worlds, more of them: of worlds with 60 entities or 256 concepts, models of this
        # size learned nothing that could be told from chance, whatever they read.
        facts=FactPlan(
            learning_rates=(1e-3, 2e-3, 4e-3, 8e-3),
            n_tuning_graphs=2,
            paraphrase_tokens=(4_000, 16_000, 64_000, 256_000),
            entigraph_tokens=(4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000),
            n_graphs=10,
            first_graph=20,  # quick reports those before
            n_members=4,
        ),
        concepts=replace(
            LEARNED_CONCEPTS,
            synthesizer_rates=(2e-3, 4e-3, 8e-3),
            arms=("baseline", "oracle", "sbp", "random", "unconditional", "scratch"),
            n_worlds=12,
            first_world=9,  # quick reports those before, or other plans were tried on them
            n_tuning_worlds=2,
            n_members=4,
        ),
        excerpts=ExcerptPlan(
            arms=("baseline", "oracle", "sbp", "random"),
            n_worlds=4,
        ),
    ),
}
"""By the name of the world."""


def part2_plan(world: str) -> Part2Plan:
    """Return the sizes of Part 2 in a world.

    Raises:
        ValueError: the world does not run Part 2.
    """
    if world not in PLANS:
        raise ValueError(f"Part 2 runs in the worlds {', '.join(PLANS)}; not in {world!r}")
    return PLANS[world]
