"""Scaling laws, their limits, and what the data can say about them.

The map::

    fit_law(frame, "power", x="n_params", y="loss")      a law at its global optimum -> FitResult
    joint_limit(frame)                                   parameters and members to infinity
    data_efficiency(data_law, loss, at)                  times more data the reference would need
    forecast(frame, x, y)                                an average of laws, weighted by hold-out
    allocate(chinchilla_fit, budget)                     compute-optimal parameters and tokens
    isoflop(frame), compute_exponent(frame)              the same from budgets
    load_dataset(name), DATASETS                         published run tables
    PUBLISHED_LAWS, PUBLISHED_FIGURES                    published numbers with citations
    read_runs(path)                                      a table from CSV, TSV, JSON lines, parquet
    LAWS, LOSSES                                         what there is, by name
    Law, Linear, Nonlinear, Term                         write your own law

`FitResult` reports, draws, predicts and saves itself; soft trouble is its `status`, a `FitStatus`.

Inside, from the bottom: `laws`, `curves` (what is fitted), `losses`, `table` (checked rows),
`evaluation` (law on rows, with derivatives), `objective`, `newton`, `search` (global optimum),
`problem` (all three together), `covariance`, `bootstrap`, `profiles`, `intervals` (uncertainty),
`diagnostics`, `status`, `fitted`, `report`, `storage`, `plotting`, and `fit`, which runs it all;
`shared_members` serves `limits`.
"""

from scaling.allocate import Allocation, PowerOfCompute, allocate, compute_exponent, isoflop
from scaling.efficiency import DataEfficiency, data_efficiency, data_multiplier
from scaling.files import read_runs
from scaling.fit import fit_law
from scaling.fitting.losses import LOSSES
from scaling.fitting.status import FitStatus
from scaling.forecast import Forecast, forecast
from scaling.laws.laws import Law, Linear, Nonlinear, Term
from scaling.laws.registry import LAWS
from scaling.limits import LimitResult, joint_limit
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
    "DataEfficiency",
    "FitResult",
    "FitStatus",
    "Forecast",
    "Law",
    "LimitResult",
    "Linear",
    "Nonlinear",
    "PowerOfCompute",
    "Profile",
    "Term",
    "allocate",
    "compute_exponent",
    "data_efficiency",
    "data_multiplier",
    "fit_law",
    "forecast",
    "isoflop",
    "joint_limit",
    "load_dataset",
    "read_runs",
]
