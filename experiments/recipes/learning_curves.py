"""Learning curves: train and test loss of one machine against the size of its training set.

Cortes, Jackel, Solla, Vapnik and Denker 1993 (NIPS 6) train a machine of fixed capacity on l
examples: its test loss falls as a + b / l^alpha, its training loss rises as a - c / l^beta, towards
one asymptote. The machine here is the smallest model of the world with the learning rate and decay
that were tuned for it; every training set gets the same number of steps, so that all are trained
equally far, and each seed draws a text of its own from the corpus.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from experiments.analysis import intervals
from experiments.analysis.intervals import Estimate, jackknife
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.regularized import Regularized, regularized
from experiments.runs.spec import RunSpec
from experiments.runs.texts import unique_tokens
from scaling import FitResult, fit_law
from scaling.fit import best_parameters
from scaling.laws.laws import LEARNING_CURVES, Law, Linear, Term

FACTORS = (1, 2, 4, 8, 16)
"""Training sets over the world's unique tokens; those beyond the corpus are left out. Smaller ones
would be of fewer documents than a stock is mixed from."""
EPOCHS_AT_ONE = 16
"""Passes over the world's unique tokens; other sizes get as many steps."""

TWO_ASYMPTOTES = Law(
    name="two_asymptotes",
    formula="test: E + B / l^alpha; train: E + G - C / l^beta",
    columns=LEARNING_CURVES.columns,
    linear=(*LEARNING_CURVES.linear, Linear(name="G", low=-float("inf"))),
    nonlinear=LEARNING_CURVES.nonlinear,
    terms=(*LEARNING_CURVES.terms, Term(coefficient="G", where=("is_train", 1.0))),
    flags=LEARNING_CURVES.flags,
    source="the law of Cortes et al. 1993 with an asymptote for each curve, to test that G is zero",
)

COLUMNS = ["n_examples", "is_train"]


@dataclass(frozen=True, kw_only=True)
class LearningCurves:
    """Train and test loss against the number of training tokens.

    Attributes:
        width: of the model.
        table: two rows a run, one of its loss on the tokens it was trained on (by the final
            weights) and one on the test part: `n_examples` (unique tokens), `is_train` (0 or 1),
            `loss` in nats per token, `seed` (of the run and of the draw of its text), `n_epochs`.
        is_mixed: whether training texts are chunks of many documents and the scored windows are
            spread over all held-out ones; otherwise the two losses are of different documents.
    """

    width: int
    table: pd.DataFrame
    is_mixed: bool = False

    @property
    def largest(self) -> int:
        """The largest training set, which the laws do not see."""
        return int(self.table["n_examples"].max())

    @property
    def known(self) -> pd.DataFrame:
        """The rows of `table` of the smaller training sets; the same columns."""
        return self.table[self.table["n_examples"] < self.largest]

    @cached_property
    def law(self) -> FitResult:
        """Both curves with one asymptote, fitted to the smaller training sets."""
        return fit_law(self.known, "learning_curves", x=COLUMNS, y="loss")

    @cached_property
    def test_law(self) -> FitResult:
        """The test curve alone, fitted to the smaller training sets."""
        test = self.known[self.known["is_train"] == 0]
        return fit_law(test, "power", x="n_examples", y="loss")

    @cached_property
    def asymptote_gap(self) -> Estimate:
        """Asymptote of the training curve less that of the test curve, from all training sets.

        The interval is that of the delete-one-draw jackknife: the runs of a draw share its text.
        It is unbounded where the asymptote is not identified.
        """
        fit = fit_law(self.table, TWO_ASYMPTOTES, x=COLUMNS, y="loss")
        parts = [
            best_parameters(part, TWO_ASYMPTOTES, x=COLUMNS, y="loss")["G"]
            for part in _without(self.table)
        ]
        return _if(fit, jackknife(fit.params["G"], [parts]))

    @cached_property
    def error(self) -> Estimate:
        """Test loss predicted at the largest training set minus that measured there.

        By the law of both curves, fitted to the smaller training sets. The interval is that of the
        delete-one-draw jackknife, which leaves a draw out of the fit and of the measurement; it
        holds the scatter between texts and runs. It is unbounded where the asymptote is not
        identified.
        """

        def of(table: pd.DataFrame) -> float:
            known = table[table["n_examples"] < self.largest]
            law = best_parameters(known, "learning_curves", x=COLUMNS, y="loss")
            at = (table["n_examples"] == self.largest) & (table["is_train"] == 0)
            predicted = law["E"] + law["B"] / self.largest ** law["alpha"]
            return float(predicted - table.loc[at, "loss"].mean())

        return _if(
            self.law, jackknife(of(self.table), [[of(part) for part in _without(self.table)]])
        )

    @property
    def n_seeds(self) -> int:
        """Seeds of each training set."""
        return int(self.table["seed"].nunique())

    def measured(self, is_train: int) -> Estimate:
        """Return the mean loss at the largest training set, interval over seeds."""
        at = (self.table["n_examples"] == self.largest) & (self.table["is_train"] == is_train)
        return intervals.mean_estimate(self.table.loc[at, "loss"].to_numpy())

    def predicted(self, is_train: int) -> Estimate:
        """Return what the law of the smaller training sets says of the largest."""
        at = pd.DataFrame({"n_examples": [float(self.largest)], "is_train": [float(is_train)]})
        return _estimate(self.law, at, self.n_seeds)

    def predicted_by_test_alone(self) -> Estimate:
        """Return what the test curve of the smaller training sets says without the other."""
        at = pd.DataFrame({"n_examples": [float(self.largest)]})
        return _estimate(self.test_law, at, self.n_seeds)


def _without(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return a table without each of its draws."""
    return [table[table["seed"] != seed] for seed in sorted(table["seed"].unique())]


def _if(fit: FitResult, estimate: Estimate) -> Estimate:
    """Return an estimate, unbounded where the asymptote of a fit is not identified."""
    if fit.status.usable:
        return estimate
    return replace(estimate, low=-math.inf, high=math.inf)


def _estimate(fit: FitResult, at: pd.DataFrame, n: int) -> Estimate:
    row = fit.predict(at).iloc[0]
    return Estimate(value=float(row["mean"]), low=float(row["low"]), high=float(row["high"]), n=n)


@recipe(regularized)
def learning_curves(lab: Lab, regularized: Regularized) -> LearningCurves:
    """Train the smallest model on training sets of every size and score both losses."""
    world = lab.world
    width = min(world.widths)
    best = regularized.tuned[width].best
    per_step = world.batch_size * world.context
    n_there = lab.text.facts.n_tokens["train"]
    sizes = [
        size
        for factor in FACTORS
        if per_step <= (size := int(factor * world.n_unique_tokens)) <= n_there
    ]
    specs = [
        lab.spec(
            width=width,
            learning_rate=best["learning_rate"],
            weight_decay=best["weight_decay"],
            n_epochs=max(1, round(EPOCHS_AT_ONE * world.n_unique_tokens / size)),
            n_unique_tokens=size,
            seed=seed,
            draw_seed=world.draw_seed + seed,
        )
        for size in sizes
        for seed in range(world.n_seeds)
    ]
    runs = lab.train(specs, title="learning curves")
    test = runs.set_index("run_id")["test_loss"]
    train = _train_losses(lab, specs)
    rows = [
        {
            "n_examples": float(spec.data.n_unique_tokens),
            "is_train": float(is_train),
            "loss": loss,
            "seed": spec.seed,
            "n_epochs": spec.train.n_epochs,
        }
        for spec in specs
        for is_train, loss in ((0, float(test[spec.run_id])), (1, train[spec.run_id]))
    ]
    return LearningCurves(width=width, table=pd.DataFrame(rows), is_mixed=world.chunk_tokens > 0)


def _train_losses(lab: Lab, specs: Sequence[RunSpec]) -> dict[str, float]:
    """Score runs on the very tokens that they were trained on, by their final weights.

    The loss recorded in training is a mean over weights that were still moving.
    """

    def measure() -> dict[str, float]:
        from models.text.batches import evaluation_windows
        from models.training.evaluate import held_out_loss

        found = {}
        for spec in specs:
            tokens = unique_tokens(spec.data, spec.model.vocab_size)
            windows = evaluation_windows(tokens, context=spec.model.context)
            found[spec.run_id] = held_out_loss(spec.model, lab.store.params(spec), windows)
        return found

    return lab.remember("train_losses", [spec.run_id for spec in specs], measure)
