"""Statuses of a fit; the value of each is the sentence shown to the user."""

from __future__ import annotations

from enum import Enum


class FitStatus(Enum):
    """How far a fit can be trusted; the value is the sentence shown to the user."""

    CONVERGED = "The global optimum was found and every parameter is inside its bounds."
    AT_BOUND = "The optimum lies on the bound of a parameter."
    LAW_REJECTED = "The rows contradict the law; only the interval that does not rest on it holds."
    NOT_IDENTIFIED = "The data do not identify the asymptote."
    FLAT = "The loss does not fall with scale, so there is no scaling to fit."
    NOT_CONVERGED = "The optimiser stopped before it reached an optimum."

    @property
    def usable(self) -> bool:
        """Whether the asymptote of such a fit may be quoted with its interval.

        Of a rejected law that is the interval under whatever smooth decreasing law holds.
        """
        return self in (FitStatus.CONVERGED, FitStatus.AT_BOUND, FitStatus.LAW_REJECTED)
