"""Plans: the settings of single recipes in a world; those of Part 2 are in `plans_part2`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from models.config import ModelConfig

Kind = Literal["markov", "hidden"]
"""A Markov chain drawn from a Dirichlet prior, whose Bayes-optimal loss is also known, or a hidden
Markov model."""
KINDS: tuple[Kind, ...] = get_args(Kind)
TUNING_SEED = 1_000
"""Seed of the first language, graph or world on which hyperparameters are chosen; those that are
reported have smaller seeds."""
RATE_FACTORS = (1.0, 2.0, 0.5, 4.0, 0.25)
"""Factors of the peak learning rate, in the order in which a control without strengths of its own
tries them, so that as many settings are compared for it as for others."""
USUAL_DECAY = 0.1
"""Weight decay of the standard recipe, with which tuned weight decays are compared."""


@dataclass(frozen=True, kw_only=True)
class DataScalingPlan:
    """Settings of the recipe `data_scaling`, which repeats others on several numbers of tokens.

    Attributes:
        sizes: numbers of unique tokens D, ascending, on which every recipe is trained.
        reference_sizes: further ones on which only the standard recipe is, to read multipliers of
            data off its losses; with `sizes`, four or more for a data law with a check.
        widths: widths of the models; three or more for a joint limit.
        n_draws: samples of the corpus of each size; hyperparameters are tuned on the first, and all
            are reported.
        learning_rates: peak learning rates to search.
        standard_epochs: epochs that the standard recipe tries.
        n_seeds: seeds of each setting.
        n_members: members of an ensemble.

    Raises:
        ValueError: a stock is in both `sizes` and `reference_sizes`.
    """

    sizes: tuple[int, ...]
    reference_sizes: tuple[int, ...] = ()
    widths: tuple[int, ...]
    n_draws: int
    learning_rates: tuple[float, ...]
    standard_epochs: tuple[int, ...]
    n_seeds: int
    n_members: int

    def __post_init__(self) -> None:
        if both := {*self.sizes} & {*self.reference_sizes}:
            raise ValueError(f"reference_sizes must be others than sizes; not {sorted(both)}")


@dataclass(frozen=True, kw_only=True)
class DrawsPlan:
    """Settings of the recipe `draws`, which repeats tuned models on other draws of the text.

    Attributes:
        widths: sizes of model, among those of the world.
        n_draws: draws of the corpus, the first of which is the world's own; three or more.
        n_seeds: single models of each size and draw.
        n_members: members of each size and draw; four or more, for the law of K.

    Raises:
        ValueError: too few draws or members.
    """

    widths: tuple[int, ...]
    n_draws: int = 4
    n_seeds: int = 1
    n_members: int = 4

    def __post_init__(self) -> None:
        if self.n_draws < 3 or self.n_members < 4:
            raise ValueError(
                "n_draws must be 3 or more and n_members 4 or more; "
                f"not {self.n_draws} and {self.n_members}"
            )


@dataclass(frozen=True, kw_only=True)
class DistillationPlan:
    """Settings of the recipe `distillation`.

    Attributes:
        width: width of the teacher's members and of the students.
        n_epochs: training steps of every student, in passes over the real text.
        share: synthetic share of every batch; n_epochs * (1 - share) must be a whole number.
        tokens_ratio: number of sampled tokens per unique token.
        weight_decays: weight decays tried for every arm, ascending.
        n_generations: generations of self-training.
        n_seeds: students of each arm; at most `n_members` of the world.
        soft_ensemble: whether students also learn the ensemble's predictions on its own text.
    """

    width: int
    n_epochs: int
    share: float
    tokens_ratio: int
    weight_decays: tuple[float, ...]
    n_generations: int
    n_seeds: int
    soft_ensemble: bool = False


@dataclass(frozen=True, kw_only=True)
class ChainPlan:
    """Settings of the recipe `chains`.

    Attributes:
        width: width of all members.
        weight_decays: weight decays tried for every arm, ascending.
        epochs: numbers of epochs tried for every arm.
        soft_shares: shares of the loss that members learn from their teacher, tried for every arm
            that has one; the arm without tries as many peak learning rates instead.
        n_tuning_members: members whose ensemble selects an arm's settings, on the first draw.
        n_draws: draws of the text that are reported.
        n_members: members of an ensemble, four or more.
        learning_rate: peak learning rate; by default that of `World.learning_rate`.

    Raises:
        ValueError: too few members or draws, or a share outside (0, 1].
    """

    width: int
    weight_decays: tuple[float, ...]
    epochs: tuple[int, ...]
    soft_shares: tuple[float, ...]
    n_tuning_members: int = 3
    n_draws: int = 4
    n_members: int = 5
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("n_tuning_members", 2), ("n_members", 4), ("n_draws", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more; not {getattr(self, name)}")
        if not all(0 < share <= 1 for share in self.soft_shares):
            raise ValueError(f"soft_shares must lie in (0, 1]; not {self.soft_shares}")


@dataclass(frozen=True, kw_only=True)
class LeverPlan:
    """Settings of the recipe `levers`.

    Attributes:
        width: width of all models.
        tried: levers to try, see `experiments.recipes.levers.trials.LEVERS`.
        weight_decays: weight decays tried with every lever, ascending; with the usual one, which
            shows what a lever gains where decay is not tuned.
        epochs: numbers of epochs tried with every lever, ascending.
        n_tuning_seeds: seeds of every setting tried, on the first draw; two or more, from which the
            limit of many members is estimated.
        n_draws: draws of the text that are reported.
        n_tuned_draws: draws for one model at the tuned decay, where gains are smallest; by default
            `n_draws`, and not fewer.
        n_seeds: seeds of a single model on each draw.
        n_members: members of an ensemble on each draw, three or more.
        more_data: factor of the unique tokens with which noise of the input is compared.
        learning_rate: peak learning rate; by default that of `World.learning_rate`.

    Raises:
        ValueError: too few seeds, members or draws, or no usual decay among those tried.
    """

    width: int
    tried: tuple[str, ...]
    weight_decays: tuple[float, ...]
    epochs: tuple[int, ...]
    n_tuning_seeds: int = 2
    n_draws: int = 4
    n_tuned_draws: int | None = None
    n_seeds: int = 2
    n_members: int = 4
    more_data: float = 1.3
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        for name, least in (
            *(("n_tuning_seeds", 2), ("n_draws", 2), ("n_members", 3)),
            *(("n_seeds", 1), ("more_data", 1)),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more; not {getattr(self, name)}")
        if self.n_tuned_draws is not None and self.n_tuned_draws < self.n_draws:
            raise ValueError(
                f"n_tuned_draws must be n_draws, {self.n_draws}, or more; not {self.n_tuned_draws}"
            )
        if USUAL_DECAY not in self.weight_decays:
            raise ValueError(
                f"weight_decays must hold the usual decay {USUAL_DECAY:g}; not {self.weight_decays}"
            )


@dataclass(frozen=True, kw_only=True)
class CalibrationPlan:
    """Settings of the recipe `calibration`.

    Attributes:
        vocab_size: number of tokens of every language.
        context: tokens in a window.
        concentration: Dirichlet concentration of Markov chains, see
            `models.analytic.known_entropy.DirichletPrior`.
        n_states: states of the hidden Markov models.
        state_concentration: concentration of their states, which are more similar the larger it
            is, see `models.analytic.hidden_markov.HiddenMarkovSource.draw`.
        n_layers: number of blocks of every model.
        batch: windows in a training step.
        n_eval_windows: windows of the validation part, for selection, and of the test part.
        n_sources: languages of each kind that are reported.
        n_tuning_sources: languages of each kind on which hyperparameters are chosen.
        weight_decays: weight decays tried in each setting, ascending.
        reads: numbers of training tokens tried; divided by D, they give the epochs.
        least_epochs: minimum number of epochs; a cap on training tokens would keep the data law
            from reaching its asymptote.
        n_tuning_seeds: models per setting that select hyperparameters, two or more for ensembles.
        n_seeds: single models per setting that are reported.
        n_members: members of the ensembles to which laws are fitted, four or more.
        n_unique_tokens: D for the limits of size and members, on Markov chains.
        widths: widths fitted there, ascending, three or more.
        brute_width: a width far beyond those that are fitted.
        brute_members: a number of members far beyond the fitted one.
        data_width: width of the models for the data law.
        sizes: values of D for the data law, ascending, four or more.
        brute_size: a D far beyond those that are fitted.

    Raises:
        ValueError: too few sizes, seeds or members to fit and check a law, or a brute-force setting
            that does not exceed the fitted ones.
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
        """Return the architecture of a model of a given width."""
        return ModelConfig.from_width(
            width, vocab_size=self.vocab_size, context=self.context, n_layers=self.n_layers
        )

    def learning_rate(self, width: int) -> float:
        """Return the peak learning rate, min(0.01, 0.32 / width) as in `World.learning_rate`."""
        return min(1e-2, 0.32 / width)

    def epochs(self, n_unique_tokens: int) -> tuple[int, ...]:
        """Return the numbers of epochs tried on D unique tokens, ascending."""
        return tuple(
            sorted({max(self.least_epochs, read // n_unique_tokens) for read in self.reads})
        )
