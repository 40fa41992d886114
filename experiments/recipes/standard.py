"""The standard recipe: usual weight decay, more epochs, more parameters."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.lab.searches import single_losses, tune_sizes
from experiments.tuning.certificates import Certificate
from experiments.tuning.grid import Point


@dataclass(frozen=True, kw_only=True)
class Standard:
    """What the standard recipe reaches.

    Attributes:
        sweep: runs of every size for every number of epochs that it tried, at the learning rate
            of the world's rule, several seeds each, a row a run.
        certificates: the best learning rate and epochs of each width, selected on validation.
        best: the runs there, a row each.
    """

    sweep: pd.DataFrame
    certificates: Mapping[int, Certificate]
    best: pd.DataFrame


@recipe()
def standard(lab: Lab) -> Standard:
    """Train every size for every number of epochs, then tune the learning rate from the best."""
    world = lab.world
    sweep = sweep_epochs(lab)
    certificates = tune_standard(
        lab,
        {
            width: (world.learning_rate(width), world.standard_decay, n_epochs)
            for width, n_epochs in best_epochs(sweep).items()
        },
    )
    best = [
        lab.spec(width=width, seed=seed, **found.tuned.best)
        for width, found in certificates.items()
        for seed in range(world.n_seeds)
    ]
    return Standard(
        sweep=sweep, certificates=certificates, best=lab.train(best, title="standard recipe")
    )


def sweep_epochs(lab: Lab) -> pd.DataFrame:
    """Return runs of every size past its best number of epochs; columns as of `RunStore.frame`."""
    world = lab.world

    def train(widths: Iterable[int], epochs: Iterable[int]) -> pd.DataFrame:
        specs = [
            lab.spec(width=width, weight_decay=world.standard_decay, n_epochs=n_epochs, seed=seed)
            for width, n_epochs in itertools.product(widths, epochs)
            for seed in range(world.n_seeds)
        ]
        return lab.train(specs, title="standard recipe")

    sweep = train(world.widths, world.standard_epochs)
    last = dict.fromkeys(world.widths, max(world.standard_epochs))
    for n_epochs in world.further_epochs:
        best = best_epochs(sweep)
        widths = [width for width in world.widths if best[width] == last[width]]
        if not widths:
            break
        sweep = pd.concat([sweep, train(widths, [n_epochs])], ignore_index=True)
        last.update(dict.fromkeys(widths, n_epochs))
    return sweep


def tune_standard(lab: Lab, starts: Mapping[int, Point]) -> dict[int, Certificate]:
    """Return the tuned learning rate and epochs of every size at the usual weight decay."""
    return tune_sizes(
        lab,
        "standard",
        starts,
        grid=lab.world.standard_grid(),
        effort=lab.world.effort(),
        score=single_losses(lab),
    )


def best_epochs(sweep: pd.DataFrame) -> dict[int, int]:
    """Return the number of epochs that validation selects at each width; a diverged run is last."""
    losses = sweep.fillna({"validation_loss": float("inf")})
    means = losses.groupby(["width", "n_epochs"])["validation_loss"].mean()
    return dict(means.groupby("width").idxmin().to_list())


def most_epochs(sweep: pd.DataFrame) -> dict[int, int]:
    """Return the largest number of epochs that was tried at each width: sizes go on past others."""
    return dict(sweep.groupby("width")["n_epochs"].max().items())
