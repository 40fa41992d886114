"""Searches on the runs of a world: points become runs, losses become objectives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from experiments.lab.lab import Lab
from experiments.runs.archive import Archive
from experiments.runs.spec import RunSpec
from experiments.tuning.certificates import Certificate, Objective, save_certificate
from experiments.tuning.grid import Grid, Point
from experiments.tuning.search import Effort, Request, descend

Score = Callable[[Sequence[Sequence[RunSpec]]], Sequence[Sequence[float]]]
"""Turns groups of finished runs, the seeds of a point each, into the objective of each seed."""


def tune_sizes(
    lab: Lab,
    objective: Objective,
    starts: Mapping[int, Point],
    *,
    grid: Grid,
    effort: Effort,
    score: Score,
) -> dict[int, Certificate]:
    """Tune several sizes in step and keep their certificates in the store.

    Args:
        lab: where runs are trained.
        objective: what the certificates call it.
        starts: first point of each width.
        grid: axes `learning_rate`, `weight_decay`, `n_epochs`.
        effort: how to spend the runs.
        score: the objective.
    """
    asked: dict[int, dict[str, RunSpec]] = {width: {} for width in starts}

    def evaluate(requests: Mapping[int, Request]) -> dict[int, dict[Point, Sequence[float]]]:
        groups = {
            (width, point): [
                lab.spec(width=width, seed=seed, **grid.named(point))
                for seed in range(request.n_seeds)
            ]
            for width, request in requests.items()
            for point in request.points
        }
        for (width, _), specs in groups.items():
            asked[width].update((spec.run_id, spec) for spec in specs)
        runs = [spec for specs in groups.values() for spec in specs]
        lab.train(runs, title=f"tuning, {objective}")
        answers: dict[int, dict[Point, Sequence[float]]] = {width: {} for width in requests}
        for (width, point), values in zip(groups, score(list(groups.values())), strict=True):
            answers[width][point] = values
        return answers

    certificates = {}
    for width, tuned in descend(starts, grid, evaluate, effort).items():
        flops = lab.store.frame(asked[width].values()).set_index("run_id")["train_flops"]
        certificates[width] = Certificate(
            objective=objective,
            spec=lab.spec(width=width, seed=0, **tuned.best),
            tuned=tuned,
            runs={run_id: float(flops[run_id]) for run_id in asked[width]},
        )
        if not isinstance(lab.store, Archive):
            save_certificate(certificates[width], lab.store.root)
    return certificates


def single_losses(lab: Lab) -> Score:
    """Return the validation loss of each run, NaN where it diverged."""

    def score(groups: Sequence[Sequence[RunSpec]]) -> list[list[float]]:
        runs = lab.store.frame([spec for specs in groups for spec in specs])
        losses = runs.set_index("run_id")["validation_loss"].astype(float)
        return [[float(losses[spec.run_id]) for spec in specs] for specs in groups]

    return score


def limit_estimate(scores: pd.DataFrame, column: str = "validation_loss") -> float:
    """Estimate the loss of infinitely many members from a few, logits averaged.

    Where L(K) = E + B / K, E = (K L(K) - L(1)) / (K - 1). Only tuning uses this: limits
    that are reported are fitted with a free exponent.
    """
    logit = scores[scores["average"] == "logit"].groupby("n_members")[column].mean()
    most = int(logit.index.max())
    return float((most * logit[most] - logit[1]) / (most - 1))


def limit_by_member(scores: pd.DataFrame, column: str = "validation_loss") -> list[float]:
    """Split `limit_estimate` into a value for each member; their mean is the estimate.

    Member i stands for estimate + (n - 1) * (mean of the estimates without one member - estimate
    without i): the jackknife's values, whose spread between members is that of the estimate's error
    (Efron and Tibshirani 1993, chapter 11). Two members, without one of which nothing can be
    estimated, have one value.
    """
    estimate = limit_estimate(scores, column)
    n_members = int(scores["n_members"].max())
    if n_members < 3 or not math.isfinite(estimate):
        return [estimate] * (1 if n_members < 3 else n_members)
    without = np.array(
        [
            limit_estimate(
                scores[[str(i) not in of.split(",") for of in scores["members"]]], column
            )
            for i in range(n_members)
        ]
    )
    return list(estimate + (n_members - 1) * (without.mean() - without))


def loss_by_member(
    scores: pd.DataFrame, n_members: int, column: str = "validation_loss"
) -> list[float]:
    """Split the mean loss of ensembles of `n_members` into a value for each member, as above.

    Of the one ensemble of all members nothing is left without one of them: its values spread as
    those of the next smaller size.
    """
    logit = scores[scores["average"] == "logit"]
    n_all = int(logit["n_members"].max())
    mean = float(logit.loc[logit["n_members"] == n_members, column].mean())
    of_size = logit[logit["n_members"] == min(n_members, n_all - 1)]
    if of_size.empty or not math.isfinite(mean):
        return [mean] * n_all
    without = np.array(
        [
            of_size.loc[[str(i) not in of.split(",") for of in of_size["members"]], column].mean()
            for i in range(n_all)
        ]
    )
    return list(mean + (n_all - 1) * (without.mean() - without))
