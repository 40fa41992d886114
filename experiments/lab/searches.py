"""Searches on the runs of a world: points become runs, losses become objectives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from experiments.lab import predictions
from experiments.lab.lab import Lab
from experiments.runs.spec import RunSpec
from experiments.tuning.certificate_files import save_certificate
from experiments.tuning.certificates import Certificate, Objective
from experiments.tuning.grid import Grid, Point
from experiments.tuning.search import Effort, Request, Tuned, descend, measure
from experiments.worlds.settings import read_settings
from experiments.worlds.world import World
from scaling import fit_hyperparameter

LEAST_SIZES = 3
"""Sizes with tuned settings from which those of another size are predicted."""
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
    """Return the certificates of several sizes, tuned in step, and keep them in the store.

    If the world comes with tuned settings, nothing is trained: what the search that chose them
    compared is the certificate. An objective that they leave out is measured at its start. If the
    world predicts its settings, that is where laws predict them, and the standard recipe, which
    they leave out, is searched.

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
        lab.trained(runs, title=f"tuning, {objective}")
        answers: dict[int, dict[Point, Sequence[float]]] = {width: {} for width in requests}
        for (width, point), values in zip(groups, score(list(groups.values())), strict=True):
            answers[width][point] = values
        return answers

    is_predicted = lab.world.predicts_settings
    is_searched = not lab.world.carries_settings or (
        is_predicted and objective not in predictions.OBJECTIVES
    )
    if is_searched or is_predicted:
        begun = search_starts(lab.world, objective, starts, grid)
        if is_searched:
            found = descend(begun, grid, evaluate, effort)
        else:
            found = measure(begun, grid, evaluate, effort)
    elif (known := carried(lab.world, objective, starts, grid)) is not None:
        found = known
    else:
        points = {width: grid.nearest(point) for width, point in starts.items()}
        found = measure(points, grid, evaluate, effort)
    certificates = {}
    for width, tuned in found.items():
        costs = lab.store.column([*asked[width].values()], "train_flops")
        certificates[width] = Certificate(
            objective=objective,
            spec=lab.spec(width=width, seed=0, **tuned.best),
            tuned=tuned,
            runs=dict(zip(asked[width], map(float, costs), strict=True)),
        )
        if is_searched and not lab.store.read_only:
            save_certificate(certificates[width], lab.store.root)
    return certificates


def carried(
    world: World, objective: Objective, widths: Iterable[int], grid: Grid
) -> dict[int, Tuned] | None:
    """Return what the search found that chose the settings of a world, by width.

    Args:
        world: names the settings.
        objective: what was minimised.
        widths: sizes wanted.
        grid: on which the world's points lie.

    Returns:
        The optima, or None if the settings leave this objective out.

    Raises:
        ValueError: the settings are missing or of another D, or lack a width, see `read_settings`.
    """
    settings = read_settings(str(world.settings))
    if settings.n_unique_tokens != world.n_unique_tokens:
        raise ValueError(
            f"the settings {world.settings!r} are those of {settings.n_unique_tokens:,} unique "
            f"tokens; world {world.name} has {world.n_unique_tokens:,} and must search (--search)"
        )
    if objective not in settings.tuned:
        return None
    return {width: settings.at(objective, width, grid) for width in widths}


def search_starts(
    world: World, objective: Objective, starts: Mapping[int, Point], grid: Grid
) -> dict[int, Point]:
    """Return where a search begins.

    That is where laws predict the optimum if the world predicts its settings; else at the
    settings that it comes with; at further sizes at what these predict, if they are of three sizes
    or more; else at `starts`.

    Args:
        world: names the settings.
        objective: what is minimised.
        starts: points by width, for what the settings leave out or choose for another D.
        grid: on which the points lie.
    """
    if world.predicts_settings and objective in predictions.OBJECTIVES:
        return predictions.predicted(world, objective, starts, grid)
    if world.settings is None or world.predicts_settings:
        return dict(starts)
    settings = read_settings(world.settings)
    fits = settings.n_unique_tokens == world.n_unique_tokens
    known = settings.tuned.get(objective, {}) if fits else {}
    points = {width: settings.at(objective, width, grid).point for width in known}
    return {
        width: points.get(width) or predicted_point(world, points, width, grid) or start
        for width, start in starts.items()
    }


def predicted_point(
    world: World, known: Mapping[int, Point], width: int, grid: Grid
) -> Point | None:
    """Return the point that power laws of size predict from those of other sizes.

    Args:
        world: has the number of parameters of a width.
        known: tuned points by width.
        width: to predict for.
        grid: on which the points lie.

    Returns:
        The nearest point of the grid, or None if fewer than three sizes are known or a value of
        theirs is zero, which has no logarithm.
    """
    if len(known) < LEAST_SIZES or not all(min(point) > 0 for point in known.values()):
        return None
    sizes = {size: {"n_params": world.model(size).n_params_non_embedding} for size in known}
    rows = pd.DataFrame([sizes[size] | grid.named(point) for size, point in known.items()])
    at = {"n_params": world.model(width).n_params_non_embedding}
    laws = [fit_hyperparameter(rows, axis, ["n_params"]) for axis in grid.axes]
    return grid.nearest(tuple(law.predict(at)[0] for law in laws))


def single_losses(lab: Lab) -> Score:
    """Return the validation loss of each run, NaN where it diverged."""

    def score(groups: Sequence[Sequence[RunSpec]]) -> list[list[float]]:
        specs = [spec for of in groups for spec in of]
        losses = map(float, lab.store.column(specs, "validation_loss"))
        return [[next(losses) for _ in of] for of in groups]

    return score
