"""The runs of the recipe `levers`: which settings are tried, and which are selected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.analysis.laws import LOSS, K
from experiments.analysis.members import limit_estimate
from experiments.lab.lab import Lab
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
"""Several levers together, as `Trials.stack` selects them."""
DIFFUSION, MASKING, NOISE = "masked diffusion", "masked input", ("replaced input", "masked input")
PURPOSES = {
    "usual decay": "one model, usual weight decay",
    "tuned decay": "one model, tuned weight decay",
    "ensembles": "many members, tuned for their limit",
    "most epochs": "one model, tuned weight decay, the most epochs",
}
"""What settings are selected for."""


class Cell(NamedTuple):
    """A setting of a lever, or of several: (lever, strength) of each."""

    parts: tuple[tuple[str, int], ...]
    weight_decay: float
    n_epochs: int

    @property
    def levers(self) -> tuple[str, ...]:
        """Names of the levers."""
        return tuple(lever for lever, _ in self.parts)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of `models.config` that differ from their default."""
        merged: dict[str, Any] = {}
        for lever, strength in self.parts:
            merged |= LEVERS[lever][strength]
        return merged

    @property
    def rate_factor(self) -> float:
        """Peak learning rate over that of the plan."""
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

    @property
    def row(self) -> dict[str, Any]:
        """The setting as a row of `Levers.looks`."""
        return {
            "lever": " + ".join(self.levers), "strength": self.text, "n_epochs": self.n_epochs,
            "weight_decay": self.weight_decay, "rate_factor": self.rate_factor,
        }  # fmt: skip


Looks = dict[Cell, dict[str, float]]
"""Validation losses by setting: `single` of one model, `limit` of many, estimated."""


def chosen_settings(
    looks: Looks, plan: LeverPlan, stack: tuple[str, ...]
) -> dict[tuple[str, str], Cell]:
    """Return the setting of each (purpose, lever) with the least validation loss.

    Args:
        looks: settings compared.
        plan: what is tried.
        stack: names of the levers of the stack.
    """
    found = {}
    for purpose in PURPOSES:
        objective = "limit" if purpose == "ensembles" else "single"
        for lever in (CONTROL, *plan.tried, STACK):
            allowed = [
                cell
                for cell in looks
                if cell.levers == (stack if lever == STACK else (lever,))
                and (purpose != "usual decay" or cell.weight_decay == USUAL_DECAY)
                and (purpose != "most epochs" or cell.n_epochs == max(plan.epochs))
            ]
            losses = [looks[cell][objective] for cell in allowed]
            found[purpose, lever] = allowed[int(np.argmin(np.nan_to_num(losses, nan=math.inf)))]
    return found


class Trials:
    """The runs of all levers in one world.

    Args:
        lab: trains them and scores their ensembles.
        plan: what is tried.

    Attributes:
        asked: training operations of every run asked for, by its id.
    """

    def __init__(self, lab: Lab, plan: LeverPlan) -> None:
        self.lab, self.plan = lab, plan
        self.asked: dict[str, float] = {}

    def spec(
        self, cell: Cell, draw: int, seed: int, *, n_unique_tokens: int | None = None
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
        """Train what is missing; return the columns of `Lab.train` by the id of the run."""
        self.asked |= {spec.run_id: spec.train_flops for spec in specs}
        return self.lab.train(specs, title=title).set_index("run_id")

    def stack(self, looks: Looks) -> tuple[tuple[str, ...], Looks]:
        """Return the levers that together have the lowest limit, and the settings compared.

        Each lever joins at the strength of its own lowest limit, in the order of these limits, at
        all decays and epochs, and stays if the lowest limit falls. Levers that make no sense
        together are not tried.
        """

        def lowest(cells: Looks) -> tuple[float, Cell]:
            limits = ((values["limit"], cell) for cell, values in cells.items())
            return min(
                (limit if math.isfinite(limit) else math.inf, cell) for limit, cell in limits
            )

        singles = sorted(
            lowest({cell: values for cell, values in looks.items() if cell.levers == (lever,)})
            for lever in self.plan.tried
        )
        (limit, best), *others = singles
        compared: Looks = {}
        for _, other in others:
            parts = (*best.parts, *other.parts)
            try:
                self.spec(Cell(parts, USUAL_DECAY, 1), 0, 0)
            except ValueError:
                continue
            compared |= (found := self.looks([parts]))
            limit, best = min((limit, best), lowest(found))
        return best.levers, compared

    def looks(self, tried: Iterable[tuple[tuple[str, int], ...]]) -> Looks:
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
            for cell in [Cell(parts, decay, n_epochs)]
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

    def losses(self, chosen: Mapping[tuple[str, str], Cell]) -> pd.DataFrame:
        """Return test losses on all draws of what was chosen, the columns of `Levers.losses`."""
        plan = self.plan
        groups = {
            (purpose, lever, draw): [
                self.spec(cell, draw, seed)
                for seed in range(plan.n_members if purpose == "ensembles" else plan.n_seeds)
            ]
            for (purpose, lever), cell in chosen.items()
            for draw in range(self._n_draws(purpose))
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

    def _n_draws(self, purpose: str) -> int:
        if purpose == "tuned decay" and self.plan.n_tuned_draws is not None:
            return self.plan.n_tuned_draws
        return self.plan.n_draws

    def more_data(self, control: Cell) -> np.ndarray:
        """Return the control's test losses on more data, [n_draws]."""
        plan, n_tokens = self.plan, self.lab.world.n_unique_tokens
        groups = [
            [
                self.spec(control, draw, seed, n_unique_tokens=round(plan.more_data * n_tokens))
                for seed in range(plan.n_seeds)
            ]
            for draw in range(self._n_draws("tuned decay"))
        ]
        runs = self.train([spec for of in groups for spec in of], title="control on more data")
        return np.array(
            [runs.loc[[spec.run_id for spec in of], LOSS].mean(skipna=False) for of in groups],
            float,
        )
