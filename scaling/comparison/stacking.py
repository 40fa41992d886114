"""Weights of an average of laws: those with which it predicts the held-out rows best.

The weights are nonnegative and sum to one, so that the average lies between the laws. They have no
setting to choose.

Source:
    Breiman 1996, Stacked regressions, Machine Learning 24; Wolpert 1992, Neural Networks 5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]

SUM_TO_ONE = 1e3
"""Weight of the condition that the weights sum to one, relative to the errors of the best law."""
RESAMPLES = 200


def stacking_weights(errors: Array, rows: Array | None = None) -> Array:
    """Convex weights (n_laws,) of the least mean squared error of the average.

    Args:
        errors: errors ln(prediction / loss) on held-out rows, shape (n_laws, n_rows).
        rows: weights of the rows (n_rows,).
    """
    scaled = errors * np.sqrt(np.ones(errors.shape[1]) if rows is None else rows)
    least = np.sqrt(max((scaled**2).sum(axis=1).min(), 1e-300))
    design = np.vstack([scaled.T / least, np.full((1, len(errors)), SUM_TO_ONE)])
    found = nnls(design, np.append(np.zeros(errors.shape[1]), SUM_TO_ONE))[0]
    return found / found.sum()


def resampled(errors: Array, units: NDArray[np.int64], seed: int = 0) -> tuple[Array, Array]:
    """What the choice of held-out rows leaves open: mean weights, and who could be the best law.

    Args:
        errors: as in `stacking_weights`.
        units: number of the unit of each row, (n_rows,), that is resampled as a whole: its run, or
            the row itself.
        seed: random seed.

    Returns:
        Mean stacking weights (n_laws,) over Bayesian bootstrap draws, and share of draws (n_laws,)
        in which a law has a smaller error than the best law on all rows; 1 for that one.
    """
    rng = np.random.default_rng(seed)
    draws = rng.exponential(size=(RESAMPLES, int(units.max()) + 1))[:, units]
    weights = np.mean([stacking_weights(errors, rows) for rows in draws], axis=0)
    squares = draws @ (errors**2).T
    best = int(np.argmin((errors**2).mean(axis=1)))
    wins = np.mean(squares < squares[:, [best]], axis=0)
    wins[best] = 1.0
    return weights, wins
