"""Scaling laws, their limits, and what the data can say about them.

The map::

    fit_law(frame, "power", x="n_params", y="loss")      a law at its global optimum -> FitResult
    joint_limit(frame)                                   parameters and members to infinity
    LAWS, LOSSES                                         what there is, by name
    Law, Linear, Nonlinear, Term                         write your own law

`FitResult` reports, draws, predicts and saves itself; soft trouble is its `status`, a `FitStatus`.
"""

from scaling.fit import fit_law
from scaling.laws import Law, Linear, Nonlinear, Term
from scaling.limits import LimitResult, joint_limit
from scaling.losses import LOSSES
from scaling.profiles import Profile
from scaling.registry import LAWS
from scaling.result import FitResult
from scaling.status import FitStatus

__all__ = [
    "LAWS",
    "LOSSES",
    "FitResult",
    "FitStatus",
    "Law",
    "LimitResult",
    "Linear",
    "Nonlinear",
    "Profile",
    "Term",
    "fit_law",
    "joint_limit",
]
