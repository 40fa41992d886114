"""The world that runs in minutes, on the docstrings of Python's standard library.

It draws the talk's central picture on a stock of many documents: of Part 1, it trains only the
final models of the central recipes, with tuned settings of its own; `--search` searches for them.
"""

from __future__ import annotations

from dataclasses import replace

from experiments.worlds.plans import USUAL_DECAY
from experiments.worlds.plans_part2 import LEARNED_CONCEPTS, ContinuedPlan, FactPlan
from experiments.worlds.world import PART_2_RECIPES, World

QUICK = World(
    name="quick",
    recipes=("standard", "regularized", "ensembles", "classical", *PART_2_RECIPES),
    widths=(16, 24, 32, 64, 96),
    n_unique_tokens=32_768,
    chunk_tokens=256,
    n_eval_tokens=32_768,
    standard_epochs=(4, 8, 16),
    further_epochs=(32, 64, 128),
    learning_rates=(6.25e-4, 1.25e-3, 2.5e-3, 5e-3, 1e-2, 2e-2, 4e-2),
    widest={"weight_decay": (0, 25.6), "n_epochs": (1, 512)},
    settings="quick",
    start=(1.6, 32),
    warm_start=False,
    n_seeds=3,
    n_tuning_members=3,
    n_members=5,
    continued=ContinuedPlan(),
    facts=FactPlan(base_tokens=2_048_000, learning_rates=(2e-3, 4e-3)),
    concepts=replace(
        LEARNED_CONCEPTS,
        weight_decays=(USUAL_DECAY, 0.4, 1.6),
        arms=("baseline", "oracle", "sbp", "random"),
        first_world=6,  # other plans were tried on those before
    ),
)
