"""The world that runs in minutes, on the docstrings of Python's standard library."""

from __future__ import annotations

from dataclasses import replace

from experiments.worlds.plans import USUAL_DECAY, CalibrationPlan, DataScalingPlan, DistillationPlan
from experiments.worlds.plans_part2 import LEARNED_CONCEPTS, ContinuedPlan, FactPlan
from experiments.worlds.world import MAIN_RECIPES, PART_2_RECIPES, World

QUICK = World(
    name="quick",
    recipes=(*MAIN_RECIPES, *PART_2_RECIPES),
    widths=(8, 12, 20, 32),
    n_unique_tokens=4_096,
    n_eval_tokens=8_192,
    standard_epochs=(1, 2, 4, 8, 16, 32),
    learning_rates=(6.25e-4, 1.25e-3, 2.5e-3, 5e-3, 1e-2, 2e-2, 4e-2),
    widest={"weight_decay": (0, 25.6)},
    start=(6.4, 32),
    warm_start=False,
    n_seeds=3,
    n_tuning_members=3,
    n_members=5,
    data_scaling=DataScalingPlan(
        sizes=(1_024, 2_048, 4_096, 8_192),
        widths=(12, 20),
        n_draws=3,
        learning_rates=(1e-2,),
        standard_epochs=(1, 2, 4, 8, 16, 32),
        n_seeds=2,
        n_members=4,
    ),
    distillation=DistillationPlan(
        width=20,
        n_epochs=32,
        share=0.75,
        tokens_ratio=4,
        weight_decays=(0.4, 0.8, 1.6, 3.2, 6.4),
        n_generations=3,
        n_seeds=3,
    ),
    calibration=CalibrationPlan(
        n_sources=3,
        weight_decays=(0.05, 0.4, 3.2, 25.6),
        reads=(65_536,),
        n_seeds=2,
        n_unique_tokens=1_024,
        widths=(8, 12, 16),
        brute_width=32,
        brute_members=12,
        data_width=32,
        sizes=(1_024, 2_048, 4_096, 8_192),
        brute_size=32_768,
    ),
    continued=ContinuedPlan(),
    facts=FactPlan(learning_rates=(4e-3, 8e-3)),
    concepts=replace(
        LEARNED_CONCEPTS,
        weight_decays=(USUAL_DECAY, 0.4, 1.6),
        arms=("baseline", "oracle", "sbp", "random"),
        first_world=6,  # other plans were tried on those before
    ),
)
