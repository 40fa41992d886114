"""What makes the members of an ensemble differ: their first weights, the order of their data, both,
or the text itself.

The members that differ in both are those of the ensemble recipe. The others repeat its first member
with a new draw of the weights only, a new order only, or a draw of their own from the corpus; the
last kind reads more text than a stock of D tokens holds and only shows what that would bring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import pandas as pd

from experiments.analysis.intervals import Estimate, jackknife
from experiments.analysis.members import limit_estimate
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.ensembles import Ensembles, ensembles
from experiments.runs.spec import RunSpec

Source = Literal["both", "weights", "order", "text"]
SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """Ensembles whose members differ in one thing each.

    Attributes:
        width: size of the members, the second smallest.
        scores: by source of difference, the losses of every subset, see `Lab.ensemble`.
    """

    width: int
    scores: Mapping[Source, pd.DataFrame]

    @property
    def n_members(self) -> int:
        """Members of each ensemble."""
        return int(self.scores["both"]["n_members"].max())

    def gain(self, source: Source, left_out: int | None = None) -> float:
        """Return one member's mean test loss less the estimated limit of many, in nats."""
        scores = self.scores[source]
        scores = scores[scores["average"] == "logit"]
        if left_out is not None:
            scores = scores[[str(left_out) not in of.split(",") for of in scores["members"]]]
        alone = scores.loc[scores["n_members"] == 1, "test_loss"].mean()
        return float(alone - limit_estimate(scores, "test_loss"))

    def gain_estimate(self, source: Source) -> Estimate:
        """Return `gain` with its interval over members."""
        without = [self.gain(source, member) for member in range(self.n_members)]
        return jackknife(self.gain(source), [without])

    def share(self, source: Source) -> Estimate:
        """Return the gain from one source over that of members that differ in both."""
        ours, whole = self.gain(source), self.gain("both")
        members = range(self.n_members)
        return jackknife(
            ours / whole,
            [
                [self.gain(source, member) / whole for member in members],
                [ours / self.gain("both", member) for member in members],
            ],
        )


@recipe(ensembles)
def diversity(lab: Lab, ensembles: Ensembles) -> Diversity:
    """Train members of the second smallest size at their tuned point, a pool for each source."""
    world = lab.world
    width = sorted(ensembles.tuned)[min(1, len(ensembles.tuned) - 1)]
    best = ensembles.tuned[width].best
    members = range(world.n_tuning_members)

    def pool(source: Source) -> list[RunSpec]:
        first = lab.spec(width=width, seed=0, **best)
        if source == "both":
            return [lab.spec(width=width, seed=seed, **best) for seed in members]
        if source == "text":
            return [
                lab.spec(width=width, seed=seed, draw_seed=world.draw_seed + seed, **best)
                for seed in members
            ]
        if source == "weights":
            others = [replace(_ordered(first, 0), seed=seed) for seed in members[1:]]
        else:
            others = [_ordered(first, seed) for seed in members[1:]]
        return [first, *others]

    pools = {source: pool(source) for source in SOURCES}
    lab.trained(
        [spec for specs in pools.values() for spec in specs], title="what members differ in"
    )
    scores = dict(zip(pools, lab.ensembles(list(pools.values())), strict=True))
    return Diversity(width=width, scores=scores)


def _ordered(spec: RunSpec, order_seed: int) -> RunSpec:
    """Return the same run with its data in an order drawn by another seed."""
    return replace(spec, train=replace(spec.train, order_seed=order_seed))
