"""The claim on languages whose entropy is known: can a fitted asymptote be believed?"""

from __future__ import annotations

from experiments.calibration import Calibration
from experiments.claims import claim, verdict
from experiments.story import Story

LEAST_RATE = 0.5
NOMINAL = 0.95


@claim("N1", "A fitted asymptote can be believed.")
def _n1(story: Story) -> dict:
    """On each of several languages of known entropy, Markov chains and hidden Markov models, the
    data law E + A / D^alpha of tuned single models and of ensembles; its asymptote against the
    entropy of the test windows, which no model goes below. Coverage: the share of 95 % intervals
    (profile likelihood) that hold it, among the fits that say that they are identified, with the
    exact interval of Clopper and Pearson over languages. On the Markov chains also the limits of
    tuned single models and the joint limit at a fixed D, less the loss of the Bayes-optimal
    predictor, which no recipe goes below on average over chains, and less the loss of models and
    ensembles far beyond the fitted range, which no limit lies above; means over chains.
    Supported when for both recipes the coverage's interval reaches .95 and lies above one half,
    and no mean limit lies below the floor or above brute force with its interval; contradicted
    when for one recipe the coverage's interval lies below .95, or a mean limit lies below the
    floor or above brute force; else inconclusive. The value is the lower of the two coverages."""
    raise NotImplementedError
