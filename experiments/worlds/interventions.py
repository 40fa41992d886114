"""What else pays where text is scarce: levers on 8,192 tokens, with a plan for chains of members.

Models of width 32 have seven parameters (embeddings included) for each token, as the talk's largest
have, and overfit: tuned decay lies .94 nats below the usual one, infinitely many members .22 below
that.
"""

from __future__ import annotations

from dataclasses import replace

from experiments.worlds.plans import USUAL_DECAY, ChainPlan, LeverPlan
from experiments.worlds.quick import QUICK

INTERVENTIONS = replace(
    QUICK,
    name="interventions",
    recipes=("levers", "chains"),
    widths=(32,),
    n_unique_tokens=8_192,
    chunk_tokens=64,  # larger ones would come from fewer documents than 64
    settings=None,
    # Decays, epochs and rate surround the optima of single models and of members without a lever.
    lever_trials=LeverPlan(
        width=32,
        tried=(
            *("replaced input", "masked input", "right to left", "further tokens"),
            *("looped blocks", "shuffled documents", "averaged weights", "masked diffusion"),
        ),
        weight_decays=(0, USUAL_DECAY, 1.6, 3.2, 6.4, 12.8, 25.6),
        epochs=(32, 128),
        n_tuned_draws=12,
        learning_rate=5e-3,
    ),
    chains=ChainPlan(
        width=32,
        weight_decays=(0.8, 1.6, 3.2, 6.4),
        epochs=(64,),
        soft_shares=(0.2, 0.5, 0.8),
        learning_rate=5e-3,
    ),
    continued=None,
    facts=None,
    concepts=None,
)
