"""Where each recipe pays: its gain at every size of model on every stock of text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.analysis.laws import LOSS, N
from experiments.recipes.data_scaling.losses import D
from experiments.recipes.data_scaling.recipe import data_scaling
from experiments.story.story import Story

STEPS = {
    "regularization": ("standard", "regularized"),
    "ensembles": ("regularized", "ensemble"),
    "infinite ensembles": ("regularized", "ensemble limit"),
}
"""Each gain is the loss of the first recipe less that of the second. Members are tuned for an
infinite number of them: a few may be worth less than one tuned model."""


def gains(story: Story) -> pd.DataFrame:
    """Return the gains of each recipe over the one before it, in nats.

    Returns:
        A row for each stock and width, with columns `n_unique_tokens`, `width`,
        `n_params_non_embedding`, `n_per_token` (N/D), and for each of STEPS the mean gain over
        draws of the corpus, which the recipes share, and its interval's ends (`..._low`,
        `..._high`).
    """
    found = story[data_scaling]
    rows = []
    compared = found.losses[found.losses[D].isin(found.sizes) & (found.losses["width"] > 0)]
    for (size, width), cell in compared.groupby([D, "width"]):
        n_params = float(cell[N].iloc[0])
        row = {D: size, "width": width, N: n_params, "n_per_token": n_params / float(str(size))}
        by_draw = cell.pivot(index="draw_seed", columns="recipe", values=LOSS)
        for step, (before, after) in STEPS.items():
            gain = mean_estimate((by_draw[before] - by_draw[after]).to_numpy(float))
            row |= {step: gain.value, f"{step}_low": gain.low, f"{step}_high": gain.high}
        rows.append(row)
    return pd.DataFrame(rows)


def optima(story: Story) -> pd.DataFrame:
    """Return where the searches ended on every stock.

    Returns:
        A row a certificate, with columns `objective` ("standard", "single" or "ensemble"),
        `n_unique_tokens`, `width`, `n_per_token`, `learning_rate`, `weight_decay`, `n_epochs`,
        `certified`.
    """
    found = story[data_scaling]
    return pd.DataFrame(
        [
            {
                "objective": one.objective,
                D: size,
                "width": one.spec.model.width,
                "n_per_token": one.spec.model.n_params_non_embedding / size,
                **one.tuned.best,
                "certified": one.tuned.certified,
            }
            for size, certificates in sorted(found.certificates.items())
            for one in certificates
        ]
    )


def slope(table: pd.DataFrame, step: str) -> Estimate:
    """Return the slope of a gain per tenfold N/D, with the interval of a straight line's."""
    from scipy import stats  # takes a second to import

    fit = stats.linregress(np.log10(table["n_per_token"]), table[step])
    half = stats.t.ppf(0.975, max(len(table) - 2, 1)) * fit.stderr
    if len(table) < 3:
        half = np.inf
    return Estimate(value=fit.slope, low=fit.slope - half, high=fit.slope + half, n=len(table))
