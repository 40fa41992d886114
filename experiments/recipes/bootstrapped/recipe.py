"""The bootstrapping recipe: a model learns to write one document from
another, and a new model learns from what it wrote.

Baseline (real text repeated), synthetic bootstrapped pre-training (SBP, arXiv 2509.15248), its
controls and an oracle that reads new documents throughout, all at the same number of training
tokens. Weight decay is chosen for every arm from the same values, on worlds that are not reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.bootstrapped import measures
from experiments.recipes.bootstrapped.runs import SYNTHETIC, BootstrapRuns, Writer
from experiments.recipes.bootstrapped.sources import Concepts
from experiments.runs.spec import RunSpec
from experiments.worlds.plans import USUAL_DECAY
from experiments.worlds.plans_part2 import Arm, BootstrapPlan

IN_ENSEMBLES: tuple[Arm, ...] = ("baseline", "sbp")


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """What bootstrapping gains.

    Attributes:
        plan: the sizes.
        decays: weight decay chosen for each arm.
        synthesizer_rate: peak learning rate chosen for the synthesizer.
        tuning: a row an arm, decay and tuning world: `arm`, `weight_decay`, `world`,
            `validation_loss`.
        runs: a row an arm, decay (the chosen one, and the usual one of baseline and SBP) and
            world: `arm`, `weight_decay`, `is_tuned`, `world`, `validation_loss`, `test_loss`,
            `first_mention_loss` (of concepts) and `train_flops` (of the run alone).
        ensembles: a row an arm, world and number of members: `arm`, `world`, `n_members`,
            `test_loss`.
        gates: a row a world, the go / no-go before sampling: `alone` and `given`, the loss of held-
            out second documents without and with the first; see `concepts.measures.gate`.
        quality: a row a kind of text, world and width: see `concepts.measures.quality`.
        flops: training and sampling FLOPs of a whole arm, everything it builds on included.
        examples: triples of (real document, two documents written from it), spelt out; of concepts.
    """

    plan: BootstrapPlan
    decays: Mapping[str, float]
    synthesizer_rate: float
    tuning: pd.DataFrame
    runs: pd.DataFrame
    ensembles: pd.DataFrame
    gates: pd.DataFrame
    quality: pd.DataFrame
    flops: Mapping[str, float]
    examples: list[tuple[str, ...]]

    def of(self, arm: str, column: str = "test_loss") -> np.ndarray:
        """Return a column of an arm with the decay chosen for it, a value a world."""
        rows = self.runs[(self.runs["arm"] == arm) & self.runs["is_tuned"]]
        return rows.sort_values("world")[column].to_numpy(float)

    def usual(self, arm: str, column: str = "test_loss") -> np.ndarray:
        """Return a column of baseline or SBP with the usual decay, a value a world."""
        rows = self.runs[(self.runs["arm"] == arm) & (self.runs["weight_decay"] == USUAL_DECAY)]
        return rows.sort_values("world")[column].to_numpy(float)

    def recovered(self, arm: str, column: str = "test_loss") -> np.ndarray:
        """Return the share of the oracle's gain that an arm recovers, [n_worlds]."""
        baseline, oracle = self.of("baseline", column), self.of("oracle", column)
        return (baseline - self.of(arm, column)) / (baseline - oracle)


@recipe(part=2)
def bootstrapped(lab: Lab) -> Bootstrapped:
    """Train and score every arm on documents about concepts."""
    plan = lab.world.plan_of(lab.world.concepts, "bootstrapped")
    return bootstrap(BootstrapRuns(lab, "bootstrapped", plan, Concepts(plan)))


def bootstrap(planned: BootstrapRuns) -> Bootstrapped:
    """Return what every arm reaches, after choosing decays and the synthesizer's rate."""
    lab, plan = planned.lab, planned.plan
    tuning_worlds, reported = plan.tuning, plan.reported
    written = [arm for arm in plan.arms if arm in SYNTHETIC]

    tuning = [try_decays(planned, ("baseline", "oracle"), tuning_worlds)]
    planned.decays |= best_decays(tuning[0])
    worlds = [*tuning_worlds, *reported]
    first = [planned.spec("baseline", world) for world in worlds]
    first += [planned.spec("oracle", world) for world in reported]
    first += [planned.spec("baseline", world, USUAL_DECAY) for world in reported]
    first += [planned.spec("baseline", world, width=plan.small_width) for world in reported]
    first += [planned.spec("baseline", world, width=plan.synthesizer_width) for world in worlds]
    lab.train(first, title=f"{planned.name}, baseline and oracle")
    planned.choose_synthesizer_rate(tuning_worlds)
    writers: list[Writer] = list(dict.fromkeys(SYNTHETIC[arm] for arm in written))
    synthesizers = [
        planned.synthesizer(writer, world)
        for writer, world in product(writers, worlds)
        if writer != "baseline"
    ]
    synthesizers += [planned.synthesizer("pairs", world, plan.small_width) for world in reported]
    lab.train(synthesizers, title=f"{planned.name}, synthesizers")

    tuning.append(try_decays(planned, written, tuning_worlds))
    planned.decays |= best_decays(tuning[1])
    tried: dict[tuple[Arm, float, int], RunSpec] = {
        (arm, decay, world): planned.spec(arm, world, decay)
        for arm, world in product(plan.arms, reported)
        for decay in (
            {planned.decays[arm], USUAL_DECAY}
            if arm in ("baseline", "sbp")
            else {planned.decays[arm]}
        )
    }
    groups = {
        (arm, world): [planned.spec(arm, world, member=i) for i in range(plan.n_members)]
        for arm, world in product(IN_ENSEMBLES, reported)
    }
    members = [spec for group in groups.values() for spec in group]
    lab.trained([*tried.values(), *members], title=planned.name)
    frame = lab.store.frame(tried.values()).set_index("run_id")
    mentions = lab.on_devices(
        lambda cell: measures.first_mention_loss(planned, tried[cell], cell[2]), list(tried)
    )
    rows = [
        {
            "arm": arm, "weight_decay": decay, "world": world,
            "is_tuned": decay == planned.decays[arm],
            **frame.loc[spec.run_id, ["validation_loss", "test_loss", "train_flops"]],
            "first_mention_loss": loss,
        }
        for ((arm, decay, world), spec), loss in zip(tried.items(), mentions, strict=True)
    ]  # fmt: skip
    return Bootstrapped(
        plan=plan,
        decays=dict(planned.decays),
        synthesizer_rate=planned.synthesizer_rate,
        tuning=pd.concat(tuning, ignore_index=True),
        runs=pd.DataFrame(rows),
        ensembles=_ensembles(planned, groups),
        gates=pd.DataFrame(lab.on_devices(lambda world: measures.gate(planned, world), reported)),
        quality=pd.DataFrame(
            [
                row
                for world, width in product(reported, (plan.small_width, plan.width))
                for row in measures.quality(planned, world, width)
            ]
        ),
        flops={arm: measures.flops_of(planned, arm, reported[0]) for arm in plan.arms},
        examples=measures.examples(planned, reported[0]),
    )


def try_decays(planned: BootstrapRuns, arms: Iterable[Arm], worlds: Iterable[int]) -> pd.DataFrame:
    """Train arms with every decay on the tuning worlds.

    Args:
        planned: the runs, with the decays of what the arms build on.
        arms: the arms.
        worlds: seeds of the tuning worlds.

    Returns:
        A row an arm, decay and world, with the columns of `Bootstrapped.tuning`.
    """
    tried = {
        (arm, decay, world): planned.spec(arm, world, decay)
        for arm, decay, world in product(arms, planned.plan.weight_decays, worlds)
    }
    planned.lab.trained(tried.values(), title=f"{planned.name}, tuning")
    losses = planned.lab.store.frame(tried.values()).set_index("run_id")["validation_loss"]
    return pd.DataFrame(
        [
            {"arm": arm, "weight_decay": decay, "world": world,
             "validation_loss": float(losses[spec.run_id])}
            for (arm, decay, world), spec in tried.items()
        ]
    )  # fmt: skip


def best_decays(tuning: pd.DataFrame) -> dict[str, float]:
    """Return the weight decay of each arm with the lowest validation loss; a diverged run is last.

    Args:
        tuning: what `try_decays` returns.
    """
    means = tuning.fillna({"validation_loss": np.inf}).groupby(["arm", "weight_decay"])
    by_cell = means["validation_loss"].mean()
    return {arm: float(by_cell[arm].idxmin()) for arm in tuning["arm"].unique()}


def _ensembles(
    planned: BootstrapRuns, groups: Mapping[tuple[Arm, int], list[RunSpec]]
) -> pd.DataFrame:
    rows = []
    for (arm, world), table in zip(
        groups, planned.lab.ensembles(list(groups.values())), strict=True
    ):
        logit = table[table["average"] == "logit"].groupby("n_members")["test_loss"].mean()
        rows += [
            {"arm": arm, "world": world, "n_members": int(n), "test_loss": float(loss)}
            for n, loss in logit.items()
        ]
    return pd.DataFrame(rows)
