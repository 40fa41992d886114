"""How a world runs the recipes that have settings of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from models.config import ModelConfig

Kind = Literal["markov", "hidden"]
"""A Markov chain drawn from a Dirichlet prior, of which the Bayes-optimal loss is known too; or a
hidden Markov model."""
KINDS: tuple[Kind, ...] = get_args(Kind)
TUNING_SEED = 1_000
"""Number of the first language, graph or world on which hyperparameters are chosen; reported ones
have smaller numbers."""


@dataclass(frozen=True, kw_only=True)
class DataScalingPlan:
    """How the recipes are repeated on stocks of text of several sizes.

    Attributes:
        sizes: D of each stock, ascending; four or more for a data law that can be checked.
        widths: model sizes; three or more for a joint limit.
        n_draws: corpora drawn of each size; the first tunes, all are reported.
        learning_rates: as in `World`, like the following.
        standard_epochs: epochs tried by the standard recipe.
        n_seeds: seeds of each cell.
        n_members: members of an ensemble.
    """

    sizes: tuple[int, ...]
    widths: tuple[int, ...]
    n_draws: int
    learning_rates: tuple[float, ...]
    standard_epochs: tuple[int, ...]
    n_seeds: int
    n_members: int


@dataclass(frozen=True, kw_only=True)
class DistillationPlan:
    """How an ensemble and single models teach students.

    Attributes:
        width: size of teacher members and students.
        n_epochs: steps of every student, in passes over the real text.
        share: synthetic part of every batch; n_epochs * (1 - share) must be a whole number.
        tokens_ratio: sampled tokens for each unique one.
        weight_decays: candidates of every arm, ascending.
        n_generations: generations of self-training.
        n_seeds: students of each arm, at most the world's members.
    """

    width: int
    n_epochs: int
    share: float
    tokens_ratio: int
    weight_decays: tuple[float, ...]
    n_generations: int
    n_seeds: int


@dataclass(frozen=True, kw_only=True)
class CalibrationPlan:
    """What the recipe `calibration` trains.

    Attributes:
        vocab_size: tokens of every language.
        context: tokens in a window.
        concentration: of the prior of Markov chains, see
            `models.analytic.known_entropy.DirichletPrior`.
        n_states: of the hidden Markov models.
        state_concentration: how little their states differ, see
            `models.analytic.hidden_markov.HiddenMarkovSource.draw`.
        n_layers: blocks of every model.
        batch: windows in a step.
        n_eval_windows: windows of the validation part, which selects, and of the test part.
        n_sources: languages of each kind that are reported.
        n_tuning_sources: languages of each kind for choosing.
        weight_decays: tried in each cell, ascending.
        reads: training tokens that are tried; the passes over D unique ones follow.
        least_epochs: fewest passes, however many tokens that is: a cap on training tokens would
            keep the data law from its asymptote.
        n_tuning_seeds: models that choose in each cell, two or more for ensembles.
        n_seeds: single models that are reported in each cell.
        n_members: members of the ensembles to which laws are fitted, four or more.
        n_unique_tokens: D at which sizes and members go to infinity, on Markov chains.
        widths: fitted sizes there, ascending, three or more.
        brute_width: a size far beyond them.
        brute_members: a number of members far beyond the fitted one.
        data_width: size of model of the data law.
        sizes: its values of D, ascending, four or more.
        brute_size: a D far beyond them.

    Raises:
        ValueError: too few sizes, seeds or members for a law that can be checked, or brute force
            that is not beyond what is fitted.
    """

    vocab_size: int = 32
    context: int = 16
    concentration: float = 8.0
    n_states: int = 8
    state_concentration: float = 0.1
    n_layers: int = 2
    batch: int = 8
    n_eval_windows: int = 1_024
    n_sources: int
    n_tuning_sources: int = 1
    weight_decays: tuple[float, ...]
    reads: tuple[int, ...]
    least_epochs: int = 4
    n_tuning_seeds: int = 2
    n_seeds: int = 3
    n_members: int = 4
    n_unique_tokens: int
    widths: tuple[int, ...]
    brute_width: int
    brute_members: int
    data_width: int
    sizes: tuple[int, ...]
    brute_size: int

    def __post_init__(self) -> None:
        for name, least in (("n_tuning_seeds", 2), ("n_members", 4), ("n_seeds", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more; not {getattr(self, name)}")
        for name, least in (("widths", 3), ("sizes", 4)):
            values = getattr(self, name)
            if len(values) < least or list(values) != sorted(set(values)):
                raise ValueError(f"{name} must be {least} or more, ascending; not {values}")
        for name, fitted in (
            ("brute_width", self.widths[-1]),
            ("brute_size", self.sizes[-1]),
            ("brute_members", self.n_members),
        ):
            if getattr(self, name) <= fitted:
                raise ValueError(f"{name} must be beyond {fitted}; not {getattr(self, name)}")

    def model(self, width: int) -> ModelConfig:
        """Return the architecture of one size."""
        return ModelConfig.from_width(
            width, vocab_size=self.vocab_size, context=self.context, n_layers=self.n_layers
        )

    def learning_rate(self, width: int) -> float:
        """Return the peak learning rate, by the rule of `World.learning_rate`."""
        return min(1e-2, 0.32 / width)

    def epochs(self, n_unique_tokens: int) -> tuple[int, ...]:
        """Return the passes over D unique tokens that are tried, ascending."""
        return tuple(
            sorted({max(self.least_epochs, read // n_unique_tokens) for read in self.reads})
        )
