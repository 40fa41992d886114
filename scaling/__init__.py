"""Fit scaling laws to training runs, with intervals, limits and forecasts.

The public functions and classes::

    fit_law(frame, "power", x="n_params", y="loss")      global optimum of a law -> FitResult
    joint_limit(frame)                                   limit in parameters and ensemble members
    data_efficiency(data_law, loss, at)                  data multiplier over a reference recipe
    audit(frame)                                         problems of a table, with remedies
    compare_laws(frame)                                  laws by hold-out error, and their average
    forecast(frame, x, y)                                average of laws, weighted by hold-out error
    design(fit, budget)                                  next runs that narrow the limit most
    fit_hyperparameter(frame, target, variables)         best values as a power law of the size
    allocate(chinchilla_fit, budget)                     compute-optimal parameters and tokens
    isoflop(frame), compute_exponent(frame)              the same from runs at fixed budgets
    load_dataset(name), DATASETS                         published run tables
    PUBLISHED_LAWS, PUBLISHED_FIGURES                    published numbers with citations
    read_runs(path)                                      table from CSV, TSV, JSON lines or parquet
    LAWS, LOSSES                                         the known laws and losses, by name
    Law, Linear, Nonlinear, Term                         the parts of a law of your own

A `FitResult` reports, plots, predicts and saves itself. Problems that do not prevent a fit are not
raised: they are its `status`, a `FitStatus`, and its `warnings`.

Folders, from the bottom up: `laws` (what a law is), `fitting` (from a table to the optimum),
`uncertainty` (covariance, bootstrap, profiles, diagnostics), `results` (values, reports, plots and
files of a fit), `comparison` (laws judged by hold-out), `auditing`
(problems of a table) and `published` (tables and numbers of
others).
"""

from scaling.allocate import Allocation, allocate
from scaling.auditing.audit import Audit, audit
from scaling.auditing.checks import Finding
from scaling.comparison.compare import compare_laws
from scaling.comparison.comparison import Comparison
from scaling.design import Design, design
from scaling.efficiency import DataEfficiency, data_efficiency, data_multiplier
from scaling.files import read_runs
from scaling.fit import fit_law
from scaling.fitting.losses import LOSSES
from scaling.fitting.status import FitStatus
from scaling.forecast import Forecast, forecast
from scaling.hyperparameters import HyperparameterLaw, fit_hyperparameter
from scaling.laws.laws import Law, Linear, Nonlinear, Term
from scaling.laws.registry import LAWS
from scaling.limits import LimitResult, joint_limit
from scaling.parabolas import PowerOfCompute, compute_exponent, isoflop
from scaling.published.datasets import DATASETS, load_dataset
from scaling.published.figures import MEMBER_LIMITS, PUBLISHED_FIGURES, PUBLISHED_LAWS
from scaling.results.result import FitResult
from scaling.uncertainty.profiles import Profile

__all__ = [
    "DATASETS",
    "LAWS",
    "LOSSES",
    "MEMBER_LIMITS",
    "PUBLISHED_FIGURES",
    "PUBLISHED_LAWS",
    "Allocation",
    "Audit",
    "Comparison",
    "DataEfficiency",
    "Design",
    "Finding",
    "FitResult",
    "FitStatus",
    "Forecast",
    "HyperparameterLaw",
    "Law",
    "LimitResult",
    "Linear",
    "Nonlinear",
    "PowerOfCompute",
    "Profile",
    "Term",
    "allocate",
    "audit",
    "compare_laws",
    "compute_exponent",
    "data_efficiency",
    "data_multiplier",
    "design",
    "fit_hyperparameter",
    "fit_law",
    "forecast",
    "isoflop",
    "joint_limit",
    "load_dataset",
    "read_runs",
]
