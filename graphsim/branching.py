"""Integrals over the branching process behind the laws (README.md, sections 4 and 5).

Notation: lambda is the mean degree, rho the extinction probability of a Poisson(lambda) branching
process, q = 1 - rho, phi(r) = 1 - exp(-lambda r), and D(s; r) = 1 - F(exp(-s); r) the chance that a
vertex at queue position r V is taught within s steps per pair.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import lambertw

Array = TypeVar("Array", NDArray[np.float64], NDArray[np.complex128])

_NEAR_ROOT = 1e-4  # of q: from here D is linear in q - r to 1e-12
_NEAR_ZERO = 1e-5  # of s: from here D is constant in r to 1e-11


def extinction(mean_degree: float) -> float:
    """Return rho, the smallest root of rho = exp(lambda (rho - 1)), for lambda > 1."""
    rho = float(-np.real(lambertw(-mean_degree * np.exp(-mean_degree))) / mean_degree)
    for _ in range(3):  # Lambert's W loses digits next to its branch point
        rho -= (rho - np.exp(mean_degree * (rho - 1))) / (1 - mean_degree * rho)
    return rho


def fixed_point(mean_offspring: float, s: Array) -> Array:
    """Return the solution D of D = 1 - exp(-s - m D), of the shape of s.

    It is the chance D(s; r) for a tree of constant mean offspring m.
    """
    d = -np.expm1(-s) if mean_offspring < 1 else np.ones_like(s)
    for _ in range(60):
        decay = np.exp(-s - mean_offspring * d)
        step = (d + np.expm1(-s - mean_offspring * d)) / (1 - mean_offspring * decay)
        d = d - step
        if np.all(np.abs(step) <= 1e-15 * np.abs(d)):
            break
    return d


def taught_integral(mean_degree: float, s: Array, r_cut: float) -> Array:
    """Return the integral of D(s; r) over r from r_cut to q, of the shape of s.

    It is computed by Gauss-Legendre quadrature in ln r on the domain [r_cut, phi(r_cut)), mapped
    forward by phi until r is within 1e-4 q of q, where D is known in closed form to second order
    in q - r. The relative error is below 1e-10 for a mean degree of 1.5 or more.

    Args:
        mean_degree: lambda > 1.
        s: steps per ordered pair, shape (n_times,); complex to invert the generating function.
        r_cut: lower end of the integral, between 0 and q.

    Source:
        README.md, section 6.
    """
    rho = extinction(mean_degree)
    q = 1 - rho
    positions, weights, end = _orbit(mean_degree, q, r_cut)
    decay = 1 - (at_root := fixed_point(mean_degree * rho, s))
    slope = decay * mean_degree**2 * rho * at_root / (1 - decay * (mean_degree * rho) ** 2)
    d = at_root + (q - positions[-1])[:, None] * slope
    total = (q - end) * at_root + (q - end) ** 2 / 2 * slope
    for r, weight in zip(positions[-2::-1], weights[-2::-1], strict=True):
        offspring = mean_degree * np.exp(-mean_degree * r)
        d = -np.expm1(-s - offspring[:, None] * d)
        total = total + weight @ d
    return total


def taught_integral_from_zero(mean_degree: float, s: Array) -> Array:
    """Return the integral of D(s; r) over r from 0 to q, of the shape of s.

    As r falls below s, D tends to the fixed point for lambda. Times are therefore handled in groups
    of three decades, each with its own lower end.
    """
    size = np.abs(s)
    total = np.zeros_like(s)
    group = np.minimum(np.floor(np.log10(np.maximum(size, 1e-300)) / 3), -1)
    for number in np.unique(group[size > 0]):
        chosen = (group == number) & (size > 0)
        part = s[chosen]
        r_cut = _NEAR_ZERO * min(float(np.abs(part).min()), 1.0)
        below = r_cut * fixed_point(mean_degree, part)
        total[chosen] = below + taught_integral(mean_degree, part, r_cut)
    return total


def _orbit(
    mean_degree: float, q: float, r_cut: float
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]], float]:
    """Return nodes and weights of the domain and its images, and the lower end of the last image.

    The recursion only starts at the last image, whose integral is part of the tail.
    """
    end = r_cut
    width = np.log(-np.expm1(-mean_degree * r_cut) / r_cut)
    n_nodes = int(np.ceil(6 + 4 * np.log(mean_degree) + np.log(mean_degree) ** 2))
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    r = r_cut * np.exp(width * (nodes + 1) / 2)
    weight = r * weights * width / 2
    positions, sizes = [r], [weight]
    while q - end > _NEAR_ROOT * q:
        weight = weight * mean_degree * np.exp(-mean_degree * r)
        r = -np.expm1(-mean_degree * r)
        end = -np.expm1(-mean_degree * end)
        positions.append(r)
        sizes.append(weight)
    return positions, sizes, float(end)
