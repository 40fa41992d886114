"""Everything that one world tells: its runs, its laws, its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from experiments import ensembles, regularized, standard
from experiments.certificates import Certificate
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
        standard: the standard recipe's runs for every number of epochs.
        standard_certificates: its best learning rate and epochs at each width.
        standard_best: its runs there.
        regularized: the tuned single models.
        ensembles: the tuned members.
        runs: every run that the recipes asked for.
        n_trained: how many of them were trained now rather than found.
    """

    world: World
    corpus_sha256: str
    bytes_per_token: float
    standard: pd.DataFrame
    standard_certificates: Mapping[int, Certificate]
    standard_best: pd.DataFrame
    regularized: Regularized
    ensembles: Ensembles
    runs: pd.DataFrame
    n_trained: int

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
        of_recipes = (
            self.standard_certificates,
            self.regularized.certificates,
            self.ensembles.certificates,
        )
        return [found for by_width in of_recipes for _, found in sorted(by_width.items())]

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
    world_name: str,
    *,
    corpus: str | None,
    runs: Path,
    executor: Executor | None = None,
    widths: tuple[int, ...] = (),
) -> Lab:
    """Open a world's text and store, to train in this process or where the executor does.

    With widths, those are its model sizes.

    Raises:
        ValueError: unknown world or corpus, too little text, too little memory, a width that no
            model can have.
    """
    world = get_world(world_name, corpus=corpus, widths=widths)
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
        standard=of_standard.sweep,
        standard_certificates=of_standard.certificates,
        standard_best=of_standard.best,
        regularized=of_regularized,
        ensembles=of_ensembles,
        runs=lab.used(),
        n_trained=lab.n_trained,
    )
