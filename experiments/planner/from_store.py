"""A plan from a run store, with the user's own laws instead of the published ones.

Hyperparameters are selected on the validation part, and losses are those of the test part. The
standard recipe has the usual weight decay with the best epochs and size; the others use all runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.analysis.intervals import mean_estimate
from experiments.analysis.laws import N
from experiments.display.quantities import human
from experiments.planner.plan import Option, Plan, Range, make_plan
from experiments.runs.records import ensemble_identity
from experiments.runs.rows import OURS, SETTINGS
from experiments.runs.store import RunStore
from experiments.worlds.world import World
from scaling import FitResult, data_efficiency, fit_law, joint_limit

if TYPE_CHECKING:
    from experiments.runs.spec import RunSpec

D = "n_unique_tokens"
FEWEST = 3
"""Points that a law with three parameters needs."""
SAME_TOKENS = 0.05
"""Numbers of unique tokens with a smaller relative difference count as the same."""
INTERVALS = "measured here; ranges are 95 % intervals over seeds, over sizes or of the fit"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The loss of one recipe on one number of unique tokens.

    Attributes:
        recipe: name of the recipe.
        tokens: number of unique tokens.
        loss: nats per token.
        what: how the loss was determined.
    """

    recipe: str
    tokens: float
    loss: Range
    what: str


def store_plan(root: Path, unique_tokens: float) -> Plan:
    """Return the plan for a number of unique tokens from the runs of a store.

    Raises:
        FileNotFoundError: the store has no finished run of ours.
        ValueError: the runs are on several texts, or no run has this number of tokens and there are
            fewer than three other numbers to fit a data law to.
    """
    store = RunStore(root)
    runs = store.frame()
    if not runs.empty:
        runs = runs[(runs["source"] == OURS) & (runs["status"] == "done")]
    if runs.empty:
        raise FileNotFoundError(f"{root} holds no finished runs to plan from")
    texts = runs[["data_sha256", "vocab_size"]].drop_duplicates()
    if len(texts) > 1:
        raise ValueError(
            f"the runs in {root} use {len(texts)} texts or vocabularies, whose losses cannot be "
            "compared; use a store with one"
        )
    reached = [one for tokens, part in runs.groupby(D) for one in _reached(store, tokens, part)]
    options = tuple(_options(root, reached, unique_tokens))
    return make_plan(unique_tokens, options, intervals=INTERVALS)


def _reached(store: RunStore, tokens: float, runs: pd.DataFrame) -> Iterator[Reached]:
    """Yield the loss of every recipe on one number of unique tokens."""
    usual = runs[runs["weight_decay"] == World.standard_decay]
    if not usual.empty:
        sizes = _best_cells(usual)
        best = sizes.loc[sizes["validation_loss"].idxmin()]
        yield Reached(
            recipe="standard",
            tokens=tokens,
            loss=_over_seeds(best["test_losses"]),
            what=f"N = {human(best[N])}, {best['n_epochs']:g} epochs",
        )
    if runs["weight_decay"].nunique() > 1:
        yield _single(tokens, _best_cells(runs))
    curves = _member_curves(store, runs)
    if curves is not None and curves[N].nunique() >= FEWEST:
        limit = joint_limit(curves, params=N, members="n_members", y="test_loss", n_boot=0)
        if limit.identified:
            low, high = limit.model_interval
            yield Reached(
                recipe="joint",
                tokens=tokens,
                loss=Range(value=limit.limit, low=low, high=high),
                what="limit of infinitely many members and parameters",
            )
    if curves is not None:
        best = curves.loc[curves["validation_loss"].idxmin()]
        yield Reached(
            recipe="ensembles",
            tokens=tokens,
            loss=_over_seeds([best["test_loss"]]),
            what=f"best trained ensemble: {best['n_members']:g} members of N = {human(best[N])}",
        )


def _best_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the setting that validation selects at each size, with the losses of its seeds."""
    settings = [name for name in SETTINGS if name in runs.columns]
    groups = runs.groupby(settings, dropna=False, sort=False)
    cells = groups.agg(
        **{N: (N, "first")},
        n_epochs=("n_epochs", "first"),
        validation_loss=("validation_loss", "mean"),
        test_losses=("test_loss", list),
    ).reset_index(drop=True)
    return cells.loc[cells.groupby(N)["validation_loss"].idxmin()]


def _single(tokens: float, sizes: pd.DataFrame) -> Reached:
    """Return the limit of infinitely many parameters if it is identified, else the best size."""
    best = sizes.loc[sizes["validation_loss"].idxmin()]
    if len(sizes) >= FEWEST:
        fit = fit_law(
            sizes[[N, "test_losses"]].explode("test_losses", ignore_index=True).astype(float),
            "power",
            x=N,
            y="test_losses",
            n_boot=0,
        )
        if fit.status.usable and fit.limit_interval is not None:
            low, high = fit.limit_interval
            return Reached(
                recipe="regularized",
                tokens=tokens,
                loss=Range(value=fit.asymptote, low=low, high=high),
                what="limit of infinitely many parameters",
            )
    return Reached(
        recipe="regularized",
        tokens=tokens,
        loss=_over_seeds(best["test_losses"]),
        what=f"best trained size: N = {human(best[N])}; these sizes do not identify a limit",
    )


def _over_seeds(losses: Sequence[float]) -> Range:
    mean = mean_estimate(losses)
    return Range(value=mean.value, low=mean.low, high=mean.high)


def _member_curves(store: RunStore, runs: pd.DataFrame) -> pd.DataFrame | None:
    """Return mean losses over subsets of the best scored ensemble of each size, logits averaged."""
    curves = []
    settings = [name for name in SETTINGS if name in runs.columns]
    for _, cell in runs.groupby(settings, dropna=False, sort=False):
        scores = _scores(store, _specs(store, cell.sort_values("seed")["run_id"]))
        if scores is not None:
            rows = scores[scores["average"] == "logit"]
            means = rows.groupby("n_members")[["validation_loss", "test_loss"]].mean()
            curves.append(means.reset_index().assign(**{N: cell[N].iloc[0]}))
    if not curves:
        return None
    best = {curve[N].iloc[0]: curve for curve in sorted(curves, key=_last_loss, reverse=True)}
    return pd.concat(best.values(), ignore_index=True)


def _last_loss(curve: pd.DataFrame) -> float:
    return float(curve["validation_loss"].iloc[-1])


def _specs(store: RunStore, run_ids: Sequence[str]) -> list[RunSpec]:
    from experiments.runs.spec import RunSpec

    files = [store.root / run_id / "spec.json" for run_id in run_ids]
    return [RunSpec.from_dict(json.loads(file.read_text(encoding="utf-8"))) for file in files]


def _scores(store: RunStore, specs: list[RunSpec]) -> pd.DataFrame | None:
    """Return the recorded scores of the largest ensemble of the first seeds of a setting."""
    from experiments.lab.scoring import score_subsets
    from experiments.lab.source import source_of

    for n_members in range(len(specs), 1, -1):
        source = source_of(score_subsets)
        rows = store.record("ensembles", ensemble_identity(specs[:n_members]), source)
        if rows is not None:
            return pd.DataFrame(rows)
    return None


def _options(root: Path, reached: list[Reached], tokens: float) -> Iterator[Option]:
    """Yield one row per recipe: as trained on this number of tokens, or from its data law."""
    laws = {
        recipe: _data_law([one for one in reached if one.recipe == recipe])
        for recipe in dict.fromkeys(one.recipe for one in reached)
    }
    reference = laws.get("standard")
    found = False
    for recipe, law in laws.items():
        near = [
            one
            for one in reached
            if one.recipe == recipe and abs(one.tokens / tokens - 1) <= SAME_TOKENS
        ]
        if near:
            loss, what = near[0].loss, near[0].what
        elif law is not None:
            row = law.predict(pd.DataFrame({D: [tokens]})).iloc[0]
            loss = Range(value=row["mean"], low=row["low"], high=row["high"])
            what = "from the data law of this recipe"
        else:
            continue
        found = True
        multiplier, why = _multiplier(reference, loss, tokens)
        yield Option(
            recipe=recipe,
            loss=loss,
            multiplier=Range(value=1.0, low=1.0, high=1.0) if recipe == "standard" else multiplier,
            source=f"runs of {root}",
            note=what if recipe == "standard" or not why else f"{what}; {why}",
        )
    if not found:
        stocks = ", ".join(human(one) for one in sorted({one.tokens for one in reached}))
        raise ValueError(
            f"{root} has runs on {stocks} unique tokens; a plan for {human(tokens)} needs a data "
            f"law, which needs runs on at least {FEWEST} numbers of tokens"
        )


def _data_law(reached: list[Reached]) -> FitResult | None:
    if len({one.tokens for one in reached}) < FEWEST:
        return None
    frame = pd.DataFrame(
        {D: [one.tokens for one in reached], "loss": [one.loss.value for one in reached]}
    )
    return fit_law(frame, "power", x=D, y="loss", n_boot=0)


def _multiplier(law: FitResult | None, loss: Range, tokens: float) -> tuple[Range | None, str]:
    """Return the multiplier on the data law of the standard recipe, or the reason it is unknown."""
    if law is None:
        return None, f"a multiplier needs the standard recipe on {FEWEST} or more numbers of tokens"
    bounded = np.isfinite(loss.low) and np.isfinite(loss.high)
    ends = (loss.low, loss.high) if bounded else None
    worth = data_efficiency(law, loss.value, tokens, loss_interval=ends)
    low, high = worth.interval
    return Range(value=worth.multiplier, low=low, high=high), worth.message
