"""Levers: what else buys data efficiency once weight decay is tuned and members are many?

Every lever is tried at two strengths, each at the same weight decays and numbers of epochs, and so
is the control, whose two strengths are two peak learning rates: equally many settings are compared
for all. Validation losses on the first draw of the text select a setting for each purpose: one
model at the usual decay, one model, many members (by their estimated limit), and one model at the
most epochs. What is reported are test losses on all draws, paired with the control's by draw.

A stack of levers is built on the one whose limit of many members is lowest: the others are added in
the order of theirs, each at its own strength and at all decays and epochs, and stay if the limit
falls. It is thus selected among more settings than any lever; `Levers.looks` lists them.

The losses of masked diffusion are bounds, see `models.training.diffusion`; its training costs as
many operations as that of the control at equal epochs, but for one position more in a window.
Looped blocks and further tokens cost more, which `Levers.chosen` states.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.analysis.laws import LOSS, K
from experiments.analysis.members import limit_estimate
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.runs.spec import RunSpec
from experiments.worlds.levers import with_levers
from experiments.worlds.plans import RATE_FACTORS, USUAL_DECAY, LeverPlan

CONTROL = "no lever"
LEVERS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    CONTROL: ({}, {}),
    "replaced input": ({"replaced_share": 0.05}, {"replaced_share": 0.15}),
    "masked input": ({"masked_share": 0.1}, {"masked_share": 0.3}),
    "right to left": ({"reversed_share": 0.2}, {"reversed_share": 0.5}),
    "further tokens": (
        {"future_tokens": 1, "future_loss": 0.3},
        {"future_tokens": 3, "future_loss": 0.3},
    ),
    "stochastic depth": ({"stochastic_depth": 0.1}, {"stochastic_depth": 0.3}),
    "looped blocks": ({"n_loops": 2}, {"n_loops": 3}),
    "shuffled documents": (
        {"data_order": "documents"},
        {"data_order": "documents", "window_jitter": False},
    ),
    "changing decay": ({"final_decay": 0.0}, {"final_decay": 2.0}),
    "averaged weights": (
        {"weight_average": "ema", "ema_decay": 0.99},
        {"weight_average": "snapshots", "n_snapshots": 4},
    ),
    "masked diffusion": ({"objective": "masked_diffusion"}, {"objective": "masked_diffusion"}),
}
"""Settings of the two strengths of each lever. Where they are the same, the strengths are two peak
learning rates."""
STACK = "stack"
DIFFUSION, MASKING, NOISE = "masked diffusion", "masked input", ("replaced input", "masked input")
PURPOSES = {
    "usual decay": "one model, usual weight decay",
    "tuned decay": "one model, tuned weight decay",
    "ensembles": "many members, tuned for their limit",
    "most epochs": "one model, tuned weight decay, the most epochs",
}
"""What settings are selected for."""
GAMMAS = (0.8, 1.0, 1.2)
"""Exponents of 1/K among which the limit of many members is taken to lie, as claim P9 tests."""


@dataclass(frozen=True, kw_only=True)
class Levers:
    """What the levers gain.

    Attributes:
        width: size of the models.
        looks: a row for each setting that was compared; columns `lever`, `strength`,
            `weight_decay`, `n_epochs`, `rate_factor`, `single` and `limit`: validation losses on
            the first draw of one model and, estimated, of many members.
        chosen: a row for each lever and purpose: `lever`, `purpose`, the setting, `is_edge` (the
            decay selected is an end of the candidates), `relative_flops` (training operations of a
            model over those of the control's).
        losses: a row for each purpose, lever, draw and number of members; columns `purpose`,
            `lever`, `draw`, `n_members`, `test_loss`, a mean over seeds or subsets of members.
        more_data: factor of the unique tokens of the control below.
        with_more_data: test losses of the control for the tuned decay on that much more data, a
            value a draw.
        n_runs: runs asked for.
        train_flops: their training operations.
    """

    width: int
    looks: pd.DataFrame
    chosen: pd.DataFrame
    losses: pd.DataFrame
    more_data: float
    with_more_data: np.ndarray
    n_runs: int
    train_flops: float

    @property
    def tried(self) -> list[str]:
        """The levers, without the control and the stack."""
        return [name for name in self.chosen["lever"].unique() if name not in (CONTROL, STACK)]

    @property
    def stack(self) -> str:
        """The settings of the stack, such as "masked_share=0.1, n_loops=2"."""
        return self._strength(STACK)

    @property
    def is_stacked(self) -> bool:
        """Whether the stack is of several levers: any other joined the best one."""
        return all(self._strength(lever) != self.stack for lever in self.tried)

    def _strength(self, lever: str) -> str:
        rows = self.chosen.set_index(["purpose", "lever"])
        return str(rows.loc[("ensembles", lever), "strength"])

    def at(self, purpose: str, lever: str, n_members: int = 1) -> np.ndarray:
        """Return test losses for a purpose, [n_draws].

        Args:
            purpose: a key of `PURPOSES`.
            lever: its name.
            n_members: of the ensemble.
        """
        return self._of_cells[purpose, lever, n_members]

    @cached_property
    def _of_cells(self) -> dict[tuple[str, str, int], np.ndarray]:
        cells = self.losses.sort_values("draw").groupby(["purpose", "lever", K])[LOSS]
        return {(str(a), str(b), int(k)): rows.to_numpy(float) for (a, b, k), rows in cells}

    def gain(self, purpose: str, lever: str, *, level: float = 0.95) -> Estimate:
        """Return by how much a lever beats the control, paired by draw, in nats per token.

        Args:
            purpose: a key of `PURPOSES`; of `ensembles`, the gain of the limit of many members, see
                `gain_of_limit`.
            lever: its name.
            level: confidence level.
        """
        if purpose == "ensembles":
            return self.gain_of_limit(lever, level=level)
        return mean_estimate(self.at(purpose, CONTROL) - self.at(purpose, lever), level=level)

    def gain_of_limit(self, lever: str, *, over: str = CONTROL, level: float = 0.95) -> Estimate:
        """Return by how much a lever lowers the limit of many members, paired by draw.

        The limit of each draw follows from one member and all of them by E + B / K^gamma. The
        interval is the hull of those with any exponent of `GAMMAS` on either side; that with
        exponents of one is `if_law_holds`.

        Args:
            lever: its name.
            over: name of what it is compared with.
            level: confidence level.
        """
        most = int(self.losses[K].max())

        def limits(name: str, gamma: float) -> np.ndarray:
            one, all_ = self.at("ensembles", name), self.at("ensembles", name, most)
            return (all_ - one * most**-gamma) / (1 - most**-gamma)

        found = {
            (a, b): mean_estimate(limits(over, a) - limits(lever, b), level=level)
            for a in GAMMAS
            for b in GAMMAS
        }
        if_law_holds = found[1.0, 1.0]
        return replace(
            if_law_holds,
            low=min(one.low for one in found.values()),
            high=max(one.high for one in found.values()),
            if_law_holds=(if_law_holds.low, if_law_holds.high),
        )

    def over_share_of_data(self, lever: str, share: float) -> Estimate:
        """Return the gain of a lever at the tuned decay over a share of that of more data.

        Args:
            lever: its name.
            share: of the gain of `more_data` times the unique tokens.
        """
        control = self.at("tuned decay", CONTROL)
        gain = control - self.at("tuned decay", lever)
        return mean_estimate(gain - share * (control - self.with_more_data))

    def over_share(self, purpose: str, lever: str, other: str, share: float) -> Estimate:
        """Return the gain of a lever over a share of that of another one, paired by draw.

        Args:
            purpose: a key of `PURPOSES`.
            lever: its name.
            other: name of the other.
            share: of the other's gain.
        """
        control = self.at(purpose, CONTROL)
        gain, whole = (control - self.at(purpose, name) for name in (lever, other))
        return mean_estimate(gain - share * whole)

    @property
    def gain_of_data(self) -> Estimate:
        """The gain of `more_data` times the unique tokens over the control, paired by draw."""
        return mean_estimate(self.at("tuned decay", CONTROL) - self.with_more_data)

    def is_edge(self, purpose: str, lever: str) -> bool:
        """Return whether the weight decay selected is an end of the candidates."""
        rows = self.chosen.set_index(["purpose", "lever"])
        return bool(rows.loc[(purpose, lever), "is_edge"])

    def by_epochs(self, lever: str) -> pd.Series:
        """Return the best validation loss of one model by the number of epochs."""
        rows = self.looks[self.looks["lever"] == lever]
        return rows.groupby("n_epochs")["single"].min()

    @property
    def best_noise(self) -> str:
        """The noise of the input that validation selects for one model at the tuned decay."""
        rows = self.looks[self.looks["lever"].isin(NOISE)]
        return str(rows.loc[rows["single"].idxmin(), "lever"])

    @property
    def most_epochs(self) -> int:
        """The most epochs tried."""
        return int(self.looks["n_epochs"].max())


class _Cell(NamedTuple):
    """A setting of a lever, or of several: (lever, strength) of each."""

    parts: tuple[tuple[str, int], ...]
    weight_decay: float
    n_epochs: int

    @property
    def levers(self) -> tuple[str, ...]:
        return tuple(lever for lever, _ in self.parts)

    @property
    def settings(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for lever, strength in self.parts:
            merged |= LEVERS[lever][strength]
        return merged

    @property
    def rate_factor(self) -> float:
        factors = (
            RATE_FACTORS[strength]
            for lever, strength in self.parts
            if LEVERS[lever][0] == LEVERS[lever][1]
        )
        return math.prod(factors)

    @property
    def text(self) -> str:
        """Words such as "masked_share=0.1"."""
        parts = [f"{name}={value}" for name, value in self.settings.items()]
        if self.rate_factor != 1:
            parts.append(f"rate x {self.rate_factor:g}")
        return ", ".join(parts) or "none"


@recipe()
def levers(lab: Lab) -> Levers:
    """Try every lever, select a setting for each purpose, and train it on all draws of the text.

    Raises:
        ValueError: the world has no plan for it, the plan names no lever, or the world's own levers
            contradict those that are tried.
    """
    plan = lab.world.plan_of(lab.world.lever_trials, "levers")
    if unknown := [name for name in plan.tried if name not in LEVERS]:
        raise ValueError(
            f"lever_trials.tried must be among {', '.join(LEVERS)}; not {', '.join(unknown)}"
        )
    trials = _Trials(lab, plan)
    looks = trials.looks(
        ((lever, strength),)
        for lever in (CONTROL, *plan.tried)
        for strength in range(len(LEVERS[lever]))
    )
    stack, more_looks = trials.stack(looks)
    looks |= more_looks
    chosen = _chosen(looks, plan, stack)
    losses = trials.losses(chosen)
    control = chosen["tuned decay", CONTROL]
    more = trials.more_data(control)
    ends = (min(plan.weight_decays), max(plan.weight_decays))
    rows = [
        {
            **_row(cell),
            "lever": lever,
            "purpose": purpose,
            "is_edge": purpose != "usual decay" and cell.weight_decay in ends,
            "relative_flops": trials.spec(cell, 0, 0).train_flops
            / trials.spec(chosen[purpose, CONTROL], 0, 0).train_flops,
        }
        for (purpose, lever), cell in chosen.items()
    ]
    return Levers(
        width=plan.width,
        looks=pd.DataFrame([{**_row(cell), **values} for cell, values in looks.items()]),
        chosen=pd.DataFrame(rows),
        losses=losses,
        more_data=plan.more_data,
        with_more_data=more,
        n_runs=len(trials.asked),
        train_flops=sum(trials.asked.values()),
    )


def _row(cell: _Cell) -> dict[str, Any]:
    return {
        "lever": " + ".join(cell.levers), "strength": cell.text, "weight_decay": cell.weight_decay,
        "n_epochs": cell.n_epochs, "rate_factor": cell.rate_factor,
    }  # fmt: skip


def _chosen(
    looks: Mapping[_Cell, Mapping[str, float]], plan: LeverPlan, stack: Sequence[str]
) -> dict[tuple[str, str], _Cell]:
    """Return the setting of each purpose and lever with the least validation loss."""
    found = {}
    for purpose in PURPOSES:
        objective = "limit" if purpose == "ensembles" else "single"
        for lever in (CONTROL, *plan.tried, STACK):
            allowed = [
                cell
                for cell in looks
                if cell.levers == (tuple(stack) if lever == STACK else (lever,))
                and (purpose != "usual decay" or cell.weight_decay == USUAL_DECAY)
                and (purpose != "most epochs" or cell.n_epochs == max(plan.epochs))
            ]
            losses = [looks[cell][objective] for cell in allowed]
            found[purpose, lever] = allowed[int(np.argmin(np.nan_to_num(losses, nan=math.inf)))]
    return found


_Looks = dict[_Cell, dict[str, float]]
"""Validation losses by setting: `single` of one model, `limit` of many, estimated."""


class _Trials:
    """The runs of all levers in one world.

    Attributes:
        asked: training operations of every run asked for, by its id.
    """

    def __init__(self, lab: Lab, plan: LeverPlan) -> None:
        self.lab, self.plan = lab, plan
        self.asked: dict[str, float] = {}

    def spec(
        self, cell: _Cell, draw: int, seed: int, *, n_unique_tokens: int | None = None
    ) -> RunSpec:
        """Return a run of a setting.

        Args:
            cell: the setting.
            draw: draw of the text.
            seed: of the weights and the order of the data.
            n_unique_tokens: D (default: the world's).
        """
        spec = self.lab.spec(
            width=self.plan.width, weight_decay=cell.weight_decay, n_epochs=cell.n_epochs,
            seed=seed, draw_seed=draw, n_unique_tokens=n_unique_tokens,
            learning_rate=self.lab.world.peak_rate(self.plan) * cell.rate_factor,
        )  # fmt: skip
        parts = {
            name: with_levers(getattr(spec, name), cell.settings)
            for name in ("model", "optimizer", "train")
        }
        return replace(spec, **parts)

    def train(self, specs: Sequence[RunSpec], *, title: str) -> pd.DataFrame:
        """Train what is missing and return all runs by their id."""
        self.asked |= {spec.run_id: spec.train_flops for spec in specs}
        return self.lab.train(specs, title=title).set_index("run_id")

    def stack(self, looks: _Looks) -> tuple[tuple[str, ...], _Looks]:
        """Return the levers that together have the lowest limit, and the settings compared.

        Each lever joins at the strength of its own lowest limit, in the order of these limits, at
        all decays and epochs, and stays if the lowest limit falls. Levers that make no sense
        together are not tried.
        """

        def lowest(cells: _Looks) -> tuple[float, _Cell]:
            limits = ((values["limit"], cell) for cell, values in cells.items())
            return min(
                (limit if math.isfinite(limit) else math.inf, cell) for limit, cell in limits
            )

        singles = sorted(
            lowest({cell: values for cell, values in looks.items() if cell.levers == (lever,)})
            for lever in self.plan.tried
        )
        (limit, best), *others = singles
        compared: _Looks = {}
        for _, other in others:
            parts = (*best.parts, *other.parts)
            try:
                self.spec(_Cell(parts, USUAL_DECAY, 1), 0, 0)
            except ValueError:
                continue
            compared |= (found := self.looks([parts]))
            limit, best = min((limit, best), lowest(found))
        return best.levers, compared

    def looks(self, tried: Iterable[tuple[tuple[str, int], ...]]) -> _Looks:
        """Return validation losses on the first draw, at all decays and epochs.

        Args:
            tried: levers with their strengths.
        """
        plan = self.plan
        groups = {
            cell: [self.spec(cell, 0, seed) for seed in range(plan.n_tuning_seeds)]
            for parts in tried
            for decay in plan.weight_decays
            for n_epochs in plan.epochs
            for cell in [_Cell(parts, decay, n_epochs)]
        }
        runs = self.train([s for of in groups.values() for s in of], title="tuning with levers")
        scores = self.lab.ensembles(list(groups.values()))
        return {
            cell: {
                "single": float(
                    runs.loc[[spec.run_id for spec in specs], "validation_loss"].mean(skipna=False)
                ),
                "limit": limit_estimate(of),
            }
            for (cell, specs), of in zip(groups.items(), scores, strict=True)
        }

    def losses(self, chosen: Mapping[tuple[str, str], _Cell]) -> pd.DataFrame:
        """Return the test losses of what was chosen on all draws, see `Levers.losses`."""
        plan = self.plan
        groups = {
            (purpose, lever, draw): [
                self.spec(cell, draw, seed)
                for seed in range(plan.n_members if purpose == "ensembles" else plan.n_seeds)
            ]
            for (purpose, lever), cell in chosen.items()
            for draw in range(plan.n_draws)
        }
        specs = [spec for of in groups.values() for spec in of]
        runs = self.train(specs, title="levers on all draws")
        pools = {key: of for key, of in groups.items() if key[0] == "ensembles"}
        rows = [
            {"purpose": purpose, "lever": lever, "draw": draw, K: k, LOSS: loss}
            for (purpose, lever, draw), scores in zip(
                pools, self.lab.ensembles(list(pools.values())), strict=True
            )
            for k, loss in scores[scores["average"] == "logit"].groupby(K)[LOSS].mean().items()
        ]
        rows += [
            {
                "purpose": key[0], "lever": key[1], "draw": key[2], K: 1,
                LOSS: runs.loc[[spec.run_id for spec in of], LOSS].mean(skipna=False),
            }
            for key, of in groups.items()
            if key not in pools
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def more_data(self, control: _Cell) -> np.ndarray:
        """Return the control's test losses on more data, a value a draw."""
        plan, n_tokens = self.plan, self.lab.world.n_unique_tokens
        groups = [
            [
                self.spec(control, draw, seed, n_unique_tokens=round(plan.more_data * n_tokens))
                for seed in range(plan.n_seeds)
            ]
            for draw in range(plan.n_draws)
        ]
        runs = self.train([spec for of in groups for spec in of], title="control on more data")
        return np.array(
            [runs.loc[[spec.run_id for spec in of], LOSS].mean(skipna=False) for of in groups],
            float,
        )
