"""Distillation: what of an ensemble's gain can one small model keep, and what do the parts give?

All students have the size of a member and the same number of optimiser steps, whatever they read:
T passes over the real text, or T (1 - share) passes with that share of sampled text beside it (Kim
et al. 2025, arXiv 2509.14786). Every arm chooses its weight decay among the same candidates, by
validation loss of its first seed, and is then trained from every seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, difference, mean_estimate, share_of
from experiments.analysis.laws import LOSS, member_curve
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.ensembles import Ensembles, ensembles
from experiments.recipes.regularized import Regularized, regularized
from experiments.runs.spec import RunSpec, SyntheticConfig
from experiments.runs.store import can_train
from experiments.runs.texts import held_out, unique_tokens
from experiments.tuning.grid import Point
from experiments.worlds.plans import DistillationPlan

ARMS = {
    "ensemble": "real text and text of the ensemble",
    "pooled": "real text and texts of its members, each written alone",
    "soft": "real text, predictions of the ensemble",
    "soft ensemble": "real text and text of the ensemble, its predictions on both",
    "self": "real text and text of one tuned model",
    "real": "real text only, the same steps",
    "ensemble only": "text of the ensemble only",
    "self only": "text of one tuned model only",
}
"""What the students of each arm read."""
SOFT = ("soft", "soft ensemble")
"""The arms that learn the predictions of the ensemble instead of the next token."""


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """What the students reach.

    Attributes:
        width: size of teacher members and students.
        students: a row a student; columns `arm`, `generation` (1 learns from the tuned models, the
            next from the one before), `seed`, `weight_decay`, `n_epochs`, `share`,
            `is_edge` (the decay chosen is the least or the greatest candidate),
            `validation_loss`, `test_loss`.
        single: test loss of the tuned single models of that width, a value a seed.
        teacher: test loss of the ensemble that taught.
        n_members: its members.
        n_candidates: weight decays among which every arm chose.
    """

    width: int
    students: pd.DataFrame
    single: np.ndarray
    teacher: float
    n_members: int
    n_candidates: int

    @property
    def arms(self) -> list[str]:
        """The arms that were trained, in the order of `ARMS`."""
        return [arm for arm in ARMS if arm in set(self.students["arm"])]

    def losses(self, arm: str, generation: int = 1) -> np.ndarray:
        """Return the test losses of an arm, [n_seeds]."""
        rows = self.students
        rows = rows[(rows["arm"] == arm) & (rows["generation"] == generation)]
        return rows[LOSS].to_numpy(float)

    @property
    def gain(self) -> Estimate:
        """The gain of the ensemble, which is given, over the tuned single models."""
        return mean_estimate(self.single - self.teacher)

    @property
    def at_edge(self) -> list[str]:
        """The arms whose weight decay is an end of the candidates, beyond which lie others."""
        chosen = self.students[self.students["weight_decay"] > 0]
        return list(dict.fromkeys(chosen.loc[chosen["is_edge"], "arm"]))

    def kept(self, arm: str) -> Estimate:
        """Return the share of the ensemble's gain over one tuned model that an arm keeps.

        The teacher is given; the interval is over the seeds of students and single models.
        """
        return share_of(self.single, self.losses(arm), self.teacher)

    def over_control(self, arm: str) -> Estimate:
        """Return by how much an arm beats the same steps on real text only."""
        return difference(self.losses("real"), self.losses(arm))


@recipe(regularized, ensembles)
def distillation(lab: Lab, regularized: Regularized, ensembles: Ensembles) -> Distillation:
    """Sample the teachers, train the students of every arm and generation.

    Raises:
        ValueError: the world has no plan for it.
    """
    plan = lab.world.plan_of(lab.world.distillation, "distillation")
    planned = _StudentRuns(lab, plan, regularized, ensembles)
    chosen = planned.choose()
    students = [
        planned.trained(arm, decay, generation=1, teachers=None) for arm, decay in chosen.items()
    ]
    for arm in ("self", "self only"):
        before = students[list(chosen).index(arm)]
        for generation in range(2, plan.n_generations + 1):
            before = planned.trained(
                arm, chosen[arm], generation=generation, teachers=before["run_id"].tolist()
            )
            students.append(before)
    curve = member_curve(ensembles.curves, plan.width).iloc[-1]
    best = regularized.best
    return Distillation(
        width=plan.width,
        students=pd.concat(students, ignore_index=True).drop(columns="run_id"),
        single=best.loc[best["width"] == plan.width, LOSS].to_numpy(float),
        teacher=float(curve[LOSS]),
        n_members=int(curve["n_members"]),
        n_candidates=len(plan.weight_decays),
    )


class _StudentRuns:
    """The teachers of one world, and how the students of each arm are trained."""

    def __init__(
        self, lab: Lab, plan: DistillationPlan, regularized: Regularized, ensembles: Ensembles
    ) -> None:
        self.lab, self.plan = lab, plan
        grid = lab.world.tuned_grid()

        def specs(point: Point) -> list[RunSpec]:
            return [
                lab.spec(width=plan.width, seed=seed, **grid.named(point))
                for seed in range(lab.world.n_members)
            ]

        self.singles = specs(regularized.tuned[plan.width].point)
        self.members = specs(ensembles.tuned[plan.width].point)
        self.learning_rate = self.singles[0].optimizer.learning_rate

    def choose(self) -> dict[str, float]:
        """Return the weight decay of each arm that validation selects, by the first seed."""
        decays = self.plan.weight_decays
        first = {
            arm: [spec for decay in decays for spec in self._specs(arm, decay, seeds=[0])]
            for arm in ARMS
            if arm != "soft ensemble" or self.plan.soft_ensemble
        }
        self.lab.trained(
            [spec for arm, specs in first.items() if arm not in SOFT for spec in specs],
            title="choosing the students' weight decay",
        )
        chosen = {}
        for arm, specs in first.items():
            losses = self._scores(arm, specs)["validation_loss"].fillna(np.inf)
            chosen[arm] = decays[int(losses.to_numpy().argmin())]
        return chosen

    def trained(
        self, arm: str, decay: float, *, generation: int, teachers: Sequence[str] | None
    ) -> pd.DataFrame:
        """Train an arm from every seed; see `Distillation.students`, and `run_id`."""
        specs = self._specs(arm, decay, seeds=range(self.plan.n_seeds), teachers=teachers)
        scores = self._scores(arm, specs)
        decays = self.plan.weight_decays
        return scores.assign(
            arm=arm,
            generation=generation,
            seed=[spec.seed for spec in specs],
            weight_decay=decay,
            n_epochs=specs[0].train.n_epochs,
            share=specs[0].synthetic.share if specs[0].synthetic else 0.0,
            is_edge=decay in (min(decays), max(decays)),
        )

    def _specs(
        self,
        arm: str,
        decay: float,
        *,
        seeds: Sequence[int] | range,
        teachers: Sequence[str] | None = None,
    ) -> list[RunSpec]:
        """Plan students; with teachers, one for each seed instead of the tuned models."""
        plan = self.plan
        share = {"real": 0.0, "soft": 0.0}.get(arm, 1.0 if arm.endswith("only") else plan.share)
        specs = []
        for seed in seeds:
            synthetic = None
            if share:
                if teachers is not None:
                    writers: tuple[str, ...] = (teachers[seed],)
                elif arm.startswith("self"):
                    writers = (self.singles[seed].run_id,)
                else:
                    writers = tuple(spec.run_id for spec in self.members)
                synthetic = SyntheticConfig(
                    teachers=writers,
                    pooled=arm == "pooled",
                    n_tokens=plan.tokens_ratio * self.lab.world.n_unique_tokens,
                    share=share,
                    prompt="stock" if self.lab.world.chunk_tokens else "end_of_text",
                )
            n_epochs = plan.n_epochs if share in (0.0, 1.0) else plan.n_epochs * (1 - share)
            specs.append(
                self.lab.spec(
                    width=plan.width, weight_decay=decay, n_epochs=n_epochs, seed=seed,
                    learning_rate=self.learning_rate, synthetic=synthetic,
                )
            )  # fmt: skip
        return specs

    def _scores(self, arm: str, specs: Sequence[RunSpec]) -> pd.DataFrame:
        """Return `run_id`, `validation_loss` and `test_loss` of students, training what is due."""
        columns = ["run_id", "validation_loss", LOSS]
        if arm not in SOFT:
            return self.lab.train(specs, title=f"students: {ARMS[arm]}")[columns]
        scores = self.lab.on_devices(self._soft, specs)
        return pd.DataFrame(scores, columns=columns).astype(dict.fromkeys(columns[1:], float))

    def _soft(self, spec: RunSpec) -> dict[str, Any]:
        """Score a student of the ensemble's predictions; the score is kept, not the student."""
        teachers = [member.run_id for member in self.members]
        identity = [spec.run_id, teachers]
        scores = self.lab.remember("soft", identity, lambda: self._distill(spec))
        return {"run_id": "", **scores}

    def _distill(self, spec: RunSpec) -> dict[str, float | None]:
        from experiments.sweeps.parents import synthetic_windows
        from models.language.distill import distill_soft
        from models.training.evaluate import held_out_loss

        store = self.lab.store
        assert can_train(store)  # shipped results hold the scores
        try:
            student = distill_soft(
                spec.model,
                [(member.model, store.params(member)) for member in self.members],
                unique_tokens(spec.data, spec.model.vocab_size),
                optimizer=spec.optimizer,
                train=spec.train,
                seed=spec.seed,
                synthetic=synthetic_windows(spec, store),
                synthetic_share=spec.synthetic.share if spec.synthetic else 0.0,
            )
        except FloatingPointError:  # diverged, as a run may
            return {"validation_loss": None, LOSS: None}
        windows = held_out(spec.data, spec.model.vocab_size, spec.model.context)
        return {
            f"{part}_loss": float(held_out_loss(spec.model, student.params, windows[part]))
            for part in ("validation", "test")
        }
