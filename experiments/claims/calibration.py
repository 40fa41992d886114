"""The claims on languages whose entropy is known: can fitted limits and laws be believed?"""

from __future__ import annotations

import math

import pandas as pd

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.claims.claim import Finding, claim, verdict
from experiments.recipes.calibration.laws import (
    BAYES,
    LIMITS,
    METHODS,
    RECIPES,
    coverage,
    growing_laws,
)
from experiments.recipes.calibration.recipe import Calibration, calibration
from experiments.story.story import Story

CLOSE = 0.02
"""Nats within which a limit or prediction counts as right: about a fifth of the smallest difference
between limits of the talk (3.43 for one model, 3.34 for an ensemble)."""
LEAST_RATE = 0.5
NOMINAL = 0.95


@claim("N1a", "A limit fitted at a fixed D can be believed.")
def _n1a(story: Story) -> Finding:
    """On Markov chains of known entropy, at one D: the laws of ever larger single models, of ever
    more members and of both, fitted to small sizes and few members, against models and ensembles
    far beyond. Absolute error of the predicted loss there; the fitted limit less the loss of the
    Bayes-optimal predictor, which no recipe goes below on average over chains; and the measured
    loss less the limit, which cannot lie above it; each a value a chain where the limit is
    identified. Supported when every error's interval lies below 0.02 nats and no mean limit lies
    below the floor or above what was measured with its interval; contradicted when one error's
    interval lies above 0.02, or a mean limit lies below the floor or above what was measured;
    inconclusive otherwise, and where a limit is identified on fewer than half of the chains. The
    value is the largest error."""
    found = story[calibration]
    usable = found.limits[found.limits["identified"]]
    usable = usable.assign(error=(usable["predicted"] - usable["measured"]).abs())
    of = {
        (name, column): _mean(usable.loc[usable["limit"] == name, column])
        for name in LIMITS
        for column in ("error", "above_floor", "below_brute")
    }
    errors = {name: of[name, "error"] for name in LIMITS}
    impossible = [
        f"the limit of {LIMITS[name]} lies {side}"
        for name in LIMITS
        for column, side in (
            ("above_floor", "below the floor"),
            ("below_brute", "above brute force"),
        )
        if of[name, column].is_negative
    ]
    enough = all(2 * error.n >= found.plan.n_sources for error in errors.values())
    texts = [
        f"{LIMITS[name]}: {errors[name].n} of {found.plan.n_sources} identified, error "
        f"{errors[name]}, limit {of[name, 'above_floor']} above the Bayes floor and "
        f"{of[name, 'below_brute']} below brute force."
        for name in LIMITS
    ]
    return Finding(
        verdict=verdict(
            supported=enough
            and not impossible
            and all(error.high < CLOSE for error in errors.values()),
            contradicted=enough
            and (bool(impossible) or any(error.low > CLOSE for error in errors.values())),
        ),
        quantity="absolute error of the loss predicted for brute force, the largest of three "
        "limits (nats)",
        estimate=max(errors.values(), key=_by_value),
        detail=" ".join([*texts, *(f"Impossible: {one}." for one in impossible), _edges(found)]),
        interval_of="languages",
    )


@claim("N1b", "A fitted data law predicts the loss on far more data.")
def _n1b(story: Story) -> Finding:
    """On each of several languages, Markov chains and hidden Markov models, the data law
    E + A / D^alpha of tuned single models and of ensembles of one width: absolute error of its
    prediction at a D several times the largest fitted one, a value a language where E is
    identified. Supported when for both recipes the interval lies below 0.02 nats, contradicted
    when for one it lies above; inconclusive otherwise, and where E is identified on fewer than
    half of the languages. The value is the larger error."""
    found = story[calibration]
    laws = found.laws[found.laws["method"] == METHODS[0]]
    errors, texts, enough = {}, [], True
    for name in RECIPES:
        of = laws[laws["recipe"] == name]
        usable = of[of["identified"]]
        errors[name] = _mean((usable["predicted"] - usable["measured"]).abs())
        enough = enough and 2 * len(usable) >= len(of)
        texts.append(
            f"{name}: {len(usable)} of {len(of)} identified, error {errors[name]}, prediction and "
            f"measurement agree within their intervals on {int(usable['agrees'].sum())}."
        )
    times = found.plan.brute_size / found.plan.sizes[-1]
    return Finding(
        verdict=verdict(
            supported=enough and all(error.high < CLOSE for error in errors.values()),
            contradicted=enough and any(error.low > CLOSE for error in errors.values()),
        ),
        quantity=f"absolute error of the loss predicted at {times:g} times the data, the larger of "
        "two recipes (nats)",
        estimate=max(errors.values(), key=_by_value),
        detail=" ".join([*texts, _edges(found)]),
        interval_of="languages",
    )


@claim("N1c", "The asymptote of a data law is the entropy of the text.")
def _n1c(story: Story) -> Finding:
    """On each of several languages of known entropy, the data law of tuned single models whose
    width grows with D, as the limit of one width is what that width can learn at best and not the
    entropy; the 95 % interval of its asymptote, whatever smooth decreasing law holds, against the
    entropy of the test windows, which no model goes below. Coverage: the share of identified
    intervals that hold it, with the exact interval of Clopper and Pearson over languages.
    Supported when the coverage's interval reaches .95 and lies above one half, contradicted when
    it lies below .95; inconclusive otherwise, and where no widths were trained that grow with
    D."""
    found = story[calibration]
    laws = growing_laws(found)
    rate = coverage(laws.loc[laws["identified"], "covered"] if len(laws) else [])
    fixed = " ".join(
        f"Laws of width {found.plan.data_width} at every D, {name}: {_text(found.laws, name)}."
        for name in (*RECIPES, BAYES)
    )
    judged = f"{rate.n} of {len(laws)} laws identified; {len(laws)} languages."
    missing = "Not judged: no runs whose width grows with D."
    return Finding(
        verdict=verdict(
            supported=rate.low > LEAST_RATE and rate.high >= NOMINAL,
            contradicted=rate.high < NOMINAL,
        ),
        quantity="coverage of the entropy by the intervals of fitted asymptotes",
        estimate=rate,
        detail=f"{judged if len(laws) else missing} {fixed}",
        interval_of="languages",
    )


def _edges(found: Calibration) -> str:
    """Say how many chosen settings lie on an edge of what was tried."""
    chosen = found.tuning[found.tuning["chosen"]]
    return (
        f"{int(chosen['on_edge'].sum())} of {len(chosen)} chosen settings lie on an edge of what "
        "was tried."
    )


def _mean(values: pd.Series) -> Estimate:
    """Return the mean over languages; unknown where there are none."""
    if values.empty:
        return Estimate(value=float("nan"), low=-math.inf, high=math.inf, n=0)
    return mean_estimate(values.to_numpy(float))


def _by_value(error: Estimate) -> float:
    """Order errors, an unknown one last."""
    return math.inf if math.isnan(error.value) else error.value


def _text(laws: pd.DataFrame, recipe: str) -> str:
    """Say how often the intervals of a recipe hold the truth, and how far its asymptotes are."""
    of = laws[laws["recipe"] == recipe]
    parts = []
    for method, rows in of.groupby("method", sort=False):
        usable = rows[rows["identified"]]
        parts.append(f"{usable['covered'].sum()} of {len(usable)} identified ({method})")
    first = of[of["method"] == METHODS[0]]
    error = _mean(first.loc[first["identified"], "error"])
    return (
        f"{', '.join(parts)} hold it, of {len(first)} fits; asymptote less entropy {error} nats "
        "where identified"
    )
