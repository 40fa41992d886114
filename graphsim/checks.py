"""Checks of arguments, whose errors state the value and what is allowed."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

TIES = ("fifo", "random_parent", "uniform_path")
NEAR_CRITICAL = 1.3


class NearCriticalWarning(UserWarning):
    """The mean degree is below 1.3, where the finite-size law was not validated."""


def checked_entities(n_entities: int) -> int:
    """Return the number of entities V, at least 2.

    Raises:
        ValueError: fewer than two entities have no ordered pair to learn.
    """
    if int(n_entities) != n_entities or n_entities < 2:
        raise ValueError(f"n_entities must be a whole number of at least 2, not {n_entities!r}")
    return int(n_entities)


def checked_mean_degree(mean_degree: float) -> float:
    """Return the mean out-degree of a law: finite and above 1.

    Raises:
        ValueError: at a mean degree of 1 or less there is no giant component and no law.
    """
    if not np.isfinite(mean_degree) or mean_degree <= 1:
        raise ValueError(
            f"mean_degree must be above 1 for a law, not {mean_degree!r}: at 1 or less the giant "
            "component is gone and almost no pair is reachable (simulate and expected_accuracy "
            "still work)"
        )
    return float(mean_degree)


def warn_if_near_critical(mean_degree: float) -> None:
    """Warn below a mean degree of 1.3, where the finite-size law was not validated."""
    if mean_degree < NEAR_CRITICAL:
        warnings.warn(
            f"mean_degree {mean_degree:g} is near critical (< {NEAR_CRITICAL}): the finite-size "
            "law was not validated there and can be 10 % off or more; average expected_accuracy "
            "over several graphs instead",
            NearCriticalWarning,
            stacklevel=3,
        )


def checked_times(times: ArrayLike) -> NDArray[np.float64]:
    """Return finite, non-negative and non-decreasing times as floats, shape (n_times,).

    Raises:
        ValueError: for an empty, negative, unsorted, infinite or nested sequence.
    """
    array = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"times must be one non-empty sequence, not shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError("times must be finite")
    if array.min() < 0:
        raise ValueError(f"times must be 0 or more, not {array.min():g}")
    if np.any(np.diff(array) < 0):
        raise ValueError("times must be sorted from early to late")
    return array


def checked_ties(ties: str) -> str:
    """Return the rule that selects among shortest paths.

    Raises:
        ValueError: for an unknown rule.
    """
    if ties not in TIES:
        raise ValueError(f"ties must be one of {', '.join(map(repr, TIES))}; not {ties!r}")
    return ties


def require_memory(n_bytes: float, what: str) -> None:
    """Raise an error if work would need more memory than the machine has free.

    Raises:
        ValueError: more than 90 % of the free memory is needed; the message gives the estimate.
    """
    import psutil

    available = psutil.virtual_memory().available
    if n_bytes > 0.9 * available:
        raise ValueError(
            f"{what} would need about {n_bytes / 1e9:.1f} GB and {available / 1e9:.1f} GB are free"
        )
