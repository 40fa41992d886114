"""The recipe of continued training: a base model goes on in a small domain, with replay.

The steps of the talk: the usual recipe on few tokens, a smaller batch, more epochs, ensembles; and
the usual recipe on many times the tokens. Learning rates and epochs are chosen on validation text
with a draw of the domain that is not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.lab.streams import plan_stream
from experiments.recipes.continued.domain import DomainText, draw, read_domain, replayed_rows
from experiments.runs.spec import RunSpec
from experiments.runs.texts import Stream
from experiments.worlds.plans_part2 import ContinuedPlan
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.text.batches import evaluation_windows

TUNING_DRAW = 1_000
"""Draw of the domain on which rates and epochs are chosen; reported draws have smaller numbers."""


class Setting(NamedTuple):
    """How many tokens of the domain are read, how often, in what batches."""

    n_tokens: int
    n_epochs: int
    batch: int


@dataclass(frozen=True, kw_only=True)
class Continued:
    """The losses on the domain.

    Attributes:
        plan: the sizes.
        chosen: what was chosen for each name: setting and learning rate.
        losses: a row a name and draw: `name` ("base", "usual", "small batch", "epochs",
            "ensemble", "many tokens"), `n_members`, `draw`, `n_tokens`, `n_epochs`, `batch`,
            `learning_rate`, `test_loss` in nats per token of the domain.
    """

    plan: ContinuedPlan
    chosen: Mapping[str, tuple[Setting, float]]
    losses: pd.DataFrame

    def of(self, name: str, n_members: int = 1) -> np.ndarray:
        """Return the test losses of a name [n_draws]."""
        rows = self.losses[(self.losses["name"] == name) & (self.losses["n_members"] == n_members)]
        return rows.sort_values("draw")["test_loss"].to_numpy(float)


@recipe(part=2)
def continued(lab: Lab) -> Continued:
    """Train the base, choose rates and epochs, then train the chosen settings on every draw."""
    planned = _ContinuedRuns(lab, lab.world.plan_of(lab.world.continued, "continued"))
    plan = planned.plan
    base = planned.base()
    lab.trained([base], title="continued, first training")
    settings = {
        "usual": [Setting(plan.n_tokens, 1, plan.usual_batch)],
        "small batch": [Setting(plan.n_tokens, 1, plan.small_batch)],
        "epochs": [Setting(plan.n_tokens, n, plan.small_batch) for n in plan.epochs],
        "many tokens": [Setting(plan.many_times * plan.n_tokens, 1, plan.usual_batch)],
    }
    chosen = planned.choose(settings)
    specs = {
        (name, at, member): planned.spec(setting, rate, at, member=member)
        for name, (setting, rate) in chosen.items()
        for at in range(plan.n_draws)
        for member in range(plan.n_members if name == "epochs" else 1)
    }
    lab.trained(specs.values(), title="continued")
    losses = lab.store.frame(specs.values()).set_index("run_id")["test_loss"]
    rows = [
        planned.row(name, at, float(losses[specs[name, at, 0].run_id]), chosen[name])
        for name, at in product(chosen, range(plan.n_draws))
    ]
    before = float(lab.store.frame([base])["test_loss"].iloc[0])
    rows += [planned.row("base", at, before, None) for at in range(plan.n_draws)]
    for at in range(plan.n_draws):
        members = [specs["epochs", at, member] for member in range(plan.n_members)]
        for n, loss in planned.ensemble_losses(members).items():
            row = planned.row("ensemble", at, loss, chosen["epochs"])
            rows.append(row | {"n_members": n})
    return Continued(plan=plan, chosen=chosen, losses=pd.DataFrame(rows))


class _ContinuedRuns:
    """The runs of a plan in one lab."""

    def __init__(self, lab: Lab, plan: ContinuedPlan) -> None:
        self.lab, self.plan = lab, plan

    @cached_property
    def text(self) -> DomainText:
        """The tokens of both texts."""
        return read_domain(self.lab.world.corpus, self.lab.text.tokens.tokenizer())

    @property
    def model(self) -> ModelConfig:
        """The architecture."""
        return self.lab.world.model(self.plan.width)

    def base(self) -> RunSpec:
        """Return the first training."""
        n_tokens = self.plan.general_tokens
        return self._spec(
            ["base", n_tokens], "general text", lambda: self.text.general[:n_tokens],
            learning_rate=self.plan.base_learning_rate, batch=self.plan.usual_batch, seed=0,
        )  # fmt: skip

    def spec(self, setting: Setting, learning_rate: float, at: int, *, member: int = 0) -> RunSpec:
        """Return the training of a setting on a draw of the domain."""
        plan = self.plan
        return self._spec(
            ["domain", setting.n_tokens, plan.replay, at],
            f"{setting.n_tokens} tokens of the domain",
            lambda: replayed_rows(
                draw(self.text.train, setting.n_tokens, seed=at), self.text.general,
                replay=plan.replay, context=self.model.context, seed=at,
            ),
            learning_rate=learning_rate, n_epochs=setting.n_epochs, batch=setting.batch,
            seed=member, init_from=self.base().run_id,
        )  # fmt: skip

    def _spec(
        self,
        identity: Sequence[Any],
        label: str,
        write: Callable[[], np.ndarray],
        *,
        learning_rate: float,
        batch: int,
        seed: int,
        n_epochs: int = 1,
        init_from: str | None = None,
    ) -> RunSpec:
        def stream() -> Stream:
            context = self.model.context
            held_out = {
                name: evaluation_windows(getattr(self.text, name), context=context)
                for name in ("validation", "test")
            }
            return Stream(tokens=write(), held_out=held_out)

        text = self.lab.text.facts.sha256
        return RunSpec(
            model=self.model,
            data=plan_stream(self.lab, f"continued, {label}", [text, *identity], stream),
            optimizer=OptimizerConfig(
                learning_rate=learning_rate, weight_decay=self.plan.weight_decay
            ),
            train=TrainConfig(n_epochs=n_epochs, batch_size=batch, window_jitter=False),
            seed=seed,
            init_from=init_from,
        )

    def choose(self, settings: Mapping[str, list[Setting]]) -> dict[str, tuple[Setting, float]]:
        """Return the best setting and learning rate of each name, by the tuning draw."""
        tried = {
            (name, setting, rate): self.spec(setting, rate, TUNING_DRAW)
            for name, of_name in settings.items()
            for setting, rate in product(of_name, self.plan.learning_rates)
        }
        frame = self.lab.train(tried.values(), title="continued, tuning")
        by_id = frame.fillna({"validation_loss": np.inf}).set_index("run_id")["validation_loss"]
        losses = {cell: float(by_id[spec.run_id]) for cell, spec in tried.items()}
        best = {
            name: min((cell for cell in losses if cell[0] == name), key=losses.__getitem__)
            for name in settings
        }
        return {name: (setting, rate) for name, (_, setting, rate) in best.items()}

    def ensemble_losses(self, members: list[RunSpec]) -> dict[int, float]:
        """Return the mean test loss of blocks of 1, 2, 4, ... members, their logits averaged."""

        def measure() -> dict[str, float]:
            from models.ensembles.ensemble import block_subsets, subset_losses

            pool = [(spec.model, self.lab.store.params(spec)) for spec in members]
            windows = evaluation_windows(self.text.test, context=self.model.context)
            subsets = block_subsets(len(members))
            losses = subset_losses(pool, windows, subsets)["logit"]
            sizes = subsets.sum(axis=1)
            return {str(n): float(losses[sizes == n].mean()) for n in np.unique(sizes)}

        found = self.lab.remember("continued", [spec.run_id for spec in members], measure)
        return {int(n): loss for n, loss in found.items()}

    def row(
        self, name: str, at: int, loss: float, how: tuple[Setting, float] | None
    ) -> dict[str, object]:
        """Return the row of a setting and draw."""
        setting, rate = how or (Setting(0, 0, 0), np.nan)
        return {
            "name": name, "n_members": 1, "draw": at, **setting._asdict(), "learning_rate": rate,
            "test_loss": loss,
        }  # fmt: skip
