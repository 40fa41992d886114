"""The regularized recipe: learning rate, weight decay and epochs tuned at every size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.lab.searches import single_losses, tune_sizes
from experiments.tuning.certificates import Certificate
from experiments.tuning.grid import Point
from experiments.tuning.search import Tuned
from experiments.worlds.world import World


@dataclass(frozen=True, kw_only=True)
class Regularized:
    """What tuning found.

    Attributes:
        certificates: the optimum of each width, selected on validation.
        best: the runs at the optima, as many seeds as an ensemble has members, a row each.
    """

    certificates: Mapping[int, Certificate]
    best: pd.DataFrame

    @property
    def tuned(self) -> dict[int, Tuned]:
        """The optimum of each width."""
        return {width: found.tuned for width, found in self.certificates.items()}


@recipe()
def regularized(lab: Lab) -> Regularized:
    """Tune every size, then train as many seeds of the optima as an ensemble has members."""
    certificates = tune_singles(lab)
    finals = [
        lab.spec(width=width, seed=seed, **found.tuned.best)
        for width, found in certificates.items()
        for seed in range(lab.world.n_members)
    ]
    best = lab.train(finals, title="seeds of the tuned models")
    return Regularized(certificates=certificates, best=best)


def tune_singles(lab: Lab, starts: Mapping[int, Point] | None = None) -> dict[int, Certificate]:
    """Return the tuned sizes: small ones first, each from where the last one ended, or all in step.

    Args:
        lab: the world.
        starts: where to begin at each width, all then in step.
    """
    world, widths = lab.world, sorted(lab.world.widths)
    certificates: dict[int, Certificate] = {}
    in_turn = world.warm_start and starts is None
    for together in [(width,) for width in widths] if in_turn else [widths]:
        certificates |= tune_sizes(
            lab,
            "single",
            {
                width: starts[width] if starts else start_of(world, width, certificates)
                for width in together
            },
            grid=world.tuned_grid(),
            effort=world.effort(),
            score=single_losses(lab),
        )
    return certificates


def start_of(world: World, width: int, smaller: Mapping[int, Certificate]) -> Point:
    """Return where to begin at a width: at the optimum of the next smaller one, if there is one.

    The learning rate changes from size to size as the world's rule for it does.

    Args:
        world: with its rule.
        width: to begin at.
        smaller: certificates of smaller widths, if any.
    """
    if not smaller:
        return (world.learning_rate(width), *world.start)
    neighbor = max(smaller)
    learning_rate, *others = smaller[neighbor].tuned.point
    scale = world.learning_rate(width) / world.learning_rate(neighbor)
    return (learning_rate * scale, *others)
