"""The world that runs for hours, on many novels; its results are shipped with the package.

As `quick`, on another text: does the talk's picture depend on the text? It runs the whole talk.
"""

from __future__ import annotations

from dataclasses import replace

from experiments.worlds.plans import (
    CalibrationPlan,
    DataScalingPlan,
    DistillationPlan,
    DrawsPlan,
)
from experiments.worlds.plans_part2 import (
    LEARNED_CONCEPTS,
    ContinuedPlan,
    ExcerptPlan,
    FactPlan,
    MixingPlan,
)
from experiments.worlds.quick import QUICK
from experiments.worlds.world import TALK_RECIPES

# As many entities and concepts as in quick, but more graphs: with 256 concepts, the accuracy of
# models of this size was indistinguishable from chance.
FACTS = FactPlan(
    shared_base=False,
    base_tokens=4_096_000,  # shorter ones leave these worlds unlearned, and teach less of others
    base_learning_rates=(1e-3, 2e-3, 4e-3, 8e-3),
    learning_rates=(1e-3, 2e-3, 4e-3, 8e-3),
    tuning_tokens=64_000,
    n_tuning_graphs=4,
    paraphrase_tokens=(4_000, 16_000, 64_000, 256_000),
    entigraph_tokens=(4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000),
    n_graphs=10,
    first_graph=80,  # quick reports those from 10 on; other plans were tried on those before
    n_members=4,
)

SMALL = replace(
    QUICK,
    name="small",
    recipes=(*TALK_RECIPES, "draws", "calibration"),
    corpus="novels",
    chunk_tokens=512,
    settings="small",
    pairs_per_paradigm=50,
    draws=DrawsPlan(widths=(32, 64)),
    # Tuning single models and members on a larger stock takes hours.
    data_scaling=DataScalingPlan(
        sizes=(16_384, 32_768),
        reference_sizes=(65_536, 131_072),
        widths=(16, 32, 64),
        n_draws=4,
        learning_rates=QUICK.learning_rates,
        standard_epochs=(2, 4, 8, 16),
        n_seeds=2,
        n_members=4,
    ),
    # The sampled text is read once: 56 passes of 64.
    distillation=DistillationPlan(
        width=32,
        n_epochs=64,
        share=0.875,
        tokens_ratio=56,
        weight_decays=(0, 0.1, 0.4, 1.6, 6.4),
        n_generations=2,
        n_seeds=3,
        soft_ensemble=True,
    ),
    calibration=CalibrationPlan(
        n_sources=6,
        weight_decays=(0.1, 0.4, 1.6, 6.4, 25.6),
        reads=(65_536, 262_144),
        n_unique_tokens=1_024,
        widths=(8, 12, 16, 24, 32),
        brute_width=64,
        brute_members=16,
        data_width=32,
        sizes=(1_024, 2_048, 4_096, 8_192, 16_384),
        brute_size=131_072,
    ),
    continued=ContinuedPlan(
        learning_rates=(5e-4, 1e-3, 2e-3, 4e-3, 8e-3), epochs=(1, 2, 4, 8, 16, 32), n_draws=5
    ),
    facts=FACTS,
    longer_training=1_228_800,
    first_trainings=(256_000, 512_000, 1_024_000, 2_048_000, 4_096_000),
    large_facts=replace(
        FACTS,
        n_entities=100,
        shared_base=True,
        n_base_worlds=2,
        width=128,
        base_tokens=6_144_000,
        base_learning_rates=(1e-3,),
        tokens=2_457_600,
        learning_rates=(1e-3, 2e-3, 4e-3),
        tuning_tokens=160_000,
        n_tuning_graphs=1,
        entigraph_tokens=(8_000, 24_000, 64_000, 160_000, 400_000, 1_024_000),
        n_graphs=4,
        first_graph=60,
        n_members=1,
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
    mixing=MixingPlan(),
    excerpts=ExcerptPlan(
        arms=("baseline", "oracle", "sbp", "random"),
        n_worlds=4,
    ),
)
