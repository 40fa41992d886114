"""Downstream accuracy of the models along the scaling curves.

Grammar by minimal pairs (BLiMP) and knowledge by multiple choice (ARC-Easy, PIQA, SciQ, the talk's
three), of the first seed of the standard recipe's best models and of the tuned ones, and of
ensembles of the first, of two and of all members. The files lie in the folder `evals` of the data
folder, see `models.text.data_home`; without them nothing is scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.ensembles import Ensembles, ensembles
from experiments.recipes.regularized import Regularized, regularized
from experiments.recipes.standard import Standard, standard
from experiments.runs.archive import NotShipped
from experiments.runs.spec import RunSpec
from models.text.data_home import CorpusError, data_home

if TYPE_CHECKING:
    from models.evals.choices import ChoiceItem
    from models.evals.minimal_pairs import MinimalPair

CHANCE_OF_PAIRS = 0.5
ITEMS_PER_SET = 50
PAIRS = "blimp/blimp_data.tar.xz"
CHOICES = {
    "ARC-Easy": "multiple_choice/ai2_arc-ARC-Easy.validation.jsonl",
    "PIQA": "multiple_choice/piqa-plain_text.validation.jsonl",
    "SciQ": "multiple_choice/sciq-none.validation.jsonl",
}
"""Files below the folder of evaluations; the first pairs of a paradigm and items of a set count."""
N_BOOT = 2000


@dataclass(frozen=True, kw_only=True)
class Model:
    """One point of the curves: a model, or an ensemble whose logits are averaged.

    Attributes:
        recipe: "standard", "tuned" or "ensemble".
        width: of a member.
        specs: the members.
        pool: all members of the tuned ensemble that they are the first of.
    """

    recipe: str
    width: int
    specs: tuple[RunSpec, ...]
    pool: tuple[RunSpec, ...]


@dataclass(frozen=True, kw_only=True)
class Downstream:
    """What the models of the curves score.

    Attributes:
        models: a row a model: `recipe` ("standard", "tuned" or "ensemble"), `width`, `n_members`,
            `n_params_non_embedding` (of all members), `train_flops`
            (likewise), `validation_loss`, `test_loss`, `pairs` (accuracy over paradigms) with
            `pairs_stderr`, `choices` (mean over the sets, by log-likelihood per byte) with
            `choices_stderr`, `chance` of the latter.
        paradigms: accuracy of each model (row) on each paradigm (column).
        n_pairs: pairs scored.
        n_items: multiple-choice items scored.
        missing: why nothing was scored; empty where something was.
    """

    models: pd.DataFrame
    paradigms: pd.DataFrame
    n_pairs: int
    n_items: int
    missing: str = ""

    def rank_correlation(self, *, seed: int = 0) -> Estimate:
        """Return Spearman's rank correlation of test loss and accuracy on pairs over the models.

        The interval is a bootstrap over paradigms, the samples behind each accuracy.
        """
        rng = np.random.default_rng(seed)
        losses, hits = self.models["test_loss"].to_numpy(), self.paradigms.to_numpy()
        n = hits.shape[1]
        drawn = hits[:, rng.integers(n, size=(N_BOOT, n))].mean(axis=-1).T
        low, high = np.quantile(_spearman(losses, drawn), [0.025, 0.975])
        value = float(_spearman(losses, hits.mean(axis=1)))
        return Estimate(value=value, low=min(low, value), high=max(high, value), n=n)

    def selected(self, *, ensemble: bool) -> pd.Series:
        """Return the ensemble, or the single model, that validation selects."""
        kind = self.models[(self.models["n_members"] > 1) == ensemble]
        return kind.loc[kind["validation_loss"].idxmin()]

    def gain_of_ensembles(self) -> Estimate:
        """Return the accuracy on pairs of the selected ensemble less the selected single model's.

        The interval is over paradigms, the same for both.
        """
        best, single = self.selected(ensemble=True), self.selected(ensemble=False)
        difference = self.paradigms.loc[best.name] - self.paradigms.loc[single.name]
        return mean_estimate(difference.to_numpy())

    def over_chance(self) -> Estimate:
        """Return the accuracy on pairs of the selected ensemble less chance, over paradigms."""
        of_best = self.paradigms.loc[self.selected(ensemble=True).name]
        return mean_estimate(of_best.to_numpy() - CHANCE_OF_PAIRS)

    def differ(self) -> float:
        """Return the p value of Friedman's test that all models are equally accurate on pairs.

        Paradigms are its blocks. It is 1 if every model ties with every other on each of them.
        """
        hits = self.paradigms.to_numpy()
        if (hits == hits[0]).all():
            return 1.0
        from scipy import stats  # takes a second to import

        return float(stats.friedmanchisquare(*hits).pvalue)

    def frontier(self) -> pd.DataFrame:
        """Return the rows of `models` that no other matches at as little compute; its columns."""
        models = self.models.sort_values(["train_flops", "pairs"], ascending=[True, False])
        best_before = models["pairs"].cummax().shift(fill_value=-np.inf)
        return models[models["pairs"] > best_before]


@recipe(standard, regularized, ensembles)
def downstream(
    lab: Lab, standard: Standard, regularized: Regularized, ensembles: Ensembles
) -> Downstream:
    """Score the models of three recipes; trains nothing."""
    models = list(_models(lab, standard, regularized, ensembles))
    n_pairs = lab.world.pairs_per_paradigm
    settings = [n_pairs, ITEMS_PER_SET, PAIRS, sorted(CHOICES.values())]

    def score(model: Model) -> dict[str, Any]:
        identity = [settings, [spec.run_id for spec in model.specs]]
        return lab.remember("downstream", identity, lambda: _score(lab, model.specs, n_pairs))

    try:
        found = lab.on_devices(score, models)
    except (CorpusError, NotShipped) as error:  # shipped from where the tasks were missing
        return Downstream(
            models=pd.DataFrame(), paradigms=pd.DataFrame(), n_pairs=0, n_items=0,
            missing=str(error),
        )  # fmt: skip
    rows = [
        {**_described(lab, model), **{k: v for k, v in one.items() if k != "paradigms"}}
        for model, one in zip(models, found, strict=True)
    ]
    return Downstream(
        models=pd.DataFrame(rows).drop(columns=["n_pairs", "n_items"]),
        paradigms=pd.DataFrame([one["paradigms"] for one in found]),
        n_pairs=found[0]["n_pairs"],
        n_items=found[0]["n_items"],
    )


def _models(
    lab: Lab, standard: Standard, regularized: Regularized, ensembles: Ensembles
) -> Iterator[Model]:
    n_members = lab.world.n_members
    points = {
        "standard": {width: found.tuned.best for width, found in standard.certificates.items()},
        "tuned": {width: tuned.best for width, tuned in regularized.tuned.items()},
    }
    for name, by_width in points.items():
        for width, best in sorted(by_width.items()):
            specs = (lab.spec(width=width, seed=0, **best),)
            yield Model(recipe=name, width=width, specs=specs, pool=specs)
    for width, tuned in sorted(ensembles.tuned.items()):
        pool = tuple(lab.spec(width=width, seed=seed, **tuned.best) for seed in range(n_members))
        for n in sorted({1, 2, n_members}):
            yield Model(recipe="ensemble", width=width, specs=pool[:n], pool=pool)


def _described(lab: Lab, model: Model) -> dict[str, Any]:
    runs = lab.store.frame(model.specs)
    losses = {name: float(runs[name].iloc[0]) for name in ("validation_loss", "test_loss")}
    if len(runs) > 1:
        scores = lab.ensemble(model.pool)
        chosen = scores["members"] == ",".join(map(str, range(len(runs))))
        at = scores[chosen & (scores["average"] == "logit")].iloc[0]
        losses = {name: float(at[name]) for name in losses}
    return {
        "recipe": model.recipe,
        "width": model.width,
        "n_members": len(runs),
        "n_params_non_embedding": int(runs["n_params_non_embedding"].sum()),
        "train_flops": float(runs["train_flops"].sum()),
        **losses,
    }


def _score(lab: Lab, specs: Sequence[RunSpec], n_pairs: int) -> dict[str, Any]:
    from models.evals.choices import evaluate_choices
    from models.evals.minimal_pairs import evaluate_minimal_pairs
    from models.language.language_model import Ensemble, LanguageModel

    pairs, choices = _tasks(data_home() / "evals", n_pairs)
    tokenizer = lab.text.tokens.tokenizer()
    members = [
        LanguageModel(model=spec.model, params=lab.store.params(spec), tokenizer=tokenizer)
        for spec in specs
    ]
    predictor = members[0] if len(members) == 1 else Ensemble(members)
    of_pairs = evaluate_minimal_pairs(predictor, pairs)
    of_choices = [evaluate_choices(predictor, items) for items in choices]
    by_set = [result.accuracy_per_byte for result in of_choices]
    return {
        "pairs": of_pairs.accuracy.value,
        "pairs_stderr": of_pairs.accuracy.stderr,
        "choices": float(np.mean([score.value for score in by_set])),
        "choices_stderr": float(np.hypot.reduce([s.stderr for s in by_set]) / len(by_set)),
        "chance": float(np.mean([result.chance for result in of_choices])),
        "paradigms": {name: score.value for name, score in of_pairs.by_paradigm.items()},
        "n_pairs": len(pairs),
        "n_items": sum(map(len, choices)),
    }


@cache
def _tasks(folder: Path, n_pairs: int) -> tuple[list[MinimalPair], list[list[ChoiceItem]]]:
    from models.evals.choice_formats import read_choices
    from models.evals.minimal_pairs import read_minimal_pairs

    lacking = [name for name in (PAIRS, *CHOICES.values()) if not (folder / name).is_file()]
    if lacking:
        raise CorpusError(
            f"the folder evals of the data folder (DATAWALL_DATA) lacks {', '.join(lacking)}"
        )
    pairs = read_minimal_pairs(folder / PAIRS, per_paradigm=n_pairs)
    return pairs, [read_choices(folder / name)[:ITEMS_PER_SET] for name in CHOICES.values()]


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the rank correlation of x [n] with y [..., n], 0 if all values of a side tie."""
    ranks = [pd.DataFrame(np.atleast_2d(side)).rank(axis=1).to_numpy() for side in (x, y)]
    a, b = (rank - rank.mean(axis=-1, keepdims=True) for rank in ranks)
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    product = (a * b).sum(axis=-1)
    found = np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
    return found.reshape(y.shape[:-1])
