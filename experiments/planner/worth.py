"""What synthetic text is worth in real tokens, measured by small models.

Every arm has the same model, learning rate and number of steps, and its own weight decay, chosen by
validation loss on the first draw. The real arms read half of the stock, the stock, and an oracle
more real text as far as there is some: between them, a loss is read as a number of real tokens.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.analysis.multiplier import Multiplier, multiplier_of
from experiments.planner.worth_texts import WorthTokens, mixed
from experiments.runs.spec import STREAM_PREFIX, DataConfig, RunSpec
from experiments.runs.store import RunStore
from experiments.runs.texts import Stream, keep_stream
from models.config import ModelConfig, OptimizerConfig, TrainConfig

DECAYS = (0.1, 0.4, 1.6)
"""Weight decays tried for every arm; beyond the best at an end, the next is tried too."""
DECAY_RATIO = 4.0
DECAY_RANGE = (0.006, 30.0)
LEAST_STOCK = 0.5
"""Smallest real arm, as a share of the stock."""


@dataclass(frozen=True, kw_only=True)
class WorthSettings:
    """How arms are trained; `datawall worth` has the defaults.

    Attributes:
        shares: synthetic tokens for each real token of a mixed arm, by name ("1:3" is 1/3).
        n_stock: real tokens of the stock.
        epochs: passes over the stock of the arm that reads only it; sets the steps of every arm.
        n_draws: stocks drawn, each with weights of its own.
        width: of the model.
        n_layers: its blocks.
        context: its window.
        batch: windows in a step.
        learning_rate: peak.
        n_eval_tokens: most tokens of the validation and of the test part that are scored.

    Raises:
        ValueError: no share or one that is not above 0, or fewer than two draws.
    """

    shares: dict[str, float]
    n_stock: int
    epochs: int
    n_draws: int
    width: int
    n_layers: int
    context: int
    batch: int
    learning_rate: float
    n_eval_tokens: int = 16_384

    def __post_init__(self) -> None:
        if not self.shares or not all(0 < ratio < math.inf for ratio in self.shares.values()):
            raise ValueError(f"shares must be ratios above 0, such as 1:3; not {self.shares}")
        if self.n_draws < 2:
            raise ValueError(f"an interval needs 2 draws or more; not {self.n_draws}")
        if self.n_steps < 1:
            raise ValueError(
                f"{self.epochs} epochs of {self.n_stock:,} tokens do not fill a step of "
                f"{self.batch} windows of {self.context} tokens"
            )
        for name, ratio in self.shares.items():
            n_written = round(synthetic_share(ratio) * self.n_tokens)
            if n_written < self.context:
                raise ValueError(
                    f"the share {name} rounds to nothing: {n_written:,} of {self.n_tokens:,} "
                    f"tokens, less than one window of {self.context}"
                )

    @property
    def n_steps(self) -> int:
        """Steps of every arm."""
        return self.epochs * self.n_stock // (self.batch * self.context)

    @property
    def n_tokens(self) -> int:
        """Tokens that every arm reads."""
        return self.n_steps * self.batch * self.context


def synthetic_share(ratio: float) -> float:
    """Return the synthetic share of the tokens for a ratio of synthetic to real ones."""
    return ratio / (1 + ratio)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What a model reads.

    Attributes:
        name: for tables.
        size: real tokens as a multiple of the stock; 0 without real text.
        share: synthetic part of the tokens.
    """

    name: str
    size: float
    share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What synthetic text is worth.

    Attributes:
        settings: how arms were trained.
        provenance: methods, models and prompts of the synthetic text.
        n_params: parameters of the model, without embeddings.
        runs: a row an arm and draw: `arm`, `size`, `share`, `draw`, `weight_decay`, `is_edge` (the
            best decay is the last one tried), `synthetic_tokens` (unique ones), `validation_loss`,
            `test_loss`, `run_id`.
        best: the mixed or synthetic arm with the lowest validation loss.
        multipliers: of each arm that reads synthetic text, by name.
    """

    settings: WorthSettings
    provenance: str
    n_params: int
    runs: pd.DataFrame
    best: str
    multipliers: dict[str, Multiplier]

    def losses(self, arm: str, column: str = "test_loss") -> np.ndarray:
        """Return a column of an arm, a value a draw."""
        rows = self.runs[self.runs["arm"] == arm]
        return rows.sort_values("draw")[column].to_numpy(float)

    def table(self) -> pd.DataFrame:
        """Return a row an arm for people, with the interval of the gain over the stock alone.

        Returns:
            A frame with the columns `arm`, `real` and `synthetic` (unique tokens), `decay` (with *
            at an edge of those tried), `loss`, `gain` and `worth`.
        """
        stock = self.losses(STOCK)
        rows = []
        for arm, of_arm in self.runs.groupby("arm", sort=False):
            first = of_arm.iloc[0]
            loss = self.losses(str(arm))
            worth = self.multipliers.get(str(arm))
            rows.append(
                {
                    "arm": arm,
                    "real": round(first["size"] * self.settings.n_stock),
                    "synthetic": round(of_arm["synthetic_tokens"].mean()),
                    "decay": f"{first['weight_decay']:g}" + "*" * bool(first["is_edge"]),
                    "loss": f"{loss.mean():.3f}",
                    "gain": "" if arm == STOCK else _short(mean_estimate(stock - loss)),
                    "worth": "" if worth is None else str(worth),
                }
            )
        return pd.DataFrame(rows)


def _short(gain: Estimate) -> str:
    return f"{gain.value:.3f} [{gain.low:.2f}, {gain.high:.2f}]"


STOCK = "real"
"""The arm that reads the stock alone."""


def arms_of(settings: WorthSettings, n_real: int) -> list[Arm]:
    """Return the arms: real text of several sizes, the mixtures, and synthetic text alone.

    Args:
        settings: how arms are trained.
        n_real: real tokens that arms may read; beyond the stock, the oracle reads twice as many,
            four times and so on, and all.
    """
    sizes = [LEAST_STOCK, 1.0]
    while sizes[-1] * 2 * settings.n_stock <= n_real:
        sizes.append(sizes[-1] * 2)
    if n_real / settings.n_stock > 1.25 * sizes[-1]:
        sizes.append(n_real / settings.n_stock)
    names = {LEAST_STOCK: "real, half", 1.0: STOCK}
    arms = [Arm(name=names.get(size, f"oracle, {size:.3g}x"), size=size) for size in sizes]
    arms += [
        Arm(name=f"synthetic {name}", size=1.0, share=synthetic_share(ratio))
        for name, ratio in settings.shares.items()
    ]
    return [*arms, Arm(name="synthetic alone", size=0.0, share=1.0)]


def n_runs_of(arms: Sequence[Arm], n_draws: int) -> int:
    """Return the fewest runs of a measurement; a best decay at an end of those tried adds some."""
    return len(arms) * (len(DECAYS) + n_draws - 1)


Train = Callable[[Sequence[RunSpec], str], None]
"""Trains runs into the store, under a title."""


def measure_worth(
    tokens: WorthTokens,
    settings: WorthSettings,
    store: RunStore,
    train: Train,
    *,
    on_speed: Callable[[float, int], None] = lambda seconds, n_left: None,
) -> Worth:
    """Train all arms and return what the synthetic text is worth.

    Args:
        tokens: the texts.
        settings: how arms are trained.
        store: where runs and their text are kept.
        train: trains what is missing.
        on_speed: called after the first run, before all others, with the seconds that a run takes
            and the fewest runs that are left.

    Raises:
        ValueError: the stock is larger than the text, or some draw's stock has no synthetic text.
    """
    planned = _Planned(tokens, settings, store)
    n_real = tokens.n_real if tokens.texts.has_oracle else settings.n_stock
    arms = arms_of(settings, n_real)
    first = planned.spec(arms[0], 0, DECAYS[0])
    if not store.is_done(first):
        train([first], "worth, the first run")
        on_speed(
            store.seconds_per_step(first) * first.n_steps, n_runs_of(arms, settings.n_draws) - 1
        )
    decays = planned.choose_decays(arms, train)
    specs = {
        (arm, draw): planned.spec(arm, draw, decays[arm.name][0])
        for arm in arms
        for draw in range(settings.n_draws)
    }
    train(list(specs.values()), "worth, all draws")
    frame = store.frame(specs.values()).set_index("run_id")
    rows = []
    for (arm, draw), spec in specs.items():
        decay, is_edge = decays[arm.name]
        rows.append(
            {
                "arm": arm.name, "size": arm.size, "share": arm.share, "draw": draw,
                "weight_decay": decay, "is_edge": is_edge,
                "synthetic_tokens": planned.n_written(draw) if arm.share else 0,
                **frame.loc[spec.run_id, ["validation_loss", "test_loss"]], "run_id": spec.run_id,
            }
        )  # fmt: skip
    runs = pd.DataFrame(rows)
    with_synthetic = [arm.name for arm in arms if arm.share]
    means = runs.fillna({"validation_loss": np.inf}).groupby("arm")["validation_loss"].mean()
    return Worth(
        settings=settings,
        provenance=tokens.texts.provenance,
        n_params=planned.model.n_params_non_embedding,
        runs=runs,
        best=str(means[with_synthetic].idxmin()),
        multipliers={name: multiplier_of_arm(runs, name) for name in with_synthetic},
    )


def multiplier_of_arm(runs: pd.DataFrame, arm: str) -> Multiplier:
    """Return how many times as many real tokens give the test loss of an arm.

    Args:
        runs: rows of `Worth.runs`.
        arm: name of the arm.
    """
    of_arm = runs[runs["arm"] == arm].sort_values("draw")["test_loss"].to_numpy(float)
    real = runs[runs["share"] == 0].pivot_table(
        index="draw", columns="size", values="test_loss", dropna=False
    )
    return multiplier_of(of_arm, real)


class _Planned:
    """The runs of all arms."""

    def __init__(self, tokens: WorthTokens, settings: WorthSettings, store: RunStore) -> None:
        self.tokens, self.settings, self.store = tokens, settings, store
        if settings.n_stock > tokens.n_real:
            raise ValueError(
                f"a stock of {settings.n_stock:,} tokens is wanted; the real documents to train on "
                f"hold {tokens.n_real:,}"
            )
        self.model = ModelConfig.from_width(
            settings.width,
            vocab_size=tokens.tokenizer.get_vocab_size(),
            context=settings.context,
            n_layers=settings.n_layers,
        )
        self.held_out = tokens.held_out(n_tokens=settings.n_eval_tokens, context=settings.context)
        self._data: dict[tuple[str, int], DataConfig] = {}
        self._written = [
            tokens.written_from(settings.n_stock, draw) for draw in range(settings.n_draws)
        ]
        if not all(self._written):
            raise ValueError(
                f"no synthetic text was written from documents that lie within a stock of "
                f"{settings.n_stock:,} tokens; take a larger one, or write from more documents"
            )

    def n_written(self, draw: int) -> int:
        """Return the tokens of the synthetic text of a draw."""
        return sum(map(len, self._written[draw]))

    def spec(self, arm: Arm, draw: int, decay: float) -> RunSpec:
        """Return the run of an arm."""
        settings = self.settings
        return RunSpec(
            model=self.model,
            data=self._stream(arm, draw),
            optimizer=OptimizerConfig(learning_rate=settings.learning_rate, weight_decay=decay),
            train=TrainConfig(n_epochs=1, batch_size=settings.batch),
            seed=draw,
            recipes=("worth",),
        )

    def choose_decays(self, arms: Iterable[Arm], train: Train) -> dict[str, tuple[float, bool]]:
        """Return the weight decay that validation selects for each arm, and if it is an edge."""
        tried = {arm: list(DECAYS) for arm in arms}
        while True:
            specs = {
                (arm, decay): self.spec(arm, 0, decay)
                for arm, decays in tried.items()
                for decay in decays
            }
            train(list(specs.values()), "worth, choosing weight decay")
            frame = self.store.frame(specs.values()).set_index("run_id")["validation_loss"]
            losses = {cell: float(frame[spec.run_id]) for cell, spec in specs.items()}
            best = {arm: _best(arm, decays, losses) for arm, decays in tried.items()}
            if not any(_extended(decays, best[arm]) for arm, decays in tried.items()):
                return {
                    arm.name: (best[arm], best[arm] in (min(decays), max(decays)))
                    for arm, decays in tried.items()
                }

    def _stream(self, arm: Arm, draw: int) -> DataConfig:
        """Keep the text of an arm in the store; its name says where the text comes from."""
        if (arm.name, draw) not in self._data:
            settings = self.settings
            n_real = round(arm.size * settings.n_stock)
            stream = Stream(
                tokens=mixed(
                    self.tokens.stock(n_real, draw) if n_real else [],
                    self._written[draw] if arm.share else [],
                    settings.n_tokens,
                    share=arm.share,
                    seed=draw,
                ),
                held_out=self.held_out,
            )
            keep_stream(self.store.root, stream)
            origin = f" ({self.tokens.texts.provenance})" if arm.share else ""
            self._data[arm.name, draw] = DataConfig(
                corpus=f"{STREAM_PREFIX}worth, {arm.name}{origin}, share {arm.share:.3g}, "
                f"draw {draw}",
                sha256=stream.sha256,
                n_unique_tokens=len(stream.tokens),
                draw_seed=draw,
                n_eval_tokens=sum(windows[:, 1:].size for windows in self.held_out.values()),
            )
        return self._data[arm.name, draw]


def _best(arm: Arm, decays: Sequence[float], losses: dict[tuple[Arm, float], float]) -> float:
    """Return the decay with the lowest loss; that of a diverged run is NaN and counts as last."""

    def loss(decay: float) -> float:
        found = losses[arm, decay]
        return found if math.isfinite(found) else math.inf

    return min(decays, key=loss)


def _extended(decays: list[float], best: float) -> bool:
    """Add the next decay beyond the best one if it is at an end; return whether one was added."""
    for end, following in ((max(decays), best * DECAY_RATIO), (min(decays), best / DECAY_RATIO)):
        if best == end and DECAY_RANGE[0] <= following <= DECAY_RANGE[1]:
            decays.append(following)
            return True
    return False


def worth_dict(worth: Worth) -> dict[str, Any]:
    """Return a result as JSON types."""
    return {
        "settings": dataclasses.asdict(worth.settings),
        "provenance": worth.provenance,
        "n_params": worth.n_params,
        "best": worth.best,
        "multipliers": {
            name: {**dataclasses.asdict(found), "text": str(found)}
            for name, found in worth.multipliers.items()
        },
        "runs": worth.runs.to_dict("records"),
    }
