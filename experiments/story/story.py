"""Everything that one world tells: its runs, its laws, its identity."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.analysis.laws import Laws, laws_of
from experiments.lab.lab import Lab
from experiments.recipes import standard
from experiments.recipes.ensembles import Ensembles
from experiments.recipes.registry import RECIPES, run_recipes
from experiments.recipes.regularized import Regularized
from experiments.runs.archive import SHIPPED, Archive
from experiments.runs.store import RunStore
from experiments.sweeps.executors import Executor
from experiments.tuning.certificates import Certificate
from experiments.worlds.registry import WORLDS, get_world
from experiments.worlds.world import World
from scaling.published.datasets import data_folder


class NotTold(ValueError):
    """A story was asked for a recipe that its world does not run."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """What figures, claims and report read.

    Attributes:
        world: its settings.
        corpus_sha256: hash of the text.
        bytes_per_token: UTF-8 bytes of a test token, which turn nats per token into bits per byte.
        text_scope: what losses on this text can show, in a sentence.
        results: what each recipe found, by its name; see `result`.
        runs: every run that the recipes asked for.
        records: digest of everything that was measured on them.
        n_trained: how many of them were trained now rather than found.
    """

    world: World
    corpus_sha256: str
    bytes_per_token: float
    text_scope: str
    results: Mapping[str, Any]
    runs: pd.DataFrame
    records: Mapping[str, str]
    n_trained: int

    def result(self, recipe: str) -> Any:
        """Return what a recipe found, as its module's `run` returns it.

        Raises:
            NotTold: this story has not run it.
        """
        if recipe not in self.results:
            raise NotTold(f"world {self.world.name} does not run the recipe {recipe}")
        return self.results[recipe]

    @property
    def standard(self) -> pd.DataFrame:
        """The standard recipe's runs for every number of epochs."""
        return self.result("standard").sweep

    @property
    def standard_certificates(self) -> Mapping[int, Certificate]:
        """The standard recipe's best learning rate and epochs at each width."""
        return self.result("standard").certificates

    @property
    def standard_best(self) -> pd.DataFrame:
        """The standard recipe's runs there."""
        return self.result("standard").best

    @property
    def regularized(self) -> Regularized:
        """The tuned single models."""
        return self.result("regularized")

    @property
    def ensembles(self) -> Ensembles:
        """The tuned members."""
        return self.result("ensembles")

    @cached_property
    def laws(self) -> Laws:
        """The fitted laws, computed when first asked for."""
        return fit_laws(self.regularized, self.ensembles)

    @cached_property
    def standard_epochs(self) -> dict[int, int]:
        """The number of epochs that validation selects among `standard` at each width."""
        return standard.best_epochs(self.standard)

    @property
    def certificates(self) -> list[Certificate]:
        """Every tuned point, by objective and size."""
        of_recipes = [
            self.results[name].certificates
            for name in ("standard", "regularized", "ensembles")
            if name in self.results
        ]
        return [found for by_width in of_recipes for _, found in sorted(by_width.items())]

    @cached_property
    def key(self) -> str:
        """Hash of the results and of the code that turns them into a report."""
        columns = ["run_id", "validation_loss", "test_loss", "train_loss"]
        parts = [
            self.world.name,
            str(data_folder().is_dir()),  # published points, where some figures need them
            self.runs[columns].sort_values("run_id").to_json(orient="values"),
            json.dumps(dict(self.records), sort_keys=True),
            *(path.read_text(encoding="utf-8") for path in _source_files()),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _source_files() -> list[Path]:
    """List the files whose change can change a figure, a claim or the report."""
    house = Path(__file__).parents[2]
    folders = ("scaling", "graphsim", "models", "experiments", "paper_figs")
    return sorted(
        path
        for folder in folders
        for pattern in ("*.py", "*.html")
        for path in (house / folder).rglob(pattern)
    )


def open_lab(
    world_name: str,
    *,
    corpus: str | None,
    runs: Path,
    executor: Executor | None = None,
    widths: tuple[int, ...] = (),
    shipped: bool = False,
    search: bool = False,
) -> Lab:
    """Open a world's text and store, to train in this process or where the executor does.

    With widths, those are its model sizes; with `search`, tuned settings that it carries are not
    used. With `shipped`, a world whose runs are not in the folder
    is read from the results that come with the package, if there are any; its recipes are then
    those that are shipped.

    Raises:
        ValueError: unknown world or corpus, too little text, too little memory, a width that no
            model can have.
    """
    known = world_name in WORLDS and Archive.exists(SHIPPED, world_name)
    if shipped and known and not (corpus or widths or (runs / world_name).exists()):
        archive = Archive(SHIPPED, world_name)
        world = dataclasses.replace(WORLDS[world_name], recipes=archive.recipes)
        return Lab(world, archive, facts=archive.facts)
    world = get_world(world_name, corpus=corpus, widths=widths, search=search)
    return Lab(world, RunStore(runs / world.name), executor)


def tell(
    world_name: str,
    *,
    corpus: str | None,
    runs: Path,
    executor: Executor | None = None,
    shipped: bool = False,
    search: bool = False,
    part: int | None = None,
) -> Story:
    """Train whatever is missing of a world's recipes and gather the results; see `open_lab`.

    With `part`, those of one part of the talk.
    """
    lab = open_lab(
        world_name, corpus=corpus, runs=runs, executor=executor, shipped=shipped, search=search
    )
    return tell_of(lab, part=part)


def tell_of(lab: Lab, *, part: int | None = None) -> Story:
    """Gather the results of a lab's world, or of a part of it, training whatever is missing.

    Raises:
        ValueError: the world runs no recipe of that part.
    """
    names = [name for name in lab.world.recipes if part in (None, RECIPES[name].part)]
    if not names:
        of_part = ", ".join(name for name, recipe in RECIPES.items() if recipe.part == part)
        raise ValueError(
            f"world {lab.world.name} runs no recipe of part {part}; `datawall run` trains each of "
            f"{of_part} by itself"
        )
    results = run_recipes(lab, names)
    return Story(
        world=lab.world,
        corpus_sha256=lab.text.facts.corpus_sha256,
        bytes_per_token=lab.text.facts.bytes_per_token,
        text_scope=lab.text.scope,
        results=results,
        runs=lab.used(),
        records=dict(lab.account.records),
        n_trained=lab.account.n_trained,
    )


def fit_laws(regularized: Regularized, ensembles: Ensembles) -> Laws:
    """Fit every law of Part 1 to the runs, test losses throughout."""
    return laws_of(regularized.best, ensembles.curves)
