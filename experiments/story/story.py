"""What the recipes of one world found: results, laws, runs, and the hash of them all."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.analysis.laws import Laws
from experiments.display.tables import text_table
from experiments.lab.lab import Lab
from experiments.lab.recipe import (
    LazyResults,
    NotRun,
    Recipe,
    Result,
    Results,
    run_recipes,
)
from experiments.recipes import find_recipe
from experiments.recipes.ensembles import Ensembles, ensembles
from experiments.recipes.regularized import Regularized, regularized
from experiments.recipes.standard import best_epochs, standard
from experiments.runs.archive import SHIPPED, Archive
from experiments.runs.store import RunStore
from experiments.sweeps.executors import Executor
from experiments.tuning.certificates import Certificate
from experiments.worlds import recipe_names
from experiments.worlds.registry import WORLDS, get_world
from experiments.worlds.world import World
from scaling.published.datasets import data_folder
from scaling.results import markup

FEWEST_SIZES = 3
"""As many as a power law of size has parameters."""
_MEASURED = ["run_id", "validation_loss", "test_loss", "train_loss"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Story:
    """What figures, claims and report read.

    Of shipped results, a recipe is evaluated when its result is first read.

    Attributes:
        world: its settings.
        corpus_sha256: hash of the text.
        bytes_per_token: UTF-8 bytes of a test token, which turn nats per token into bits per byte.
        text_scope: what losses on this text can show, in a sentence.
        results: what each recipe found; `story[recipe]` is the same as `story.results[recipe]`.
        runs: every run that the recipes asked for.
        records: digest of everything that was measured on them.
        n_trained: how many of them were trained now rather than found.
    """

    world: World
    corpus_sha256: str
    bytes_per_token: float
    text_scope: str
    results: Results
    runs: pd.DataFrame
    records: Mapping[str, str]
    n_trained: int

    def __repr__(self) -> str:
        return f"{self._title}: {', '.join(one.name for one in self.results)}"

    def _repr_html_(self) -> str:
        return markup.fragment(self._title, tables=[text_table(self.contents())])

    @property
    def _title(self) -> str:
        return (
            f"Results of world {self.world.name}: {len(self.runs):,} runs on "
            f"{self.world.n_unique_tokens:,} unique tokens of {self.world.corpus}"
        )

    def contents(self) -> pd.DataFrame:
        """Return a row per recipe, with columns for its name, part, runs, and what it does."""
        labels = self.runs["recipes"].str.split(",").explode().value_counts()
        return pd.DataFrame(
            [
                {
                    "recipe": one.name,
                    "part": one.part,
                    "runs": labels.get(one.name, 0),
                    "what it does": (inspect.getdoc(one.run) or "").partition("\n")[0],
                }
                for one in self.results
            ]
        )

    def __getitem__(self, recipe: Recipe[Result]) -> Result:
        """Return what a recipe found.

        Raises:
            NotRun: the world does not run it.
        """
        return self.results[recipe]

    @property
    def standard(self) -> pd.DataFrame:
        """Runs of the standard recipe at every number of epochs; columns as of `RunStore.frame`."""
        return self[standard].sweep

    @property
    def standard_certificates(self) -> Mapping[int, Certificate]:
        """The standard recipe's best learning rate and epochs at each width."""
        return self[standard].certificates

    @property
    def standard_best(self) -> pd.DataFrame:
        """The standard recipe's runs there; the same columns."""
        return self[standard].best

    @property
    def standard_epochs(self) -> dict[int, int]:
        """The number of epochs that validation selects among `standard` at each width."""
        return best_epochs(self.standard)

    @property
    def regularized(self) -> Regularized:
        """The tuned single models."""
        return self[regularized]

    @property
    def ensembles(self) -> Ensembles:
        """The tuned members."""
        return self[ensembles]

    @property
    def laws(self) -> Laws:
        """The laws of test losses, each fitted when it is first read.

        Raises:
            NotRun: the world does not run the recipes, or at fewer sizes than a law has parameters.
        """
        self.results.require(regularized, ensembles)
        if len(self.world.widths) < FEWEST_SIZES:
            raise NotRun(
                f"a law of size needs at least {FEWEST_SIZES} sizes; the widths of world "
                f"{self.world.name} are {', '.join(map(str, self.world.widths))}"
            )
        return self._laws

    @cached_property
    def _laws(self) -> Laws:
        return Laws(best=self.regularized.best, curves=self.ensembles.curves)

    @property
    def certificates(self) -> list[Certificate]:
        """Every tuned point, by objective and size."""
        tuned: list[Recipe[Any]] = [standard, regularized, ensembles]
        return [
            found
            for one in tuned
            if one in self.results
            for _, found in sorted(self[one].certificates.items())
        ]

    def digest(self, recipes: Iterable[Recipe[Any]]) -> str:
        """Return a hash of the losses and records that recipes and all they build on rest on."""
        resting = [self.results.evidence(one) for each in recipes for one in each.with_needs]
        ids = {id for found in resting for id in found.runs}
        keys = {key for found in resting for key in found.records}
        parts = [
            self.runs.loc[self.runs["run_id"].isin(ids), _MEASURED]
            .sort_values("run_id")
            .to_json(orient="values"),
            json.dumps({key: self.records[key] for key in sorted(keys)}),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @cached_property
    def key(self) -> str:
        """Hash of the results and of the code that turns them into a report."""
        parts = [
            self.world.name,
            str(data_folder().is_dir()),  # published points, where some figures need them
            self.runs[_MEASURED].sort_values("run_id").to_json(orient="values"),
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
        for pattern in ("*.py", "*.html", "*.css")
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
    levers: Sequence[str] = (),
    score_every: float | None = None,
) -> Lab:
    """Return a lab of a world's text and store.

    Args:
        world_name: of a built-in world, or a TOML file.
        corpus: text to train on instead of the world's.
        runs: folder of the trained runs, one subfolder a world.
        executor: where runs are trained; by default in this process.
        widths: model sizes instead of the world's.
        shipped: whether a world whose runs are not in the folder is read from the results that come
            with the package, if there are any; its recipes are then those that are shipped.
        search: whether to search for tuned settings even if the world comes with them.
        levers: settings of all runs on the text that differ from the world's, such as
            "clip_norm=1"; these runs are kept in a folder of their own.
        score_every: epochs between validation losses along the runs, instead of the world's.

    Raises:
        ValueError: unknown world, corpus or lever, too little text, too little memory, a width that
            no model can have.
    """
    known = shipped and world_name in _shipped_worlds()
    if known and not (corpus or widths or levers or (runs / world_name).exists()):
        return shipped_lab(world_name)
    world = get_world(
        world_name, corpus=corpus, widths=widths, search=search, levers=levers,
        score_every=score_every,
    )  # fmt: skip
    return Lab(world, RunStore(runs / world.folder), executor)


def _shipped_worlds() -> list[str]:
    """Return the built-in worlds whose results come with the package."""
    return [name for name in WORLDS if Archive.exists(SHIPPED, name)]


def shipped_lab(world_name: str, recipes: Sequence[str] = ()) -> Lab:
    """Return a lab of a built-in world and its shipped results.

    Args:
        world_name: of a built-in world whose results are shipped.
        recipes: its recipes, among those that are shipped; by default all of these.

    Raises:
        ValueError: no results of that world or recipe are shipped, they are of another version, or
            pyarrow is not installed.
    """
    if world_name not in _shipped_worlds():
        raise ValueError(
            f"`world_name` must be one of {', '.join(map(repr, _shipped_worlds()))}; not "
            f"{world_name!r}: open your own runs with story_of(open_lab({world_name!r}, "
            'corpus=None, runs=Path("runs")))'
        )
    archive = Archive(SHIPPED, world_name)
    if strange := [name for name in recipes if name not in archive.recipes]:
        raise ValueError(
            f"the shipped results of world {world_name} are of {', '.join(archive.recipes)}; not "
            f"of {', '.join(strange)}"
        )
    world = dataclasses.replace(WORLDS[world_name], recipes=tuple(recipes) or archive.recipes)
    return Lab(world, archive, facts=archive.facts)


def open_results(world_name: str = "small") -> Story:
    """Return the results of a world that come with the package; nothing is trained.

    Runs are read at once; a recipe is evaluated when its result is first read.

    Args:
        world_name: of a built-in world whose results are shipped.

    Raises:
        ValueError: no results of that world are shipped, they are of another version, or pyarrow is
            not installed.
    """
    return story_of(shipped_lab(world_name))


def recipes_of(world: World, part: int | None = None) -> list[Recipe[Any]]:
    """Return the recipes of a world, or of a part of the talk.

    Args:
        world: names its recipes.
        part: of the talk, 1 or 2; by default both.

    Raises:
        ValueError: the world runs no recipe of that part.
    """
    found = [one for one in map(find_recipe, world.recipes) if part in (None, one.part)]
    if part is not None and not found:
        every = map(find_recipe, recipe_names())
        of_part = ", ".join(one.name for one in every if one.part == part)
        raise ValueError(
            f"world {world.name} runs no recipe of part {part}; `datawall run` trains each of "
            f"{of_part} by itself"
        )
    return found


def story_of(
    lab: Lab, *, part: int | None = None, recipes: Iterable[Recipe[Any]] | None = None
) -> Story:
    """Return the results of a lab's world, or of a part of it, training whatever is missing.

    Recipes are run now, or, of shipped results, when their results are first read.

    Args:
        lab: of the world.
        part: of the talk, 1 or 2; by default both.
        recipes: recipes to run, with those that they build on; by default all of the world.

    Raises:
        ValueError: the world runs no recipe of that part.
    """
    if recipes is None:
        recipes = recipes_of(lab.world, part)
    results: Results
    if isinstance(lab.store, Archive) and part is None:
        results = LazyResults(lab, recipes)
        runs, records = lab.store.runs, lab.store.records
    else:
        results = run_recipes(lab, recipes)
        runs, records = lab.used(), dict(lab.account.records)
    return Story(
        world=lab.world,
        corpus_sha256=lab.text.facts.corpus_sha256,
        bytes_per_token=lab.text.facts.bytes_per_token,
        text_scope=lab.text.scope,
        results=results,
        runs=runs,
        records=records,
        n_trained=lab.account.n_trained,
    )
