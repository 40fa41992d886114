"""A world with its text and its store, in which recipes train and measure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from experiments.lab.source import source_of
from experiments.lab.text import WorldText
from experiments.runs import Runs
from experiments.runs.archive import NotShipped
from experiments.runs.records import ensemble_identity, is_measuring, keep_record, measuring
from experiments.runs.spec import RunSpec, SyntheticConfig, digest
from experiments.runs.store import can_train
from experiments.runs.texts import TextFacts
from experiments.sweeps.executors import Executor
from experiments.sweeps.sweep import run_sweep
from experiments.worlds.levers import with_levers
from experiments.worlds.world import World
from models.config import OptimizerConfig, TrainConfig

Item = TypeVar("Item")
Result = TypeVar("Result")
SCORES = ["members", "n_members", "average", "validation_loss", "test_loss"]
"""Columns of the scores of ensembles; a store keeps each row with its keys sorted."""


@dataclass(kw_only=True, eq=False)
class Account:
    """What has been asked of a lab so far.

    Attributes:
        runs: every run, by its id.
        records: digest of the values of every record, by "kind/key".
        n_trained: runs that were trained, rather than found.
        labels: the recipe that asks now, if one does.
        read: the records that each recipe asked for.
    """

    runs: dict[str, RunSpec] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    n_trained: int = 0
    labels: tuple[str, ...] = ()
    read: dict[str, set[str]] = field(default_factory=dict)


class Lab:
    """Plan, train and score the runs of one world.

    Attributes:
        world: its settings.
        store: where runs and records are kept; an archive has all that it will ever have.
        text: the tokens.
        account: what has been asked for so far.
    """

    def __init__(
        self,
        world: World,
        store: Runs,
        executor: Executor | None = None,
        *,
        facts: TextFacts | None = None,
        account: Account | None = None,
    ) -> None:
        self.world, self.store, self.executor = world, store, executor
        self.text = WorldText(world, facts)
        self.account = account or Account()

    def within(self, world: World) -> Lab:
        """Return a lab of another world on the same text, store and account."""
        return Lab(world, self.store, self.executor, facts=self.text.facts, account=self.account)

    @contextlib.contextmanager
    def labeling(self, recipe: str) -> Iterator[None]:
        """Note runs and records that are asked for in this block as those of a recipe."""
        before, self.account.labels = self.account.labels, (recipe,)
        try:
            yield
        finally:
            self.account.labels = before

    def spec(
        self,
        *,
        width: int,
        weight_decay: float,
        n_epochs: float,
        seed: int,
        learning_rate: float | None = None,
        n_unique_tokens: int | None = None,
        draw_seed: int | None = None,
        init_from: str | None = None,
        synthetic: SyntheticConfig | None = None,
    ) -> RunSpec:
        """Return one run of the world: a size, a regularization, a seed, and what it reads.

        Args:
            width: size dial of the model.
            weight_decay: decay per step in units of the learning rate.
            n_epochs: passes over the unique tokens.
            seed: draws the weights and the order of the data.
            learning_rate: peak (default: that of the world's rule).
            n_unique_tokens: D (default: the world's).
            draw_seed: which D tokens (default: the world's); a smaller draw is a prefix of a
                larger one.
            init_from: id of the run whose weights it starts from.
            synthetic: text of other runs that it reads as well.

        Raises:
            ValueError: `n_epochs` is not a whole number, or the text has fewer tokens.
        """
        if n_epochs != int(n_epochs):
            raise ValueError(f"n_epochs must be a whole number; not {n_epochs:g}")
        if learning_rate is None:
            learning_rate = self.world.learning_rate(width)
        optimizer = OptimizerConfig(
            learning_rate=float(learning_rate), weight_decay=float(weight_decay)
        )
        train = TrainConfig(n_epochs=int(n_epochs), batch_size=self.world.batch_size)
        return RunSpec(
            model=self.world.model(width),
            data=self.text.data(n_unique_tokens=n_unique_tokens, draw_seed=draw_seed),
            optimizer=with_levers(optimizer, self.world.levers),
            train=with_levers(train, self.world.levers),
            seed=int(seed),
            init_from=init_from,
            synthetic=synthetic,
            score_every=self.world.score_every,
        )

    def train(self, specs: Iterable[RunSpec], *, title: str) -> pd.DataFrame:
        """Train what is missing of these runs and return all, with the columns of `RunStore.frame`.

        Raises:
            ValueError: a recipe's own settings override a lever of the world.
        """
        return self.store.frame(self.trained(specs, title=title))

    def trained(self, specs: Iterable[RunSpec], *, title: str) -> list[RunSpec]:
        """Train what is missing of these runs and return their specs, each once; see `train`."""
        wanted = {}
        for spec in specs:
            self._check_levers(spec)
            known = self.account.runs.get(spec.run_id, spec)
            wanted[spec.run_id] = known.labeled(self.account.labels)
        self.account.runs |= wanted
        if can_train(self.store):
            self.account.n_trained += run_sweep(
                list(wanted.values()), self.store, executor=self.executor, title=title
            )
        return list(wanted.values())

    def _check_levers(self, spec: RunSpec) -> None:
        for settings in (spec.model, spec.optimizer, spec.train):
            if settings != with_levers(settings, self.world.levers):
                recipes = ", ".join(self.account.labels) or "this recipe"
                raise ValueError(
                    f"{recipes} chooses settings of its own, which the levers "
                    f"{', '.join(self.world.levers)} do not reach; run it without them"
                )

    def used(self) -> pd.DataFrame:
        """Return every run asked for so far, with the columns of `RunStore.frame`."""
        return self.store.frame(self.account.runs.values())

    def remember(
        self,
        kind: str,
        identity: Any,
        measure: Callable[[], Any],
        *,
        code: Callable[..., Any] | None = None,
        from_losses: bool = False,
    ) -> Any:
        """Return a record of the store; measure it where this code has not measured it yet.

        Args:
            kind: what is measured, such as "ensembles".
            identity: everything that decides it but code, as JSON: run ids, settings.
            measure: measures it; returns JSON.
            code: the function whose code decides what is measured, see `source_of`; by default
                `measure`.
            from_losses: no weights are needed, so that it can be measured of shipped results too.

        Raises:
            NotShipped: an archive does not hold it, and it needs weights.
        """
        source = "" if self.store.read_only else source_of(code or measure)
        values = self.store.record(kind, identity, source)
        if values is None:
            if self.store.read_only and not from_losses:
                raise NotShipped(f"the shipped results of {self.world.name} lack {kind} asked for")
            with measuring():
                values = measure()
            if not self.store.read_only:
                keep_record(self.store.root, kind, identity, values, source=source)
        if not is_measuring():
            place = f"{kind}/{digest(identity)}"
            self.account.records[place] = digest(values)
            for recipe in self.account.labels:
                self.account.read.setdefault(recipe, set()).add(place)
        return values

    def ensembles(self, groups: Sequence[Sequence[RunSpec]]) -> list[pd.DataFrame]:
        """Return the scores of several ensembles, columns as of `ensemble`, one on each device."""
        return self.on_devices(self.ensemble, groups)

    def on_devices(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return the results of independent work, an item on each core or accelerator at a time."""
        if self.store.read_only:  # everything is there
            return [work(item) for item in items]
        import jax

        from models.training.devices import worker_devices

        devices = worker_devices()

        def on_device(at: int) -> Result:
            with jax.default_device(devices[at % len(devices)]):
                return work(items[at])

        with ThreadPoolExecutor(len(devices)) as pool:
            return list(pool.map(on_device, range(len(items))))

    def ensemble(self, specs: Sequence[RunSpec]) -> pd.DataFrame:
        """Return the scores of every subset of these finished runs, kept in the store.

        Returns:
            A row for each subset and average, with the columns `SCORES`, see `lab.scoring`.
        """
        identity = ensemble_identity(specs)
        if self.store.read_only:  # nothing is scored, and jax takes a second to import
            return pd.DataFrame(self.remember("ensembles", identity, list), columns=SCORES)
        from experiments.lab.scoring import score_subsets

        rows = self.remember(
            "ensembles", identity, lambda: score_subsets(specs, self.store), code=score_subsets
        )
        return pd.DataFrame(rows, columns=SCORES)
