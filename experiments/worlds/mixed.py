"""The central recipes of Part 1 on a stock of many documents, with tuned settings of its own.

Only final models are trained; `--search` searches for the settings instead.
"""

from __future__ import annotations

from experiments.worlds.world import World

MIXED = World(
    name="mixed",
    recipes=("standard", "regularized", "ensembles"),
    widths=(16, 24, 32, 64, 128),
    n_unique_tokens=32_768,
    chunk_tokens=256,
    n_eval_tokens=32_768,
    standard_epochs=(4, 8, 16, 32),
    learning_rates=(6.25e-4, 1.25e-3, 2.5e-3, 5e-3, 1e-2, 2e-2, 4e-2),
    widest={"weight_decay": (0, 25.6)},
    settings="mixed",
    start=(1.6, 32),
    warm_start=False,
    n_seeds=3,
    n_tuning_members=3,
    n_members=5,
)
