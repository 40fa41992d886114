"""Closed laws for the accuracy after t steps: the published one and the corrected one.

All take steps t, or s = t / (V (V - 1)) with ``per_pair=True``, and return the accuracy at each
time, shape (n_times,). README.md has the derivation and states which parts are proved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphsim.branching import (
    extinction,
    fixed_point,
    taught_integral,
    taught_integral_from_zero,
)
from graphsim.checks import (
    checked_entities,
    checked_mean_degree,
    checked_times,
    warn_if_near_critical,
)
from graphsim.graph import EntityGraph

Floats = NDArray[np.float64]


def printed_law(
    mean_degree: float,
    n_entities: int,
    times: ArrayLike,
    *,
    per_pair: bool = False,
    max_height: int | None = None,
) -> Floats:
    """Return the accuracy by the mixture of exponentials as published, shape (n_times,).

    Acc = p + C (1 - sum_l (lambda - 1) / lambda^(l+1) sum_k p_l(k) exp(-s k)).

    Warning:
        This is the published approximation, kept for comparison; it is not the accuracy of the
        model. Around s = 0.1 it is 12 to 16 % too low for V >= 1000, and the gap does not shrink
        as V grows; at V = 100 it is first too high. Its plateau p + C counts the source edges
        twice. Use `finite_law`, or `limit_law` on a given graph.

    Args:
        mean_degree: lambda > 1.
        n_entities: V, at least 2.
        times: steps t, sorted, shape (n_times,); with `per_pair` they are s.
        per_pair: whether `times` are s = t / (V (V - 1)).
        max_height: cut-off L of the sum over heights l; greater heights count as L. None sums all
            heights. As printed, with (1 - k/n)^t, the sum over all heights diverges for every V,
            because k exceeds n. The limit exp(-s k) is used instead, which converges.

    Raises:
        ValueError: for a mean degree of 1 or less, V < 2, bad times or a negative cut-off.

    Source:
        Yang et al. 2024, arXiv 2409.07431, section 6.3.
    """
    lam, s = _checked(mean_degree, n_entities, times, per_pair)
    if max_height is not None and max_height < 0:
        raise ValueError(f"max_height must be 0 or more, not {max_height}")
    taught = -np.expm1(-s)
    total = np.zeros_like(s)
    weight = (lam - 1) / lam
    height = 0
    while height != max_height and (left := weight * lam / (lam - 1)) > 1e-13:
        total += weight * taught
        next_taught = -np.expm1(-s - lam * taught)
        settled = np.all(np.abs(next_taught - taught) <= 1e-14 * taught)
        taught = next_taught
        weight /= lam
        height += 1
        if settled:
            break
    left = weight * lam / (lam - 1)
    q = 1 - extinction(lam)
    return lam / n_entities + q**2 * (total + left * taught)


def limit_law(
    mean_degree: float,
    n_entities: int,
    times: ArrayLike,
    *,
    per_pair: bool = False,
    graph: EntityGraph | None = None,
) -> Floats:
    """Return the accuracy by the corrected law for many entities, shape (n_times,).

    Acc = C (1 - (1/q) * integral of F(exp(-s); r) over r in (0, q)), a function of s alone. Choose
    `finite_law` for a given V, and this law with `graph` for one large graph.

    Args:
        mean_degree: lambda > 1.
        n_entities: V, used only to convert steps to s.
        times: steps t, sorted, shape (n_times,); with `per_pair` they are s.
        per_pair: whether `times` are s = t / (V (V - 1)).
        graph: graph whose giant components replace C = q^2; the components of a single graph
            fluctuate by V^(-1/2).

    Raises:
        ValueError: for a mean degree of 1 or less, V < 2, or bad times.

    Source:
        README.md, section 4.
    """
    lam, s = _checked(mean_degree, n_entities, times, per_pair)
    q = 1 - extinction(lam)
    reachable = q**2 if graph is None else graph.giant_components().reachable_share
    return reachable / q * taught_integral_from_zero(lam, s)


def finite_law(
    mean_degree: float, n_entities: int, times: ArrayLike, *, per_pair: bool = False
) -> Floats:
    """Return the accuracy by the corrected law for V entities, averaged over graphs, (n_times,).

    Args:
        mean_degree: lambda > 1.
        n_entities: V, at least 2.
        times: steps t, sorted, shape (n_times,); with `per_pair` they are s.
        per_pair: whether `times` are s = t / (V (V - 1)).

    Raises:
        ValueError: for a mean degree of 1 or less, bad times, or so few entities that the giant
            component would be no larger than a neighbourhood.

    Warns:
        NearCriticalWarning: below a mean degree of 1.3, where the law was not validated.

    Source:
        README.md, section 5.
    """
    lam, s = _checked(mean_degree, n_entities, times, per_pair)
    warn_if_near_critical(lam)
    return lam / n_entities + finite_growth(lam, n_entities, s)


def finite_growth(mean_degree: float, n_entities: int, s: Floats) -> Floats:
    """Return `finite_law` minus the share of source edges, without cancellation, shape (n_times,).

    Args:
        mean_degree: lambda > 1.
        n_entities: V, at least 2.
        s: steps per ordered pair, shape (n_times,).

    Raises:
        ValueError: for so few entities that the giant component would be no larger than a
            neighbourhood.
    """
    rho = extinction(mean_degree)
    q = 1 - rho
    r_cut = (mean_degree * (1 - 1 / n_entities) * (1 + rho) + 1) / n_entities
    if r_cut > q / 2:
        raise ValueError(
            f"n_entities = {n_entities} is too few for the law at mean degree {mean_degree:g}: "
            "the giant component would be no larger than a neighbourhood"
        )
    small_degree = mean_degree * rho
    outside = rho * small_degree**2 / (1 - small_degree) / n_entities
    scale = n_entities / (n_entities - 1)
    taught = taught_integral(mean_degree, s, r_cut)
    law = scale * (q * taught + outside * fixed_point(small_degree, s))
    end = mean_degree / n_entities + scale * (q * (q - r_cut) + outside)
    return law + (reachable_density(mean_degree, n_entities) - end) * taught / (q - r_cut)


def reachable_density(mean_degree: float, n_entities: int) -> float:
    """Return the expected share of reachable pairs (the plateau), up to terms of order V^-2.

    Raises:
        ValueError: for a mean degree of 1 or less.

    Source:
        README.md, section 5.
    """
    lam = checked_mean_degree(mean_degree)
    rho = extinction(lam)
    q = 1 - rho
    b = 1 - lam * rho
    c = (
        rho * (1 + lam**2 * q / 2) / b
        - lam * rho * q / b**2
        - lam**2 * rho**2 * q / (2 * b**3)
    )  # fmt: skip
    return float((q**2 * n_entities + 2 * q * c + rho * q / b**2 + rho / b - 1) / (n_entities - 1))


def theorem_bounds(
    mean_degree: float,
    n_entities: int,
    times: ArrayLike,
    *,
    epsilon: float = 0.1,
    per_pair: bool = False,
) -> tuple[Floats, Floats]:
    """Return the lower and upper bound of the accuracy by Theorem 1, each of shape (n_times,).

    They hold with high probability as V grows, for every fixed epsilon > 0. At a given V they may
    be violated.

    Args:
        mean_degree: lambda > 1.
        n_entities: V, at least 2.
        times: steps t, sorted, shape (n_times,); with `per_pair` they are s.
        epsilon: relative width of the bounds, between 0 and 1.
        per_pair: whether `times` are s = t / (V (V - 1)).

    Raises:
        ValueError: for a mean degree of 1 or less, V < 2, bad times, epsilon outside (0, 1), or V
            so small that the rate of the upper bound exceeds one.

    Source:
        Yang et al. 2024, arXiv 2409.07431, theorem 1.
    """
    lam, s = _checked(mean_degree, n_entities, times, per_pair)
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must be in (0, 1), not {epsilon!r}")
    n_pairs = n_entities * (n_entities - 1)
    steps = s * n_pairs
    stated = lam / n_entities
    reachable = (1 - extinction(lam)) ** 2
    depth = (1 + epsilon) * np.log(n_entities) / np.log(lam)
    if depth >= n_pairs:
        raise ValueError(f"n_entities = {n_entities} is too few for the bound at degree {lam:g}")
    slow = -np.expm1(steps * np.log1p(-1 / n_pairs))
    fast = -np.expm1(steps * np.log1p(-depth / n_pairs))
    lower = (stated + reachable * slow) * (1 - epsilon)
    return lower, (stated + reachable * fast) * (1 + epsilon)


def _checked(
    mean_degree: float, n_entities: int, times: ArrayLike, per_pair: bool
) -> tuple[float, Floats]:
    n_entities = checked_entities(n_entities)
    s = checked_times(times) / (1 if per_pair else n_entities * (n_entities - 1))
    return checked_mean_degree(mean_degree), s
