"""How much synthetic text to mix in, how to read it, and how good it must be to pay.

The arm "sbp" of bootstrapping on documents about concepts, changed in one way at a time: the
synthetic share of the training tokens, passes over the synthetic documents, how many of one source
are joined to one (megadocs, arXiv 2603.18534), and the synthesizer that writes them. Training
tokens are those of the baseline, synthetic documents are sampled until they fill their share, and
weight decay is chosen for each; the synthesizer's rate is the one that was chosen for
`bootstrapped`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, jackknife, unbounded
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.bootstrapped import measures
from experiments.recipes.bootstrapped.recipe import (
    Bootstrapped,
    best_decays,
    bootstrapped,
    try_decays,
)
from experiments.recipes.bootstrapped.runs import BootstrapRuns
from experiments.recipes.bootstrapped.sources import Concepts
from experiments.runs.spec import RunSpec


class Mix(NamedTuple):
    """What of the plan of `bootstrapped` an arm may change, under the names of the plan."""

    share: float
    synthetic_passes: int
    stitched: int
    synthesizer_width: int
    synthesizer_epochs: int


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """What synthetic text gains, by its share, passes over it and its quality.

    Attributes:
        runs: a row an arm and world: the fields of `Mix`, `world`, `weight_decay` (the one chosen),
            `is_edge` (it is an end of the candidates), `test_loss`, `gain` over the tuned baseline
            of that world in nats per token, `first_mention_gain` (the same where a document first
            gives a value) and `wrong`, the share of values in the synthetic documents that are not
            those of the concept that they name.
        shares, passes, stitched, synthesizers: the arms in which that alone changes, in the order
            of the plan; passes are compared at a share of their own.
    """

    runs: pd.DataFrame
    shares: list[Mix]
    passes: list[Mix]
    stitched: list[Mix]
    synthesizers: list[Mix]

    def of(self, mix: Mix, column: str = "gain") -> np.ndarray:
        """Return a column of `runs` of an arm, a value a world."""
        rows = self.runs[(self.runs[list(Mix._fields)] == [*mix]).all(axis=1)]
        return rows.sort_values("world")[column].to_numpy(float)

    def is_edge(self, mix: Mix) -> bool:
        """Whether the weight decay chosen for an arm is an end of the candidates."""
        return bool(self.of(mix, "is_edge").any())

    @property
    def threshold(self) -> Estimate:
        """Share of wrong values from which synthetic text no longer pays, over worlds.

        Where the line of least squares of the gain on the share of wrong values, over the means of
        `synthesizers`, falls through zero. Not identified unless it does so between the smallest
        and the largest share, whichever world is left out.
        """
        n = len(self.of(self.synthesizers[0]))
        value, *others = (self._crossing(np.arange(n) != left_out) for left_out in range(-1, n))
        found = jackknife(value, [others])
        return found if np.isfinite([value, *others]).all() else unbounded(found)

    def _crossing(self, worlds: np.ndarray) -> float:
        if not worlds.any():
            return float("nan")
        wrong, gain = (
            np.array([self.of(mix, name)[worlds].mean() for mix in self.synthesizers])
            for name in ("wrong", "gain")
        )
        if np.ptp(wrong) == 0:
            return float("nan")
        slope, level = np.polyfit(wrong, gain, 1)
        at = -level / slope if slope < 0 else np.nan
        return float(at) if wrong.min() <= at <= wrong.max() else float("nan")


@recipe(bootstrapped, part=2)
def mixing(lab: Lab, bootstrapped: Bootstrapped) -> Mixing:
    """Train and score every arm on documents about concepts.

    Raises:
        ValueError: the world has no plan for it.
    """
    plan = lab.world.plan_of(lab.world.mixing, "mixing")
    usual = lab.world.plan_of(lab.world.concepts, "mixing")
    base = Mix(
        share=usual.share,
        synthetic_passes=usual.synthetic_passes,
        stitched=usual.stitched,
        synthesizer_width=usual.synthesizer_width or usual.width,
        synthesizer_epochs=usual.synthesizer_epochs,
    )
    shares = [base._replace(share=share) for share in plan.shares]
    passes = [
        base._replace(share=plan.share_of_passes, synthetic_passes=times) for times in plan.passes
    ]
    stitched = [base._replace(stitched=n) for n in plan.stitched]
    synthesizers = [
        base._replace(synthesizer_width=width, synthesizer_epochs=epochs)
        for width, epochs in plan.synthesizers
    ]
    source, worlds = Concepts(usual), [*usual.tuning, *usual.reported]
    arms = {}
    for mix in dict.fromkeys([*shares, *passes, *stitched, *synthesizers]):
        arms[mix] = BootstrapRuns(
            lab,
            "bootstrapped",
            dataclasses.replace(usual, **mix._asdict(), fills_share=True),
            source,
        )
        arms[mix].decays["baseline"] = bootstrapped.decays["baseline"]
        arms[mix].synthesizer_rate = bootstrapped.synthesizer_rate
    lab.trained(
        [
            planned.spec("baseline", world, width=width)
            for mix, planned in arms.items()
            for width in (usual.width, mix.synthesizer_width)
            for world in worlds
        ],
        title="mixing, baselines",
    )
    lab.trained(
        [planned.synthesizer("pairs", world) for planned in arms.values() for world in worlds],
        title="mixing, synthesizers",
    )
    for planned in arms.values():
        planned.decays |= best_decays(try_decays(planned, ("sbp",), usual.tuning))
    rows = [row for mix, planned in arms.items() for row in _rows(planned, mix, bootstrapped)]
    return Mixing(
        runs=pd.DataFrame(rows),
        shares=shares,
        passes=passes,
        stitched=stitched,
        synthesizers=synthesizers,
    )


def _rows(planned: BootstrapRuns, mix: Mix, known: Bootstrapped) -> Iterator[dict[str, Any]]:
    """Train an arm on the reported worlds and yield its rows of `Mixing.runs`."""
    lab, worlds, decay = planned.lab, planned.plan.reported, planned.decays["sbp"]
    specs = [planned.spec("sbp", world) for world in worlds]
    losses = lab.train(specs, title="mixing").set_index("run_id")["test_loss"]
    mentions = lab.on_devices(
        lambda at: measures.first_mention_loss(planned, specs[at], worlds[at]), range(len(specs))
    )
    wrong = lab.on_devices(
        lambda at: _wrong_share(planned, specs[at], worlds[at]), range(len(specs))
    )
    baselines = known.of("baseline"), known.of("baseline", "first_mention_loss")
    for world, spec, mention, share, *before in zip(
        worlds, specs, mentions, wrong, *baselines, strict=True
    ):
        loss = float(losses[spec.run_id])
        yield {
            **mix._asdict(), "world": world, "weight_decay": decay,
            "is_edge": decay in (min(planned.plan.weight_decays), max(planned.plan.weight_decays)),
            "test_loss": loss, "gain": before[0] - loss,
            "first_mention_gain": before[1] - mention, "wrong": share,
        }  # fmt: skip


def _wrong_share(planned: BootstrapRuns, spec: RunSpec, world: int) -> float:
    """Return the share of wrong values in the documents that were written for an arm."""

    def measure() -> float:
        source = planned.source
        assert isinstance(source, Concepts)
        return 1 - source.world(world).agreement(planned.written("pairs", world)[1])

    return float(planned.lab.remember("wrong_values", [spec.run_id], measure))
