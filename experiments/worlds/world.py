"""The class `World`: a corpus, model sizes, hyperparameter grids and a plan per recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from experiments.tuning.grid import Grid
from experiments.tuning.search import Effort
from experiments.worlds.levers import check_levers, with_levers
from experiments.worlds.plans import (
    USUAL_DECAY,
    CalibrationPlan,
    ChainPlan,
    DataScalingPlan,
    DistillationPlan,
    DrawsPlan,
    LeverPlan,
)
from experiments.worlds.plans_part2 import (
    ConceptPlan,
    ContinuedPlan,
    ExcerptPlan,
    FactPlan,
    MixingPlan,
)
from models.config import ModelConfig
from models.training.devices import RUNTIME_BYTES, training_bytes

Plan = TypeVar("Plan")


@dataclass(frozen=True, kw_only=True)
class World:
    """The settings of all recipes at one scale.

    Attributes:
        name: name of the world, for `--world`.
        recipes: recipes to run, see `experiments.recipes`.
        corpus: text to train on, see `models.text.corpora.load_corpus`.
        vocab_size: entries of the byte-pair vocabulary.
        context: tokens in a window.
        widths: width of the residual stream of each model size.
        n_layers: number of blocks of every model.
        n_unique_tokens: number of unique training tokens, D.
        draw_seed: seed for drawing D tokens from the corpus.
        n_eval_tokens: tokens scored of the validation part, for selection, and of the test part,
            for reported losses.
        chunk_tokens: minimum tokens of each chunk if D tokens are drawn as chunks of many
            documents, and the scored tokens are spread over all held-out documents; 0 reads whole
            documents and scores the beginning of each part, see `experiments.runs.spec.DataConfig`.
        batch_size: windows in a training step.
        levers: settings of `models.config` that differ from their default in all runs on this text,
            by name, such as `{"clip_norm": 1.0}`.
        score_every: epochs between validation losses along the runs on this text, 0 for none, see
            `models.training.jobs.Job.scores_along`.
        standard_decay: weight decay of the standard recipe.
        standard_epochs: epochs that the standard recipe tries at every size.
        further_epochs: epochs, ascending, that it tries one by one at sizes where the largest
            number so far was the best, so that every size is seen past its optimum.
        learning_rates: peak learning rates to search; a single value is held fixed. The defaults
            of this and the next two axes are the grid of Kim et al. 2025 (arXiv 2509.14786).
        weight_decays: weight decays that the tuned recipes search.
        epochs: epochs that the tuned recipes search.
        widest: smallest and largest value to which a search may extend an axis, see `Grid`.
        last: axes that a search tries only if no neighbour along the others is better, see
            `Effort`.
        settings: name of tuned settings to train the final models with instead of searching, see
            `experiments.worlds.settings`; "predicted" takes those that laws of size and data
            predict, see `experiments.lab.predictions`; None searches.
        search: whether to search from these settings instead.
        start: weight decay and epochs at which tuning starts; the learning rate follows a rule,
            see `World.learning_rate`.
        warm_start: whether to tune sizes in ascending order, each starting from the optimum of the
            previous one. Otherwise all sizes start from `start` at the same time, which keeps all
            cores busy and takes no more steps if `start` was chosen well by a pilot run.
        n_seeds: seeds of each setting of the standard recipe and of the settings near an optimum.
        n_tuning_members: members near an optimum from which the limit of many members is estimated
            for tuning; at least 3, so that the estimate has a standard error.
        n_members: members of a tuned ensemble; at least 4, so that the law of K can be fitted with
            any one of them left out.
        pairs_per_paradigm: minimal pairs of each BLiMP paradigm that the recipe `downstream`
            scores, 1,000 at most.
        data_scaling: plan of the recipe `data_scaling`; None if the world does not run it.
        draws: plan of the recipe `draws`, or None.
        distillation: plan of the recipe `distillation`, or None.
        chains: plan of the recipe `chains`, or None.
        lever_trials: plan of the recipe `levers`, or None.
        calibration: plan of the recipe `calibration`, or None.
        continued: plan of the recipe `continued`, or None.
        facts: plan of the recipe `entigraph`, or None.
        longer_training: tokens of each training of the recipe `entigraph_long`, or None.
        first_trainings: lengths in tokens that the recipe `first_training` tries, or None.
        large_facts: plan of the recipe `entigraph_large`, on graphs of more entities, or None.
        concepts: plan of the recipe `bootstrapped`, or None.
        mixing: plan of the recipe `mixing`, or None.
        excerpts: plan of the recipes `bootstrapped_text` and `prototypes`, or None.

    Raises:
        ValueError: `n_tuning_members` is less than 3, or a lever is unknown or of the wrong type.
    """

    name: str
    recipes: tuple[str, ...] = ("standard", "regularized", "ensembles")
    corpus: str = "stdlib"
    vocab_size: int = 512
    context: int = 64
    widths: tuple[int, ...]
    n_layers: int = 2
    n_unique_tokens: int
    draw_seed: int = 0
    n_eval_tokens: int
    chunk_tokens: int = 0
    batch_size: int = 8
    levers: Mapping[str, Any] = field(default_factory=dict)
    score_every: float = 0.0
    standard_decay: float = USUAL_DECAY
    standard_epochs: tuple[int, ...]
    further_epochs: tuple[int, ...] = ()
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    weight_decays: tuple[float, ...] = (0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
    epochs: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    widest: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    last: tuple[str, ...] = ("learning_rate",)
    warm_start: bool = True
    settings: str | None = None
    search: bool = False
    start: tuple[float, int]
    n_seeds: int
    n_tuning_members: int
    n_members: int
    pairs_per_paradigm: int = 5
    data_scaling: DataScalingPlan | None = None
    draws: DrawsPlan | None = None
    distillation: DistillationPlan | None = None
    chains: ChainPlan | None = None
    lever_trials: LeverPlan | None = None
    calibration: CalibrationPlan | None = None
    continued: ContinuedPlan | None = None
    facts: FactPlan | None = None
    longer_training: int | None = None
    first_trainings: tuple[int, ...] | None = None
    large_facts: FactPlan | None = None
    concepts: ConceptPlan | None = None
    mixing: MixingPlan | None = None
    excerpts: ExcerptPlan | None = None

    def __post_init__(self) -> None:
        if self.n_tuning_members < 3:
            raise ValueError(f"n_tuning_members must be 3 or more; not {self.n_tuning_members}")
        check_levers(self.levers)

    @property
    def folder(self) -> str:
        """Name of the folder of its run store, which names the levers too."""
        return "+".join([self.name, *(f"{name}={value}" for name, value in self.levers.items())])

    @property
    def carries_settings(self) -> bool:
        """Whether only the final models of given settings are trained."""
        return self.settings is not None and not self.search

    @property
    def predicts_settings(self) -> bool:
        """Whether its settings are those that laws of size and data predict."""
        return self.settings == "predicted"

    def plan_of(self, plan: Plan | None, recipe: str) -> Plan:
        """Return the plan of a recipe.

        Args:
            plan: value of the field that holds it.
            recipe: name of the recipe, for the message.

        Raises:
            ValueError: the world has no such plan.
        """
        if plan is None:
            raise ValueError(f"world {self.name} has no plan for {recipe}")
        return plan

    def model(self, width: int) -> ModelConfig:
        """Return the architecture of a model of a given width."""
        model = ModelConfig.from_width(
            width, vocab_size=self.vocab_size, context=self.context, n_layers=self.n_layers
        )
        return with_levers(model, self.levers)

    def learning_rate(self, width: int) -> float:
        """Return the peak learning rate at which searches start.

        It is the value of `learning_rates` nearest to min(0.01, 0.32 / width); at width 64, this
        rule gives the best of three rates that were tried.
        """
        rule = min(1e-2, 0.32 / width)
        return Grid(axes={"learning_rate": self.learning_rates}).nearest((rule,))[0]

    def peak_rate(self, plan: ChainPlan | LeverPlan) -> float:
        """Return the peak learning rate of a plan: its own, or that at which searches start."""
        return plan.learning_rate or self.learning_rate(plan.width)

    def tuned_grid(self) -> Grid:
        """Return the grid that the tuned recipes search."""
        return Grid(
            axes={
                "learning_rate": self.learning_rates,
                "weight_decay": self.weight_decays,
                "n_epochs": self.epochs,
            },
            widest=self.widest,
            together=(("weight_decay", "n_epochs"),),
        )

    def standard_grid(self) -> Grid:
        """Return the grid that the standard recipe searches, at its one weight decay."""
        return Grid(
            axes={
                "learning_rate": self.learning_rates,
                "weight_decay": (self.standard_decay,),
                "n_epochs": self.standard_epochs + self.further_epochs,
            }
        )

    def effort(self, *, n_look: int = 1, n_seeds: int | None = None) -> Effort:
        """Return the seeds that searches use: `n_look` for a look, then all."""
        return Effort(n_look=n_look, n_seeds=n_seeds or self.n_seeds, last=self.last)

    def memory_bytes(self) -> int:
        """Return an estimate of the peak memory of this world, from its largest arrays.

        One model trains on each core, with weights, gradients, two moments and the activations of
        one batch. Scoring an ensemble holds the predictions of every member for a batch of windows.
        """
        from models.training.devices import available_cores
        from models.training.evaluate import BATCH_WINDOWS

        largest = max((self.model(width) for width in self.widths), key=lambda m: m.n_params)
        training = training_bytes(largest, batch_size=self.batch_size)
        scoring = 4 * BATCH_WINDOWS * self.context * self.vocab_size * (self.n_members + 4)
        return RUNTIME_BYTES + available_cores() * training + scoring


MAIN_RECIPES = ("standard", "regularized", "ensembles", "data_scaling", "distillation")
PART_2_RECIPES = ("continued", "entigraph", "bootstrapped")
TALK_RECIPES = (
    *("standard", "regularized", "ensembles"),
    *("member_counts", "learned_weights", "diversity"),
    *("data_scaling", "distillation"),
    *("ablations", "learning_curves", "classical", "downstream"),
    *PART_2_RECIPES,
    *("entigraph_long", "first_training", "entigraph_large"),
    *("mixing", "bootstrapped_text", "prototypes"),
)
PLANS = {
    "data_scaling": "data_scaling",
    "draws": "draws",
    "distillation": "distillation",
    "chains": "chains",
    "levers": "lever_trials",
    "calibration": "calibration",
    "continued": "continued",
    "entigraph": "facts",
    "entigraph_long": "longer_training",
    "first_training": "first_trainings",
    "entigraph_large": "large_facts",
    "bootstrapped": "concepts",
    "mixing": "mixing",
    "bootstrapped_text": "excerpts",
    "prototypes": "excerpts",
}
"""Recipes that need a plan -> the field of `World` that holds it."""
