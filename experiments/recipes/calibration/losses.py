"""The losses of the recipe `calibration`, to which laws are fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from experiments.analysis.members import limit_estimate
from experiments.lab.lab import Lab
from experiments.recipes.calibration.languages import Languages, corrected
from experiments.runs.spec import RunSpec
from experiments.worlds.plans import KINDS, TUNING_SEED, CalibrationPlan, Kind
from models.config import OptimizerConfig, TrainConfig

Objective = Literal["single", "ensemble"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


class Cell(NamedTuple):
    """Where hyperparameters are chosen."""

    kind: Kind
    n_unique_tokens: int
    width: int


class Setting(NamedTuple):
    """What is chosen there."""

    weight_decay: float
    n_epochs: int


@dataclass(frozen=True, kw_only=True)
class CalibrationLosses:
    """Losses on languages of known entropy, without the luck of the test windows.

    Attributes:
        plan: the sizes.
        tuning: a row a cell, objective and setting: `kind`, `n_unique_tokens`, `width`,
            `objective`, `weight_decay`, `n_epochs`, `validation_loss`, `chosen`, `on_edge` (the
            setting is the least or the greatest that was tried, of decay or epochs).
        sources: a row a language: `kind`, `source` and the fields of
            `experiments.recipes.calibration.languages.Truth`.
        floors: a row a Markov chain and D: `source`, `n_unique_tokens`, `test_loss` of the
            Bayes-optimal predictor.
        singles: a row a cell, language and seed: `kind`, `n_unique_tokens`, `width`,
            `n_params_non_embedding`, `source`, `seed`, `test_loss`.
        curves: a row a cell, language, subset of the first `n_members` members and average; as
            singles, with `members`, `n_members`, `average`, `chosen_for` ("ensemble") and
            `validation_loss`.
        brute: a row a cell of many members, language, number of members and average: the mean of
            blocks of 1, 2, 4, ... members.
    """

    plan: CalibrationPlan
    tuning: pd.DataFrame
    sources: pd.DataFrame
    floors: pd.DataFrame
    singles: pd.DataFrame
    curves: pd.DataFrame
    brute: pd.DataFrame


def losses_of(lab: Lab, plan: CalibrationPlan) -> CalibrationLosses:
    """Return the losses on all reported languages, after choosing settings in every cell."""
    planned = _CalibrationRuns(lab, plan)
    numbers = range(plan.n_sources)
    tuning = planned.tune()
    chosen = {
        (Cell(row.kind, row.n_unique_tokens, row.width), row.objective): Setting(
            row.weight_decay, row.n_epochs
        )
        for row in tuning[tuning["chosen"]].itertuples()
    }
    groups: dict[tuple[Cell, Objective, int], list[RunSpec]] = {
        (cell, objective, number): [
            planned.spec(cell, number, setting, seed=seed)
            for seed in range(plan.n_seeds if objective == "single" else planned.n_members(cell))
        ]
        for (cell, objective), setting in chosen.items()
        for number in numbers
    }
    frame = lab.train(
        [spec for specs in groups.values() for spec in specs], title="calibration"
    ).set_index("run_id")
    members = {(cell, at): specs for (cell, how, at), specs in groups.items() if how == "ensemble"}
    return CalibrationLosses(
        plan=plan,
        tuning=tuning,
        sources=pd.DataFrame(
            [
                {"kind": kind, "source": at, **planned.languages.truth(kind, at)._asdict()}
                for kind, at in product(KINDS, numbers)
            ]
        ),
        floors=pd.DataFrame(
            [
                {"source": at, "n_unique_tokens": size, "test_loss": loss}
                for at in numbers
                for size, loss in planned.languages.bayes_losses(at).items()
            ]
        ),
        singles=pd.DataFrame(
            [
                {
                    **planned.place(cell, at), "seed": spec.seed,
                    "test_loss": planned.loss(cell, at, frame["test_loss"][spec.run_id]),
                }
                for (cell, how, at), specs in groups.items()
                if how == "single"
                for spec in specs
            ]
        ),
        curves=planned.curves(members),
        brute=planned.brute(members),
    )  # fmt: skip


class _CalibrationRuns:
    """The runs of every cell of a plan, in one lab."""

    def __init__(self, lab: Lab, plan: CalibrationPlan) -> None:
        self.lab, self.plan, self.languages = lab, plan, Languages(lab, plan)

    @property
    def cells(self) -> list[Cell]:
        """Every cell, those of the data law first."""
        plan = self.plan
        of_data = [
            Cell(kind, size, plan.data_width)
            for kind, size in product(KINDS, (*plan.sizes, plan.brute_size))
        ]
        fixed = [
            Cell("markov", plan.n_unique_tokens, width)
            for width in (*plan.widths, plan.brute_width)
        ]
        return list(dict.fromkeys([*of_data, *fixed]))

    def n_members(self, cell: Cell) -> int:
        """Return how many members are trained on a reported language."""
        return self.plan.brute_members if self.has_many(cell) else self.plan.n_members

    def has_many(self, cell: Cell) -> bool:
        """Return whether members go far beyond the fitted number: at the two largest sizes."""
        plan = self.plan
        many = (plan.widths[-1], plan.brute_width)
        return cell[:2] == ("markov", plan.n_unique_tokens) and cell.width in many

    def spec(self, cell: Cell, number: int, setting: Setting, *, seed: int) -> RunSpec:
        """Return a run on a language."""
        plan = self.plan
        return RunSpec(
            model=plan.model(cell.width),
            data=self.languages.data(cell.kind, number, cell.n_unique_tokens),
            optimizer=OptimizerConfig(
                learning_rate=plan.learning_rate(cell.width), weight_decay=setting.weight_decay
            ),
            train=TrainConfig(n_epochs=setting.n_epochs, batch_size=plan.batch),
            seed=seed,
        )

    def tune(self) -> pd.DataFrame:
        """Try every setting in every cell on the tuning languages; see `Calibration.tuning`."""
        plan = self.plan
        numbers = range(TUNING_SEED, TUNING_SEED + plan.n_tuning_sources)
        tried = {
            (cell, setting, number): [
                self.spec(cell, number, setting, seed=seed) for seed in range(plan.n_tuning_seeds)
            ]
            for cell in self.cells
            for setting in map(
                Setting._make, product(plan.weight_decays, plan.epochs(cell.n_unique_tokens))
            )
            for number in numbers
        }
        frame = self.lab.train(
            [spec for specs in tried.values() for spec in specs], title="calibration, tuning"
        ).set_index("run_id")
        limits = map(limit_estimate, self.lab.ensembles(list(tried.values())))
        rows = []
        for ((cell, setting, _), specs), limit in zip(tried.items(), limits, strict=True):
            single = frame.loc[[spec.run_id for spec in specs], "validation_loss"].mean(
                skipna=False
            )
            for objective, loss in zip(OBJECTIVES, (single, limit), strict=True):
                rows.append(
                    {**cell._asdict(), "objective": objective, **setting._asdict(),
                     "validation_loss": loss}
                )  # fmt: skip
        return chosen_settings(pd.DataFrame(rows))

    def place(self, cell: Cell, number: int) -> dict[str, object]:
        """Return the columns that say of which cell and language a loss is."""
        size = self.plan.model(cell.width).n_params_non_embedding
        return {**cell._asdict(), "n_params_non_embedding": size, "source": number}

    def loss(self, cell: Cell, number: int, loss: float) -> float:
        """Return a test loss without the luck of its windows."""
        return corrected(float(loss), self.languages.truth(cell.kind, number))

    def curves(self, members: Mapping[tuple[Cell, int], Sequence[RunSpec]]) -> pd.DataFrame:
        """Score all subsets of the first members of each group."""
        few = [specs[: self.plan.n_members] for specs in members.values()]
        tables = [
            table.assign(
                **self.place(cell, at),
                test_loss=[self.loss(cell, at, loss) for loss in table["test_loss"]],
                chosen_for="ensemble",
            )
            for (cell, at), table in zip(members, self.lab.ensembles(few), strict=True)
        ]
        return pd.concat(tables, ignore_index=True)

    def brute(self, members: Mapping[tuple[Cell, int], Sequence[RunSpec]]) -> pd.DataFrame:
        """Score blocks of all members where there are many."""
        many = {key: specs for key, specs in members.items() if self.has_many(key[0])}
        scores = self.lab.on_devices(self._block_losses, list(many.values()))
        return pd.DataFrame(
            [
                {
                    **self.place(cell, at), "n_members": int(n), "average": how,
                    "test_loss": self.loss(cell, at, loss),
                }
                for (cell, at), found in zip(many, scores, strict=True)
                for how, losses in found.items()
                for n, loss in losses.items()
            ]
        )  # fmt: skip

    def _block_losses(self, specs: Sequence[RunSpec]) -> dict[str, dict[str, float]]:
        """Return the mean test loss of blocks of members, by average and number of members."""

        def measure() -> dict[str, dict[str, float]]:
            from experiments.runs.texts import text_of
            from models.ensembles.ensemble import block_subsets, subset_losses

            pool = [(spec.model, self.lab.store.params(spec)) for spec in specs]
            windows = text_of(specs[0], self.lab.store.root)[1]["test"]
            subsets = block_subsets(len(specs))
            sizes = subsets.sum(axis=1)
            return {
                how: {str(n): float(losses[sizes == n].mean()) for n in np.unique(sizes)}
                for how, losses in subset_losses(pool, windows, subsets).items()
            }

        return self.lab.remember("many_members", [spec.run_id for spec in specs], measure)


def chosen_settings(tried: pd.DataFrame) -> pd.DataFrame:
    """Mark the setting of each cell and objective that validation selects.

    Args:
        tried: a row a cell, objective, setting and language, with `validation_loss`; NaN of models
            that diverged.

    Returns:
        A row a cell, objective and setting, with the columns `chosen` and `on_edge`.
    """
    place = [*Cell._fields, "objective"]
    means = (
        tried.fillna({"validation_loss": np.inf})
        .groupby([*place, *Setting._fields], as_index=False)["validation_loss"]
        .mean()
    )
    best = means.groupby(place)["validation_loss"].idxmin()
    extremes = means.groupby(place)[list(Setting._fields)]
    edge = means[list(Setting._fields)].eq(extremes.transform("min")) | means[
        list(Setting._fields)
    ].eq(extremes.transform("max"))
    # An axis of a single value has nothing beyond it that could have been tried.
    many = extremes.transform("nunique") > 1
    return means.assign(chosen=means.index.isin(best.tolist()), on_edge=(edge & many).any(axis=1))
