"""The world for a GPU with large memory, on novels."""

from __future__ import annotations

from experiments.worlds.plans import DataScalingPlan, DistillationPlan
from experiments.worlds.world import MAIN_RECIPES, World

H200 = World(
    name="h200",
    recipes=MAIN_RECIPES,
    corpus="novels",
    vocab_size=8_192,
    context=512,
    widths=(128, 256, 512, 1024),
    n_layers=6,
    n_unique_tokens=4_194_304,
    n_eval_tokens=1_048_576,
    batch_size=32,
    standard_epochs=(1, 2, 4, 8, 16, 32),
    learning_rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    widest={"weight_decay": (0, 25.6), "n_epochs": (1, 128)},
    start=(1.6, 16),
    n_seeds=3,
    n_tuning_members=3,
    n_members=8,
    data_scaling=DataScalingPlan(
        sizes=(1_048_576, 2_097_152, 4_194_304, 8_388_608),
        widths=(128, 256, 512),
        n_draws=3,
        learning_rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        standard_epochs=(1, 2, 4, 8, 16, 32),
        n_seeds=3,
        n_members=5,
    ),
    distillation=DistillationPlan(
        width=256,
        n_epochs=32,
        share=0.75,
        tokens_ratio=8,
        weight_decays=(0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
        n_generations=4,
        n_seeds=3,
        soft_ensemble=True,
    ),
)
