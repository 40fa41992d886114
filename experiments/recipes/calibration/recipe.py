"""Calibration against known truth: can a fitted asymptote be believed?

Models are trained on languages whose entropy rate is known (`models.analytic.known_entropy`), so
that what the laws say of infinite data, parameters and members can be held against the truth. Of a
Markov chain drawn from a known prior the Bayes-optimal predictor given D tokens is known as well,
and its loss is the floor, on average over chains, for every recipe at that D: for single models,
for ensembles, and for their fitted limits. Brute force checks the limits from above: sizes, members
and data far beyond the fitted ranges.

Hyperparameters are chosen in every cell of kind, D and width, for single models and for members of
an ensemble apart, on languages that are not reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import pandas as pd

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.calibration.laws import data_laws, limits
from experiments.recipes.calibration.losses import CalibrationLosses, losses_of


@dataclass(frozen=True, kw_only=True)
class Calibration(CalibrationLosses):
    """The losses, and what laws say of them.

    Attributes:
        laws: see `experiments.recipes.calibration.laws.data_laws`.
        limits: see `experiments.recipes.calibration.laws.limits`.
    """

    laws: pd.DataFrame
    limits: pd.DataFrame


@recipe()
def calibration(lab: Lab) -> Calibration:
    """Choose settings in every cell, train and score all languages, and fit the laws.

    The fits are kept as records: they take longer than reading all the rest.

    Raises:
        ValueError: the world has no plan for it.
    """
    losses = losses_of(lab, lab.world.plan_of(lab.world.calibration, "calibration"))
    read_by_laws = (losses.sources, losses.floors, losses.singles, losses.curves, losses.brute)
    identity = [asdict(losses.plan), [part.to_dict("list") for part in read_by_laws]]

    def kept(fit: Callable[[CalibrationLosses], pd.DataFrame]) -> pd.DataFrame:
        table = lab.remember(
            "calibration_laws", [fit.__name__, *identity],
            lambda: fit(losses).to_dict("split", index=False), from_losses=True,
        )  # fmt: skip
        return pd.DataFrame(**table)

    return Calibration(**vars(losses), laws=kept(data_laws), limits=kept(limits))
