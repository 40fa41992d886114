"""A plan from a store of runs: the user's own laws in the place of the published ones.

Selection is on the validation part and losses are of the test part, as everywhere. The standard
recipe is the usual weight decay with the best epochs and size; the others are every run.
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
from experiments.display.quantities import human
from experiments.planner.plan import Option, Plan, Range, make_plan
from experiments.runs.records import ensemble_identity
from experiments.runs.rows import OURS, SETTINGS
from experiments.runs.store import RunStore
from experiments.worlds.world import World
from scaling import FitResult, data_efficiency, fit_law, joint_limit

if TYPE_CHECKING:
    from experiments.runs.spec import RunSpec

N = "n_params_non_embedding"
D = "n_unique_tokens"
FEWEST = 3
"""Points that a law of three parameters needs."""
SAME_TOKENS = 0.05
"""A stock within this share of one that was trained on counts as that one."""
INTERVALS = "measured here; the ends are 95 % intervals over seeds, sizes or the fit"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What one recipe reaches on one stock; `what` says how it was found."""

    recipe: str
    tokens: float
    loss: Range
    what: str


def store_plan(root: Path, unique_tokens: float) -> Plan:
    """Plan for so many unique tokens from the runs of a store.

    Raises:
        FileNotFoundError: the store holds no finished run of ours.
        ValueError: its runs are on several texts, or their stocks do not reach to the one asked
            for: one of another size needs a law, and a law at least three stocks.
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
            f"the runs of {root} are on {len(texts)} texts or vocabularies, whose losses cannot be "
            "compared; plan from a store with one"
        )
    reached = [one for tokens, part in runs.groupby(D) for one in _reached(store, tokens, part)]
    options = tuple(_options(root, reached, unique_tokens))
    return make_plan(unique_tokens, options, intervals=INTERVALS)


def _reached(store: RunStore, tokens: float, runs: pd.DataFrame) -> Iterator[Reached]:
    """What every recipe reaches on one stock."""
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
            low, high = limit.interval
            yield Reached(
                recipe="joint",
                tokens=tokens,
                loss=Range(value=limit.limit, low=low, high=high),
                what="members and parameters to infinity",
            )
    if curves is not None:
        best = curves.loc[curves["validation_loss"].idxmin()]
        yield Reached(
            recipe="ensembles",
            tokens=tokens,
            loss=_over_seeds([best["test_loss"]]),
            what=f"the best trained: {best['n_members']:g} of N = {human(best[N])}",
        )


def _best_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """The settings that validation selects at each size: a row each, with its seeds' losses."""
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
    """The limit of one ever larger model where its law has one, else the best size."""
    best = sizes.loc[sizes["validation_loss"].idxmin()]
    if len(sizes) >= FEWEST:
        fit = fit_law(
            sizes[[N, "test_losses"]].explode("test_losses", ignore_index=True).astype(float),
            "power",
            x=N,
            y="test_losses",
            n_boot=0,
        )
        if fit.status.usable:
            low, high = fit.interval("E")
            return Reached(
                recipe="regularised",
                tokens=tokens,
                loss=Range(value=fit.asymptote, low=low, high=high),
                what="limit of one ever larger model",
            )
    return Reached(
        recipe="regularised",
        tokens=tokens,
        loss=_over_seeds(best["test_losses"]),
        what=f"the best trained: N = {human(best[N])}; these sizes show no limit",
    )


def _over_seeds(losses: Sequence[float]) -> Range:
    mean = mean_estimate(losses)
    return Range(value=mean.value, low=mean.low, high=mean.high)


def _member_curves(store: RunStore, runs: pd.DataFrame) -> pd.DataFrame | None:
    """Means over subsets of the best-scored ensemble of each size, logits averaged."""
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
    """Return the kept scores of the largest ensemble of a cell's first seeds."""
    from experiments.lab.scoring import score_subsets
    from experiments.lab.source import source_of

    for n_members in range(len(specs), 1, -1):
        source = source_of(score_subsets)
        rows = store.record("ensembles", ensemble_identity(specs[:n_members]), source)
        if rows is not None:
            return pd.DataFrame(rows)
    return None


def _options(root: Path, reached: list[Reached], tokens: float) -> Iterator[Option]:
    """A row a recipe at the stock asked for: as trained there, or from the recipe's data law."""
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
            f"{root} has runs on {stocks} unique tokens; {human(tokens)} needs a data law, and a "
            f"law at least {FEWEST} stocks"
        )


def _data_law(reached: list[Reached]) -> FitResult | None:
    if len({one.tokens for one in reached}) < FEWEST:
        return None
    frame = pd.DataFrame(
        {D: [one.tokens for one in reached], "loss": [one.loss.value for one in reached]}
    )
    return fit_law(frame, "power", x=D, y="loss", n_boot=0)


def _multiplier(law: FitResult | None, loss: Range, tokens: float) -> tuple[Range | None, str]:
    """The multiplier on the standard recipe's data law, or why there is none."""
    if law is None:
        return None, f"a multiplier needs the standard recipe on at least {FEWEST} stocks"
    bounded = np.isfinite(loss.low) and np.isfinite(loss.high)
    ends = (loss.low, loss.high) if bounded else None
    worth = data_efficiency(law, loss.value, tokens, loss_interval=ends)
    low, high = worth.interval
    return Range(value=worth.multiplier, low=low, high=high), worth.message
