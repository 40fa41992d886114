"""The three phases of the accuracy, and the shares of fast and slow pairs behind them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import exp1

from graphsim._html import values_html
from graphsim.branching import extinction, taught_integral_from_zero
from graphsim.checks import checked_entities, checked_mean_degree, warn_if_near_critical
from graphsim.laws import finite_growth, reachable_density

_GRID = 4000  # log-spaced times between the first step and the plateau


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Linear, log-linear and flat phase of the accuracy of a random graph.

    Times are s = t / (V (V - 1)). The paper (arXiv 2409.07431, section 6) states the phases with
    arbitrary constants; here each has a definition that can be measured.

    Attributes:
        stated: accuracy before the first step, p = lambda / V.
        linear_slope: S in Acc = p + S s for small s: reachable density times (mean depth - 1).
        linear_end: s at which the growth is `linear_tolerance` below S s. For a tolerance e it
            scales as V^-(1 - e), so that t scales as V^(1 + e), far below t = V^2.
        window_start: first s at which Acc is within `window_tolerance` (of the plateau) of the
            tangent in ln s at the inflection.
        inflection: s of the steepest rise in ln s.
        window_end: last s of that window, 0.7 to 1.05 decades later.
        log_slope: dAcc / d ln s at the inflection.
        plateau_start: s at which the share `plateau_tolerance` of the reachable pairs is unknown:
            ln(mu(1) / tolerance), with mu(1) the share of pairs that only their own draw teaches.
        plateau: reachable density, the final accuracy.
    """

    stated: float
    linear_slope: float
    linear_end: float
    window_start: float
    inflection: float
    window_end: float
    log_slope: float
    plateau_start: float
    plateau: float

    def _repr_html_(self) -> str:
        return values_html("phases of the accuracy, in steps for each ordered pair", asdict(self))


def phases(
    mean_degree: float,
    n_entities: int,
    *,
    linear_tolerance: float = 0.1,
    window_tolerance: float = 0.02,
    plateau_tolerance: float = 0.01,
) -> Phases:
    """Return the phases of the accuracy, located by `finite_law`.

    Args:
        mean_degree: lambda > 1.
        n_entities: V, at least 2.
        linear_tolerance: relative shortfall at which the linear phase ends.
        window_tolerance: distance to the tangent that ends the log-linear phase, relative to the
            plateau.
        plateau_tolerance: share of the reachable pairs still unknown when the plateau starts.

    Raises:
        ValueError: for a mean degree of 1 or less, too few entities, or a tolerance outside (0, 1).

    Warns:
        NearCriticalWarning: below a mean degree of 1.3.
    """
    lam, n_entities = checked_mean_degree(mean_degree), checked_entities(n_entities)
    for name, value in (
        ("linear_tolerance", linear_tolerance),
        ("window_tolerance", window_tolerance),
        ("plateau_tolerance", plateau_tolerance),
    ):
        if not 0 < value < 1:
            raise ValueError(f"{name} must be in (0, 1), not {value!r}")
    warn_if_near_critical(lam)
    first = 1e-6 / n_entities
    slope = float(finite_growth(lam, n_entities, np.array([first]))[0]) / first
    plateau = float(reachable_density(lam, n_entities))
    s = np.geomspace(1e-3 / n_entities, 100.0, _GRID)
    growth = finite_growth(lam, n_entities, s)
    shortfall = 1 - growth / (slope * s)
    log_s = np.log(s)
    rise = np.gradient(growth, log_s)
    steepest = int(rise.argmax())
    off_tangent = np.abs(growth - growth[steepest] - rise[steepest] * (log_s - log_s[steepest]))
    left = np.flatnonzero(off_tangent > window_tolerance * plateau)
    return Phases(
        stated=lam / n_entities,
        linear_slope=slope,
        linear_end=float(np.interp(linear_tolerance, shortfall, s)),
        window_start=float(s[left[left < steepest].max() + 1]),
        inflection=float(s[steepest]),
        window_end=float(s[left[left > steepest].min() - 1]),
        log_slope=float(rise[steepest]),
        plateau_start=float(np.log(mu_1(lam) / plateau_tolerance)),
        plateau=plateau,
    )


def mu_1(mean_degree: float) -> float:
    """Return the limiting share of reachable pairs that only their own draw teaches (k = 1).

    mu(1) = [E1(lambda rho) - E1(lambda)] / (lambda q), with E1 the exponential integral.

    Raises:
        ValueError: for a mean degree of 1 or less.

    Source:
        README.md, section 4.
    """
    lam = checked_mean_degree(mean_degree)
    rho = extinction(lam)
    return float((exp1(lam * rho) - exp1(lam)) / (lam * (1 - rho)))


def p_k(mean_degree: float, k_max: int) -> NDArray[np.float64]:
    """Return the limiting shares of reachable pairs (x, w) with subtree size 1..k_max, (k_max,).

    They are the coefficients of (1/q) * integral of F(z; r) over r, computed by a Fourier transform
    on a circle inside the unit disc, with an absolute error below 1e-9.

    Raises:
        ValueError: for a mean degree of 1 or less, or k_max < 1.

    Source:
        README.md, section 4.
    """
    lam = checked_mean_degree(mean_degree)
    if int(k_max) != k_max or k_max < 1:
        raise ValueError(f"k_max must be a whole number of at least 1, not {k_max!r}")
    n_points = 4 * (int(k_max) + 1)
    radius = 10.0 ** (-13 / n_points)  # aliases are damped to 1e-13, kept terms by at most 1e-4
    angles = 2 * np.pi * np.arange(n_points) / n_points
    s = -np.log(radius) - 1j * angles
    generating = 1 - taught_integral_from_zero(lam, s) / (1 - extinction(lam))
    coefficients = np.fft.fft(generating).real / n_points
    k = np.arange(1, int(k_max) + 1)
    return coefficients[k] / radius**k
