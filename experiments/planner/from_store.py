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
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.analysis.intervals import mean_estimate
from experiments.analysis.laws import N
from experiments.analysis.members import limit_estimate
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
COMPARABLE = (
    *("data_sha256", "vocab_size", "draw_seed", "chunk_tokens", "n_eval_tokens"),
    *("context", "n_layers", "batch_size"),
)
"""Settings that several stores must share, most of their runs at least, to be compared."""
WITH_LEVERS = " with levers"
INTERVALS = "ranges are 95 % intervals over seeds, over sizes or of the fit"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The loss of one recipe on one number of unique tokens.

    Attributes:
        recipe: name of the recipe.
        tokens: number of unique tokens.
        loss: nats per token.
        validation_loss: of the best size trained; of ensembles, estimated for infinitely many
            members, so that levers tried with fewer are not at a disadvantage.
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
    world, the runs on one text and one draw of it are used, those with most runs; texts with runs
    on this number of tokens come before others.

    Args:
        roots: one store, or several with runs on the same text.
        unique_tokens: size of the stock.

    Raises:
        FileNotFoundError: a store has no finished run of ours.
        ValueError: no store, stores whose runs cannot be compared, or no run has this number of
            tokens and there are fewer than three other numbers to fit a data law to.
    """
    if not roots:
        raise ValueError("a plan needs at least one run store, such as runs/quick")
    of_stores = [_runs_of(root, unique_tokens) for root in roots]
    for name in COMPARABLE:
        values = [runs[name].value_counts(dropna=False).idxmax() for runs, _ in of_stores]
        if len({str(value) for value in values}) > 1:
            raise ValueError(
                f"the runs of these stores cannot be compared: {name} is "
                + ", ".join(f"{value} in {root}" for root, value in zip(roots, values, strict=True))
            )
    runs = pd.concat([runs for runs, _ in of_stores], ignore_index=True)
    n_others = sum(n for _, n in of_stores)
    runs = runs.drop_duplicates("run_id").assign(levers=_levers_of)
    reached = [
        one
        for tokens, on_stock in runs.groupby(D)
        for one in [
            *_reached(roots, tokens, on_stock[on_stock["levers"] == ""]),
            *_with_levers(roots, tokens, on_stock[on_stock["levers"] != ""]),
        ]
    ]
    options = tuple(_options(roots, reached, unique_tokens))
    left_out = f", {n_others:,} runs on other texts or draws left out" if n_others else ""
    corpus = runs["corpus"].iloc[0]
    return make_plan(
        unique_tokens, options, intervals=f"measured here on {corpus}{left_out}; {INTERVALS}"
    )


def _runs_of(root: Path, unique_tokens: float) -> tuple[pd.DataFrame, int]:
    """Return the finished runs of a store on one text and draw, and the number of all others."""
    runs = RunStore(root).frame()
    if not runs.empty:
        runs = runs[(runs["source"] == OURS) & (runs["status"] == "done")]
    if runs.empty:
        raise FileNotFoundError(f"{root} holds no finished runs to plan from")

    def rank(part: pd.DataFrame) -> tuple[bool, int]:
        return bool(_is_near(part[D], unique_tokens).any()), len(part)

    chosen = runs
    for names in (["data_sha256", "vocab_size"], ["draw_seed"]):
        chosen = max((part for _, part in chosen.groupby(names)), key=rank)
    return chosen.assign(store=str(root)), len(runs) - len(chosen)


def _is_near(tokens: Any, unique_tokens: float) -> Any:
    return abs(tokens / unique_tokens - 1) <= SAME_TOKENS


def _levers_of(runs: pd.DataFrame) -> pd.Series:
    """Return what each run uses of the levers in which runs differ, such as "qk_norm=True"."""
    texts = pd.Series("", index=runs.index)
    for name, off in defaults().items():
        if name == "order_seed":  # luck, not a lever
            continue
        values = runs[name].astype(object).where(runs[name].notna(), None)
        used = values.map(lambda value, off=off: value != off)
        if used.any() and values.nunique(dropna=False) > 1:
            texts[used] += f"{name}=" + values[used].astype(str) + ", "
    return texts.str.removesuffix(", ")


def _with_levers(roots: Sequence[Path], tokens: float, runs: pd.DataFrame) -> Iterator[Reached]:
    """Yield the loss of every recipe with the levers that validation selects."""
    found = [
        (levers, one)
        for levers, of in runs.groupby("levers")
        for one in _reached(roots, tokens, of)
    ]
    for recipe in dict.fromkeys(one.recipe for _, one in found):
        sets = [(levers, one) for levers, one in found if one.recipe == recipe]
        levers, best = min(sets, key=lambda each: each[1].validation_loss)
        selected = f", lowest on validation of {len(sets)} sets of levers" if len(sets) > 1 else ""
        yield replace(
            best, recipe=f"{recipe}{WITH_LEVERS}", what=f"with {levers}{selected}; {best.what}"
        )


def _reached(roots: Sequence[Path], tokens: float, runs: pd.DataFrame) -> Iterator[Reached]:
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
    curves = _member_curves(roots, runs)
    if curves is not None and curves[N].nunique() >= FEWEST:
        limit = joint_limit(curves, params=N, members="n_members", y="test_loss", n_boot=0)
        if limit.identified:
            low, high = limit.model_interval
            yield Reached(
                recipe="joint",
                tokens=tokens,
                loss=Range(value=limit.limit, low=low, high=high),
                validation_loss=curves["limit"].min(),
                what="limit of infinitely many members and parameters",
            )
    if curves is not None:
        best = curves.loc[curves["validation_loss"].idxmin()]
        yield Reached(
            recipe="ensembles",
            tokens=tokens,
            loss=_over_seeds([best["test_loss"]]),
            validation_loss=curves["limit"].min(),
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


def _member_curves(roots: Sequence[Path], runs: pd.DataFrame) -> pd.DataFrame | None:
    """Return mean losses over subsets of the best scored ensemble of each size, logits averaged.

    The best has the lowest validation loss with all its members; `limit` is that estimated for
    infinitely many.
    """
    curves = []
    settings = [name for name in SETTINGS if name in runs.columns]
    for _, cell in runs.groupby(settings, dropna=False, sort=False):
        scores = _scores(roots, _specs(cell.sort_values("seed")))
        if scores is not None:
            rows = scores[scores["average"] == "logit"]
            means = rows.groupby("n_members")[["validation_loss", "test_loss"]].mean()
            limit = limit_estimate(scores)
            curves.append(means.reset_index().assign(**{N: cell[N].iloc[0], "limit": limit}))
    if not curves:
        return None
    best = {curve[N].iloc[0]: curve for curve in sorted(curves, key=_last_loss, reverse=True)}
    return pd.concat(best.values(), ignore_index=True)


def _last_loss(curve: pd.DataFrame) -> float:
    return float(curve["validation_loss"].iloc[-1])


def _specs(runs: pd.DataFrame) -> list[RunSpec]:
    from experiments.runs.spec import RunSpec

    files = [Path(run.store) / str(run.run_id) / "spec.json" for run in runs.itertuples()]
    return [RunSpec.from_dict(json.loads(file.read_text(encoding="utf-8"))) for file in files]


def _scores(roots: Sequence[Path], specs: list[RunSpec]) -> pd.DataFrame | None:
    """Return the recorded scores of the largest ensemble of the first seeds of a setting."""
    from experiments.lab.scoring import score_subsets
    from experiments.lab.source import source_of

    source = source_of(score_subsets)
    for n_members in range(len(specs), 1, -1):
        for root in roots:
            identity = ensemble_identity(specs[:n_members])
            rows = RunStore(root).record("ensembles", identity, source)
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
        near = [one for one in reached if one.recipe == recipe and _is_near(one.tokens, tokens)]
        if near:
            loss, what = near[0].loss, near[0].what
        elif law is not None:
            row = law.predict(pd.DataFrame({D: [tokens]})).iloc[0]
            loss = Range(value=row["mean"], low=row["low"], high=row["high"])
            what = "from the data law of this recipe"
            if recipe.endswith(WITH_LEVERS):
                what += ", with the levers that validation selects at each number of tokens"
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
