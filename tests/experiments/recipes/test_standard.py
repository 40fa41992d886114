"""The standard recipe's epochs, on losses with a known best number at each size."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd

from experiments.recipes.standard import best_epochs, most_epochs, sweep_epochs
from experiments.worlds.registry import WORLDS

BEST = {16: 32, 24: 8, 64: 4, 128: 512}  # epochs, by width


class KnownLosses:
    """A lab whose validation losses rise on both sides of the best number of epochs."""

    def __init__(self, **settings):
        self.world = dataclasses.replace(WORLDS["quick"], widths=tuple(BEST), **settings)

    def spec(self, **settings):
        return SimpleNamespace(**settings)

    def train(self, specs, title):
        runs = pd.DataFrame([vars(spec) for spec in specs])
        off = np.log2(runs["n_epochs"] / runs["width"].map(BEST))
        return runs.assign(validation_loss=3 + 0.1 * off**2 + 0.01 * runs["seed"])


def test_every_size_is_tried_past_its_best_epochs_and_no_further():
    sweep = sweep_epochs(KnownLosses(standard_epochs=(2, 4, 8), further_epochs=(16, 32, 64, 128)))
    # The last is still falling at the end.
    assert most_epochs(sweep) == {16: 64, 24: 16, 64: 8, 128: 128}
    assert best_epochs(sweep) == {16: 32, 24: 8, 64: 4, 128: 128}
    assert (sweep.groupby(["width", "n_epochs"]).size() == 3).all()


def test_without_further_epochs_every_size_is_tried_alike():
    sweep = sweep_epochs(KnownLosses(standard_epochs=(2, 4), further_epochs=()))
    assert (sweep.groupby("width")["n_epochs"].unique().map(list).map(tuple) == (2, 4)).all()
