"""A plan from the published laws, one row per recipe, each with its source."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from experiments.display.quantities import human
from experiments.planner.plan import WALL_NATS, Option, Plan, Purchase, Range, make_plan
from experiments.planner.published_laws import (
    HALF_DIGIT,
    PUBLISHED_SIZES,
    PUBLISHED_STOCKS,
    data_laws,
    loss_at,
    member_epochs,
    member_excess,
    member_gain,
    member_misfit,
    multiplier_of,
    shrink,
    single_excess,
    size_readings,
    training_flops,
)
from scaling import PUBLISHED_FIGURES
from scaling.published import talk
from scaling.published.figures import KIM
from scaling.published.talk import (
    BILLION,
    ENTIGRAPH_ACCURACY,
    ENTIGRAPH_PAPER,
    ENTIGRAPH_TOKENS,
    SBP,
    SBP_PAPER,
    SBP_TRAINING_TOKENS,
    SBP_UNIQUE_TOKENS,
)

STANDARD = "standard"
LARGEST_SEARCHED = 100.0
"""Data walls are searched up to this multiple of the largest published size."""
INTERVALS = (
    "published; ranges are extremes over the published ranges of the data law and the rounding of "
    "printed losses, not confidence intervals"
)
BEYOND = "; extrapolated, because your stock lies outside the published 200M to 1.7B tokens"

Excess = Callable[[float], float]
"""Loss above the limit of a recipe at 200M tokens, as a function of model size."""


def published_plan(
    unique_tokens: float, *, n_params: float | None = None, compute: float | None = None
) -> Plan:
    """Return the plan for a number of unique tokens from the published laws.

    Args:
        unique_tokens: size of the stock, D.
        n_params: parameters of the largest model that may be trained, if limited.
        compute: training FLOPs, if limited.
    """
    options = [
        _standard(unique_tokens, n_params, compute),
        *_single(unique_tokens, n_params, compute),
        _small_members(unique_tokens, compute),
        *_joint(unique_tokens, n_params, compute),
        *_distilled(unique_tokens),
        _entigraph(),
        _sbp(unique_tokens),
    ]
    smallest, largest = PUBLISHED_STOCKS
    inside = 0.9 * smallest <= unique_tokens <= 1.1 * largest  # "200M" is 209,715,200
    intervals = INTERVALS if inside else INTERVALS + BEYOND
    return make_plan(unique_tokens, options, intervals=intervals, compute=compute)


def _standard(tokens: float, n_params: float | None, compute: float | None) -> Option:
    best = talk.STANDARD.loc[talk.STANDARD["loss"].idxmin()]
    wall = training_flops(float(best["n_params"]), tokens, float(best["n_epochs"]))
    rows = talk.STANDARD.assign(
        flops=training_flops(talk.STANDARD["n_params"], tokens, talk.STANDARD["n_epochs"])
    )
    rows = rows[(rows["n_params"] <= (n_params or np.inf)) & (rows["flops"] <= (compute or np.inf))]
    purchase = None
    if compute is not None and not rows.empty:
        row = rows.loc[rows["loss"].idxmin()]
        purchase = Purchase(
            n_members=1, n_params=float(row["n_params"]), n_epochs=float(row["n_epochs"]),
            flops=float(row["flops"]), loss=loss_at(tokens, float(row["loss"])).value,
        )  # fmt: skip
    return Option(
        recipe=STANDARD,
        loss=loss_at(tokens, talk.STANDARD_BEST),
        multiplier=Range(value=1.0, low=1.0, high=1.0),
        wall_flops=wall,
        purchase=purchase,
        source=f"{KIM}: weight decay 0.1, best of 150M to 1.4B parameters",
        note="more parameters or epochs than at the optimum increase the loss",
    )


def _single(tokens: float, n_params: float | None, compute: float | None) -> Iterator[Option]:
    limit = talk.REGULARIZED_LAW["E"]
    source = f"{KIM}: 3.43 + 0.05 / (N/1e9)^1.02 at 200M tokens"

    def cost(size: float) -> float:
        return training_flops(size, tokens, member_epochs(size, tokens) / 2)

    sizes = _sizes(n_params)
    affordable = [size for size in sizes if cost(size) <= (compute or 0.0)]
    purchase = None
    if affordable:
        size = max(affordable)
        purchase = Purchase(
            n_members=1, n_params=size, n_epochs=member_epochs(size, tokens) / 2, flops=cost(size),
            loss=loss_at(tokens, limit + single_excess(size_readings(size, tokens)[0])).value,
            extrapolated=not PUBLISHED_SIZES[0] <= size <= PUBLISHED_SIZES[-1],
        )  # fmt: skip
    enough = [size for size in _sizes(None) if _left(single_excess, size, tokens) <= WALL_NATS]
    yield Option(
        recipe="regularized",
        loss=loss_at(tokens, limit),
        multiplier=multiplier_of(limit),
        wall_flops=cost(min(enough)) if enough else None,
        purchase=purchase,
        source=source,
        note="limit of infinitely many parameters; weight decay about 30 times the usual",
    )
    if n_params is not None:
        losses = [limit + single_excess(size) for size in size_readings(n_params, tokens)]
        yield _of_size("regularized", n_params, tokens, losses, source)


def _small_members(tokens: float, compute: float | None) -> Option:
    law, size = talk.ENSEMBLE_LAW, 0.3 * BILLION
    n_epochs = member_epochs(size, tokens) / 2
    one = training_flops(size, tokens, n_epochs)
    needed = math.ceil((law["A"] * shrink(tokens) / WALL_NATS) ** (1 / law["alpha"]))
    purchase = None
    if compute is not None and compute >= one:
        n_members = int(compute // one)
        purchase = Purchase(
            n_members=n_members, n_params=size, n_epochs=n_epochs, flops=n_members * one,
            loss=loss_at(tokens, law["E"] + law["A"] / n_members ** law["alpha"]).value,
        )  # fmt: skip
    return Option(
        recipe="ensembles of 300M",
        loss=loss_at(tokens, law["E"]),
        multiplier=multiplier_of(law["E"]),
        wall_flops=needed * one,
        purchase=purchase,
        source=f"{KIM}: 3.34 + 0.25 / K^1.02 at 200M tokens",
        note="limit of infinitely many members that are tuned as single models",
    )


def _joint(tokens: float, n_params: float | None, compute: float | None) -> Iterator[Option]:
    limit, gain = talk.JOINT_LIMIT, member_gain()
    source = f"{KIM}: limits of infinitely many members at four sizes, tuned for the ensemble"

    def cost(size: float) -> float:
        return training_flops(size, tokens, member_epochs(size, tokens))

    best: Purchase | None = None
    for size in (size for size in _sizes(n_params) if cost(size) <= (compute or 0.0)):
        n_members = int((compute or 0.0) // cost(size))
        at_reference = limit + member_excess(size_readings(size, tokens)[0])
        loss = loss_at(tokens, at_reference + gain.value / n_members).value
        if best is None or loss < best.loss:
            best = Purchase(
                n_members=n_members, n_params=size, n_epochs=member_epochs(size, tokens),
                flops=n_members * cost(size), loss=loss,
                extrapolated=not PUBLISHED_SIZES[0] <= size <= PUBLISHED_SIZES[-1],
            )  # fmt: skip
    walls = [
        cost(size) * math.ceil(gain.value * shrink(tokens) / (WALL_NATS - left))
        for size in _sizes(None)
        if (left := _left(member_excess, size, tokens)) < WALL_NATS
    ]
    yield Option(
        recipe="joint",
        loss=loss_at(tokens, limit),
        multiplier=multiplier_of(limit),
        wall_flops=min(walls, default=None),
        purchase=best,
        source=source,
        note="limit of infinitely many members, then of infinitely many parameters",
    )
    if n_params is not None:
        losses = [limit + member_excess(size) for size in size_readings(n_params, tokens)]
        yield _of_size(
            "ensembles", n_params, tokens, losses, source, rounding=HALF_DIGIT + member_misfit()
        )


def _sizes(n_params: float | None) -> list[float]:
    """Return the model sizes to search, from the smallest published to the largest allowed."""
    smallest = PUBLISHED_SIZES[0]
    largest = PUBLISHED_SIZES[-1] * LARGEST_SEARCHED if n_params is None else n_params
    if largest <= smallest:
        return [largest]
    return [float(size) for size in np.geomspace(smallest, largest, 100)]


def _left(excess: Excess, n_params: float, tokens: float) -> float:
    """Return the loss of a size above the limit of infinitely many parameters."""
    return excess(size_readings(n_params, tokens)[0]) * shrink(tokens)


def _of_size(
    recipe: str,
    n_params: float,
    tokens: float,
    losses: list[float],
    source: str,
    *,
    rounding: float = HALF_DIGIT,
) -> Option:
    """Return the row of a recipe whose models have a given size."""
    inside = PUBLISHED_SIZES[0] <= n_params <= PUBLISHED_SIZES[-1]
    return Option(
        recipe=f"{recipe} of {human(n_params)}",
        loss=loss_at(tokens, *losses, rounding=rounding),
        multiplier=multiplier_of(*losses, rounding=rounding),
        source=source,
        note="" if inside else "extrapolated beyond the published sizes, 150M to 1.4B",
    )


def _distilled(tokens: float) -> Iterator[Option]:
    for recipe, name in (
        ("distilled", "distilled_loss"),
        ("self-distilled", "self_distilled_loss"),
    ):
        figure = PUBLISHED_FIGURES[name]
        yield Option(
            recipe=recipe,
            loss=loss_at(tokens, figure.value, rounding=0.0),
            multiplier=multiplier_of(figure.value, rounding=0.0),
            source=figure.source,
            note="a single 300M model at inference; published at 200M tokens only",
        )


def _entigraph() -> Option:
    accuracy, tokens = ENTIGRAPH_ACCURACY, ENTIGRAPH_TOKENS
    return Option(
        recipe="EntiGraph",
        loss=None,
        multiplier=None,
        source=ENTIGRAPH_PAPER,
        note=f"no held-out loss is published; closed-book accuracy {accuracy['base']} to "
        f"{accuracy['EntiGraph']} % from {tokens['unique'] / 1e6:g}M tokens, and "
        f"{accuracy['raw']} % after training on the texts themselves",
    )


def _sbp(tokens: float) -> Option:
    """Return the row of SBP, with its data multiplier from the perplexity of OpenWebText2.

    Repetition and unlimited unique data (20 times as much) are two points of a data law. The share
    of the gain that synthetic documents recover is interpolated between them with the exponent of
    the law or, at the other extreme, linearly in log D.
    """
    scale = min(SBP_UNIQUE_TOKENS, key=lambda one: abs(math.log(SBP_UNIQUE_TOKENS[one] / tokens)))
    unique, factor = SBP_UNIQUE_TOKENS[scale], SBP_TRAINING_TOKENS[scale] / SBP_UNIQUE_TOKENS[scale]
    row = SBP[SBP["benchmark"] == "OpenWebText2"].iloc[0]
    repeated, sbp, best = (row[f"{name}_{scale}"] for name in ("repeated", "sbp", "unique"))
    exponents = [law.exponent for law in data_laws()]

    def share(recovered: float, possible: float) -> float:
        return math.log1p(recovered / repeated) / math.log1p(possible / repeated)

    def worth(share: float, exponent: float) -> float:
        if exponent == 0.0:
            return factor**share
        return (1 - share * (1 - factor**-exponent)) ** (-1 / exponent)

    shares = [
        share(sbp + a, best + b)
        for a in (-HALF_DIGIT, HALF_DIGIT)
        for b in (-HALF_DIGIT, HALF_DIGIT)
    ]
    multiplier = Range.over(
        worth(share(sbp, best), exponents[0]),
        [worth(one, exponent) for one in shares for exponent in (0.0, *exponents)],
    )
    standard = talk.STANDARD_BEST
    losses = [
        law.at(standard, tokens * times)
        for law in data_laws()
        for times in (multiplier.low, multiplier.high)
    ]
    value = next(data_laws()).at(standard, tokens * multiplier.value)
    return Option(
        recipe="SBP",
        loss=Range.over(value, losses),
        multiplier=multiplier,
        source=f"{SBP_PAPER}: perplexity of OpenWebText2, {scale} scale",
        note=f"measured at {unique / BILLION:g}B unique tokens with another text and tokenizer",
    )
