"""The central recipes, draws and distillation on 32,768 tokens of many novels.

As `quick`, on another text: does the talk's picture depend on the text? Two sizes show the
limits of infinitely many members and the spread between draws of the text; a law of size needs
three.
"""

from __future__ import annotations

from dataclasses import replace

from experiments.worlds.plans import DistillationPlan, DrawsPlan
from experiments.worlds.quick import QUICK

NOVELS = replace(
    QUICK,
    name="novels",
    recipes=("standard", "regularized", "ensembles", "classical", "draws", "distillation"),
    corpus="novels",
    widths=(32, 64),
    chunk_tokens=512,
    settings="novels",
    draws=DrawsPlan(widths=(32, 64)),
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
    continued=None,
    facts=None,
    concepts=None,
)
