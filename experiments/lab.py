"""A world with its text and its store: what every recipe works in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from experiments.executors import Executor
from experiments.files import read_json, write_json
from experiments.spec import RunSpec
from experiments.store import RunStore
from experiments.sweep import run_sweep
from experiments.text import WorldText, held_out
from experiments.worlds import World
from models.config import OptimizerConfig, TrainConfig

ENSEMBLE_COLUMNS = ["members", "n_members", "average", "validation_loss", "test_loss"]


class Lab:
    """Plan, train and score the runs of one world."""

    def __init__(self, world: World, store: RunStore, executor: Executor | None = None) -> None:
        self.world, self.store, self.executor = world, store, executor
        self.text = WorldText(world)
        self.n_trained = 0
        self._used: dict[str, RunSpec] = {}

    def spec(
        self,
        *,
        width: int,
        weight_decay: float,
        n_epochs: float,
        seed: int,
        learning_rate: float | None = None,
    ) -> RunSpec:
        """Return one run of the world: a size, a regularisation, a seed.

        Without a learning rate, that of the world's rule.

        Raises:
            ValueError: `n_epochs` is not a whole number.
        """
        if n_epochs != int(n_epochs):
            raise ValueError(f"n_epochs must be a whole number; not {n_epochs:g}")
        if learning_rate is None:
            learning_rate = self.world.learning_rate(width)
        return RunSpec(
            model=self.world.model(width),
            data=self.text.data(),
            optimizer=OptimizerConfig(
                learning_rate=float(learning_rate), weight_decay=float(weight_decay)
            ),
            train=TrainConfig(n_epochs=int(n_epochs), batch_size=self.world.batch_size),
            seed=int(seed),
        )

    def train(self, specs: Iterable[RunSpec], *, title: str) -> pd.DataFrame:
        """Train what is missing of these runs and return all of them, see `RunStore.frame`."""
        wanted = {spec.run_id: spec for spec in specs}
        self._used |= wanted
        self.n_trained += run_sweep(
            list(wanted.values()), self.store, executor=self.executor, title=title
        )
        return self.store.frame(wanted.values())

    def used(self) -> pd.DataFrame:
        """Return every run that this lab has asked for so far."""
        return self.store.frame(self._used.values())

    def ensembles(self, groups: Sequence[Sequence[RunSpec]]) -> list[pd.DataFrame]:
        """Score several ensembles of finished runs, one on each device at a time.

        Returns:
            A table for each group, see `ensemble`.
        """
        import jax

        def score(at: int) -> pd.DataFrame:
            devices = jax.local_devices()
            with jax.default_device(devices[at % len(devices)]):
                return self.ensemble(groups[at])

        with ThreadPoolExecutor(jax.local_device_count()) as pool:
            return list(pool.map(score, range(len(groups))))

    def ensemble(self, specs: Sequence[RunSpec]) -> pd.DataFrame:
        """Score every subset of these finished runs; the scores are kept in the store.

        Returns:
            A row for each subset and average: `members` (positions in `specs` as a string such as
            "0,2"), `n_members`, `average` ("logit" or "probability"), `validation_loss` and
            `test_loss` in nats per token.
        """
        path = self.store.ensemble_path(specs)
        rows = read_json(path)
        if rows is None:
            rows = self._score(specs)
            write_json(path, rows)
        return pd.DataFrame(rows, columns=ENSEMBLE_COLUMNS)

    def _score(self, specs: Sequence[RunSpec]) -> list[dict[str, object]]:
        from models.ensemble import AVERAGES, member_subsets, subset_losses

        members = [(spec.model, self.store.params(spec)) for spec in specs]
        first = specs[0]
        windows = held_out(first.data, first.model.vocab_size, first.model.context)
        subsets = member_subsets(len(specs))
        losses = {part: subset_losses(members, windows[part], subsets) for part in windows}
        return [
            {
                "members": ",".join(map(str, np.flatnonzero(subset))),
                "n_members": int(subset.sum()),
                "average": how,
                "validation_loss": float(losses["validation"][how][i]),
                "test_loss": float(losses["test"][how][i]),
            }
            for how in AVERAGES
            for i, subset in enumerate(subsets)
        ]
