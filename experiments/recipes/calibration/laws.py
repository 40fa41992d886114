"""The laws fitted to the languages of the recipe `calibration`, compared with the truth.

Every law is fitted to each language by itself; a language, not a seed, is what means and rates of
coverage are over. The laws of sizes and members are fitted by the same code as the talk's
(`experiments.analysis.laws`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from experiments.analysis.intervals import Estimate, gap, jackknife, mean_estimate
from experiments.analysis.laws import (
    LOSS,
    N_BOOT,
    ROW_LOSS,
    K,
    Laws,
    N,
)
from scaling import fit_law
from scaling.fit import best_parameters

if TYPE_CHECKING:
    from experiments.recipes.calibration.losses import CalibrationLosses

D = "n_unique_tokens"
RECIPES = ("single", "ensemble")
"""Of the data law, whose intervals the claim is about."""
BAYES = "Bayes-optimal"
"""A data law without training: that of the floor, which shows whether the form is at fault."""
METHODS = ("profile", "bootstrap")
LEAST_SIZES = 4
"""Values of D that a data law needs, as in `experiments.worlds.plans.CalibrationPlan`."""
AVERAGE = "logit"
"""How members are averaged in every law, as in the talk."""

LIMITS = {"single": "single", "ensemble": "K to infinity", "joint": "joint"}
"""Limits at a fixed D: of ever larger single models, of ever more members of the largest fitted
size, of both."""


def data_rows(found: CalibrationLosses) -> pd.DataFrame:
    """Return the losses that data laws are fitted to and checked by.

    Returns:
        A row a recipe, language, D and seed (the ensemble of all fitted members and the floor have
        one), with columns `recipe`, `kind`, `source`, `n_unique_tokens`, `test_loss`, `is_fitted`.
    """
    plan = found.plan
    sizes = (*plan.sizes, plan.brute_size)
    logit = found.curves[(found.curves["average"] == AVERAGE) & (found.curves[K] == plan.n_members)]
    parts = [
        of[(of["width"] == plan.data_width) & of[D].isin(sizes)].assign(recipe=recipe)
        for recipe, of in (("single", found.singles), ("ensemble", logit))
    ]
    floors = found.floors[found.floors[D].isin(sizes)]
    parts.append(floors.assign(recipe=BAYES, kind="markov"))
    columns = ["recipe", "kind", "source", D, LOSS]
    rows = pd.concat([part[columns] for part in parts], ignore_index=True)
    return rows.assign(is_fitted=rows[D] <= plan.sizes[-1])


def data_laws(found: CalibrationLosses) -> pd.DataFrame:
    """Return the data law E + A / D^alpha of every recipe, fitted to every language.

    Returns:
        A row a recipe, language and method of the interval; columns `recipe`, `kind`, `source`,
        `method`, `E`, `A`, `alpha`, `low`, `high` (of E), `identified`, `truth` (the window
        entropy), `truth_error`, `error` (E less the truth), `covered`, `lowest` (mean loss at the
        largest fitted D), and at the D far beyond: `predicted`, `predicted_low`, `predicted_high`,
        `measured`, `agrees` (the two do within their intervals).
    """
    truths = found.sources.set_index(["kind", "source"])
    rows = []
    for (recipe, kind, source), of in data_rows(found).groupby(["recipe", "kind", "source"]):
        truth = truths.loc[(kind, source)]
        fitted, beyond = of[of["is_fitted"]], of[~of["is_fitted"]]
        lowest = fitted.loc[fitted[D] == fitted[D].max(), LOSS].mean()
        for method in METHODS:
            fit = fit_law(
                fitted, "power", x=D, y=LOSS, n_boot=N_BOOT if method == "bootstrap" else 0
            )
            low, high = fit.interval("E")
            place = {"recipe": recipe, "kind": kind, "source": source, "method": method}
            at = fit.predict(pd.DataFrame({D: [float(found.plan.brute_size)]})).iloc[0]
            predicted = Estimate(value=at["mean"], low=at["low"], high=at["high"], n=len(fitted))
            measured = _measured(beyond[LOSS].to_numpy(float))
            rows.append(
                {
                    **place, **fit.params, "low": low, "high": high,
                    "identified": fit.status.usable, "truth": truth["window_entropy"],
                    "truth_error": truth["window_error"],
                    "error": fit.asymptote - truth["window_entropy"],
                    "covered": low - truth["window_error"] <= truth["window_entropy"]
                    <= high + truth["window_error"],
                    "lowest": lowest, **_checked(predicted, measured),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def growing_laws(found: CalibrationLosses) -> pd.DataFrame:
    """Return the data law of the widest single models at each D, where the width grows with D.

    Returns:
        A row a language whose widest model is wider at each D than at the one before, at four or
        more: `kind`, `source`, `E`, `low`, `high` (of E whatever smooth decreasing law holds),
        `identified`, `covered` (whether they hold the window entropy). No rows and columns where
        there are none.
    """
    truths = found.sources.set_index(["kind", "source"])
    rows = []
    for (kind, source), of in found.singles.groupby(["kind", "source"]):
        widest = of.groupby(D)["width"].max()
        if len(widest) < LEAST_SIZES or not (widest.diff().dropna() > 0).all():
            continue
        fit = fit_law(
            of[of["width"].to_numpy() == widest[of[D]].to_numpy()], "power", x=D, y=LOSS, n_boot=0
        )
        assert fit.limit_interval is not None  # the law has an asymptote
        (low, high), truth = fit.limit_interval, truths.loc[(kind, source)]
        off = truth["window_error"]
        rows.append(
            {
                "kind": kind, "source": source, "E": fit.asymptote, "low": low, "high": high,
                "identified": fit.status.usable,
                "covered": low - off <= truth["window_entropy"] <= high + off,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def limits(found: CalibrationLosses) -> pd.DataFrame:
    """Return the fitted limits of sizes and members at a fixed D on every Markov chain.

    Returns:
        A row a chain and limit of `LIMITS`; columns `source`, `limit`, `value`, `low`, `high`,
        `identified`, `floor` (loss of the Bayes-optimal predictor), `entropy`, `brute` (loss far
        beyond the fitted range: of larger single models, of many members, of both), `above_floor`
        and `below_brute` (nats between), and what the fit predicts of the brute force, as in
        `data_laws`.
    """
    plan, rows = found.plan, []
    floors = found.floors[found.floors[D] == plan.n_unique_tokens].set_index("source")[LOSS]
    entropies = found.sources[found.sources["kind"] == "markov"].set_index("source")
    for source in sorted(floors.index):
        tables = _at_fixed_size(found, source)
        laws = Laws(best=tables["singles"], curves=tables["curves"])
        values = {
            "single": laws.single_limit,
            "ensemble": laws.limits[plan.widths[-1]],
            "joint": laws.joint_limit,
        }
        for name, limit in values.items():
            predicted, measured = _forecast(found, name, laws, tables)
            rows.append(
                {
                    "source": source, "limit": name, "value": limit.value, "low": limit.low,
                    "high": limit.high, "identified": limit.is_bounded,
                    "floor": floors[source], "entropy": entropies["window_entropy"][source],
                    "brute": measured.value, "above_floor": limit.value - floors[source],
                    "below_brute": measured.value - limit.value, **_checked(predicted, measured),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def excess_losses(found: CalibrationLosses) -> pd.DataFrame:
    """Return the losses at the fixed D in excess of the Bayes floor, means over Markov chains.

    Returns:
        A row a width, number of members and average ("single" for models tuned singly, with one
        member), with columns `width`, `n_params_non_embedding`, `n_members`, `average`,
        `is_fitted`, `excess`, `low`, `high` (nats, interval over chains).
    """
    plan = found.plan
    keys = ["width", N, K, "average", "source"]
    few = found.curves.groupby([*keys, D, "kind"], as_index=False)[LOSS].mean()
    singles = found.singles.assign(**{K: 1}, average="single")
    beyond = found.brute[found.brute[K] > plan.n_members]
    rows = pd.concat([singles, few, beyond], ignore_index=True)
    rows = rows[(rows["kind"] == "markov") & (rows[D] == plan.n_unique_tokens)]
    rows = rows[rows["width"].isin([*plan.widths, plan.brute_width])]
    floors = found.floors[found.floors[D] == plan.n_unique_tokens].set_index("source")[LOSS]
    by_source = rows.groupby(keys)[LOSS].mean().reset_index()
    excess = by_source.assign(excess=by_source[LOSS] - floors[by_source["source"]].to_numpy())
    found_rows = []
    for (width, size, n, average), of in excess.groupby(keys[:-1]):
        mean = mean_estimate(of["excess"].to_numpy(float))
        found_rows.append(
            {
                "width": width, N: size, K: n, "average": average,
                "is_fitted": bool(width <= plan.widths[-1] and n <= plan.n_members),
                "excess": mean.value, "low": mean.low, "high": mean.high,
            }
        )  # fmt: skip
    return pd.DataFrame(found_rows)


def coverage(covered: pd.Series | np.ndarray) -> Estimate:
    """Return the share of intervals that hold the truth, with Clopper and Pearson's interval.

    Without any the share is unknown: NaN, from 0 to 1.
    """
    covered = np.asarray(covered, bool)
    if not len(covered):
        return Estimate(value=float("nan"), low=0.0, high=1.0, n=0)
    n, hits = len(covered), int(covered.sum())
    low = betaincinv(hits, n - hits + 1, 0.025) if hits else 0.0
    high = betaincinv(hits + 1, n - hits, 0.975) if hits < n else 1.0
    return Estimate(value=hits / n, low=float(low), high=float(high), n=n)


def _at_fixed_size(found: CalibrationLosses, source: int) -> dict[str, pd.DataFrame]:
    """Return the fitted and the far sizes of one Markov chain at the fixed D."""
    plan = found.plan

    def of(table: pd.DataFrame, widths: tuple[int, ...]) -> pd.DataFrame:
        at = (table["kind"] == "markov") & (table["source"] == source)
        return table[at & (table[D] == plan.n_unique_tokens) & table["width"].isin(widths)]

    return {
        "singles": of(found.singles, plan.widths),
        "curves": of(found.curves, plan.widths),
        "far singles": of(found.singles, (plan.brute_width,)),
        "many": of(found.brute, (plan.widths[-1],)),
        "far and many": of(found.brute, (plan.brute_width,)),
    }


def _forecast(
    found: CalibrationLosses, name: str, laws: Laws, tables: Mapping[str, pd.DataFrame]
) -> tuple[Estimate, Estimate]:
    """Return what a law says of brute force, and the loss that it has.

    The intervals of laws of members are jackknives over members, whom ensembles share.
    """
    plan = found.plan
    size = float(plan.model(plan.brute_width).n_params_non_embedding)
    if name == "single":
        at = laws.single.predict(pd.DataFrame({N: [size]})).iloc[0]
        predicted = Estimate(value=at["mean"], low=at["low"], high=at["high"], n=plan.n_seeds)
        return predicted, _measured(tables["far singles"][LOSS].to_numpy(float))
    many = tables["many" if name == "ensemble" else "far and many"]
    many = many[many["average"] == AVERAGE]
    measured = _measured(many.loc[many[K] == many[K].max(), LOSS].to_numpy(float))
    n_members = float(plan.brute_members)
    if name == "ensemble":
        width = plan.widths[-1]
        value = _power_at(laws.tables[width], n_members)
        parts = laws.left_out[width]
        return jackknife(value, [[_power_at(part, n_members) for part in parts]]), measured
    refits = [[_joint_at(law, size, n_members) for law in group] for group in laws.joint_refits]
    return jackknife(_joint_at(laws.joint.joint.params, size, n_members), refits), measured


def _power_at(table: pd.DataFrame, n_members: float) -> float:
    law = best_parameters(table, "power", x=K, y=LOSS, loss=ROW_LOSS)
    return law["E"] + law["A"] / n_members ** law["alpha"]


def _joint_at(law: Mapping[str, float], size: float, n_members: float) -> float:
    of_members = law["B"] / (size ** law["beta"] * n_members ** law["gamma"])
    return law["E"] + law["A"] / size ** law["alpha"] + of_members


def _measured(losses: np.ndarray) -> Estimate:
    """Return a mean loss; one measurement is taken as it is."""
    if len(losses) == 1:
        return Estimate(value=float(losses[0]), low=float(losses[0]), high=float(losses[0]), n=1)
    return mean_estimate(losses)


def _checked(predicted: Estimate, measured: Estimate) -> dict[str, object]:
    """Say whether a forecast and what was measured agree within their intervals."""
    apart = gap(predicted, measured)
    return {
        "predicted": predicted.value, "predicted_low": predicted.low,
        "predicted_high": predicted.high, "measured": measured.value,
        "agrees": not (apart.is_positive or apart.is_negative),
    }  # fmt: skip
