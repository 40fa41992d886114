"""The standard recipe: usual weight decay, more epochs, more parameters."""

from __future__ import annotations

import pandas as pd

from experiments.lab import Lab


def run(lab: Lab) -> pd.DataFrame:
    """Train every size at the usual weight decay for every number of epochs, several seeds each.

    Returns:
        A row a run, see `RunStore.frame`.
    """
    world = lab.world
    specs = [
        lab.spec(width=width, weight_decay=world.standard_decay, n_epochs=n_epochs, seed=seed)
        for width in world.widths
        for n_epochs in world.standard_epochs
        for seed in range(world.n_seeds)
    ]
    return lab.train(specs, title="standard recipe")
