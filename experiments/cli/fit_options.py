"""The options that `datawall fit` and `datawall limit` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.cli.options import readable


@readable
@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a table is fitted, and where the fit goes."""

    y: str = "loss"
    """Column of the loss."""
    loss: str = "huber_log"
    """Row loss: huber_log, squared_log, squared or asymmetric."""
    delta: float | None = None
    """Transition of the Huber loss; 1.345 robust standard deviations by default."""
    n_boot: int | None = None
    """Bootstrap draws; chosen by the number of rows by default."""
    resample: str | None = None
    """What is resampled: rows, clusters, wild or bayesian."""
    groups: str | None = None
    """Column naming the cluster of a row, such as its run or seed."""
    weights: str | None = None
    """Column of row weights."""
    fixed: tuple[str, ...] = ()
    """Pinned parameters, such as E=1.69; gamma=free frees one that the law pins."""
    seed: int = 0
    """Seed of the draws."""
    json: bool = False
    """Print JSON."""
    plot: Path | None = None
    """Draw data, fit and interval to this file, with the plotted numbers as CSV beside it."""
    out: Path | None = None
    """Save the fit as JSON, to be read with FitResult.from_json."""
