"""Equal or learned weights: ensembles averaged in several ways.

Weights are learned on the validation part, which selected the hyperparameters too, and scored on
the test part. The weights of a logit average need not sum to one: their sum is an inverse
temperature. Members that regularization has made too cautious want one above one, whatever their
weights, so that the gain from the sum alone ("tempered") is given separately.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, jackknife
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.ensembles import Ensembles, ensembles
from experiments.runs.archive import NotShipped
from experiments.runs.spec import RunSpec
from experiments.runs.texts import held_out

if TYPE_CHECKING:
    from models.ensembles.ensemble import Average, MemberLike

ALL_SIZES = "one of each size"


@dataclass(frozen=True, kw_only=True)
class LearnedWeights:
    """Losses of pools of models under each kind of average.

    Attributes:
        table: a row for each pool, average and weighting: `pool` ("width 16" and so on: the tuned
            members of that size; `ALL_SIZES`: the first of each), `n_members`, `average` ("logit"
            or "probability"), `weighting` ("equal", "tempered": equal, of a learned sum, or
            "learned"), `validation_loss`, `test_loss` in nats per token, `weights` (as text).
        gain_of_one: by pool, the test loss that the first member alone gains from a learned
            temperature.
        without: by pool of tuned members, what `gain` measures of it without each of its members;
            empty where shipped results lack it.
    """

    table: pd.DataFrame
    gain_of_one: Mapping[str, float]
    without: Mapping[str, Sequence[float]]

    def gain(self, pool: str) -> Estimate:
        """Return the test loss with equal weights of a learned sum less that with learned weights.

        Logits are averaged; the interval is the jackknife over members, unbounded where the
        ensembles without one are lacking.

        Args:
            pool: of the tuned members of a size.
        """
        value = self.loss(pool, "logit", "tempered") - self.loss(pool, "logit", "learned")
        return jackknife(value, [self.without[pool]])

    def loss(self, pool: str, average: Average, weighting: str) -> float:
        """Return a test loss.

        Args:
            pool: as in `table`.
            average: as in `table`.
            weighting: as in `table`.
        """
        table = self.table
        row = (table["pool"] == pool) & (table["average"] == average)
        return float(table.loc[row & (table["weighting"] == weighting), "test_loss"].iloc[0])


@recipe(ensembles)
def learned_weights(lab: Lab, ensembles: Ensembles) -> LearnedWeights:
    """Average the tuned members of every size, and one member of each; trains nothing."""
    members = range(lab.world.n_members)
    of_width = {
        width: [lab.spec(width=width, seed=seed, **tuned.best) for seed in members]
        for width, tuned in sorted(ensembles.tuned.items())
    }
    pools: dict[str, list[RunSpec]] = {f"width {width}": of for width, of in of_width.items()}

    def scores(specs: Sequence[RunSpec]) -> list[dict[str, Any]]:
        identity = [spec.run_id for spec in specs]
        return lab.remember("learned_weights", identity, lambda: list(_scores(lab, specs)))

    def gain(specs: Sequence[RunSpec]) -> float:
        identity = [spec.run_id for spec in specs]
        found: float = lab.remember("learned_weights_gain", identity, lambda: _gain(lab, specs))
        return found

    def without_each(specs: Sequence[RunSpec]) -> list[float]:
        try:
            return [gain([spec for spec in specs if spec is not out]) for out in specs]
        except NotShipped:
            return []

    gain_of_one = {}
    for pool, specs in pools.items():
        losses = {(row["average"], row["weighting"]): row["test_loss"] for row in scores(specs[:1])}
        gain_of_one[pool] = losses["logit", "equal"] - losses["logit", "tempered"]
    without = {pool: without_each(specs) for pool, specs in pools.items()}
    pools[ALL_SIZES] = [specs[0] for specs in of_width.values()]
    rows = [
        {"pool": pool, "n_members": len(specs), **row}
        for pool, specs in pools.items()
        for row in scores(specs)
    ]
    return LearnedWeights(table=pd.DataFrame(rows), gain_of_one=gain_of_one, without=without)


def _members(lab: Lab, specs: Sequence[RunSpec]) -> list[MemberLike]:
    return [(spec.model, lab.store.params(spec)) for spec in specs]


def _windows(specs: Sequence[RunSpec]) -> dict[str, np.ndarray]:
    first = specs[0]
    return dict(held_out(first.data, first.model.vocab_size, first.model.context))


def _loss(members: Sequence[MemberLike], windows: np.ndarray, weights: np.ndarray) -> float:
    from models.ensembles.ensemble import ensemble_log_probs

    scores = ensemble_log_probs(members, windows, how="logit", weights=weights)
    return -float(scores.mean(dtype=np.float64))


def _learned(members: Sequence[MemberLike], windows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the learned weights of logits, and equal ones of a learned sum ("tempered")."""
    from models.ensembles.logit_weights import fit_logit_weights

    equal = np.full(len(members), 1 / len(members))
    learned = fit_logit_weights(members, windows).weights
    around = learned.sum() * np.array([0.97, 1.0, 1.03])
    curve = np.polyfit(around, [_loss(members, windows, x * equal) for x in around], 2)
    # One Newton step on the sum, which the learned weights have nearly right: the loss is convex
    # in it, and every evaluation runs all members over the validation part.
    return {"tempered": -curve[1] / (2 * curve[0]) * equal, "learned": learned}


def _gain(lab: Lab, specs: Sequence[RunSpec]) -> float:
    members, windows = _members(lab, specs), _windows(specs)
    found = _learned(members, windows["validation"])
    losses = {name: _loss(members, windows["test"], weights) for name, weights in found.items()}
    return losses["tempered"] - losses["learned"]


def _scores(lab: Lab, specs: Sequence[RunSpec]) -> Iterator[dict[str, Any]]:
    from models.ensembles.ensemble import gold_table
    from models.ensembles.mixture import fit_mixture_weights, mixture_loss

    members, windows = _members(lab, specs), _windows(specs)
    equal = np.full(len(specs), 1 / len(specs))
    log_linear = {"equal": equal, **_learned(members, windows["validation"])}
    for how, weights in log_linear.items():
        losses = {part: _loss(members, windows[part], weights) for part in windows}
        yield _row("logit", how, weights, losses)
    tables = {part: gold_table(members, windows[part]) for part in windows}
    mixed = {"equal": equal, "learned": fit_mixture_weights(tables["validation"]).weights}
    for how, weights in mixed.items():
        losses = {part: mixture_loss(table, weights) for part, table in tables.items()}
        yield _row("probability", how, weights, losses)


def _row(
    average: Average, weighting: str, weights: np.ndarray, losses: Mapping[str, float]
) -> dict[str, Any]:
    return {
        "average": average,
        "weighting": weighting,
        **{f"{part}_loss": loss for part, loss in losses.items()},
        "weights": " ".join(f"{w:.3f}" for w in weights),
    }
