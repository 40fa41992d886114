"""The central recipes, draws and distillation on 32,768 tokens of many novels.

As `quick`, on another text and up to a larger size: does the talk's picture depend on the text?
"""

from __future__ import annotations

from experiments.worlds.plans import DistillationPlan, DrawsPlan
from experiments.worlds.world import World

NOVELS = World(
    name="novels",
    recipes=("standard", "regularized", "ensembles", "classical", "draws", "distillation"),
    corpus="novels",
    widths=(16, 32, 64, 128),
    n_unique_tokens=32_768,
    chunk_tokens=512,
    n_eval_tokens=32_768,
    standard_epochs=(4, 8, 16),
    further_epochs=(32, 64, 128),
    learning_rates=(6.25e-4, 1.25e-3, 2.5e-3, 5e-3, 1e-2, 2e-2, 4e-2),
    widest={"weight_decay": (0, 25.6), "n_epochs": (1, 256)},
    start=(1.6, 32),
    warm_start=False,
    n_seeds=3,
    n_tuning_members=3,
    n_members=5,
    draws=DrawsPlan(widths=(16, 32, 64, 128)),
    # The sampled text is read once: 56 passes of 64.
    distillation=DistillationPlan(
        width=32,
        n_epochs=64,
        share=0.875,
        tokens_ratio=56,
        weight_decays=(0, 0.1, 0.4, 1.6, 6.4),
        n_generations=3,
        n_seeds=3,
        soft_ensemble=True,
    ),
)
