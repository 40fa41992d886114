"""Simulated tables with known truths, for tests of coverage: rows that share a run or members."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

LIMIT = 3.17
"""Loss at infinitely many parameters and members: published, Kim et al. 2025, arXiv 2509.14786."""
SIZES = np.array([0.15, 0.3, 0.6, 1.4])
"""Parameters of a member in billions, of the same paper."""


def ensemble_law(size: float, members: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """A law of the form of Kim et al. with the limit `LIMIT`."""
    return LIMIT + 0.10 * size**-0.9 + 0.16 * size**-0.35 / members**gamma


def independent(
    seed: int, *, noise: float = 0.002, most: int = 5, sizes: np.ndarray = SIZES, gamma: float = 1.0
) -> pd.DataFrame:
    """Ensembles of 1 to `most` members, each of members of its own."""
    rng, members = np.random.default_rng(seed), np.arange(1.0, most + 1)
    return _rows(
        sizes,
        members,
        [ensemble_law(size, members, gamma) + rng.normal(0, noise, most) for size in sizes],
    )


def nested(
    seed: int, *, noise: float = 0.004, most: int = 5, sizes: np.ndarray = SIZES, gamma: float = 1.0
) -> pd.DataFrame:
    """Ensembles of the first 1 to `most` members of one pool a size."""
    rng, members = np.random.default_rng(seed), np.arange(1.0, most + 1)
    return _rows(
        sizes,
        members,
        [
            ensemble_law(size, members, gamma) + np.cumsum(rng.normal(0, noise, most)) / members
            for size in sizes
        ],
    )


def subset_means(
    seed: int, *, noise: float = 0.004, most: int = 5, sizes: np.ndarray = SIZES, gamma: float = 1.0
) -> pd.DataFrame:
    """Means over all subsets of 1 to `most` of the members of one pool a size."""
    rng, members = np.random.default_rng(seed), np.arange(1.0, most + 1)
    losses = []
    for size in sizes:
        error = rng.normal(0, noise, most)
        means = [
            np.mean([error[list(part)].mean() for part in itertools.combinations(range(most), k)])
            for k in range(1, most + 1)
        ]
        losses.append(ensemble_law(size, members, gamma) + means)
    return _rows(sizes, members, losses)


def _rows(sizes: np.ndarray, members: np.ndarray, losses: list[np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n_params": np.repeat(sizes, len(members)),
            "n_members": np.tile(members, len(sizes)),
            "loss": np.concatenate(losses),
        }
    )


CHINCHILLA = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
"""Published: Hoffmann et al. 2022, arXiv 2203.15556, eq. 10."""


def chinchilla(n_params: np.ndarray, n_tokens: np.ndarray) -> np.ndarray:
    """The law of Hoffmann et al. at parameters and tokens."""
    return 1.69 + 406.4 * n_params**-0.34 + 410.7 * n_tokens**-0.28


def checkpoints(
    seed: int, *, n_runs: int = 24, per_run: int = 6, shared: float = 0.01, own: float = 0.002
) -> pd.DataFrame:
    """Checkpoints of `n_runs` runs of different sizes, which share the error of their run."""
    rng = np.random.default_rng(seed)
    run = np.repeat(np.arange(n_runs), per_run)
    frame = pd.DataFrame(
        {
            "run": run,
            "n_params": np.geomspace(1e7, 1e9, n_runs)[run],
            "n_tokens": np.tile(np.geomspace(1e9, 3e10, per_run), n_runs),
        }
    )
    error = rng.normal(0, shared, n_runs)[run] + rng.normal(0, own, len(run))
    return frame.assign(loss=chinchilla(frame.n_params, frame.n_tokens) * np.exp(error))


def grid(seed: int, *, n_sizes: int = 6, n_budgets: int = 6, noise: float = 0.005) -> pd.DataFrame:
    """Independent runs on a grid of parameters and tokens."""
    rng = np.random.default_rng(seed)
    sizes, tokens = np.meshgrid(np.geomspace(1e7, 1e9, n_sizes), np.geomspace(1e9, 3e10, n_budgets))
    frame = pd.DataFrame({"n_params": sizes.ravel(), "n_tokens": tokens.ravel()})
    error = rng.normal(0, noise, len(frame))
    return frame.assign(loss=chinchilla(frame.n_params, frame.n_tokens) * np.exp(error))
