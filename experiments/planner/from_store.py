"""A plan from run stores, with the user's own laws instead of the published ones.

Hyperparameters are selected on the validation part, and losses are those of the test part. The
standard recipe has the usual weight decay with the best epochs and size; the others use all runs.
Runs that use levers are recipes of their own, of the set of levers that validation selects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
from experiments.worlds.levers import defaults
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
        validation_loss: of the best size or ensemble trained.
        what: how the loss was determined.
    """

    recipe: str
    tokens: float
    loss: Range
    validation_loss: float
    what: str


def store_plan(roots: Sequence[Path], unique_tokens: float) -> Plan:
    """Return the plan for a number of unique tokens from the runs of stores.

    Losses on different texts cannot be compared: of a store that holds several, such as that of a
    world, the runs on the text and the draw of it with most runs are used.

    Args:
        roots: one store, or several with runs on the same text.
        unique_tokens: size of the stock.

    Raises:
        FileNotFoundError: a store has no finished run of ours.
        ValueError: most runs of the stores are on several texts, or no run has this number of
            tokens and there are fewer than three other numbers to fit a data law to.
    """
    runs = pd.concat([_runs_of(root) for root in roots], ignore_index=True)
    if runs["data_sha256"].nunique() > 1 or runs["vocab_size"].nunique() > 1:
        raise ValueError(
            "these stores hold runs on different texts or vocabularies, whose losses cannot be "
            "compared: " + ", ".join(map(str, roots))
        )
    runs = runs.drop_duplicates("run_id").assign(levers=_levers_of)
    reached = [
        one
        for tokens, on_stock in runs.groupby(D)
        for one in [
            *_reached(tokens, on_stock[on_stock["levers"] == ""]),
            *_with_levers(tokens, on_stock[on_stock["levers"] != ""]),
        ]
    ]
    options = tuple(_options(roots, reached, unique_tokens))
    return make_plan(unique_tokens, options, intervals=INTERVALS)


def _runs_of(root: Path) -> pd.DataFrame:
    """Return the finished runs of a store on the text and draw that most of them are on."""
    runs = RunStore(root).frame()
    if not runs.empty:
        runs = runs[(runs["source"] == OURS) & (runs["status"] == "done")]
    if runs.empty:
        raise FileNotFoundError(f"{root} holds no finished runs to plan from")
    for names in (["data_sha256", "vocab_size"], ["draw_seed"]):
        runs = max((part for _, part in runs.groupby(names)), key=len)
    return runs.assign(store=str(root))


def _levers_of(runs: pd.DataFrame) -> pd.Series:
    """Return what each run uses of the levers in which runs differ, such as "qk_norm=True"."""
    texts = pd.Series("", index=runs.index)
    for name, off in defaults().items():
        values = runs[name].astype(object).where(runs[name].notna(), None)
        used = values.map(lambda value, off=off: value != off)
        if used.any() and values.nunique(dropna=False) > 1:
            texts[used] += f"{name}=" + values[used].astype(str) + ", "
    return texts.str.removesuffix(", ")


def _with_levers(tokens: float, runs: pd.DataFrame) -> Iterator[Reached]:
    """Yield the loss of every recipe with the levers that have the lowest validation loss."""
    found = [
        (levers, one)
        for levers, of in runs.groupby("levers")
        for one in _reached(tokens, of)
        if one.recipe != "standard"
    ]
    for recipe in dict.fromkeys(one.recipe for _, one in found):
        sets = [(levers, one) for levers, one in found if one.recipe == recipe]
        levers, best = min(sets, key=lambda each: each[1].validation_loss)
        selected = f", lowest on validation of {len(sets)} sets of levers" if len(sets) > 1 else ""
        yield replace(
            best, recipe=f"{recipe} with levers", what=f"with {levers}{selected}; {best.what}"
        )


def _reached(tokens: float, runs: pd.DataFrame) -> Iterator[Reached]:
    """Yield the loss of every recipe on one number of unique tokens."""
    usual = runs[runs["weight_decay"] == World.standard_decay]
    if not usual.empty:
        sizes = _best_cells(usual)
        best = sizes.loc[sizes["validation_loss"].idxmin()]
        yield Reached(
            recipe="standard",
            tokens=tokens,
            loss=_over_seeds(best["test_losses"]),
            validation_loss=best["validation_loss"],
            what=f"N = {human(best[N])}, {best['n_epochs']:g} epochs",
        )
    if len(usual) < len(runs):
        yield _single(tokens, _best_cells(runs))
    curves = _member_curves(runs)
    if curves is not None and curves[N].nunique() >= FEWEST:
        limit = joint_limit(curves, params=N, members="n_members", y="test_loss", n_boot=0)
        if limit.identified:
            low, high = limit.model_interval
            yield Reached(
                recipe="joint",
                tokens=tokens,
                loss=Range(value=limit.limit, low=low, high=high),
                validation_loss=curves["validation_loss"].min(),
                what="limit of infinitely many members and parameters",
            )
    if curves is not None:
        best = curves.loc[curves["validation_loss"].idxmin()]
        yield Reached(
            recipe="ensembles",
            tokens=tokens,
            loss=_over_seeds([best["test_loss"]]),
            validation_loss=best["validation_loss"],
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
                validation_loss=best["validation_loss"],
                what="limit of infinitely many parameters",
            )
    return Reached(
        recipe="regularized",
        tokens=tokens,
        loss=_over_seeds(best["test_losses"]),
        validation_loss=best["validation_loss"],
        what=f"best trained size: N = {human(best[N])}; these sizes do not identify a limit",
    )


def _over_seeds(losses: Sequence[float]) -> Range:
    mean = mean_estimate(losses)
    return Range(value=mean.value, low=mean.low, high=mean.high)


def _member_curves(runs: pd.DataFrame) -> pd.DataFrame | None:
    """Return mean losses over subsets of the best scored ensemble of each size, logits averaged."""
    curves = []
    settings = [name for name in SETTINGS if name in runs.columns]
    for (root, *_), cell in runs.groupby(["store", *settings], dropna=False, sort=False):
        store = RunStore(Path(root))
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


def _options(roots: Sequence[Path], reached: list[Reached], tokens: float) -> Iterator[Option]:
    """Yield one row per recipe: as trained on this number of tokens, or from its data law."""
    where = ", ".join(map(str, roots))
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
            source=f"runs of {where}",
            note=what if recipe == "standard" or not why else f"{what}; {why}",
        )
    if not found:
        stocks = ", ".join(human(one) for one in sorted({one.tokens for one in reached}))
        raise ValueError(
            f"{where} has runs on {stocks} unique tokens; a plan for {human(tokens)} needs a data "
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
