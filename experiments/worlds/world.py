"""Worlds: a corpus, a ladder of model sizes and the grids to search, small enough to run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from experiments.tuning.grid import Grid
from experiments.tuning.search import Effort
from experiments.worlds.plans import DataScalingPlan, DistillationPlan
from models.config import ModelConfig
from models.training.memory import RUNTIME_BYTES, training_bytes


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
        batch_size: windows in a step.
        standard_decay: the usual weight decay.
        standard_epochs: epochs tried by the standard recipe.
        learning_rates: axis of every search; a single value is held fixed. The defaults of the
            three axes are the grid of Kim et al. 2025 (arXiv 2509.14786).
        weight_decays: axis of the tuned recipes.
        epochs: axis of the tuned recipes.
        widest: the least and the greatest value to which a search may widen an axis, see `Grid`.
        last: axes that a search tries only where none of the others is better, see `Effort`.
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
        distillation: the same of that recipe.

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
    batch_size: int = 8
    standard_decay: float = 0.1
    standard_epochs: tuple[int, ...]
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    weight_decays: tuple[float, ...] = (0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
    epochs: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    widest: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    last: tuple[str, ...] = ("learning_rate",)
    warm_start: bool = True
    start: tuple[float, int]
    n_seeds: int
    n_tuning_members: int
    n_members: int
    data_scaling: DataScalingPlan | None = None
    distillation: DistillationPlan | None = None

    def __post_init__(self) -> None:
        if self.n_tuning_members < 3:
            raise ValueError(f"n_tuning_members must be 3 or more; not {self.n_tuning_members}")

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
ALL_RECIPES = (
    *("standard", "regularized", "ensembles"),
    *("member_counts", "learned_weights", "diversity"),
    *("data_scaling", "distillation"),
    *("ablations", "learning_curves", "classical", "downstream"),
    *PART_2_RECIPES,
    "bootstrapped_text",
)

WORLDS: dict[str, World] = {
    world.name: world
    for world in (
        World(
            name="tiny",
            recipes=ALL_RECIPES,
            widths=(8, 16, 32),
            n_layers=1,
            n_unique_tokens=4_096,
            n_eval_tokens=4_096,
            standard_epochs=(2, 8, 32),
            learning_rates=(1e-2,),
            weight_decays=(0.4, 1.6, 6.4),
            epochs=(8, 16, 32),
            start=(1.6, 16),
            n_seeds=2,
            n_tuning_members=3,
            n_members=4,
            data_scaling=DataScalingPlan(
                sizes=(512, 1_024, 2_048, 4_096),
                widths=(8,),
                n_draws=2,
                learning_rates=(1e-2,),
                standard_epochs=(2, 8, 32),
                n_seeds=2,
                n_members=4,
            ),
            distillation=DistillationPlan(
                width=8,
                n_epochs=16,
                share=0.75,
                tokens_ratio=2,
                weight_decays=(0.4, 1.6),
                n_generations=2,
                n_seeds=2,
            ),
        ),
        World(
            name="quick",
            recipes=(*MAIN_RECIPES, *PART_2_RECIPES),
            widths=(8, 12, 20, 32),
            n_unique_tokens=4_096,
            n_eval_tokens=8_192,
            standard_epochs=(1, 2, 4, 8, 16, 32),
            learning_rates=(6.25e-4, 1.25e-3, 2.5e-3, 5e-3, 1e-2, 2e-2, 4e-2),
            widest={"weight_decay": (0, 25.6)},
            start=(6.4, 32),
            warm_start=False,
            n_seeds=3,
            n_tuning_members=3,
            n_members=5,
            data_scaling=DataScalingPlan(
                sizes=(1_024, 2_048, 4_096, 8_192),
                widths=(12, 20),
                n_draws=3,
                learning_rates=(1e-2,),
                standard_epochs=(1, 2, 4, 8, 16, 32),
                n_seeds=2,
                n_members=4,
            ),
            distillation=DistillationPlan(
                width=20,
                n_epochs=32,
                share=0.75,
                tokens_ratio=4,
                weight_decays=(0.4, 0.8, 1.6, 3.2, 6.4),
                n_generations=3,
                n_seeds=3,
            ),
        ),
        World(
            name="small",
            recipes=(*ALL_RECIPES, "calibration"),
            corpus="novels",
            widths=(16, 32, 64, 128),
            n_unique_tokens=32_768,
            n_eval_tokens=32_768,
            standard_epochs=(1, 2, 4, 8, 16, 32),
            learning_rates=(6.25e-4, 1.25e-3, 2.5e-3, 5e-3, 1e-2, 2e-2, 4e-2),
            widest={"weight_decay": (0, 25.6), "n_epochs": (1, 512)},
            start=(3.2, 16),
            warm_start=False,
            n_seeds=3,
            n_tuning_members=3,
            n_members=6,
            data_scaling=DataScalingPlan(
                sizes=(4_096, 8_192, 16_384, 32_768),
                widths=(16, 32, 64),
                n_draws=4,
                learning_rates=(1.25e-3, 2.5e-3, 5e-3, 1e-2, 2e-2, 4e-2),
                standard_epochs=(1, 2, 4, 8, 16, 32),
                n_seeds=2,
                n_members=4,
            ),
            distillation=DistillationPlan(
                width=32,
                n_epochs=32,
                share=0.75,
                tokens_ratio=8,
                weight_decays=(0.4, 0.8, 1.6, 3.2, 6.4),
                n_generations=4,
                n_seeds=3,
            ),
        ),
        World(
            name="h200",
            recipes=MAIN_RECIPES,
            corpus="novels",
            vocab_size=8_192,
            context=512,
            widths=(128, 256, 512, 1024),
            n_layers=6,
            n_unique_tokens=4_194_304,
            n_eval_tokens=1_048_576,
            batch_size=32,
            standard_epochs=(1, 2, 4, 8, 16, 32),
            learning_rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
            widest={"weight_decay": (0, 25.6), "n_epochs": (1, 128)},
            start=(1.6, 16),
            n_seeds=3,
            n_tuning_members=3,
            n_members=8,
            data_scaling=DataScalingPlan(
                sizes=(1_048_576, 2_097_152, 4_194_304, 8_388_608),
                widths=(128, 256, 512),
                n_draws=3,
                learning_rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
                standard_epochs=(1, 2, 4, 8, 16, 32),
                n_seeds=3,
                n_members=5,
            ),
            distillation=DistillationPlan(
                width=256,
                n_epochs=32,
                share=0.75,
                tokens_ratio=8,
                weight_decays=(0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
                n_generations=4,
                n_seeds=3,
            ),
        ),
    )
}


def get_world(name: str, *, corpus: str | None = None, widths: tuple[int, ...] = ()) -> World:
    """Return a world by name, on its own corpus and model sizes or on others.

    Raises:
        ValueError: no such world, a width that no model can have, or a world that needs more memory
            than this machine has free.
    """
    import psutil

    if name not in WORLDS:
        raise ValueError(f"world must be one of {', '.join(WORLDS)}; not {name!r}")
    world = WORLDS[name]
    if corpus is not None:
        world = dataclasses.replace(world, corpus=corpus)
    if widths:
        world = dataclasses.replace(world, widths=tuple(sorted(set(widths))))
    needed, free = world.memory_bytes(), psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"world {name} needs about {needed / 2**30:.1f} GiB of memory; "
            f"{free / 2**30:.1f} GiB are free"
        )
    return world
