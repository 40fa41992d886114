"""Ends of a profile likelihood interval, computed without the profile between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling.fitting.problem import Problem
from scaling.uncertainty.covariance import known_covariance, noise_scale
from scaling.uncertainty.profiles import bounds_of, rise, student

Array = NDArray[np.float64]

MOST_STEPS = 25
CLOSE = 1e-7
"""Error of an end, as a share of its distance from the optimum, at which it counts as found."""
FIRST_STAGE, STAGES = 0.1, 6
"""First distance from the optimum, as a share of that of a symmetric profile, and the number of
distances, where ends are approached in stages."""
FAR = 0.1
"""Share of the rise that is due to the other coordinates above which only these are moved."""
SIDES = np.array([-1.0, 1.0])


def profile_ends(
    problem: Problem, best: Array, name: str, level: float
) -> tuple[float, float] | None:
    """Ends of the profile interval of a printed parameter by Newton's method, both at once.

    At an end the objective has risen by the threshold and is lowest in all other coordinates. To
    solve that takes a few evaluations, where a profile takes dozens of minimisations.

    Args:
        problem: the fitted problem.
        best: its optimum, internal coordinates (n_parameters,).
        name: a free parameter.
        level: confidence level.

    Returns:
        (low, high), where an end that is not reached inside the bounds is the bound; or None where
        Newton's method fails, as it may if the optimum is at a bound or the objective is flat.

    Source:
        Venzon and Moolgavkar 1988, Applied Statistics 37.
    """
    index = problem.law.parameters.index(name)
    held = problem.holding(name)
    place = held.model.internal(problem.model.printed(best[:, None]))[:, 0]
    spread = known_covariance(held, place, robust=False)
    variance = float(spread[index, index])
    reach = student(level, problem.degrees) * np.sqrt(max(variance, 0.0))
    if held.model.many_linear or not (np.isfinite(reach) and reach > 1e-9 * abs(place[index])):
        return None
    highest = rise(noise_scale(problem, best), level, problem.degrees)
    away = np.outer(spread[:, index] / variance, SIDES * reach)
    found = _solve(held, place, place[:, None] + away, index, highest)
    if found is None:  # a skewed profile is followed from where it is nearly symmetric
        found = place[:, None] + FIRST_STAGE * away
        for share in np.geomspace(FIRST_STAGE, 1.0, STAGES) ** 2:
            found = _solve(held, place, found, index, share * highest)
            if found is None:
                return None
    bounds = bounds_of(problem.law, index)
    printed = held.model.printed(found)[index]
    limits = problem.low[index], problem.high[index]
    low, high = (
        bounds[side] if found[index, side] == limits[side] else float(printed[side])
        for side in (0, 1)
    )
    return low, high


def _solve(problem: Problem, best: Array, start: Array, index: int, highest: float) -> Array | None:
    """Coordinates (n_parameters, 2) of both ends, or None."""
    objective, low, high = problem.objective(), problem.low[:, None], problem.high[:, None]
    least = float(objective.value(best[:, None])[0])
    place, others = np.clip(start, low, high), problem.free[:, None].copy()
    others[index] = False
    bound = np.array([problem.low[index], problem.high[index]])
    for _ in range(MOST_STEPS):
        value, gradient, hessian = objective.derivatives(place)
        inside = others & ~((place <= low) & (gradient > 0)) & ~((place >= high) & (gradient < 0))
        # rows of coordinates that do not move are those of the identity
        matrix = np.where(inside[:, None] & inside[None, :], hessian, 0.0)
        matrix += np.eye(len(best))[:, :, None] * ~inside[:, None]
        right = np.stack([gradient, hessian[:, index]], axis=1) * inside[:, None]
        if not (np.isfinite(value).all() and np.isfinite(matrix).all()):
            return None
        try:
            aside, along = -np.linalg.solve(matrix.transpose(2, 0, 1), right.transpose(2, 0, 1)).T
        except np.linalg.LinAlgError:
            return None
        along[index] = 1.0
        gain = -0.5 * (gradient * inside * aside).sum(axis=0)
        slope = gradient[index] + (gradient * inside * along).sum(axis=0)
        risen = value - gain - least
        if not ((risen > 0).all() and (SIDES * slope > 0).all()):
            return None
        # The root of the rise is nearly linear in the parameter.
        distance = np.abs(place[index] - best[index])
        forward = 2.0 * (np.sqrt(highest * risen) - risen) / np.abs(slope)
        forward = np.clip(forward, -0.5 * distance, 0.5 * distance)
        forward[(gain > FAR * risen) | ((place[index] == bound) & (forward > 0))] = 0.0
        if (np.abs(forward) <= CLOSE * distance).all() and (gain <= CLOSE * highest).all():
            return place if _lowest(matrix) else None
        place = np.clip(place + aside + along * SIDES * forward, low, high)
    return None


def _lowest(hessian: Array) -> bool:
    """Whether Hessians (n_parameters, n_parameters, n_fits) are those of minima."""
    size = np.sqrt(np.abs(np.einsum("kkf->kf", hessian)))
    scaled = hessian / np.maximum(size[:, None] * size[None, :], 1e-300)
    return bool((np.linalg.eigvalsh(scaled.transpose(2, 0, 1)) > 0).all())
