"""The world for an hour of one GPU, on tokens of many novels.

It is too large to search: tuned models have the settings that laws of size and data predict, see
`experiments.lab.predictions`. `datawall reproduce --world gpu --plan` prints what it will take. The
central recipes of Part 1 come first, then EntiGraph on graphs of four times as many entities as in
`small`, then the most expensive, several stocks of text. No part of it has been run yet.
"""

from __future__ import annotations

from experiments.worlds.plans import DataScalingPlan
from experiments.worlds.plans_part2 import FactPlan
from experiments.worlds.world import World

GPU = World(
    name="gpu",
    recipes=("standard", "regularized", "ensembles", "entigraph", "data_scaling"),
    corpus="novels",
    chunk_tokens=512,
    vocab_size=8_192,
    context=256,
    widths=(64, 128, 256, 512),
    n_layers=4,
    n_unique_tokens=1_048_576,
    n_eval_tokens=262_144,
    batch_size=32,
    standard_epochs=(2, 4, 8, 16),
    further_epochs=(32,),
    learning_rates=(3e-4, 1e-3, 3e-3, 1e-2),
    widest={"weight_decay": (0, 25.6), "n_epochs": (1, 64)},
    settings="predicted",
    start=(1.6, 16),
    warm_start=False,
    n_seeds=3,
    n_tuning_members=3,
    n_members=8,
    data_scaling=DataScalingPlan(
        sizes=(262_144, 524_288, 1_048_576, 2_097_152),
        widths=(64, 128, 256),
        n_draws=2,
        learning_rates=(3e-4, 1e-3, 3e-3, 1e-2),
        standard_epochs=(2, 4, 8, 16),
        n_seeds=1,
        n_members=4,
    ),
    facts=FactPlan(
        n_entities=120,
        width=128,
        mlp_width=1_024,
        # As many steps as small's width 128 takes on 100 entities, and a third more.
        base_tokens=32_768_000,
        base_batch=32,
        base_learning_rates=(1e-3, 2e-3),
        tokens=4_915_200,
        batch=16,
        learning_rates=(1e-3, 2e-3, 4e-3, 8e-3),
        tuning_tokens=64_000,
        n_tuning_graphs=1,
        paraphrase_tokens=(64_000, 512_000, 4_096_000),
        entigraph_tokens=(64_000, 256_000, 1_024_000, 4_096_000),
        n_graphs=5,
        first_graph=200,  # other worlds report those before
        ensemble_tokens=256_000,
        n_members=4,
    ),
)
