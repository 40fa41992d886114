"""Worlds: a corpus, a ladder of model sizes and the grids to search, small enough to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from experiments.tuning.grid import Grid
from experiments.tuning.search import Effort
from experiments.worlds.bootstrapping_plan import ConceptPlan, ExcerptPlan
from experiments.worlds.plans import CalibrationPlan, DataScalingPlan, DistillationPlan
from experiments.worlds.plans_part2 import ContinuedPlan, FactPlan
from models.config import ModelConfig
from models.training.memory import RUNTIME_BYTES, training_bytes

Plan = TypeVar("Plan")


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything a recipe needs to know to plan its runs.

    Attributes:
        name: what `--world` calls it.
        recipes: what it runs, see `experiments.recipes.registry`.
        corpus: text, see `models.text.corpora.load_corpus`.
        vocab_size: entries of the byte-pair vocabulary.
        context: tokens in a window.
        widths: the size dial of each model on the ladder.
        n_layers: blocks of every model.
        n_unique_tokens: D, the stock of text.
        draw_seed: which D tokens of the corpus.
        n_eval_tokens: tokens scored of the validation part (which selects) and of the test part
            (which is reported).
        chunk_tokens: least tokens of the chunks of many documents that D is drawn as, the scored
            tokens being spread over all held-out documents; 0 reads whole documents and scores the
            opening of each part, see `experiments.runs.spec.DataConfig`.
        batch_size: windows in a step.
        standard_decay: the usual weight decay.
        standard_epochs: epochs tried by the standard recipe.
        learning_rates: axis of every search; a single value is held fixed. The defaults of the
            three axes are the grid of Kim et al. 2025 (arXiv 2509.14786).
        weight_decays: axis of the tuned recipes.
        epochs: axis of the tuned recipes.
        widest: the least and the greatest value to which a search may widen an axis, see `Grid`.
        last: axes that a search tries only where none of the others is better, see `Effort`.
        settings: name of tuned settings with which the final cells are trained instead of
            searching, see `experiments.worlds.settings`; None searches.
        start: (weight decay, epochs) where tuning starts, its learning rate being the rule's.
        warm_start: tune small sizes first and start each larger one where the last one ended;
            otherwise all start at once from `start`, which keeps every core at work and is no
            longer a way where a pilot has chosen `start` well.
        n_seeds: seeds of each cell of the standard recipe, and of the cells near a tuned optimum.
        n_tuning_members: members that estimate the limit by which members are tuned, near the
            optimum; at least 3, so that the estimate has an error.
        n_members: members trained in a tuned ensemble; at least 4, so that the law of K can be
            fitted without any one of them.
        data_scaling: how the recipe of that name is run; None where it is not.
        distillation: the same of that recipe, like the following.
        calibration: of the recipe of that name.
        continued: of the recipe of that name.
        facts: of the recipe `entigraph`.
        concepts: of the recipe `bootstrapped`.
        excerpts: of the recipe `bootstrapped_text`.

    Raises:
        ValueError: fewer than 3 tuning members.
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
    standard_decay: float = 0.1
    standard_epochs: tuple[int, ...]
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    weight_decays: tuple[float, ...] = (0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
    epochs: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    widest: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    last: tuple[str, ...] = ("learning_rate",)
    warm_start: bool = True
    settings: str | None = None
    start: tuple[float, int]
    n_seeds: int
    n_tuning_members: int
    n_members: int
    data_scaling: DataScalingPlan | None = None
    distillation: DistillationPlan | None = None
    calibration: CalibrationPlan | None = None
    continued: ContinuedPlan | None = None
    facts: FactPlan | None = None
    concepts: ConceptPlan | None = None
    excerpts: ExcerptPlan | None = None

    def __post_init__(self) -> None:
        if self.n_tuning_members < 3:
            raise ValueError(f"n_tuning_members must be 3 or more; not {self.n_tuning_members}")

    def plan_of(self, plan: Plan | None, recipe: str) -> Plan:
        """Return the plan of a recipe.

        Args:
            plan: the field that holds it.
            recipe: its name, for the message.

        Raises:
            ValueError: the world has none.
        """
        if plan is None:
            raise ValueError(f"world {self.name} has no plan for {recipe}")
        return plan

    def model(self, width: int) -> ModelConfig:
        """Return the architecture of one rung of the ladder."""
        return ModelConfig.from_width(
            width, vocab_size=self.vocab_size, context=self.context, n_layers=self.n_layers
        )

    def learning_rate(self, width: int) -> float:
        """Return the peak learning rate: the value on the axis nearest to min(0.01, 0.32 / width).

        The rule is the best of three rates tried at width 64; searches start from it.
        """
        rule = min(1e-2, 0.32 / width)
        return Grid(axes={"learning_rate": self.learning_rates}).nearest((rule,))[0]

    def tuned_grid(self) -> Grid:
        """Return what the tuned recipes search."""
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
        """Return what the standard recipe searches: the same at the usual weight decay."""
        return Grid(
            axes={
                "learning_rate": self.learning_rates,
                "weight_decay": (self.standard_decay,),
                "n_epochs": self.standard_epochs,
            }
        )

    def effort(self, *, n_look: int = 1, n_seeds: int | None = None) -> Effort:
        """Return how searches spend their runs: the first seed, then all."""
        return Effort(
            n_look=n_look,
            n_seeds=n_seeds or self.n_seeds,
            last=self.last,
        )

    def memory_bytes(self) -> int:
        """Estimate the most memory a run of this world takes, from its largest arrays.

        One model trains on each core: weights, gradients and two moments, and the activations of
        one batch; scoring an ensemble holds every member's predictions for a batch of windows.
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
    "bootstrapped_text",
)
ALL_RECIPES = (*TALK_RECIPES, "calibration")
PLANS = {
    "data_scaling": "data_scaling",
    "distillation": "distillation",
    "calibration": "calibration",
    "continued": "continued",
    "entigraph": "facts",
    "bootstrapped": "concepts",
    "bootstrapped_text": "excerpts",
}
"""Recipes that need a plan, and the field of `World` that holds it."""
