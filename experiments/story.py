"""Everything that one world tells: its runs, its laws, its identity."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from experiments import ensembles, regularized, standard
from experiments.ensembles import Ensembles
from experiments.executors import Executor
from experiments.lab import Lab
from experiments.limits import Laws, fit_laws
from experiments.regularized import Regularized
from experiments.store import RunStore
from experiments.worlds import World, get_world
from scaling.datasets import data_folder


@dataclass(frozen=True, kw_only=True)
class Story:
    """What figures, claims and report read.

    Attributes:
        world: its settings.
        corpus_sha256: hash of the text.
        bytes_per_token: UTF-8 bytes of a test token, which turn nats per token into bits per byte.
        standard: runs of the standard recipe.
        regularized: the tuned single models.
        ensembles: the tuned members.
        runs: every run that the recipes asked for.
        n_trained: how many of them were trained now rather than found.
    """

    world: World
    corpus_sha256: str
    bytes_per_token: float
    standard: pd.DataFrame
    regularized: Regularized
    ensembles: Ensembles
    runs: pd.DataFrame
    n_trained: int

    @cached_property
    def laws(self) -> Laws:
        """The fitted laws, computed when first asked for."""
        return fit_laws(self.regularized, self.ensembles)

    @cached_property
    def standard_best(self) -> pd.DataFrame:
        """The standard recipe's runs at the epochs that validation selects for each size."""
        losses = self.standard.fillna({"validation_loss": float("inf")})
        means = losses.groupby(["width", "n_epochs"])["validation_loss"].mean()
        best = dict(means.groupby("width").idxmin().to_list())
        chosen = [best[row.width] == row.n_epochs for row in self.standard.itertuples()]
        return self.standard[chosen]

    @cached_property
    def key(self) -> str:
        """Hash of the results and of the code that turns them into a report."""
        columns = ["run_id", "validation_loss", "test_loss", "train_loss"]
        parts = [
            self.world.name,
            str(data_folder().is_dir()),  # published points, where some figures need them
            self.runs[columns].sort_values("run_id").to_json(orient="values"),
            self.ensembles.curves.to_json(orient="values"),
            *(path.read_text(encoding="utf-8") for path in _source_files()),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _source_files() -> list[Path]:
    """List the files whose change can change a figure, a claim or the report."""
    house = Path(__file__).parent.parent
    folders = ("scaling", "graphsim", "experiments", "paper_figs")
    return sorted(
        path
        for folder in folders
        for pattern in ("*.py", "*.html")
        for path in (house / folder).rglob(pattern)
    )


def open_lab(
    world_name: str, *, corpus: str | None, runs: Path, executor: Executor | None = None
) -> Lab:
    """Open a world's text and store, to train in this process or where the executor does.

    Raises:
        ValueError: unknown world or corpus, too little text, too little memory.
    """
    world = get_world(world_name, corpus=corpus)
    return Lab(world, RunStore(runs / world.name), executor)


def tell(
    world_name: str, *, corpus: str | None, runs: Path, executor: Executor | None = None
) -> Story:
    """Train whatever is missing of a world's recipes and gather the results."""
    lab = open_lab(world_name, corpus=corpus, runs=runs, executor=executor)
    of_standard = standard.run(lab)
    of_regularized = regularized.run(lab)
    of_ensembles = ensembles.run(lab, of_regularized)
    return Story(
        world=lab.world,
        corpus_sha256=lab.text.tokens.corpus_sha256,
        bytes_per_token=lab.text.tokens.bytes_per_token("test"),
        standard=of_standard,
        regularized=of_regularized,
        ensembles=of_ensembles,
        runs=lab.used(),
        n_trained=lab.n_trained,
    )
