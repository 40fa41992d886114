"""Claims on what predicts and what helps: downstream, learning curves, mixtures, reading order."""

from __future__ import annotations

import math

import numpy as np

from experiments.analysis import intervals
from experiments.analysis.intervals import Estimate
from experiments.claims.claim import Finding, claim, verdict
from experiments.recipes.ablations import READINGS, ablations
from experiments.recipes.classical import classical
from experiments.recipes.downstream import downstream
from experiments.recipes.learning_curves import LearningCurves, learning_curves
from experiments.story.story import Story
from scaling.fitting.status import FitStatus


@claim(
    "P17",
    "Held-out loss is a fair guide to downstream accuracy; the best at large compute are "
    "ensembles.",
)
def _p17(story: Story) -> Finding:
    """Models along the curves of three recipes on minimal pairs of grammar, the first of each
    paradigm, as many as the world scores. Supported when the rank correlation of test
    loss and accuracy has its interval below -0.5, and the ensemble that validation selects beats
    the single model that it selects in accuracy, the interval of the difference above zero;
    contradicted when the interval of the correlation lies above -0.5 or that of the difference
    below zero; inconclusive otherwise, and where there is nothing to rank: where the selected
    ensemble's accuracy does not lie above chance (0.5) with its interval, or where the models'
    accuracies do not differ from each other (Friedman's test over paradigms, p of 0.05 or more).
    Intervals are over paradigms."""
    found = story[downstream]
    quantity = "rank correlation of test loss and accuracy on minimal pairs"
    if found.missing:
        return Finding(
            verdict="inconclusive",
            quantity=quantity,
            estimate=Estimate(value=math.nan, low=-math.inf, high=math.inf, n=0),
            detail=f"Not measured: {found.missing}.",
            interval_of="paradigms",
        )
    correlation, gain = found.rank_correlation(), found.gain_of_ensembles()
    over_chance, differ = found.over_chance(), found.differ()
    judged = over_chance.is_positive and differ < SIGNIFICANT
    single, best = found.selected(ensemble=False), found.selected(ensemble=True)
    frontier = found.frontier()
    large = frontier[frontier["train_flops"] >= single["train_flops"]]
    n_ensembles = int((large["n_members"] > 1).sum())
    return Finding(
        verdict=verdict(
            supported=judged and correlation.high < -0.5 and gain.is_positive,
            contradicted=judged and (correlation.low > -0.5 or gain.is_negative),
        ),
        quantity=quantity,
        estimate=correlation,
        detail=f"{len(found.models)} models, {found.n_pairs:,} pairs: accuracy "
        f"{found.models['pairs'].min():.3f} to {found.models['pairs'].max():.3f}, that of the "
        f"selected ensemble {over_chance} over chance; the models differ with p = {differ:.2g}"
        f"{'' if judged else ': too little to be ranked'}. "
        f"{best['n_members']} members of width {best['width']} against one of width "
        f"{single['width']}: {gain}. On the frontier from that model's compute on: {len(large)} "
        f"models, of which {n_ensembles} are ensembles. {found.n_items} multiple-choice items: "
        f"{found.models['choices'].min():.3f} to {found.models['choices'].max():.3f}, by chance "
        f"{found.models['chance'].iloc[0]:.3f}.",
        interval_of="paradigms",
    )


SIGNIFICANT = 0.05
TOLERANCE = 0.05
"""Nats within which a prediction counts as right."""


@claim("P19", "Learning curves predict large-data loss from small data.")
def _p19(story: Story) -> Finding:
    """The law of Cortes et al. is fitted to train and test losses of the smaller training sets
    and predicts the test loss at the largest. Training losses are on each run's own text, test
    losses on the world's test part, and each draw of text gets a model and a measurement of its
    own. Supported when the interval of prediction minus measurement lies within 0.05 nats of
    zero, contradicted when it lies beyond 0.05; inconclusive otherwise, and where the law's
    asymptote is not identified. The interval is a jackknife over draws, of the fit and of the
    measurement."""
    curves = story[learning_curves]
    error = curves.error
    train = intervals.gap(curves.predicted(is_train=1), curves.measured(is_train=1))
    return Finding(
        verdict=verdict(
            supported=error.low > -TOLERANCE and error.high < TOLERANCE,
            contradicted=error.low > TOLERANCE or error.high < -TOLERANCE,
        ),
        quantity=f"predicted minus measured test loss at {curves.largest:,} tokens (nats)",
        estimate=error,
        detail=f"Width {curves.width}; fit {_words(curves.law.status)}; predicted "
        f"{curves.predicted(is_train=0)}, measured {curves.measured(is_train=0)}, by the test "
        f"curve alone {curves.predicted_by_test_alone()}; training loss off by {train}. "
        + _texts(curves),
        interval_of="draws",
    )


@claim("P19a", "Training and test loss share an asymptote.")
def _p19a(story: Story) -> Finding:
    """In a fit of the law of Cortes et al. to all training sets the training curve gets an
    asymptote of its own. Supported when the interval of its difference from that of the test
    curve contains zero and is no wider than 1 nat, contradicted when it excludes zero;
    inconclusive otherwise, where the asymptote is not identified, and where the training texts
    and the test part are a few documents each: the difference then holds whatever differs
    between these. The interval is a jackknife over draws of text."""
    curves = story[learning_curves]
    gap = curves.asymptote_gap
    return Finding(
        verdict=verdict(
            supported=curves.is_mixed and gap.low <= 0 <= gap.high and gap.high - gap.low <= 1,
            contradicted=curves.is_mixed and (gap.is_positive or gap.is_negative),
        ),
        quantity="asymptote of the training curve minus that of the test curve (nats)",
        estimate=gap,
        detail=_texts(curves),
        interval_of="draws",
    )


def _words(status: FitStatus) -> str:
    return status.name.lower().replace("_", " ")


def _texts(curves: LearningCurves) -> str:
    """Say which texts the two losses are of."""
    if curves.is_mixed:
        return "Training texts are chunks of many documents, test windows of all held-out ones."
    return (
        "Training texts are whole documents, a draw each; the test loss is of the beginning of "
        "other documents: asymptotes of different texts."
    )


@claim("P20", "Mixing classical and neural models beats each.")
def _p20(story: Story) -> Finding:
    """Kneser-Ney and single neural models of every size and recipe, mixed with weights learned
    on validation. Supported when on test the mixture beats the best of them by validation, and
    beats the mixture without Kneser-Ney, both intervals above zero; contradicted when one of
    them lies below zero; else inconclusive. Intervals are over windows of the test part; the
    value is the gain over the best."""
    found = story[classical]
    gain = found.gain("best", of="mixture")
    of_ngrams = found.gain("neural", of="mixture")
    on_ensemble = found.gain("ensemble", of="ensemble_classical")
    weights = found.models.set_index("model")["weight"]
    used = ", ".join(f"{name} {w:.2f}" for name, w in weights.items() if w >= 0.005)
    return Finding(
        verdict=verdict(
            supported=gain.is_positive and of_ngrams.is_positive,
            contradicted=gain.is_negative or of_ngrams.is_negative,
        ),
        quantity="test loss of the best model minus that of the mixture (nats)",
        estimate=gain,
        detail=f"Perplexity {found.perplexity('best'):.2f} ({found.best}) -> "
        f"{found.perplexity('mixture'):.2f}; Kneser-Ney adds {of_ngrams}, to {found.ensemble} "
        f"{on_ensemble}. Weights: {used}.",
        interval_of="windows of test text",
    )


@claim(
    "N4",
    "Shuffling once exaggerates overfitting; window jitter, which cuts the text into windows at "
    "another offset every epoch, is free augmentation.",
)
def _n4(story: Story) -> Finding:
    """One size. Harm: standard recipe, test loss at the most epochs minus that at the number
    that validation selects. Supported when the harm of one fixed order without jitter exceeds
    that of reading as here, and jitter lowers the test loss at the tuned point, both intervals
    above zero; contradicted when one lies below zero; else inconclusive. The value is the gain
    from jitter."""
    found = story[ablations]

    def losses(reading: str, setting: str) -> np.ndarray:
        runs = found.runs
        chosen = (runs["reading"] == reading) & (runs["setting"] == setting)
        return runs.loc[chosen, "test_loss"].to_numpy(float)

    harms = {
        reading: intervals.difference(
            losses(reading, "standard, most epochs"), losses(reading, "standard, few epochs")
        )
        for reading in READINGS
    }
    more = intervals.contrast(
        [
            losses(reading, f"standard, {epochs} epochs")
            for reading in ("shuffled once", "as here")
            for epochs in ("most", "few")
        ],
        [1, -1, -1, 1],
    )
    jitter = intervals.difference(losses("no window jitter", "tuned"), losses("as here", "tuned"))
    once = intervals.difference(losses("shuffled once", "tuned"), losses("as here", "tuned"))
    return Finding(
        verdict=verdict(
            supported=more.is_positive and jitter.is_positive,
            contradicted=more.is_negative or jitter.is_negative,
        ),
        quantity="test loss without window jitter minus with it, tuned point (nats)",
        estimate=jitter,
        detail=f"Width {found.width}. Harm from {found.few_epochs} to {found.most_epochs} "
        "epochs: "
        + ", ".join(f"{reading} {harm}" for reading, harm in harms.items())
        + f"; shuffling once adds {more}. At the tuned point, shuffling once costs {once}. "
        "Hyperparameters were tuned for reading as here.",
    )
