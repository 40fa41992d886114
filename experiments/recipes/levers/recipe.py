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

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.analysis.laws import LOSS, K
from experiments.analysis.members import exponent_of
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.levers.trials import (
    CONTROL,
    LEVERS,
    NOISE,
    STACK,
    Trials,
    chosen_settings,
)


@dataclass(frozen=True, kw_only=True)
class Levers:
    """What the levers gain.

    Attributes:
        width: size of the models.
        looks: a row for each setting that was compared; columns `lever`, `strength`,
            `weight_decay`, `n_epochs`, `rate_factor`, `single` and `limit`: validation losses on
            the first draw of one model and, estimated, of many members.
        chosen: a row for each lever and purpose: `lever`, `purpose`, the setting, `is_edge` (the
            decay selected is an end of the candidates and not zero), `relative_flops` (training
            operations of a model over those of the control's).
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

        The limit of each draw follows from one member and all of them by E + B / K^gamma. The loss
        of averaged logits is a series in 1/K, so that the exponent tends to one; where one further
        term is why it differs from one among the members trained, the limit lies between those with
        the exponent that one, two and all members give (on average over the draws) and with one.
        The interval is the hull of those with either exponent on either side; that with exponents
        of one is `if_law_holds`. Exponents are kept within 0.5 and 2, both of which are allowed for
        where none fits.

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
            for a in (1.0, *self._exponents(over))
            for b in (1.0, *self._exponents(lever))
        }
        if_law_holds = found[1.0, 1.0]
        return replace(
            if_law_holds,
            low=min(one.low for one in found.values()),
            high=max(one.high for one in found.values()),
            if_law_holds=(if_law_holds.low, if_law_holds.high),
        )

    def _exponents(self, lever: str) -> tuple[float, ...]:
        """Return what the exponent of 1/K of a lever's ensembles may be besides one."""
        most = int(self.losses[K].max())
        curve = {k: float(self.at("ensembles", lever, k).mean()) for k in (1, 2, most)}
        fitted = exponent_of(curve, most)
        return (float(np.clip(fitted, 0.5, 2.0)),) if np.isfinite(fitted) else (0.5, 2.0)

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


@recipe()
def levers(lab: Lab) -> Levers:
    """Try every lever, select a setting for each purpose, and train it on all draws of the text.

    Raises:
        ValueError: the world has no plan for it, the plan names no or an unknown lever, or the
            world's own levers contradict those that are tried.
    """
    plan = lab.world.plan_of(lab.world.lever_trials, "levers")
    unknown = [name for name in plan.tried if name not in LEVERS]
    if unknown or not plan.tried:
        raise ValueError(
            f"lever_trials.tried must be among {', '.join(LEVERS)}; not "
            f"{', '.join(unknown) or 'empty'}"
        )
    trials = Trials(lab, plan)
    looks = trials.looks(
        ((lever, strength),)
        for lever in (CONTROL, *plan.tried)
        for strength in range(len(LEVERS[lever]))
    )
    stack, more_looks = trials.stack(looks)
    looks |= more_looks
    chosen = chosen_settings(looks, plan, stack)
    losses = trials.losses(chosen)
    control = chosen["tuned decay", CONTROL]
    more = trials.more_data(control)
    # A decay cannot be less than zero, so that zero does not count as an end.
    ends = {min(plan.weight_decays), max(plan.weight_decays)} - {0}
    rows = [
        {
            **cell.row,
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
        looks=pd.DataFrame([{**cell.row, **values} for cell, values in looks.items()]),
        chosen=pd.DataFrame(rows),
        losses=losses,
        more_data=plan.more_data,
        with_more_data=more,
        n_runs=len(trials.asked),
        train_flops=sum(trials.asked.values()),
    )
