"""Members that learn from members: chains, and ensembles of self-distilled models.

The first member learns from the text alone. In a chain, each further member learns from the text
and from the predictions of the member before it; in the arm `so far`, from those of the ensemble of
all before it; in the arm `self`, each learns from a model of its own that never saw the others
(Furlanello et al. 2018, arXiv 1805.04770). The loss of a student is a share of the cross-entropy to
its teacher plus the rest to the text. Members of a chain are no independent draws, so that nothing
says that their ensembles gain as 1 / K: the exponent of the law of K is free.

Every arm chooses among equally many settings, by the validation loss of a small ensemble on the
first draw of the text, and is then trained on all draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, jackknife, mean_estimate, unbounded
from experiments.analysis.laws import LOSS, ROW_LOSS, K
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.runs.spec import RunSpec
from experiments.runs.texts import held_out, unique_tokens
from experiments.worlds.plans import RATE_FACTORS, ChainPlan
from scaling import fit_law
from scaling.fit import best_parameters

ARMS = {
    "independent": "the text alone",
    "chain": "the text and the member before",
    "so far": "the text and the ensemble of all members before",
    "self": "the text and a model of its own, of the same first weights and order of the data",
}
"""What the members of each arm learn from."""
CONTROL = "independent"


@dataclass(frozen=True, kw_only=True)
class Chains:
    """What ensembles of members taught by members reach.

    Attributes:
        width: size of the members.
        curves: a row for each arm, draw and number of members; columns `arm`, `draw`, `n_members`,
            `validation_loss`, `test_loss`: of the first K members in the order of their training
            for the arms `chain` and `so far`, means over subsets for the others.
        chosen: a row for each arm with what validation selected: `arm`, `weight_decay`, `n_epochs`,
            `rate_factor`, `soft_share`, `is_edge` (the decay or the share is an end of the
            candidates), `n_candidates`.
        train_flops: training operations of everything that was compared, those of teachers'
            predictions included.
    """

    width: int
    curves: pd.DataFrame
    chosen: pd.DataFrame
    train_flops: float

    @cached_property
    def _by_arm(self) -> dict[str, pd.DataFrame]:
        """Test losses of each arm: a row a draw, a column a number of members."""
        return {
            str(arm): rows.pivot(index="draw", columns=K, values=LOSS)
            for arm, rows in self.curves.groupby("arm")
        }

    @property
    def n_members(self) -> int:
        """Members of the largest ensembles."""
        return int(self.curves[K].max())

    def losses(self, arm: str, n_members: int) -> np.ndarray:
        """Return the test losses of ensembles of an arm, [n_draws]."""
        return self._by_arm[arm][n_members].to_numpy(float)

    def gain(self, arm: str, n_members: int) -> Estimate:
        """Return by how much an arm's ensembles beat independent members, paired by draw."""
        return mean_estimate(self.losses(CONTROL, n_members) - self.losses(arm, n_members))

    def exponent(self, arm: str) -> Estimate:
        """Return the exponent of 1/K, with the jackknife over draws."""
        law = self._laws[arm]
        return law.estimate(law.params["alpha"], [part["alpha"] for part in law.without])

    def limit(self, arm: str) -> Estimate:
        """Return the limit of many members, exponent free, with the jackknife over draws."""
        law = self._laws[arm]
        return law.estimate(law.params["E"], [part["E"] for part in law.without])

    def gain_at_limit(self, arm: str) -> Estimate:
        """Return by how much an arm's limit lies below that of independent members.

        Both are fitted to the same draws, each left out of both at a time.
        """
        first, second = self._laws[CONTROL], self._laws[arm]
        gains = [a["E"] - b["E"] for a, b in zip(first.without, second.without, strict=True)]
        gain = first.estimate(first.params["E"] - second.params["E"], gains)
        return gain if second.usable else unbounded(gain)

    @cached_property
    def _laws(self) -> dict[str, _Law]:
        return {arm: _Law.of(losses) for arm, losses in self._by_arm.items()}


class _Law(NamedTuple):
    """E + A / K^alpha of the mean over draws, and without each draw."""

    params: dict[str, float]
    without: list[dict[str, float]]
    usable: bool

    @classmethod
    def of(cls, losses: pd.DataFrame) -> _Law:
        """Fit losses: a row a draw, a column a number of members."""
        fit = fit_law(_table(losses.mean()), "power", x=K, y=LOSS, loss=ROW_LOSS, n_boot=0)
        parts = [_table(losses.drop(index=draw).mean()) for draw in losses.index]
        return cls(
            params=dict(fit.params),
            without=[best_parameters(x, "power", x=K, y=LOSS, loss=ROW_LOSS) for x in parts],
            usable=fit.status.usable,
        )

    def estimate(self, value: float, without: list[float]) -> Estimate:
        """Return a value with the jackknife over draws; unbounded if it is not identified."""
        found = jackknife(value, [without])
        return found if self.usable else unbounded(found)


def _table(curve: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({K: curve.index.to_numpy(float), LOSS: curve.to_numpy(float)})


class _Cell(NamedTuple):
    """Settings of an arm."""

    weight_decay: float
    n_epochs: int
    rate_factor: float
    soft_share: float


@recipe()
def chains(lab: Lab) -> Chains:
    """Tune every arm on the first draw of the text, then train its members on all draws.

    Raises:
        ValueError: the world has no plan for it, or levers that soft targets do not support.
    """
    plan = lab.world.plan_of(lab.world.chains, "chains")
    members = _Members(lab, plan)
    candidates = [(arm, cell) for arm in ARMS for cell in _candidates(arm, plan)]
    looks = members.curves(
        [(arm, cell, 0, plan.n_tuning_members) for arm, cell in candidates], title="tuning chains"
    )
    chosen: dict[str, _Cell] = {}
    best: dict[str, float] = {}
    for (arm, cell), look in zip(candidates, looks, strict=True):
        loss = look.loc[look[K] == plan.n_tuning_members, "validation_loss"].iloc[0]
        if arm not in best or loss < best[arm]:  # NaN where a member diverged is never less
            chosen[arm], best[arm] = cell, np.inf if np.isnan(loss) else float(loss)
    finals = [(arm, chosen[arm], draw) for arm in ARMS for draw in range(plan.n_draws)]
    curves = members.curves(
        [(*final, plan.n_members) for final in finals], title="members of chains"
    )
    # A share cannot exceed 1, so that 1 does not count as an end; that of the control is 0.
    ends = {min(plan.weight_decays), max(plan.weight_decays)}
    share_ends = {min(plan.soft_shares), max(plan.soft_shares)} - {1}
    return Chains(
        width=plan.width,
        curves=pd.concat(
            [
                curve.assign(arm=arm, draw=draw)
                for (arm, _, draw), curve in zip(finals, curves, strict=True)
            ],
            ignore_index=True,
        ),
        chosen=pd.DataFrame(
            [
                {
                    "arm": arm,
                    **cell._asdict(),
                    "is_edge": cell.weight_decay in ends or cell.soft_share in share_ends,
                    "n_candidates": len(_candidates(arm, plan)),
                }
                for arm, cell in chosen.items()
            ]
        ),
        train_flops=members.flops,
    )


def _candidates(arm: str, plan: ChainPlan) -> list[_Cell]:
    """Return the settings that an arm tries, equally many for every arm.

    Raises:
        ValueError: the arm without a teacher has fewer learning rates than the others have shares.
    """
    shares = plan.soft_shares
    if len(shares) > len(RATE_FACTORS):
        raise ValueError(f"soft_shares must be at most {len(RATE_FACTORS)} values; not {shares}")
    others = (
        [(factor, 0.0) for factor in RATE_FACTORS[: len(shares)]]
        if arm == CONTROL
        else [(1.0, share) for share in shares]
    )
    return [
        _Cell(decay, n_epochs, *other)
        for decay in plan.weight_decays
        for n_epochs in plan.epochs
        for other in others
    ]


class _Members:
    """The members of one world's chains, and the training operations that they take."""

    def __init__(self, lab: Lab, plan: ChainPlan) -> None:
        self.lab, self.plan = lab, plan
        self._flops: dict[Any, float] = {}

    @property
    def flops(self) -> float:
        """Training operations of everything asked for so far."""
        return sum(self._flops.values())

    def curves(
        self, wanted: Sequence[tuple[str, _Cell, int, int]], *, title: str
    ) -> list[pd.DataFrame]:
        """Return the losses by number of members of (arm, settings, draw, number of members)."""
        planned = [
            (arm, cell, [self._spec(cell, draw, seed) for seed in range(n_members)])
            for arm, cell, draw, n_members in wanted
        ]
        alone = [spec for arm, _, specs in planned for spec in specs[: _n_alone(arm, len(specs))]]
        self.lab.train(alone, title=title)
        for spec in alone:
            self._flops[spec.run_id] = spec.train_flops
        for arm, cell, specs in planned:
            for at, spec in enumerate(specs):
                # A forward pass of each teacher is a third of the operations of a step.
                teachers = {"chain": min(at, 1), "so far": at, "self": 1}.get(arm, 0)
                if teachers:
                    key = (arm, cell.soft_share, spec.run_id)
                    self._flops[key] = spec.train_flops * (1 + teachers / 3)
        return self.lab.on_devices(lambda of: self._curve(*of), planned)

    def _spec(self, cell: _Cell, draw: int, seed: int) -> RunSpec:
        return self.lab.spec(
            width=self.plan.width, weight_decay=cell.weight_decay, n_epochs=cell.n_epochs,
            seed=seed, draw_seed=draw,
            learning_rate=self.lab.world.peak_rate(self.plan) * cell.rate_factor,
        )  # fmt: skip

    def _curve(self, arm: str, cell: _Cell, specs: list[RunSpec]) -> pd.DataFrame:
        if arm == CONTROL:
            rows = self.lab.ensemble(specs)
        else:
            identity = [arm, cell.soft_share, [spec.run_id for spec in specs]]
            rows = pd.DataFrame(
                self.lab.remember(
                    "chains", identity, lambda: self._taught(arm, cell.soft_share, specs)
                )
            )
        parts = ["validation_loss", LOSS]
        logit = rows[rows["average"] == "logit"].astype(dict.fromkeys(parts, float))
        return logit.groupby(K)[parts].agg(lambda x: x.mean(skipna=False)).reset_index()

    def _taught(self, arm: str, share: float, specs: list[RunSpec]) -> list[dict[str, object]]:
        """Train the members of an arm one after another and score their ensembles."""
        from experiments.lab.scoring import score_members
        from models.ensembles.ensemble import member_subsets
        from models.language.distill import distill_soft

        def alone(at: int) -> tuple[Any, Any]:
            return specs[at].model, self.lab.store.params(specs[at])

        members: list[tuple[Any, Any]] = []
        for at, spec in enumerate(specs):
            teachers = [alone(at)] if arm == "self" else members[-1:] if arm == "chain" else members
            if not teachers:
                members.append(alone(0))
                continue
            try:
                student = distill_soft(
                    spec.model,
                    teachers,
                    unique_tokens(spec.data, spec.model.vocab_size),
                    optimizer=spec.optimizer,
                    train=spec.train,
                    seed=spec.seed,
                    soft_share=share,
                )
            except FloatingPointError:  # diverged, as a run may
                return [
                    {"average": "logit", K: k, "validation_loss": None, LOSS: None}
                    for k in range(1, len(specs) + 1)
                ]
            members.append((spec.model, student.params))
        n = len(members)
        subsets = member_subsets(n) if arm == "self" else np.tri(n, dtype=bool)
        windows = held_out(specs[0].data, specs[0].model.vocab_size, specs[0].model.context)
        return score_members(members, windows, subsets)


def _n_alone(arm: str, n_members: int) -> int:
    """Return how many of an arm's members, or of their teachers, learn from the text alone."""
    return n_members if arm in (CONTROL, "self") else 1
