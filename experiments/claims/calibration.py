"""The claim on languages whose entropy is known: can a fitted asymptote be believed?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.claims.claim import Finding, claim, verdict
from experiments.recipes.calibration.laws import (
    BAYES,
    LIMITS,
    METHODS,
    RECIPES,
    coverage,
)
from experiments.recipes.calibration.recipe import calibration
from experiments.story.story import Story

JUDGED_LIMITS = ("single", "joint")
BEYOND = {"above_floor": "below the floor", "below_brute": "above brute force"}
LEAST_RATE = 0.5
NOMINAL = 0.95


@claim("N1", "A fitted asymptote can be believed.")
def _n1(story: Story) -> Finding:
    """On each of several languages of known entropy, Markov chains and hidden Markov models, the
    data law E + A / D^alpha of tuned single models and of ensembles; its asymptote against the
    entropy of the test windows, which no model goes below. Coverage: the share of 95 % intervals
    (profile likelihood) that hold it, among the fits that say that they are identified, with the
    exact interval of Clopper and Pearson over languages. On the Markov chains also the identified
    limits of tuned single models and of sizes and members jointly at a fixed D, less the loss of
    the Bayes-optimal predictor, which no recipe goes below on average over chains; and the loss
    of models and ensembles far beyond the fitted range, which no limit lies above, less the
    limit; means over chains.
    Supported when for both recipes the coverage's interval reaches .95 and lies above one half,
    and no mean limit lies below the floor or above brute force with its interval; contradicted
    when for one recipe the coverage's interval lies below .95, or a mean limit lies below the
    floor or above brute force; else inconclusive. The value is the lower of the two coverages."""
    found = story[calibration]
    laws, at_fixed = found.laws, found.limits
    judged = laws[(laws["method"] == METHODS[0]) & laws["identified"]]
    rates = {name: coverage(judged.loc[judged["recipe"] == name, "covered"]) for name in RECIPES}
    chosen = found.tuning[found.tuning["chosen"]]
    gaps = {
        (name, side): _mean(
            at_fixed.loc[(at_fixed["limit"] == name) & at_fixed["identified"], side]
        )
        for name in JUDGED_LIMITS
        for side in BEYOND
    }
    impossible = [
        f"the {name} limit lies {BEYOND[side]}"
        for (name, side), found_gap in gaps.items()
        if found_gap.is_negative
    ]
    return Finding(
        verdict=verdict(
            supported=not impossible
            and all(rate.low > LEAST_RATE and rate.high >= NOMINAL for rate in rates.values()),
            contradicted=bool(impossible) or any(rate.high < NOMINAL for rate in rates.values()),
        ),
        quantity="coverage of the entropy by the intervals of fitted asymptotes, the lower of "
        "two recipes",
        estimate=min(rates.values(), key=_by_value),
        detail=" ".join(
            [
                *(f"{name}: {_text(laws, name)}." for name in (*RECIPES, BAYES)),
                *(_limit_text(name, gaps, found.plan.n_sources) for name in JUDGED_LIMITS),
                *(f"Impossible: {sentence}." for sentence in impossible),
                f"{int(chosen['on_edge'].sum())} of {len(chosen)} chosen settings lie on an edge "
                "of what was tried.",
            ]
        ),
        interval_of="languages",
    )


def _mean(values: pd.Series) -> Estimate:
    """Return the mean over chains; unknown where there are no chains."""
    if values.empty:
        return Estimate(value=float("nan"), low=-math.inf, high=math.inf, n=0)
    return mean_estimate(values.to_numpy(float))


def _limit_text(name: str, gaps: Mapping[tuple[str, str], Estimate], n_sources: int) -> str:
    """Say on how many chains a limit is identified, and where those limits lie."""
    floor, brute = gaps[name, "above_floor"], gaps[name, "below_brute"]
    share = f"Limit, {LIMITS[name]}: {floor.n} of {n_sources} identified"
    where = f", {floor} above the Bayes floor, {brute} below brute force" if floor.n else ""
    return f"{share}{where}."


def _by_value(rate: Estimate) -> float:
    """Order rates, an unknown one first."""
    return -1.0 if math.isnan(rate.value) else rate.value


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
